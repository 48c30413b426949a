"""Tuning that knows luck: a setting is changed only for a gain on strips that were not searched."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, log
from statistics import NormalDist
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from steelscan.evaluation.tuning.candidates import By, Candidates, Numbers
from steelscan.evaluation.tuning.crossfit import (
    Crossfit,
    Searched,
    Spread,
    Totals,
    can_search,
    crossfit,
    joined,
)
from steelscan.evaluation.tuning.gates import Kind, or_sure
from steelscan.evaluation.tuning.image_gate import ImageGate
from steelscan.evaluation.tuning.levels import LEVELS
from steelscan.evaluation.tuning.plateau import Plateau, plateau
from steelscan.evaluation.tuning.surfaces import Objective
from steelscan.strip import Spec, track

T = TypeVar("T")


class CarefulTune(Spec):
    """How strips are searched, and what is asked of a gain.

    A setting is changed when the interval of its gain, at a ``level``, lies above 0. ``gain`` is
    what one looks for, as Dice of a group that holds the class; how many groups it takes to see
    that with a chance of ``power`` is told.
    """

    by: By = "search"
    parts: int = Field(default=5, ge=2)
    repeats: int = Field(default=2, ge=1)
    resamples: int = Field(default=60, ge=20)
    level: float = Field(default=0.95, gt=0.5, lt=1)
    gain: float = Field(default=0.05, gt=0, le=1)
    power: float = Field(default=0.8, gt=0.5, lt=1)
    seed: int = Field(default=0, ge=0)

    @property
    def spread(self) -> Spread:
        """How strips are dealt and drawn."""
        return Spread(self.parts, self.repeats, self.resamples, self.level, self.seed)


@dataclass(frozen=True, eq=False)
class Decision(Generic[T]):
    """What became of the numbers of one class, or of a gate of the image."""

    default: T
    found: T
    """What is best on the strips searched; the default where none were."""
    used: T
    reason: str
    """Why, as part of a sentence."""
    strips: int
    """That hold it."""
    groups: int
    needed: int
    """Groups that hold it, from which the gain looked for would be seen."""
    fit: Crossfit[T]
    searched: bool
    plateau: Plateau | None = None

    @property
    def tuned(self) -> bool:
        """Whether anything was changed."""
        return self.used != self.default


@dataclass(frozen=True, eq=False)
class Tuning:
    """What became of all numbers of a run, on the strips that judge."""

    classes: tuple[Decision[Numbers], ...]
    image_gate: Decision[float] | None
    total: Crossfit[tuple[Numbers, ...]]
    """The mean over all classes with the best numbers found, and the best gate of the image."""
    used: Crossfit[tuple[Numbers, ...]]
    """The same with what is used: the defaults where they are kept."""
    strips: int
    groups: int


class _Kept(Generic[T]):
    """What could be searched, and is not."""

    def __init__(self, searched: Searched[T]) -> None:
        self.default, self.holds = searched.default, searched.holds
        self.values, self.weights = searched.values, searched.weights
        self._defined = searched.defined

    def defined(self, times: NDArray[np.float64]) -> bool:
        """Whether all strips can be weighed: nothing is chosen without a part of them."""
        return self._defined(times[:1])

    def choose(self, times: NDArray[np.float64]) -> Sequence[T]:
        """The default, for every set."""
        return [self.default] * len(times)


def tune_carefully(
    levels: NDArray[np.int32],
    groups: NDArray[np.int64],
    defaults: Sequence[Numbers],
    objectives: Sequence[Objective],
    tune: CarefulTune | None = None,
    *,
    kind: Kind = "threshold",
    words: NDArray[np.floating] | None = None,
    image_gate: float | None = None,
) -> Tuning:
    """Tune all classes, each by itself, and then the gate of the image that opens them together.

    Not the gate first: with thresholds that are far off it would close whatever they spoil.

    ``levels`` is int32 ``(strips, 2, classes, 256)`` from `count_levels`, before the gates that
    are searched; ``groups`` int64 ``(strips,)``. ``words`` is what a classifier says, ``(strips,
    classes)``: it is asked by ``image_gate``, which no expected Dice says anything of and which
    stands where that decides, or by the gates of the ``defaults``. Raises
    MaskError for other levels, InputError where an objective is not defined or groups are too few.
    """
    tune = tune or CarefulTune()

    def candidates(counts: NDArray[np.int32], numbers: Sequence[Numbers]) -> list[Candidates]:
        return [
            Candidates(
                counts[:, :, at],
                None if words is None else words[:, at],
                default,
                objective,
                kind,
                tune.by,
            )
            for at, (default, objective) in enumerate(zip(numbers, objectives, strict=True))
        ]

    behind = levels
    if image_gate is not None and words is not None:
        behind = behind_gate(levels, words, image_gate)
    each = candidates(behind, defaults)
    decisions = _tune_classes(each, groups, tune)
    kept = [
        decision.fit if decision.tuned else crossfit(_Kept(one), groups, tune.spread)
        for one, decision in zip(each, decisions, strict=True)
    ]
    total, used = joined([decision.fit for decision in decisions]), joined(kept)
    gate = None
    if image_gate is not None and words is not None and tune.by == "search":
        opened = candidates(levels, [decision.used for decision in decisions])
        gate = _tune_gate(ImageGate(opened, words, image_gate), groups, tune)
        total = _behind(total, gate.fit)
        used = _behind(used, gate.fit) if gate.tuned else used
    return Tuning(
        classes=tuple(decisions),
        image_gate=gate,
        total=total,
        used=used,
        strips=len(groups),
        groups=len(np.unique(groups)),
    )


def _behind(
    classes: Crossfit[tuple[Numbers, ...]], gate: Crossfit[float]
) -> Crossfit[tuple[Numbers, ...]]:
    """Scores of classes with what a gate of the image adds to them."""

    def more(one: Totals, of_gate: Totals) -> Totals:
        return Totals(
            one.before,
            one.searched + of_gate.searched - of_gate.before,
            one.unsearched + of_gate.unsearched - of_gate.before,
        )

    return replace(
        classes, found=more(classes.found, gate.found), drawn=more(classes.drawn, gate.drawn)
    )


def behind_gate(
    levels: NDArray[np.int32], words: NDArray[np.floating], gate: float
) -> NDArray[np.int32]:
    """The counts where strips of which no word is above a gate of the image say nothing.

    ``levels`` is int32 ``(strips, 2, classes, 256)``, ``words`` ``(strips, classes)``.
    """
    closed = levels.copy()
    rows = np.flatnonzero(~(or_sure(words).max(axis=1) > gate))
    closed[rows] = 0
    closed[rows, ..., 0] = levels[rows].sum(axis=3)
    assert closed.shape[3] == LEVELS
    return closed


def fewest_groups(level: float, parts: int) -> int:
    """The fewest groups that hold a class for which a search can be told from luck.

    If fewer differ, all may lean to one side by luck; a search sees all parts but one.
    """
    leaning = ceil(log((1 - level) / 2) / log(0.5))
    return ceil(leaning * parts / (parts - 1))


def groups_to_see(moment: float, gain: float, level: float, power: float) -> int:
    """How many groups that hold a class show a gain of so much each, with a chance of ``power``.

    ``moment`` is the variance of the paired difference of two answers, a group that holds it: what
    groups without it add is spread over them.
    """
    normal = NormalDist()
    apart = normal.inv_cdf((1 + level) / 2) + normal.inv_cdf(power)
    return ceil(apart**2 * moment / gain**2)


def _tune_gate(gate: ImageGate, groups: NDArray[np.int64], tune: CarefulTune) -> Decision[float]:
    fewest = fewest_groups(tune.level, tune.parts)
    enough = len(np.unique(groups)) >= fewest
    searched = enough and can_search(gate, groups, tune.spread)
    fit = crossfit(gate if searched else _Kept(gate), groups, tune.spread)
    strips, holding = _holding(gate.holds, groups)
    needed = _needed(_moment(fit.gains.sum(axis=1), groups, holding), tune)
    adopted, reason = _judged(fit, gate.default, needed, holding, tune, "it")
    if not enough:
        adopted, reason = False, f"too few groups to search; {fewest} are needed"
    elif not searched:
        adopted, reason = False, "too few groups hold each class, or lack it, to search"
    used = fit.chosen if adopted else gate.default
    return Decision(gate.default, fit.chosen, used, reason, strips, holding, needed, fit, searched)


def _tune_classes(
    each: Sequence[Candidates], groups: NDArray[np.int64], tune: CarefulTune
) -> list[Decision[Numbers]]:
    fewest = fewest_groups(tune.level, tune.parts)
    holding = [_holding(one.holds, groups) for one in each]
    can = [
        of_class >= fewest and can_search(one, groups, tune.spread)
        for one, (_, of_class) in zip(each, holding, strict=True)
    ]
    fits = [
        crossfit(one if searched else _Kept(one), groups, tune.spread)
        for one, searched in zip(track(each, "Tuning", len(each)), can, strict=True)
    ]
    pooled = _pooled_moment(each, groups)
    decisions = []
    for one, fit, searched, (strips, of_class) in zip(each, fits, can, holding, strict=True):
        moment = _moment(fit.gains[:, 0], groups, of_class) if searched else pooled
        needed = _needed(moment, tune)
        adopted, reason = _judged(fit, one.default, needed, of_class, tune, "the class")
        if not searched and of_class >= fewest:
            adopted, reason = False, "too few groups lack it to search"
        elif not searched:
            held = f"{of_class} group{' holds' if of_class == 1 else 's hold'} it"
            adopted, reason = False, f"{held}, too few to search; {needed} are needed{_for(tune)}"
        used = fit.chosen if adopted else one.default
        decisions.append(
            Decision(
                one.default,
                fit.chosen,
                used,
                reason,
                strips,
                of_class,
                needed,
                fit,
                searched,
                plateau(one, used, groups) if searched else None,
            )
        )
    return decisions


def _judged(
    fit: Crossfit[T], default: T, needed: int, holding: int, tune: CarefulTune, what: str
) -> tuple[bool, str]:
    """Whether a gain is believed, and why, as part of a sentence."""
    gain = fit.gain
    if fit.chosen == default:
        return False, "no setting is better"
    told = f"{gain.text(sign=True)} on strips not searched"
    if gain.low > 0:
        return True, f"gain {told}"
    if gain.high < 0:
        return False, f"what was found is worse, {told}"
    return False, (
        f"the gain, {told}, is not distinguishable from nothing; {needed} groups that hold "
        f"{what} are needed{_for(tune)}, there are {holding}"
    )


def _for(tune: CarefulTune) -> str:
    return f" to see a gain of {tune.gain:g} in each"


def _needed(moment: float, tune: CarefulTune) -> int:
    least = fewest_groups(tune.level, tune.parts)
    return max(least, groups_to_see(moment, tune.gain, tune.level, tune.power))


def _holding(holds: NDArray[np.bool_], groups: NDArray[np.int64]) -> tuple[int, int]:
    """How many strips hold a class, and how many groups."""
    return int(holds.sum()), len(np.unique(groups[holds]))


def _moment(gains: NDArray[np.float64], groups: NDArray[np.int64], holding: int) -> float:
    """The sum of squares of what groups gain, less their mean, by each group that holds it."""
    _, member = np.unique(groups, return_inverse=True)
    sums = np.bincount(member, gains)
    return float(np.square(sums - sums.mean()).sum()) / max(holding, 1)


def _pooled_moment(each: Sequence[Candidates], groups: NDArray[np.int64]) -> float:
    """The moment of the best numbers on all strips against the defaults, over all classes."""
    squares, holding = 0.0, 0
    for one in each:
        if one.holds.any():
            (found,) = one.choose(np.ones((1, len(groups))))
            gains = (one.values(found) - one.values(one.default))[:, 0]
            squares += _moment(gains, groups, 1)
            holding += _holding(one.holds, groups)[1]
    return squares / max(holding, 1)
