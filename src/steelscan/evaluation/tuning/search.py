"""The search for thresholds: histograms of probabilities in, thresholds out.

A pixel at level k is predicted when k / 255 is above the pixel threshold. A class is predicted on
a strip at all only when its highest level / 255 is above the label threshold. A mask of fewer
pixels than the area becomes empty. All in this order, a class at a time.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from steelscan.evaluation.metrics import Pairs, dice
from steelscan.evaluation.tuning.levels import LEVELS
from steelscan.evaluation.tuning.surfaces import (
    Grid,
    MeanDice,
    Objective,
    Setting,
    from_lowest,
    pair_scores,
    strip_weights,
    surface,
)
from steelscan.postprocess import lowest_level
from steelscan.strip import MaskError, PerClass, RecipeError, Spec, per_class

_TWENTIETHS = np.arange(1, 20) / 20
_EVERY = np.arange(LEVELS) / (LEVELS - 1)
_AREAS = (1e-4, 8)
"""Areas tried, as a share of the frame and doublings of it: 0.01 % to 2.56 %; in Severstal's frame
41 to 10486 pixels, where the winners' areas lie between 100 and 4000."""
_AREAS_A_DOUBLING = {"twentieths": 2, "full": 8}


class Tune(Spec):
    """What is tuned, and when a better setting is believed.

    Areas are tried from nothing to 2.56 % of the frame, label and pixel thresholds from 0.05 to
    0.95 in ``twentieths``, or at every level that there is: ``full``, 256 x 256 x 66 settings. The
    recipe's own numbers stay unless the score of the class grows by more than ``gain`` and by more
    than ``errors`` standard errors of that growth.
    """

    kind: Literal["tune"] = "tune"
    label: bool = True
    pixel: bool = True
    area: bool = True
    positives: int = Field(default=8, ge=1)
    """A class that fewer strips hold is not tuned."""
    gain: float = Field(default=0.001, ge=0)
    errors: float = Field(default=2.0, ge=0)
    grid: Literal["twentieths", "full"] = "twentieths"


class Thresholds(Spec):
    """The thresholds of all classes, one value a class, and where they came from.

    ``before`` and ``after`` are the mean Dice of each class with the numbers that the search
    started from and with these; None where nothing was measured. ``defaults`` is what the search
    started from. Numbers that were never searched say nothing of all this.
    """

    label: tuple[float, ...]
    pixel: tuple[float, ...]
    area: tuple[int, ...]
    tuned: tuple[bool, ...] = ()
    before: tuple[float | None, ...] = ()
    after: tuple[float | None, ...] = ()
    reasons: tuple[str, ...] = ()
    """Why each class was tuned or not, as part of a sentence."""
    defaults: "Thresholds | None" = None

    @model_validator(mode="after")
    def _one_value_a_class(self) -> Self:
        lists: list[tuple[Any, ...]] = [self.pixel, self.area]
        lists += [told for told in (self.tuned, self.before, self.after, self.reasons) if told]
        if any(len(each) != len(self) for each in lists):
            raise ValueError("label, pixel, area and the rest do not all hold one value a class")
        return self

    def __len__(self) -> int:
        return len(self.label)

    def of_class(self, index: int) -> Setting:
        """The setting of one class; ``index`` counts from 0."""
        return Setting(self.label[index], self.pixel[index], self.area[index])


def pairs_at(levels: NDArray[np.int32], thresholds: Thresholds) -> Pairs:
    """Count the pixels that thresholds would predict, without the maps.

    ``levels`` is int32 ``(strips, 2, classes, 256)`` from `count_levels`. Raises MaskError for
    other shapes or types and RecipeError for thresholds of other classes.
    """
    _check(levels, thresholds)
    columns = [
        _pairs_at(levels[:, :, index], thresholds.of_class(index))
        for index in range(len(thresholds))
    ]
    return Pairs(
        np.hstack([pairs.predicted for pairs in columns]),
        np.hstack([pairs.truth for pairs in columns]),
        np.hstack([pairs.shared for pairs in columns]),
    )


