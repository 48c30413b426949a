"""Thresholds of gates by what they cost: a gate is lowered for a class if that gains Dice.

A gate costs the Dice of defects on strips that it closes, and saves the false alarms there. Both
are known for every strip: a closed class has an empty mask, an open one the mask that its
thresholds make. Only lower thresholds than the recipe's are tried, down to 0, which closes nothing.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.tuning.class_search import ClassSearch
from steelscan.evaluation.tuning.crossfit import (
    CrossFitOptions,
    assign_parts,
    can_crossfit,
    crossfit,
)
from steelscan.evaluation.tuning.f1 import GateChoice
from steelscan.evaluation.tuning.histograms import nan_passes
from steelscan.evaluation.tuning.image_gate import AllClasses

_FRACTIONS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.0)
"""The lower thresholds that are tried, as shares of the recipe's; from high to low."""

_EQUALLY_GOOD = 1e-12


def thresholds_to_try(default: float) -> NDArray[np.float64]:
    """Return the recipe's threshold and lower ones, from high to low, float64."""
    return np.array([default, *(float(f"{default * share:.6g}") for share in _FRACTIONS)])


class GateSearch(AllClasses):
    """A gate that opens a strip with all of its classes: its score, and the best thresholds.

    The strip is open if the probability of any class is above the threshold of that class. A gate
    of a single class is such a gate with one class.
    """

    def __init__(
        self,
        classes: Sequence[ClassSearch],
        probabilities: NDArray[np.float64],
        default: tuple[float, ...],
        searched: Sequence[int],
    ) -> None:
        """``classes`` have the masks of open strips; ``probabilities`` are ``(strips, classes)``.

        Only the thresholds of the classes ``searched``, numbered from 0, are lowered.
        """
        super().__init__(classes)
        self._probabilities = probabilities
        self.default, self._searched = default, searched
        self.positive = np.any([classes[at].positive for at in searched], axis=0)
        self._closed = np.hstack([each.empty_scores() for each in classes])
        self._gains = np.hstack([each.strip_scores(each.default) for each in classes])
        self._gains -= self._closed

    def is_open(self, chosen: Sequence[float]) -> NDArray[np.bool_]:
        """Return whether each strip is open, bool ``(strips,)``."""
        return np.asarray((self._probabilities > np.array(chosen)).any(axis=1))

    def strip_scores(self, chosen: tuple[float, ...]) -> NDArray[np.float64]:
        """Return the score of each strip and class, float64 ``(strips, classes)``."""
        return self._closed + self._gains * self.is_open(chosen)[:, None]

    def choose(self, times: NDArray[np.float64]) -> Sequence[tuple[float, ...]]:
        """Return the best thresholds of each resample.

        One class after another is lowered, each for its own defects: on strips without the class
        only what an open gate spoils counts. Of equally good thresholds the highest is taken, so no
        gate is lowered further than the strips need.
        """
        return [self._best((self.weights(each) * self._gains).sum(axis=1)) for each in times]

    def _best(self, gains: NDArray[np.float64]) -> tuple[float, ...]:
        """``gains``: what opening each strip adds to the score, float64 ``(strips,)``."""
        chosen = list(self.default)
        for at in self._searched:
            tried = thresholds_to_try(self.default[at])
            own = np.where(self._classes[at].positive, gains, np.minimum(gains, 0))
            others = self.is_open([*chosen[:at], np.inf, *chosen[at + 1 :]])
            opened = others[:, None] | (self._probabilities[:, at, None] > tried)
            scores = own @ opened
            chosen[at] = float(tried[int((scores >= scores.max() - _EQUALLY_GOOD).argmax())])
        return tuple(chosen)


def tune_by_cost(
    classes: Sequence[ClassSearch],
    class_probabilities: NDArray[np.floating],
    groups: NDArray[np.int64],
    defaults: Sequence[float],
    options: CrossFitOptions,
    *,
    whole_strips: bool,
    neutral: bool = False,
) -> list[GateChoice]:
    """Lower the threshold of each class for which the gate costs more than it saves.

    ``classes`` have the histograms before the gate, and as defaults the thresholds of masks;
    ``class_probabilities`` is what the gate compares, ``(strips, classes)``, NaN if no network
    predicts the class, which then passes; ``groups`` int64 ``(strips,)``. With ``whole_strips`` a
    strip is open with all classes if any class passes, and a threshold is scored by the masks of
    all classes; without, each class by itself. With ``neutral`` the masks of a class that its
    thresholds find on no strip, not even without the gate, are those at 0.5, if these are better
    behind some gate: else a gate would cost nothing, and keep the class from being found at 0.5.

    A lower threshold is taken if no pair of strip and class becomes worse, however few become
    better: a missed defect is worse than a gate that has saved nothing. Otherwise it must also
    gain on strips outside the search; if ``options`` have resamples, by more than chance.
    """
    values = nan_passes(class_probabilities)
    gates = [list(range(len(classes)))] if whole_strips else [[at] for at in range(len(classes))]
    choices: list[GateChoice] = []
    for columns in gates:
        default = tuple(float(defaults[at]) for at in columns)
        own, of_gate = [classes[at] for at in columns], values[:, columns]
        if neutral:
            own = [_found(each, of_gate, default, at) for at, each in enumerate(own)]
        choices += _Gate(own, of_gate, groups, default, options).choices()
    return choices


