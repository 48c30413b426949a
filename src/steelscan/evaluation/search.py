"""The search for thresholds: histograms of probabilities in, thresholds out.

A pixel at level k is predicted when k / 255 is above the pixel threshold. A class is predicted on
a strip at all only when its highest level / 255 is above the label threshold. A mask of fewer
pixels than the area becomes empty. All in this order, a class at a time.
"""

from math import sqrt
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from steelscan.evaluation.levels import LEVELS
from steelscan.evaluation.pairs import Pairs, dice
from steelscan.postprocess import lowest_level
from steelscan.strip import MaskError, RecipeError, Spec

_TWENTIETHS = np.arange(1, 20) / 20
_AREA_SHARES = 1e-4 * 2.0 ** (np.arange(17) / 2)
"""Areas tried, as shares of the frame: 0.01 % to 2.56 %; in Severstal's frame 41 to 10486 pixels,
where the winners' areas lie between 100 and 4000."""
_AS_GOOD = 1e-4
"""Settings this near to the best count as equally good."""


class Tune(Spec):
    """What is tuned, and when a better setting is believed.

    Label and pixel thresholds are tried from 0.05 to 0.95, areas from nothing to 2.56 % of the
    frame. The recipe's own numbers stay unless the mean Dice of the class grows by more than
    ``gain`` and by more than ``errors`` standard errors of that growth.
    """

    kind: Literal["tune"] = "tune"
    label: bool = True
    pixel: bool = True
    area: bool = True
    positives: int = Field(default=8, ge=1)
    """A class that fewer strips hold is not tuned."""
    gain: float = Field(default=0.001, ge=0)
    errors: float = Field(default=2.0, ge=0)


