"""The exact score of one class at all combinations of thresholds, for many resamples at once.

A rule keeps the mask of a strip or empties it. So the score of a combination is the score of empty
masks plus, for each kept strip, the difference between its mask and an empty one. Whether a strip
is kept is a product of two parts: gate and label threshold do not depend on the pixel threshold,
and the mask itself depends on nothing else. So all scores of all resamples are one matrix product:
(weights x kept) @ (difference).
"""

from collections.abc import Sequence
from math import prod
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.metrics import Pairs
from steelscan.evaluation.tuning.histograms import PixelsAbove, nan_passes
from steelscan.evaluation.tuning.objectives import Objective, pair_scores, strip_weights
from steelscan.postprocess import lowest_u8_above

_NUMBERS_AT_ONCE = 1 << 24
"""Numbers in the largest matrix of a product."""

_EQUALLY_GOOD = 1e-4
"""Scores this close to the best count as equally good."""

RuleKind: TypeAlias = Literal["threshold", "triplet"]
"""The rule that thresholds belong to: `Threshold` and `MinArea`, or `Triplet`."""


class Axes(NamedTuple):
    """The values to try of each threshold; a search without a gate has one value of ``gate``.

    A mask is the pixels above ``pixel``. A threshold rule keeps it if the highest probability is
    above ``label`` and the mask has at least ``area`` pixels; a triplet keeps it if at least
    ``area`` pixels are above ``label``.
    """

    gate: NDArray[np.float64]
    label: NDArray[np.float64]
    pixel: NDArray[np.float64]
    area: NDArray[np.int64]


class ScoreSurfaces:
    """The scores of one class at all combinations of `Axes`, for any resamples of its strips."""

    def __init__(
        self,
        counts: PixelsAbove,
        axes: Axes,
        objective: Objective,
        kind: RuleKind = "threshold",
        class_probabilities: NDArray[np.floating] | None = None,
    ) -> None:
        """Prepare the two matrices.

        ``class_probabilities`` is what the gate compares, ``(strips,)``; NaN passes every gate.
        Without it the gate is not applied.
        """
        self._true, self._objective = counts.true, objective
        label, pixel = (
            np.array([lowest_u8_above(value) for value in axis.tolist()])
            for axis in (axes.label, axes.pixel)
        )
        true = counts.true[:, None]
        masks = Pairs(
            counts.predicted[:, pixel], np.repeat(true, len(pixel), 1), counts.shared[:, pixel]
        )
        empty = pair_scores(Pairs(true, true, true).emptied(), objective)
        gains = pair_scores(masks, objective) - empty
        self._empty = empty[:, 0]
        self._rows = np.flatnonzero(gains.any(axis=1))  # all others score the same everywhere
        predicted, gains = counts.predicted[self._rows], gains[self._rows, :, None]
        above = predicted[:, label, None]
        if kind == "threshold":
            kept, gained = above > 0, gains * (predicted[:, pixel, None] >= axes.area)
        else:
            kept, gained = above >= axes.area, gains
        passes = np.ones((len(self._rows), 1), np.bool_)
        if class_probabilities is not None:
            passes = nan_passes(class_probabilities)[self._rows, None] > axes.gate
        every = passes[:, :, None, None] & kept[:, None]
        self._shape = (*every.shape[1:], *gained.shape[1:])
        self._kept = every.reshape(len(every), prod(every.shape[1:]))
        self._gained = gained.reshape(len(gained), prod(gained.shape[1:]))

    def scores(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scores of each resample, ``(resamples, gates, labels, pixels, areas)``.

        ``times`` is how often each resample contains each strip, float64 ``(resamples, strips)``.
        Raises InputError for a resample on which the objective is not defined.
        """
        weights = np.stack([strip_weights(self._true, self._objective, each) for each in times])
        scores = np.empty((len(times), self._kept.shape[1], self._gained.shape[1]))
        step = max(1, _NUMBERS_AT_ONCE // max(self._kept.size, 1))
        for start in range(0, len(times), step):
            some = weights[start : start + step, self._rows]
            weighted = some[:, None, :] * self._kept.T[None]
            scores[start : start + step] = (
                weighted.reshape(len(some) * scores.shape[1], len(self._rows)) @ self._gained
            ).reshape(len(some), *scores.shape[1:])
        scores += (weights @ self._empty)[:, None, None]
        gates, labels, label_areas, pixels, areas = self._shape
        whole = scores.reshape(len(times), gates, labels, label_areas, pixels, areas)
        if areas == 1:  # the area of a triplet belongs to its label threshold
            whole = np.moveaxis(whole, 3, 5)
        return whole.reshape(len(times), gates, labels, pixels, label_areas * areas)


def smoothed_argmax(
    scores: NDArray[np.float64], origin: Sequence[int], reach: Sequence[int]
) -> tuple[int, ...]:
    """Return the index at which the mean over the neighbourhood is highest.

    The mean makes the middle of a plateau better than its edge or a single peak. Among equally
    good indices the one nearest to ``origin`` is taken, distances in units of ``reach``. ``scores``
    is float64 of any number of axes; ``origin`` and ``reach`` (how many steps away neighbours may
    be) have one number per axis. Beyond an edge the value at the edge is repeated.
    """
    distance = np.zeros(scores.shape)
    for axis, steps in enumerate(reach):
        scores = _moving_mean(scores, axis, steps)
        away = np.abs(np.arange(scores.shape[axis]) - origin[axis]) / steps
        distance += away.reshape([-1 if axis == each else 1 for each in range(scores.ndim)])
    good = scores >= scores.max() - _EQUALLY_GOOD
    nearest = np.unravel_index(int(np.where(good, distance, np.inf).argmin()), scores.shape)
    return tuple(int(index) for index in nearest)


def _moving_mean(scores: NDArray[np.float64], axis: int, steps: int) -> NDArray[np.float64]:
    """Average each score with those up to ``steps`` away along an axis."""
    indices = np.arange(scores.shape[axis])
    around = indices[:, None] + np.arange(-steps, steps + 1)
    shares = np.zeros((len(indices), len(indices)))
    np.add.at(shares, (indices[:, None], around.clip(0, len(indices) - 1)), 1 / (2 * steps + 1))
    return np.moveaxis(np.tensordot(shares, scores, (1, axis)), 0, axis)
