"""The search for the thresholds of one class: axes, scores, and the best combination."""

from collections.abc import Collection, Sequence
from copy import copy
from functools import cached_property
from typing import Any, Literal, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.metrics import Pairs, dice
from steelscan.evaluation.tuning.histograms import nan_passes, pixels_above
from steelscan.evaluation.tuning.objectives import (
    Objective,
    is_defined,
    pair_scores,
    strip_weights,
)
from steelscan.evaluation.tuning.surfaces import Axes, RuleKind, ScoreSurfaces, smoothed_argmax
from steelscan.postprocess import lowest_u8_above
from steelscan.strip.errors import InputError

SearchMethod: TypeAlias = Literal["search", "auto"]
"""Try all combinations, or derive one threshold from the expected Dice (`decision_threshold`)."""

_NEUTRAL = 0.5
"""The threshold of a probability without any other knowledge."""

_SCORES_AT_ONCE = 1 << 23

_TWENTIETHS = np.arange(1, 20) / 20

_AREAS = 1e-4 * 2.0 ** (np.arange(17) / 2)
"""Areas to try as a share of the frame, two per doubling: 0.01 % to 2.56 %. In Severstal's frame
41 to 10486 pixels; the areas of the winners lie between 100 and 4000."""

_GATES = np.round(np.array([0, 0.01, 0.02, *np.arange(1, 20) / 20]), 2)
"""Gates to try; low ones too, because many classifiers give most strips a probability near 0."""


class ClassThresholds(NamedTuple):
    """The thresholds of one class; ``gate`` is None if no gate is searched.

    For a triplet ``label`` is the top and ``pixel`` the bottom.
    """

    gate: float | None
    label: float
    pixel: float
    area: int

    def __str__(self) -> str:
        gate = "" if self.gate is None else f"gate {self.gate:.2f}, "
        return f"{gate}label {self.label:.2f}, pixel {self.pixel:.2f}, area {self.area}"


