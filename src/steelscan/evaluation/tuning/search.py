"""Thresholds for a run in training: one search per class, accepted by a standard error.

A pixel with a stored probability of k / 255 is predicted when that is above the pixel threshold. A
class is predicted on a strip only when its highest probability is above the label threshold. A
mask of fewer pixels than the area becomes empty. All in this order, each class by itself.
"""

from math import sqrt
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from steelscan.evaluation.metrics import Pairs, dice
from steelscan.evaluation.tuning.class_search import ClassSearch, ClassThresholds
from steelscan.evaluation.tuning.histograms import LEVELS
from steelscan.evaluation.tuning.objectives import (
    MeanDice,
    Objective,
    pair_scores,
    strip_weights,
)
from steelscan.strip import PerClass, Spec, per_class
from steelscan.strip.errors import MaskError, RecipeError


class Tune(Spec):
    """Which thresholds are tuned in training, and when a better setting is accepted.

    Areas are tried from nothing to 2.56 % of the frame, label and pixel thresholds from 0.05 to
    0.95 in steps of 0.05. The recipe's thresholds are kept unless the score of the class grows by
    more than ``gain`` and by more than ``errors`` standard errors of that growth.

    With ``gates`` "f1" the threshold of each class of every classifier, and of aux heads with a
    hard gate, is the one with the best F1 of that class on all validation strips, whether the gate
    opens single classes or whole strips (12th, K:114309). It is chosen before the thresholds of
    masks; the recipe's is kept if F1 does not grow on strips outside the search.

    With "cost" the threshold of each class of these gates is lowered, down to 0, if the gate costs
    more Dice than it saves (`tune_by_cost`). It is chosen before the thresholds of masks, too.
    A recipe without such gates has nothing to lower.
    """

    kind: Literal["tune"] = "tune"
    label: bool = True
    pixel: bool = True
    area: bool = True
    gates: Literal["keep", "f1", "cost"] = "keep"
    positives: int = Field(default=8, ge=1)
    """A class on fewer strips than this is not tuned."""
    neutral: bool = False
    """Whether label and pixel thresholds above 0.5 become 0.5 for a class that is not tuned, is on
    a strip, and is found on none. For thresholds that were not chosen for these classes. They are
    kept if 0.5 finds nothing either, or if the mean Dice of the class falls."""
    gain: float = Field(default=0.001, ge=0)
    errors: float = Field(default=2.0, ge=0)

    @property
    def masks(self) -> bool:
        """Whether any threshold of the masks is tuned."""
        return self.label or self.pixel or self.area

    @property
    def fixed(self) -> tuple[str, ...]:
        """The names of the thresholds of masks that are not tuned."""
        return tuple(name for name in ("label", "pixel", "area") if not getattr(self, name))