def search_thresholds(
    levels: NDArray[np.int32],
    defaults: Thresholds,
    tune: Tune | None = None,
    objective: PerClass[Objective] | None = None,
) -> Thresholds:
    """Find the thresholds that give each class its best score, without trusting luck.

    The score is mean Dice unless another ``objective`` is given, one for all classes or one each.
    All settings of the grid are scored exactly. Each score is averaged with its neighbours', so
    that the middle of a plateau beats its edge and a lone peak; among settings as good as the
    best the one nearest to ``defaults`` is taken, and only if its gain is believed (`Tune`).
    Gains are measured on the strips that were searched: they flatter. The standard error takes
    strips as independent, so near-duplicates make it too small.

    ``levels`` is int32 ``(strips, 2, classes, 256)`` from `count_levels`. Raises as `pairs_at`,
    RecipeError for objectives of other classes, and InputError where one is not defined.
    """
    _check(levels, defaults)
    tune = tune or Tune()
    wanted: PerClass[Objective] = MeanDice() if objective is None else objective
    objectives: tuple[Objective, ...] = per_class(wanted, len(defaults), "objective")
    found = [
        _search_class(levels[:, :, index], defaults.of_class(index), tune, aim)
        for index, aim in enumerate(objectives)
    ]
    return Thresholds(
        label=tuple(each.setting.label for each in found),
        pixel=tuple(each.setting.pixel for each in found),
        area=tuple(each.setting.area for each in found),
        tuned=tuple(each.tuned for each in found),
        before=tuple(each.before for each in found),
        after=tuple(each.after for each in found),
        reasons=tuple(each.reason for each in found),
        defaults=defaults,
    )


class _Found(NamedTuple):
    setting: Setting
    tuned: bool
    before: float | None
    after: float | None
    reason: str


class _Axes(NamedTuple):
    """The values tried; each axis holds the starting value."""

    label: NDArray[np.float64]
    pixel: NDArray[np.float64]
    area: NDArray[np.int64]


def _check(levels: NDArray[np.int32], thresholds: Thresholds) -> None:
    if levels.dtype != np.int32 or levels.ndim != 4 or levels.shape[1::2] != (2, LEVELS):
        found = f"are {levels.dtype} {levels.shape}"
        raise MaskError("levels", found, "Give int32 (strips, 2, classes, 256)")
    if levels.shape[2] != len(thresholds):
        found = f"are for {len(thresholds)} classes, the levels for {levels.shape[2]}"
        raise RecipeError("thresholds", found, "Give one value a class")


def _search_class(levels: NDArray[np.int32], start: Setting, tune: Tune, aim: Objective) -> _Found:
    """Search one class; ``levels`` is ``(strips, 2, 256)``."""
    old = _pairs_at(levels, start)
    before = float(dice(old).mean()) if len(old) else None

    def kept(reason: str) -> _Found:
        return _Found(start, False, before, before, reason)

    positives = int(levels[:, 1].any(axis=1).sum())
    if positives < tune.positives:
        few = f"{positives} strip{'s hold' if positives != 1 else ' holds'} it"
        return kept(f"{few}, {tune.positives} are needed")
    axes = axes_of(start, tune, levels)
    origin = _Index(*(int(np.searchsorted(a, v)) for a, v in zip(axes, start, strict=True)))
    at = _calm_best(surface(levels, _grid(axes), aim), origin, _CALM[tune.grid])
    best = Setting(float(axes.label[at[0]]), float(axes.pixel[at[1]]), int(axes.area[at[2]]))
    if best == start:
        return kept("no setting is better")
    new = _pairs_at(levels, best)
    gain, error = _gain(old, new, aim)
    if gain <= tune.gain:
        return kept(f"the best gain, {gain:+.4f}, is not above {tune.gain:g}")
    if gain <= tune.errors * error:
        return kept(f"the best gain, {gain:+.4f}, may be luck (standard error {error:.4f})")
    return _Found(best, True, before, float(dice(new).mean()), f"gain {gain:+.4f}")


def _gain(old: Pairs, new: Pairs, aim: Objective) -> tuple[float, float]:
    """What the score of one class gains, and the standard error of that."""
    more = (pair_scores(new, aim) - pair_scores(old, aim))[:, 0]
    weights = strip_weights(old.truth[:, 0], aim)
    gain = float(weights @ more)
    return gain, sqrt(np.square(weights * (more - gain)).sum())


class _Index(NamedTuple):
    label: int
    pixel: int
    area: int


class _Calm(NamedTuple):
    """How scores are averaged with those around them."""

    reach: tuple[int, int, int] = (1, 1, 1)
    """How many steps of each axis neighbours may be away."""
    passes: int = 1
    """After two passes, neighbours up to twice as far away count, the nearer the more."""