class ClassSearch:
    """One class on a set of strips: its scores at any thresholds, and the best thresholds."""

    def __init__(
        self,
        histograms: NDArray[np.int32],
        class_probabilities: NDArray[np.floating] | None,
        default: ClassThresholds,
        objective: Objective,
        kind: RuleKind = "threshold",
        by: SearchMethod = "search",
        fixed: Collection[str] = (),
    ) -> None:
        """Prepare the search.

        ``histograms`` is int32 ``(strips, 2, 256)``; ``class_probabilities`` what the gate
        compares, ``(strips,)``, if there is one; ``fixed`` names thresholds that keep their
        default. Raises MaskError for other histograms.
        """
        self.default, self.kind, self._by, self._fixed = default, kind, by, fixed
        self._objective = objective
        self.class_probabilities = class_probabilities if default.gate is not None else None
        self._counts = pixels_above(histograms)
        self.true = self._counts.true
        self.positive = np.asarray(self.true > 0)

    def with_default(self, default: ClassThresholds) -> Self:
        """Return the same search with another default."""
        other = copy(self)
        other.default = default
        for cached in ("axes", "_surfaces"):
            other.__dict__.pop(cached, None)
        return other

    @property
    def neutral(self) -> ClassThresholds:
        """The default with label and pixel thresholds of at most 0.5, unless they are fixed."""
        default = self.default
        label, pixel = (
            value if name in self._fixed else min(value, _NEUTRAL)
            for name, value in (("label", default.label), ("pixel", default.pixel))
        )
        return default._replace(label=label, pixel=pixel)

    @cached_property
    def axes(self) -> Axes:
        """The values to try of each threshold; each axis contains the default."""
        default, fixed = self.default, self._fixed
        frame = float(np.median(self._counts.predicted[:, 0]))
        areas = np.unique([0, *np.round(_AREAS * frame).astype(int)])
        gated = self.class_probabilities is not None and default.gate is not None
        return Axes(
            np.union1d(_GATES, default.gate or 0.0) if gated else np.zeros(1),
            np.union1d([] if "label" in fixed else _TWENTIETHS, default.label),
            np.union1d([] if "pixel" in fixed else _TWENTIETHS, default.pixel),
            np.union1d(areas[:0] if "area" in fixed else areas, default.area),
        )

    def pairs(self, thresholds: ClassThresholds) -> Pairs:
        """Return the pixel counts at some thresholds, ``(strips, 1)``."""
        lowest = lowest_u8_above(thresholds.pixel)
        mask = self._counts.predicted[:, lowest]
        above = self._counts.predicted[:, lowest_u8_above(thresholds.label)]
        if self.kind == "threshold":
            kept = (above > 0) & (mask >= thresholds.area)
        else:
            kept = above >= thresholds.area
        if self.class_probabilities is not None and thresholds.gate is not None:
            kept &= nan_passes(self.class_probabilities) > thresholds.gate
        shared = self._counts.shared[:, lowest]
        return Pairs((mask * kept)[:, None], self.true[:, None], (shared * kept)[:, None])

    def strip_scores(self, chosen: ClassThresholds) -> NDArray[np.float64]:
        """Return the score of each strip at some thresholds, float64 ``(strips, 1)``."""
        return pair_scores(self.pairs(chosen), self._objective)

    def empty_scores(self) -> NDArray[np.float64]:
        """Return the score of each strip with an empty mask, float64 ``(strips, 1)``."""
        return pair_scores(self.pairs(self.default).emptied(), self._objective)

    def weights(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weight of each strip in a resample, float64 ``(strips, 1)``."""
        return strip_weights(self.true, self._objective, times)[:, None]

    def total(self, times: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
        """Return the weighted sum of the strips' scores in a resample."""
        return float((self.weights(times) * scores).sum())

    def defined(self, times: NDArray[np.float64]) -> bool:
        """Return whether the objective is defined on all resamples, ``(resamples, strips)``."""
        return all(is_defined(self.true, self._objective, each) for each in times)

    def surfaces(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return all scores of each resample, ``(resamples, gates, labels, pixels, areas)``."""
        return self._surfaces.scores(times)

    @cached_property
    def _surfaces(self) -> ScoreSurfaces:
        return ScoreSurfaces(
            self._counts, self.axes, self._objective, self.kind, self.class_probabilities
        )

    def choose(self, times: NDArray[np.float64]) -> Sequence[ClassThresholds]:
        """Return the best thresholds of each resample."""
        return self._derived(times) if self._by == "auto" else self._best(times)

    def _best(self, times: NDArray[np.float64]) -> Sequence[ClassThresholds]:
        origin = self.index(self.default)
        step = max(1, _SCORES_AT_ONCE // int(np.prod([len(axis) for axis in self.axes])))
        return [
            self.at(smoothed_argmax(scores, origin, (1, 1, 1, 1)))
            for start in range(0, len(times), step)
            for scores in self.surfaces(times[start : start + step])
        ]

    def _derived(self, times: NDArray[np.float64]) -> Sequence[ClassThresholds]:
        """Derive the gate, or the label threshold if there is no gate, from the expected Dice.

        This reads the class probability, or the highest probability of the map, as the chance
        that the class is present.
        """
        always = self.default._replace(gate=None, label=0.0, area=0)
        values = dice(self.pairs(always))[:, 0]
        name = "label" if self.class_probabilities is None else "gate"
        chosen = []
        for each in times:
            expected = dice_if_predicted(values, each * self.positive)
            derived = self.default
            if expected is not None:
                value: Any = round(decision_threshold(expected), 3)
                derived = derived._replace(**{name: value})
            chosen.append(derived)
        return chosen

    def index(self, thresholds: ClassThresholds) -> tuple[int, ...]:
        """Return the index of each threshold on its axis, or that of the nearest value."""
        return tuple(
            int(np.abs(axis - (value or 0)).argmin())
            for axis, value in zip(self.axes, thresholds, strict=True)
        )

    def at(self, index: Sequence[int]) -> ClassThresholds:
        """Return the thresholds at an index of the axes."""
        gate, label, pixel, area = (
            axis[place] for axis, place in zip(self.axes, index, strict=True)
        )
        known = None if self.class_probabilities is None else float(gate)
        return ClassThresholds(known, float(label), float(pixel), int(area))


def decision_threshold(dice: float) -> float:
    """Return the chance of the class above which predicting a mask raises the expected Dice.

    ``dice`` is the expected Dice of the mask if the class is present. From 0.5 for a perfect mask
    to 1 for a worthless one. Raises InputError outside 0 to 1.
    """
    if not 0 <= dice <= 1:
        raise InputError("expected Dice", f"is {dice}", "Give a share from 0 to 1")
    return 1 / (1 + dice)


def dice_if_predicted(values: NDArray[np.float64], times: NDArray[np.float64]) -> float | None:
    """Return the mean Dice of masks on the strips with the class; None if there are none.

    ``values`` is the Dice of each mask if it is always predicted, float64 ``(strips,)``; ``times``
    how often each strip with the class counts, 0 for all others.
    """
    return float(times @ values / times.sum()) if times.any() else None