class Thresholds(Spec):
    """The thresholds of all classes, one value per class, and where they came from.

    ``before`` and ``after`` are the mean Dice of each class with the thresholds that the search
    started from (``defaults``) and with these; None if nothing was measured. Thresholds that were
    never searched leave all of this empty.
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
    def _one_value_per_class(self) -> Self:
        lists: list[tuple[Any, ...]] = [self.pixel, self.area]
        lists += [each for each in (self.tuned, self.before, self.after, self.reasons) if each]
        if any(len(each) != len(self) for each in lists):
            raise ValueError("label, pixel, area and all other lists need one value per class")
        return self

    def __len__(self) -> int:
        return len(self.label)

    def of_class(self, index: int) -> ClassThresholds:
        """Return the thresholds of one class; ``index`` counts from 0."""
        return ClassThresholds(None, self.label[index], self.pixel[index], self.area[index])


def pairs_at(histograms: NDArray[np.int32], thresholds: Thresholds) -> Pairs:
    """Count the pixels that thresholds would predict, without the maps.

    ``histograms`` is int32 ``(strips, 2, classes, 256)``. Raises MaskError for other shapes or
    types and RecipeError for thresholds of another number of classes.
    """
    _check(histograms, thresholds)
    columns = [
        ClassSearch(histograms[:, :, index], None, each, MeanDice()).pairs(each)
        for index, each in enumerate(map(thresholds.of_class, range(len(thresholds))))
    ]
    return Pairs.of_classes(columns)


def search_thresholds(
    histograms: NDArray[np.int32],
    defaults: Thresholds,
    tune: Tune | None = None,
    objective: PerClass[Objective] | None = None,
) -> Thresholds:
    """Find the thresholds with the best score per class, and accept only clear gains.

    The score is mean Dice unless another ``objective`` is given, one for all classes or one each.
    All combinations are scored exactly, and `smoothed_argmax` chooses among them. Gains are
    measured on the strips that were searched, so they are too high. The standard error treats
    strips as independent, so near-duplicates make it too small.

    ``histograms`` is int32 ``(strips, 2, classes, 256)``. Raises as `pairs_at`, RecipeError for
    objectives of another number of classes, and InputError if an objective is not defined.
    """
    _check(histograms, defaults)
    tune = tune or Tune()
    wanted: PerClass[Objective] = MeanDice() if objective is None else objective
    objectives: tuple[Objective, ...] = per_class(wanted, len(defaults), "objective")
    results = [
        _search_class(histograms[:, :, index], defaults.of_class(index), tune, each)
        for index, each in enumerate(objectives)
    ]
    return Thresholds(
        label=tuple(each.thresholds.label for each in results),
        pixel=tuple(each.thresholds.pixel for each in results),
        area=tuple(each.thresholds.area for each in results),
        tuned=tuple(each.tuned for each in results),
        before=tuple(each.before for each in results),
        after=tuple(each.after for each in results),
        reasons=tuple(each.reason for each in results),
        defaults=defaults,
    )


class _Result(NamedTuple):
    thresholds: ClassThresholds
    tuned: bool
    before: float | None
    after: float | None
    reason: str


def _check(histograms: NDArray[np.int32], thresholds: Thresholds) -> None:
    if (
        histograms.dtype != np.int32
        or histograms.ndim != 4
        or histograms.shape[1::2] != (2, LEVELS)
    ):
        problem = f"are {histograms.dtype} {histograms.shape}"
        raise MaskError("histograms", problem, "Give int32 (strips, 2, classes, 256)")
    if histograms.shape[2] != len(thresholds):
        problem = f"are for {len(thresholds)} classes, the histograms for {histograms.shape[2]}"
        raise RecipeError("thresholds", problem, "Give one value per class")


def _search_class(
    histograms: NDArray[np.int32], start: ClassThresholds, tune: Tune, objective: Objective
) -> _Result:
    """Search one class; ``histograms`` is ``(strips, 2, 256)``."""
    search = ClassSearch(histograms, None, start, objective, fixed=tune.fixed)
    old = search.pairs(start)
    before = float(dice(old).mean()) if len(old) else None

    def kept(reason: str) -> _Result:
        return _Result(start, False, before, before, reason)

    positives = int(search.positive.sum())
    if positives < tune.positives:
        few = f"{positives} strip{'s have' if positives != 1 else ' has'} this class"
        few = f"{few}, {tune.positives} are needed"
        if not (tune.neutral and positives) or old.shared.any():
            return kept(few)
        return _neutral(search, f"{few}; it is found on none of them")
    (best,) = search.choose(np.ones((1, len(old))))
    if best == start:
        return kept("no setting is better")
    new = search.pairs(best)
    gain, error = _gain(old, new, objective)
    if gain <= tune.gain:
        return kept(f"the best gain, {gain:+.4f}, is not above {tune.gain:g}")
    if gain <= tune.errors * error:
        return kept(f"the best gain, {gain:+.4f}, may be luck (standard error {error:.4f})")
    return _Result(best, True, before, float(dice(new).mean()), f"gain {gain:+.4f}")


def _neutral(search: ClassSearch, few: str) -> _Result:
    """Lower label and pixel thresholds to 0.5 if that finds the class and costs no Dice.

    ``few`` is the reason why the class is not tuned.
    """
    start, neutral = search.default, search.neutral
    old, new = search.pairs(start), search.pairs(neutral)
    before, after = float(dice(old).mean()), float(dice(new).mean())
    if not new.shared.any() or after < before:
        return _Result(start, False, before, before, f"{few}, and 0.5 is no better")
    return _Result(neutral, True, before, after, f"{few}, therefore 0.5 instead")


def _gain(old: Pairs, new: Pairs, objective: Objective) -> tuple[float, float]:
    """Return the gain in the score of one class, and its standard error."""
    more = (pair_scores(new, objective) - pair_scores(old, objective))[:, 0]
    weights = strip_weights(old.truth[:, 0], objective)
    gain = float(weights @ more)
    return gain, sqrt(np.square(weights * (more - gain)).sum())
