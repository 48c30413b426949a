"""The search for the threshold of a classifier that opens a strip with all its classes, or none."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.tuning.class_search import ClassSearch
from steelscan.evaluation.tuning.histograms import nan_passes
from steelscan.evaluation.tuning.surfaces import smoothed_argmax

_HUNDREDTHS = np.arange(100) / 100
_REACH = 5
"""Neighbours up to so many hundredths away smooth a score, as far as on the other axes."""


class AllClasses:
    """The objectives of all classes together, whose pairs a gate opens or closes."""

    def __init__(self, classes: Sequence[ClassSearch]) -> None:
        self._classes = classes

    def weights(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weight of each pair in a resample, float64 ``(strips, classes)``."""
        return np.hstack([each.weights(times) for each in self._classes]) / len(self._classes)

    def total(self, times: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
        """Return the weighted sum of the pairs' scores in a resample."""
        return float((self.weights(times) * scores).sum())

    def defined(self, times: NDArray[np.float64]) -> bool:
        """Return whether the objectives are defined on all resamples, ``(resamples, strips)``."""
        return all(each.defined(times) for each in self._classes)


class ImageGateSearch(AllClasses):
    """A gate of the image: its score at any threshold, the thresholds of the classes fixed."""

    def __init__(
        self,
        classes: Sequence[ClassSearch],
        class_probabilities: NDArray[np.floating],
        default: float,
    ) -> None:
        """``class_probabilities`` is ``(strips, classes)``: the highest one passes the gate."""
        super().__init__(classes)
        self.default = default
        self._highest = nan_passes(class_probabilities).max(axis=1)
        self.positive = np.any([each.positive for each in classes], axis=0)
        self.gates = np.union1d(_HUNDREDTHS, default)

    @cached_property
    def _closed_and_open(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores of each strip if the gate is closed, and if it is open: ``(strips, classes)``."""
        opened = [each.strip_scores(each.default) for each in self._classes]
        closed = [each.empty_scores() for each in self._classes]
        return np.hstack(closed), np.hstack(opened)

    def strip_scores(self, chosen: float) -> NDArray[np.float64]:
        """Return the score of each strip at a gate, float64 ``(strips, classes)``."""
        closed, opened = self._closed_and_open
        return np.where((self._highest > chosen)[:, None], opened, closed)

    def scores(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the score of each resample at every gate, float64 ``(resamples, gates)``."""
        closed, opened = self._closed_and_open
        passes = self._highest[:, None] > self.gates
        rows = []
        for each in times:
            weights = self.weights(each)
            gains = (weights * (opened - closed)).sum(axis=1)
            rows.append(float((weights * closed).sum()) + gains @ passes)
        return np.stack(rows)

    def choose(self, times: NDArray[np.float64]) -> Sequence[float]:
        """Return the best gate of each resample (`smoothed_argmax`)."""
        origin = (int(np.searchsorted(self.gates, self.default)),)
        places = (smoothed_argmax(scores, origin, (_REACH,)) for scores in self.scores(times))
        return [float(self.gates[place]) for (place,) in places]
