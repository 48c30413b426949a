"""Every threshold at once: the score of one class at all settings of a grid, exactly.

A rule keeps the mask of a strip or empties it. So the score at a setting is that of empty masks,
plus what each kept strip gains over its empty mask. At one pixel threshold, the gains are summed
by the highest label threshold and the largest area that still keep the strip; running sums from
above then give all label thresholds and areas together.

A threshold stands here as the lowest of the levels 0 to 255 that passes it, as `lowest_level`
gives it: 1 to 256 for thresholds from 0 to 1, and 256 passes nothing.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat

from steelscan.evaluation.metrics import Counts, Pairs, dice
from steelscan.evaluation.tuning.levels import LEVELS
from steelscan.strip import InputError, MaskError, Share, Spec

_ROUNDING = 1e-12
"""Sums of the same terms in another order differ by less."""


class MeanDice(Spec):
    """The mean Dice of a class over all strips."""

    kind: Literal["mean_dice"] = "mean_dice"


class EscapeWeighted(Spec):
    """Mean Dice, less ``weight`` for each strip whose class is there and not predicted at all.

    A missed class has a Dice of 0, so a weight of 0 is mean Dice. With a weight of 1, one class
    missed costs as much as two strips stopped for nothing.
    """

    kind: Literal["escape_weighted"] = "escape_weighted"
    weight: NonNegativeFloat


class Prior(Spec):
    """The mean Dice to expect where a share ``positives`` of the strips holds the class.

    Strips that hold it count for that share together, and the others for the rest. (A shift of
    the prior alone: Saerens, Latinne and Decaestecker 2002.)
    """

    kind: Literal["prior"] = "prior"
    positives: Share


Objective = Annotated[MeanDice | EscapeWeighted | Prior, Field(discriminator="kind")]
"""What a search makes as high as it can: a weighted sum over strips of a number a pair."""


class Setting(NamedTuple):
    """The thresholds of one class."""

    label: float
    pixel: float
    area: int


@dataclass(frozen=True, eq=False)
class Grid:
    """The settings to score: all combinations of three axes.

    ``label`` and ``pixel`` are int64 ``(n,)``, lowest levels that pass, from 0 to 256 and in any
    order; ``area`` is int64 ``(n,)``, in pixels, none negative and none below the one before.
    For a triplet, ``label`` is its top, ``area`` what is asked for above the top, and ``pixel``
    its bottom. Raises InputError for anything else.
    """

    label: NDArray[np.int64]
    pixel: NDArray[np.int64]
    area: NDArray[np.int64]

    def __post_init__(self) -> None:
        for name in ("label", "pixel", "area"):
            axis = getattr(self, name)
            if axis.ndim != 1 or axis.dtype != np.int64 or not axis.size:
                found = f"is {axis.dtype} {axis.shape}"
                raise InputError(f"grid.{name}", found, "Give int64 (n,), at least one value")
        for name in ("label", "pixel"):
            axis = getattr(self, name)
            if axis.min() < 0 or axis.max() > LEVELS:
                found = f"goes from {axis.min()} to {axis.max()}"
                raise InputError(f"grid.{name}", found, "Give lowest levels from 0 to 256")
        if self.area[0] < 0 or (np.diff(self.area) < 0).any():
            raise InputError("grid.area", "is negative or falls", "Give pixels in rising order")

    @property
    def shape(self) -> tuple[int, int, int]:
        """The length of each axis."""
        return len(self.label), len(self.pixel), len(self.area)

    def setting(self, label: int, pixel: int, area: int) -> Setting:
        """The setting at a place of the grid; each threshold as level / 255."""
        top, bottom = int(self.label[label]), int(self.pixel[pixel])
        last = LEVELS - 1
        return Setting((top - 1) / last, (bottom - 1) / last, int(self.area[area]))


def every_level(area: NDArray[np.int64]) -> Grid:
    """The grid of all 256 label thresholds, all 256 pixel thresholds and some areas."""
    every = np.arange(1, LEVELS + 1)
    return Grid(every, every, area)


def surface(
    levels: NDArray[np.int32], grid: Grid, objective: Objective | None = None
) -> NDArray[np.float64]:
    """Score a label threshold, a pixel threshold and a minimum area at every setting of a grid.

    ``levels`` is one class of `count_levels`, int32 ``(strips, 2, 256)``. Returns float64
    ``(labels, pixels, areas)``, by default mean Dice; 256 x 256 x 64 settings take 34 MB. Raises
    MaskError for other levels or none, InputError where the objective is not defined.
    """
    predicted, gains, empty = _kept_for_gain(levels, grid.pixel, objective)
    reach = np.count_nonzero(predicted, axis=1)
    width = len(grid.area) + 1
    scores = np.empty(grid.shape, np.float64)
    for index, lowest in enumerate(grid.pixel):
        rows = np.flatnonzero(gains[:, index])
        passed = np.searchsorted(grid.area, predicted[rows, lowest], side="right")
        sums = _by_label(reach[rows] * width + passed, gains[rows, index], width)
        scores[:, index] = _from_above(sums, 1)[grid.label, 1:]
    scores += empty
    return scores


def triplet_surface(
    levels: NDArray[np.int32], grid: Grid, objective: Objective | None = None
) -> NDArray[np.float64]:
    """Score a triplet at every setting of a grid: float64 ``(tops, bottoms, areas)``.

    The same as `surface`, for masks of the pixels above the bottom on strips with at least the
    area above the top (`steelscan.postprocess.Triplet`).
    """
    predicted, gains, empty = _kept_for_gain(levels, grid.pixel, objective)
    width = len(grid.area)
    reach = [np.count_nonzero(predicted >= least, axis=1) for least in grid.area]
    place = np.stack(reach, axis=1) * width + np.arange(width)
    scores = np.empty(grid.shape, np.float64)
    for index in range(len(grid.pixel)):
        rows = np.flatnonzero(gains[:, index])
        each = np.repeat(gains[rows, index], width)
        scores[:, index] = _by_label(place[rows].ravel(), each, width)[grid.label]
    scores += empty
    return scores


def best(scores: NDArray[np.float64], grid: Grid) -> tuple[Setting, float]:
    """The setting with the highest score, and that score.

    ``scores`` is float64 ``(labels, pixels, areas)``. Of settings that differ by no more than the
    rounding of sums, the first is taken. A lone peak can be luck: see `search_thresholds`.
    """
    place = np.unravel_index(int((scores >= scores.max() - _ROUNDING).argmax()), scores.shape)
    label, pixel, area = (int(index) for index in place)
    return grid.setting(label, pixel, area), float(scores[label, pixel, area])


def pair_scores(pairs: Pairs, objective: Objective) -> NDArray[np.float64]:
    """What an objective gives each pair, before `strip_weights`: float64 ``(strips, classes)``."""
    values = dice(pairs)
    if isinstance(objective, EscapeWeighted):
        values -= objective.weight * ((pairs.truth > 0) & (pairs.predicted == 0))
    return values


def strip_weights(true: NDArray[np.int64], objective: Objective) -> NDArray[np.float64]:
    """How much each strip counts for one class: float64 ``(strips,)``, in sum 1.

    ``true`` holds the true pixels of the class, int64 ``(strips,)``. Raises InputError when a
    prior gives a share to strips with the class, or to strips without it, and there are none.
    """
    return set_weights(np.ones(len(true)), true, objective) if len(true) else np.empty(0)


def set_weights(
    times: NDArray[np.float64], true: NDArray[np.int64], objective: Objective
) -> NDArray[np.float64]:
    """The same for a set that holds each strip so many ``times``, float64 ``(strips,)``.

    Raises as `strip_weights`, and InputError for a set of no strip.
    """
    if not times.any():
        raise InputError("set of strips", "holds none", "Leave it out")
    if not isinstance(objective, Prior):
        return np.asarray(times / times.sum(), np.float64)
    weights = np.zeros(len(true))
    shares = {"with": objective.positives, "without": 1 - objective.positives}
    for (name, share), part in zip(shares.items(), (true > 0, true == 0), strict=True):
        of_part = times[part].sum()
        if share > 0 and not of_part:
            found = f"gives {share:g} to strips {name} the class, and there is none"
            raise InputError("Prior.positives", found, "Take strips of both sorts, or mean Dice")
        weights[part] = share * times[part] / max(of_part, 1)
    return weights


def can_weigh(times: NDArray[np.float64], true: NDArray[np.int64], objective: Objective) -> bool:
    """Whether `set_weights` is defined on a set of strips."""
    try:
        set_weights(times, true, objective)
    except InputError:
        return False
    return True


class _Gains(NamedTuple):
    predicted: Counts
    """Pixels from each lowest level on, ``(strips, 257)``."""
    gains: NDArray[np.float64]
    """What the mask adds to the score over an empty one, ``(strips, pixels)``."""
    empty: float
    """The score of empty masks."""


def _kept_for_gain(
    levels: NDArray[np.int32], pixel: NDArray[np.int64], objective: Objective | None
) -> _Gains:
    objective = objective or MeanDice()
    cut = cut_masks(levels, pixel, objective)
    weights = strip_weights(cut.true, objective)
    return _Gains(cut.predicted, weights[:, None] * cut.gains, float(weights @ cut.empty))


class Cut(NamedTuple):
    """The masks of one class at some pixel thresholds, before any weight of a strip."""

    predicted: Counts
    """Pixels from each lowest level on, int64 ``(strips, 257)``."""
    true: NDArray[np.int64]
    """True pixels, int64 ``(strips,)``."""
    gains: NDArray[np.float64]
    """What the mask scores more than an empty one, float64 ``(strips, pixels)``."""
    empty: NDArray[np.float64]
    """What an empty mask scores, float64 ``(strips,)``."""


def cut_masks(levels: NDArray[np.int32], pixel: NDArray[np.int64], objective: Objective) -> Cut:
    """What each strip scores at some pixel thresholds, lowest levels that pass, int64 ``(n,)``.

    ``levels`` is one class of `count_levels`, int32 ``(strips, 2, 256)``. Raises MaskError for
    other levels or none.
    """
    if levels.dtype != np.int32 or levels.ndim != 3 or levels.shape[1:] != (2, LEVELS):
        found = f"are {levels.dtype} {levels.shape}"
        raise MaskError("levels", found, "Give int32 (strips, 2, 256), one class")
    if not len(levels):
        raise MaskError("levels", "are of no strip", "Give those of at least one")
    predicted, shared = from_lowest(levels[:, 0]), from_lowest(levels[:, 1])
    true = shared[:, :1]
    cut = Pairs(
        predicted[:, pixel], np.broadcast_to(true, (len(true), len(pixel))), shared[:, pixel]
    )
    nothing = pair_scores(Pairs(true, true, true).emptied(), objective)
    return Cut(predicted, true[:, 0], pair_scores(cut, objective) - nothing, nothing[:, 0])


def from_lowest(counts: NDArray[np.int32]) -> Counts:
    """Pixels at each level and above: int64 ``(strips, 257)`` from int32 ``(strips, 256)``."""
    sums = np.zeros((len(counts), LEVELS + 1), np.int64)
    sums[:, :LEVELS] = counts[:, ::-1].cumsum(axis=1, dtype=np.int64)[:, ::-1]
    return sums


def _by_label(
    cells: NDArray[np.int64], gains: NDArray[np.float64], width: int
) -> NDArray[np.float64]:
    """Sum gains at each label threshold, lowest levels 0 to 256: float64 ``(257, width)``.

    A gain's cell is ``width`` times the number of label thresholds that keep it, plus its column.
    """
    kept_by = LEVELS + 1
    summed = np.bincount(cells, gains, (kept_by + 1) * width).reshape(kept_by + 1, width)
    return _from_above(np.asarray(summed, np.float64), 0)[1:]


def _from_above(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The sum of each place and all after it, along an axis."""
    return np.flip(np.flip(values, axis).cumsum(axis=axis), axis)
