"""The threshold of a classifier that opens a strip with all its classes, or none."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.tuning.candidates import Candidates
from steelscan.evaluation.tuning.gates import or_sure
from steelscan.evaluation.tuning.search import calm_place

EVERY = np.arange(100) / 100
_REACH = 5
"""Neighbours up to so many hundredths away steady a score, as on the other axes."""


class ImageGate:
    """A gate of the image: what it scores at any threshold, the other numbers as they stand."""

    def __init__(
        self, classes: Sequence[Candidates], words: NDArray[np.floating], default: float
    ) -> None:
        """``words`` is what a classifier says of each class, ``(strips, classes)``."""
        self._classes, self.default = classes, default
        self.words = or_sure(words).max(axis=1)
        self.holds = np.any([each.holds for each in classes], axis=0)
        self.gates = np.union1d(EVERY, default)

    @cached_property
    def _both(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What each class scores on each strip, empty and open: ``(strips, classes)`` each."""
        opened = [each.values(each.default) for each in self._classes]
        closed = [each.empty_values() for each in self._classes]
        return np.hstack(closed), np.hstack(opened)

    def values(self, chosen: float) -> NDArray[np.float64]:
        """What each strip scores at a gate, float64 ``(strips, classes)``."""
        closed, opened = self._both
        return np.where((self.words > chosen)[:, None], opened, closed)

    def weights(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """How much each pair counts in a set, float64 ``(strips, classes)``."""
        return np.hstack([each.weights(times) for each in self._classes]) / len(self._classes)

    def defined(self, times: NDArray[np.float64]) -> bool:
        """Whether each set of strips, ``(sets, strips)``, has strips of all sorts that count."""
        return all(each.defined(times) for each in self._classes)

    def scores(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """The score of each set of strips at every gate, float64 ``(sets, gates)``."""
        closed, opened = self._both
        passes = self.words[:, None] > self.gates
        rows = []
        for each in times:
            weights = self.weights(each)
            gains = (weights * (opened - closed)).sum(axis=1)
            rows.append(float((weights * closed).sum()) + gains @ passes)
        return np.stack(rows)

    def choose(self, times: NDArray[np.float64]) -> Sequence[float]:
        """The gate that is best on each set, in the middle of a plateau (`calm_place`)."""
        origin = (int(np.searchsorted(self.gates, self.default)),)
        places = (calm_place(scores, origin, (_REACH,)) for scores in self.scores(times))
        return [float(self.gates[place]) for (place,) in places]