def _found(
    search: ClassSearch, values: NDArray[np.float64], default: tuple[float, ...], at: int
) -> ClassSearch:
    """Return the search of a class with masks at 0.5 if only these find it, and raise its score.

    The scores compared are those with the best threshold of this class, and those of the recipe.
    """
    other = search.with_default(search.neutral)
    found = [each.pairs(each.default).shared.any() for each in (search, other)]
    if found[0] or not found[1]:
        return search
    opened = (np.delete(values, at, axis=1) > np.delete(default, at)).any(axis=1)
    alone, once = np.where(opened, np.inf, values[:, at])[:, None], np.ones(len(values))
    one = default[at : at + 1]
    before, after = (GateSearch([each], alone, one, [0]) for each in (search, other))
    (best,) = after.choose(once[None])
    scores = before.strip_scores(one), after.strip_scores(best)
    return other if after.total(once, scores[1]) >= before.total(once, scores[0]) else search


class _Gate:
    """One gate, whose classes are tuned one after another."""

    def __init__(
        self,
        classes: Sequence[ClassSearch],
        values: NDArray[np.float64],
        groups: NDArray[np.int64],
        default: tuple[float, ...],
        options: CrossFitOptions,
    ) -> None:
        self._classes, self._values, self._groups = classes, values, groups
        self._default, self._options = default, options

    def choices(self) -> list[GateChoice]:
        """Return the choice for each class."""
        used, lowered, remarks = self._default, list[int](), list[str]()
        for at in range(len(self._classes)):
            better, remark = self._lowered(used, at)
            remarks.append(remark)
            if better != used:
                used = better
                lowered.append(at)
        without_own = self._without_own(lowered)
        return [
            GateChoice(
                default,
                used[at],
                used[at],
                without_own[:, at],
                self._reason(at, used) + remarks[at],
            )
            for at, default in enumerate(self._default)
        ]

    def _search(self, start: tuple[float, ...], searched: Sequence[int]) -> GateSearch:
        return GateSearch(self._classes, self._values, start, searched)

    def _lowered(self, start: tuple[float, ...], at: int) -> tuple[tuple[float, ...], str]:
        """Return the thresholds with a lower one for a class if that is better, and a remark."""
        search, once = self._search(start, [at]), np.ones((1, len(self._groups)))
        (best,) = search.choose(once)
        if best == start:
            return start, ""
        changes = search.weights(once[0]) * (search.strip_scores(best) - search.strip_scores(start))
        gained = f"; Dice {changes.sum():+.4f}"
        if changes.min() >= -_EQUALLY_GOOD:
            return best, gained
        if self._can_crossfit(search):
            gain = crossfit(search, self._groups, self._options).gain
            gained += f", {gain.value:+.4f} on other strips"
            if (gain.low if self._options.resamples else gain.value) > 0:
                return best, gained
        return start, f"; with {best[at]:.4g}{gained[1:]}: no gain, or one that may be chance"

    def _can_crossfit(self, search: GateSearch) -> bool:
        enough = len(np.unique(self._groups)) >= self._options.parts
        return enough and can_crossfit(search, self._groups, self._options)

    def _without_own(self, lowered: Sequence[int]) -> NDArray[np.float64]:
        """Return the thresholds chosen without the part of each strip, ``(strips, classes)``."""
        unchanged = np.tile(self._default, (len(self._groups), 1))
        if not lowered:
            return unchanged
        search, parts = self._search(self._default, lowered), self._options.parts
        if not self._can_crossfit(search):
            (best,) = search.choose(np.ones((1, len(self._groups))))
            return np.tile(best, (len(unchanged), 1))
        options = self._options.but(resamples=0, repeats=1)
        fit = crossfit(search, self._groups, options)
        part_of = assign_parts(self._groups, search.positive, parts, options.seed)
        chosen: NDArray[np.float64] = np.array(fit.chosen_without_part)
        return chosen[part_of]

    def _reason(self, at: int, used: tuple[float, ...]) -> str:
        """Return what the gate costs and saves for a class before, and after if it is lowered."""
        search, positive = self._classes[at], self._classes[at].positive
        pairs = search.pairs(search.default)
        found, alarm = pairs.shared[:, 0] > 0, pairs.predicted[:, 0] > 0
        lost, kept = positive & found, ~positive & alarm

        def counts(thresholds: tuple[float, ...]) -> tuple[int, int]:
            closed = ~self._search(thresholds, [at]).is_open(thresholds)
            return int((lost & closed).sum()), int((kept & closed).sum())

        (losses, saved), now = counts(self._default), counts(used)
        costs = (
            f"it lost {losses} of {positive.sum()} strips with the class out of fold, and kept "
            f"{saved} of {(~positive).sum()} others clean"
        )
        if used[at] == self._default[at]:
            return costs
        if used[at] == 0:
            return f"at {self._default[at]:.4g} {costs}"
        return f"lowered from {self._default[at]:.4g}: {costs}; now {now[0]} and {now[1]}"