_CALM = {"twentieths": _Calm(), "full": _Calm((7, 7, 2), passes=2)}
"""As far on both grids: a twentieth, and half a doubling of the area."""


def axes_of(start: Setting, tune: Tune, levels: NDArray[np.int32]) -> _Axes:
    """The values to try of each threshold; ``levels`` is ``(strips, 2, 256)``."""
    frame = float(np.median(levels[:, 0].sum(axis=1)))
    least, doublings = _AREAS
    steps = _AREAS_A_DOUBLING[tune.grid]
    shares = least * 2.0 ** (np.arange(doublings * steps + 1) / steps)
    areas = np.unique([0, *np.round(shares * frame).astype(int)])
    full = tune.grid == "full"
    return _Axes(
        _thresholds(start.label, full) if tune.label else np.array([start.label]),
        _thresholds(start.pixel, full) if tune.pixel else np.array([start.pixel]),
        np.union1d(areas, start.area) if tune.area else np.array([start.area]),
    )


def _thresholds(start: float, full: bool) -> NDArray[np.float64]:
    """The thresholds of an axis, rising; the start stands for those that decide as it does."""
    if not full:
        return np.union1d(_TWENTIETHS, start)
    every = _EVERY.copy()
    every[max(lowest_level(start) - 1, 0)] = start
    return every


def _grid(axes: _Axes) -> Grid:
    label, pixel = (np.array([lowest_level(each) for each in axis]) for axis in axes[:2])
    return Grid(label, pixel, axes.area)


def _calm_best(scores: NDArray[np.float64], origin: _Index, calm: _Calm | None = None) -> _Index:
    """The place of the setting to trust; see `steelscan.evaluation.tuning.search.calm_place`."""
    calm = calm or _Calm()
    return _Index(*calm_place(scores, origin, calm.reach, calm.passes))


def _pairs_at(levels: NDArray[np.int32], setting: Setting) -> Pairs:
    """The pairs of one class, ``(strips, 1)``; ``levels`` is ``(strips, 2, 256)``."""
    lowest = [lowest_level(setting.pixel)]
    predicted, shared = (from_lowest(levels[:, part])[:, lowest] for part in (0, 1))
    kept = (_highest(levels[:, 0])[:, None] > setting.label) & (predicted >= setting.area)
    true = levels[:, 1].sum(axis=1, dtype=np.int64)[:, None]
    return Pairs(predicted * kept, true, shared * kept)


def _highest(counts: NDArray[np.int32]) -> NDArray[np.float64]:
    """The highest probability on each strip, ``(strips,)``."""
    last = LEVELS - 1 - (counts[:, ::-1] > 0).argmax(axis=1)
    return np.asarray(last / (LEVELS - 1), np.float64)


_AS_GOOD = 1e-4
"""Settings this near to the best count as equally good."""


def calm_place(
    scores: NDArray[np.float64], origin: Sequence[int], reach: Sequence[int], passes: int = 1
) -> tuple[int, ...]:
    """Where the average of a setting and its neighbours is best; near the origin if many are.

    ``scores`` is float64 of any number of axes; ``origin`` and ``reach`` have one number for each:
    where the search starts, and how many steps away neighbours may be. After two passes neighbours
    up to twice as far away count, the nearer the more. Beyond an edge the edge itself counts
    again. Distances are in reaches of each axis.
    """
    distance = np.zeros(scores.shape)
    for axis, steps in enumerate(reach):
        for _ in range(passes):
            scores = _averaged(scores, axis, steps)
        away = np.abs(np.arange(scores.shape[axis]) - origin[axis]) / steps
        distance += away.reshape([-1 if axis == each else 1 for each in range(scores.ndim)])
    good = scores >= scores.max() - _AS_GOOD
    nearest = np.unravel_index(int(np.where(good, distance, np.inf).argmin()), scores.shape)
    return tuple(int(place) for place in nearest)


def _averaged(scores: NDArray[np.float64], axis: int, steps: int) -> NDArray[np.float64]:
    """Each score averaged with those up to some steps away along an axis."""
    places = np.arange(scores.shape[axis])
    around = places[:, None] + np.arange(-steps, steps + 1)
    shares = np.zeros((len(places), len(places)))
    np.add.at(shares, (places[:, None], around.clip(0, len(places) - 1)), 1 / (2 * steps + 1))
    return np.moveaxis(np.tensordot(shares, scores, (1, axis)), 0, axis)