class Setting(NamedTuple):
    """The thresholds of one class."""

    label: float
    pixel: float
    area: int


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
    levels: NDArray[np.int32], defaults: Thresholds, tune: Tune | None = None
) -> Thresholds:
    """Find the thresholds that give each class its best mean Dice, without trusting luck.

    All settings of the grid are scored exactly. Each score is averaged with its neighbours', so
    that the middle of a plateau beats its edge and a lone peak; among settings as good as the
    best the one nearest to ``defaults`` is taken, and only if its gain is believed (`Tune`).
    Gains are measured on the strips that were searched: they flatter. The standard error takes
    strips as independent, so near-duplicates make it too small.

    ``levels`` is int32 ``(strips, 2, classes, 256)`` from `count_levels`. Raises as `pairs_at`.
    """
    _check(levels, defaults)
    tune = tune or Tune()
    found = [
        _search_class(levels[:, :, index], defaults.of_class(index), tune)
        for index in range(len(defaults))
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


def _search_class(levels: NDArray[np.int32], start: Setting, tune: Tune) -> _Found:
    """Search one class; ``levels`` is ``(strips, 2, 256)``."""
    old = dice(_pairs_at(levels, start))[:, 0]
    before = float(old.mean()) if old.size else None

    def kept(reason: str) -> _Found:
        return _Found(start, False, before, before, reason)

    positives = int(levels[:, 1].any(axis=1).sum())
    if positives < tune.positives:
        few = f"{positives} strip{'s hold' if positives != 1 else ' holds'} it"
        return kept(f"{few}, {tune.positives} are needed")
    axes = _axes(start, tune, levels)
    origin = _Index(*(int(np.searchsorted(a, v)) for a, v in zip(axes, start, strict=True)))
    at = _calm_best(_surface(levels, axes), origin)
    best = Setting(float(axes.label[at[0]]), float(axes.pixel[at[1]]), int(axes.area[at[2]]))
    if best == start:
        return kept("no setting is better")
    new = dice(_pairs_at(levels, best))[:, 0]
    gain = float((new - old).mean())
    error = float((new - old).std()) / sqrt(len(new))
    if gain <= tune.gain:
        return kept(f"the best gain, {gain:+.4f}, is not above {tune.gain:g}")
    if gain <= tune.errors * error:
        return kept(f"the best gain, {gain:+.4f}, may be luck (standard error {error:.4f})")
    return _Found(best, True, before, float(new.mean()), f"gain {gain:+.4f}")


class _Index(NamedTuple):
    label: int
    pixel: int
    area: int


def _axes(start: Setting, tune: Tune, levels: NDArray[np.int32]) -> _Axes:
    frame = float(np.median(levels[:, 0].sum(axis=1)))
    areas = np.unique([0, *np.round(_AREA_SHARES * frame).astype(int)])
    return _Axes(
        np.union1d(_TWENTIETHS, start.label) if tune.label else np.array([start.label]),
        np.union1d(_TWENTIETHS, start.pixel) if tune.pixel else np.array([start.pixel]),
        np.union1d(areas, start.area) if tune.area else np.array([start.area]),
    )


def _surface(levels: NDArray[np.int32], axes: _Axes) -> NDArray[np.float64]:
    """Mean Dice of one class at every setting: ``(labels, pixels, areas)``."""
    predicted, shared = _above(levels[:, 0], axes.pixel), _above(levels[:, 1], axes.pixel)
    true = levels[:, 1].sum(axis=1, dtype=np.int64)
    blank = (true == 0).astype(np.float64)  # the Dice of an empty answer
    gains = dice(Pairs(predicted, np.broadcast_to(true[:, None], shared.shape), shared))
    gains -= blank[:, None]
    opened = (_highest(levels[:, 0])[:, None] > axes.label).astype(np.float64)
    surface = np.empty([len(axis) for axis in axes], np.float64)
    for index in range(len(axes.pixel)):
        kept = (predicted[:, index, None] >= axes.area).astype(np.float64)
        surface[:, index] = (opened * gains[:, index, None]).T @ kept
    surface /= len(levels)
    surface += blank.mean()
    return surface


def _calm_best(surface: NDArray[np.float64], origin: _Index) -> _Index:
    """Where the average of a setting and its neighbours is best; near the origin if many are."""
    for axis in range(surface.ndim):
        width = [(1, 1) if axis == each else (0, 0) for each in range(surface.ndim)]
        padded = np.pad(surface, width, mode="edge")
        shifted = [padded.take(range(k, k + surface.shape[axis]), axis) for k in range(3)]
        surface = (shifted[0] + shifted[1] + shifted[2]) / 3
    good = np.argwhere(surface >= surface.max() - _AS_GOOD)
    nearest = np.abs(good - np.array(origin)).sum(axis=1).argmin()
    return _Index(*good[nearest].tolist())


def _pairs_at(levels: NDArray[np.int32], setting: Setting) -> Pairs:
    """The pairs of one class, ``(strips, 1)``; ``levels`` is ``(strips, 2, 256)``."""
    pixel = np.array([setting.pixel])
    predicted, shared = _above(levels[:, 0], pixel), _above(levels[:, 1], pixel)
    kept = (_highest(levels[:, 0])[:, None] > setting.label) & (predicted >= setting.area)
    true = levels[:, 1].sum(axis=1, dtype=np.int64)[:, None]
    return Pairs(predicted * kept, true, shared * kept)


def _above(counts: NDArray[np.int32], thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Pixels above each threshold, ``(strips, thresholds)``, from counts ``(strips, 256)``."""
    from_level = np.zeros((len(counts), LEVELS + 1), np.int64)
    from_level[:, :LEVELS] = counts[:, ::-1].cumsum(axis=1, dtype=np.int64)[:, ::-1]
    return from_level[:, [lowest_level(value) for value in thresholds]]


def _highest(counts: NDArray[np.int32]) -> NDArray[np.float64]:
    """The highest probability on each strip, ``(strips,)``."""
    last = LEVELS - 1 - (counts[:, ::-1] > 0).argmax(axis=1)
    return np.asarray(last / (LEVELS - 1), np.float64)
