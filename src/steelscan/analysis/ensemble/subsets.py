"""Subsets of a run's ensemble: which members are worth their time."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.analysis.ensemble.members import EnsembleSetup, StripFiles
from steelscan.analysis.ensemble.selection import (
    Choose,
    Chosen,
    Members,
    best_set,
    choose_honestly,
    greedy_set,
    subsets,
)
from steelscan.analysis.ensemble.thresholds import RuleEvaluator
from steelscan.evaluation.metrics import Differences, Pairs, dice, paired_differences
from steelscan.evaluation.tuning import LEVELS
from steelscan.pipeline import Evaluated
from steelscan.strip import track

_BYTES_AT_ONCE = 1 << 28


@dataclass(frozen=True)
class Selection:
    """A set of members, chosen among others by mean Dice, compared with all members."""

    members: Members
    """Numbers from 1."""
    sets: int
    """The number of sets it was chosen from."""
    chosen: Chosen
    time: float
    """Its share of the prediction time of all members."""


@dataclass(frozen=True)
class LeftOut:
    """What a member adds: the run's ensemble minus that ensemble without it.

    Counted on the strips of the folds that it was fitted for. ``adds`` is None if some class of
    some fold would have no network without it.
    """

    member: int
    """Number from 1."""
    adds: Differences | None

    @property
    def verdict(self) -> str:
        """A short verdict, by mean Dice."""
        if self.adds is None:
            return "the only one of its class and fold"
        verdict = self.adds.mean_dice.verdict
        return {"better": "adds", "worse": "does harm"}.get(
            verdict, "not distinguishable from nothing"
        )


@dataclass(frozen=True)
class Sets:
    """The results for sets of members with one setting of thresholds."""

    exhaustive: Selection
    """The best of all."""
    greedy: Selection
    """The one grown greedily."""
    left_out: tuple[LeftOut, ...]


class _Counted(NamedTuple):
    values: NDArray[np.float64]
    """Mean Dice of each strip by each set, ``(strips, sets)``."""
    pairs: dict[int, Pairs]
    """Those of all members, and of all but one, by the index of the set."""


class Picker:
    """Picks members of an ensemble, with the run's thresholds or with refitted ones.

    A set is not chosen if it leaves some class of some fold without a network, although all
    members together have one.
    """

    def __init__(
        self,
        setup: EnsembleSetup,
        files: StripFiles,
        rows: Sequence[int],
        evaluated: Evaluated,
        seconds: NDArray[np.float64],
    ) -> None:
        """``seconds`` is the prediction time of each member, float64 ``(members,)``."""
        self._setup, self._files, self._rows = setup, files, rows
        self._evaluated, self._seconds = evaluated, seconds
        members = range(len(setup.stays))
        self._sets = subsets(len(members), [each for each in members if setup.stays[each]])
        self._everyone = self._sets.index(tuple(members))
        self._without = {
            member: self._sets.index(tuple(other for other in members if other != member))
            for member in members
            if not setup.stays[member] and len(members) > 1
        }
        self._allowed = np.array([_covers(setup, each) for each in self._sets])
        self._present = {
            row: sum(1 << member for member in setup.members(fold))
            for fold, of_fold in setup.rows.items()
            for row in of_fold
        }
        self._bits = [sum(1 << member for member in chosen) for chosen in self._sets]

    def held(self) -> Sets:
        """Return the results with the run's own rule and thresholds."""
        return self._sets_of(self._count())

    def refitted(self, evaluator: RuleEvaluator) -> Sets:
        """Return the results with the run's own rule, and thresholds refitted for each set.

        They are searched on other groups than those that they are applied to. Rules that the search
        cannot tune are left out, on either side of a difference.
        """
        return self._sets_of(self._count_refitted(evaluator))

    def _sets_of(self, counted: _Counted) -> Sets:
        return Sets(
            self._selection(counted, best_set(self._sets, self._allowed)),
            self._selection(counted, greedy_set(self._sets, self._allowed)),
            tuple(self._left_out(counted, member) for member in self._without),
        )

    def _selection(self, counted: _Counted, choose: Choose) -> Selection:
        choice = choose_honestly(counted.values, self._evaluated.groups, choose, self._everyone)
        picked = list(self._sets[choice.index])
        total = float(np.nansum(self._seconds))
        share = float(np.nansum(self._seconds[picked])) / total if total else nan
        named = tuple(member + 1 for member in picked)
        return Selection(named, int(self._allowed.sum()), choice, share)

    def _left_out(self, counted: _Counted, member: int) -> LeftOut:
        place = self._without[member]
        if not self._allowed[place]:
            return LeftOut(member + 1, None)
        folds = self._setup.recipe.folds_of(self._setup.step.ensemble.members[member])
        there = np.isin(self._evaluated.folds, folds)
        less, all_ = (counted.pairs[each].select(there) for each in (place, self._everyone))
        return LeftOut(member + 1, paired_differences(less, all_, self._evaluated.groups[there]))

    def _count(self) -> _Counted:
        """Count each set on each strip, with those of its members that are fitted for its fold."""
        values = np.empty((len(self._rows), len(self._sets)))
        kept = (self._everyone, *self._without.values())
        pairs: dict[int, list[NDArray[np.int64]]] = {place: [] for place in kept}
        for at, row in enumerate(track(self._rows, "Counting sets", len(self._rows))):
            counts = self._files.counts(row)
            present = self._present[row]
            stacked = np.stack([counts.get(bits & present, counts[0]) for bits in self._bits])
            values[at] = dice(Pairs(stacked[:, 0], stacked[:, 1], stacked[:, 2])).mean(axis=1)
            for place in kept:
                pairs[place].append(stacked[place])
        return _Counted(values, {place: Pairs.of(counts) for place, counts in pairs.items()})

    def _count_refitted(self, evaluator: RuleEvaluator) -> _Counted:
        """Count each set with thresholds refitted to it, a few sets at a time."""
        values = np.empty((len(self._rows), len(self._sets)))
        kept = (self._everyone, *self._without.values())
        pairs = {}
        size = len(self._rows) * len(self._setup.dataset.classes) * 2 * LEVELS * 4
        step = max(1, _BYTES_AT_ONCE // size)
        starts = range(0, len(self._bits), step)
        for start in track(starts, "Refitting sets", len(starts)):
            some = range(start, min(start + step, len(self._bits)))
            some_bits = [self._bits[at] for at in some]
            histograms = np.stack(
                [
                    self._files.histograms(row, [bits & self._present[row] for bits in some_bits])
                    for row in self._rows
                ],
                axis=1,
            )
            for place, of_set in zip(some, histograms, strict=True):
                refitted = evaluator.refitted_pairs(of_set)
                values[:, place] = dice(refitted).mean(axis=1)
                if place in kept:
                    pairs[place] = refitted
        return _Counted(values, pairs)


def _covers(setup: EnsembleSetup, chosen: Members) -> bool:
    """Return whether each class and fold that has a network has one of these."""
    members = setup.step.ensemble.members
    every = range(1, len(setup.dataset.classes) + 1)

    def covered(some: Sequence[int]) -> set[tuple[int, int]]:
        return {
            (fold, class_id)
            for number in some
            for fold in setup.recipe.folds_of(members[number])
            for class_id in members[number].classes or every
        }

    return covered(chosen) == covered(range(len(members)))
