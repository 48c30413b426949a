"""Which members of a run's ensemble are worth their time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation import (
    Choose,
    Chosen,
    Differences,
    Members,
    Pairs,
    best_set,
    choose_honestly,
    dice,
    greedy_set,
    paired_differences,
    subsets,
)
from steelscan.pipeline.ensemble_asking import Question, StripFiles
from steelscan.pipeline.pairs_file import Judged
from steelscan.strip import track


@dataclass(frozen=True)
class Selection:
    """A set of members, chosen among others by mean Dice, beside all members together."""

    members: Members
    """Numbers from 1."""
    sets: int
    """How many it was chosen among."""
    chosen: Chosen
    time: float
    """Its share of the time that asking all members takes."""


@dataclass(frozen=True)
class LeftOut:
    """What a member adds: the run's ensemble less that ensemble without it.

    Counted on the strips of the folds that it was fitted for. ``adds`` is None where without it
    some class of some fold would have no network.
    """

    member: int
    """Number from 1."""
    adds: Differences | None

    @property
    def verdict(self) -> str:
        """In words, by mean Dice."""
        if self.adds is None:
            return "the only one of its class and fold"
        verdict = self.adds.mean_dice.verdict
        return {"better": "adds", "worse": "does harm"}.get(
            verdict, "not distinguishable from nothing"
        )


class _Counted(NamedTuple):
    values: NDArray[np.float64]
    """Mean Dice of each strip by each set, ``(strips, sets)``."""
    pairs: dict[int, Pairs]
    """Those of all members, and of all but one, by the place of the set."""


def select_members(
    question: Question,
    files: StripFiles,
    rows: Sequence[int],
    judged: Judged,
    seconds: NDArray[np.float64],
) -> tuple[Selection, Selection, tuple[LeftOut, ...]]:
    """The best of all sets of members, the one grown greedily, and what each member adds.

    Sets decide by the run's own rule and thresholds. One that leaves some class of some fold
    without a network, where all members together have one, is not chosen.
    """
    members = range(len(question.stays))
    staying = [member for member in members if question.stays[member]]
    sets = subsets(len(question.stays), staying)
    everyone = sets.index(tuple(members))
    without = {
        member: sets.index(tuple(other for other in members if other != member))
        for member in members
        if not question.stays[member] and len(question.stays) > 1
    }
    counted = _count(question, files, rows, sets, (everyone, *without.values()))
    allowed = np.array([_covers(question, each) for each in sets])

    def selection(choose: Choose) -> Selection:
        found = choose_honestly(counted.values, judged.groups, choose, everyone)
        picked = list(sets[found.index])
        share = float(np.nansum(seconds[picked]) / np.nansum(seconds))
        named = tuple(member + 1 for member in picked)
        return Selection(named, int(allowed.sum()), found, share)

    def left_out(member: int, place: int) -> LeftOut:
        if not allowed[place]:
            return LeftOut(member + 1, None)
        folds = question.recipe.folds_of(question.step[1].ensemble.members[member])
        there = np.isin(judged.folds, folds)
        less, all_ = (counted.pairs[each].select(there) for each in (place, everyone))
        return LeftOut(member + 1, paired_differences(less, all_, judged.groups[there]))

    return (
        selection(best_set(sets, allowed)),
        selection(greedy_set(sets, allowed)),
        tuple(left_out(member, place) for member, place in without.items()),
    )


def _covers(question: Question, chosen: Members) -> bool:
    """Whether each class of each fold that has a network has one of these."""
    members = question.step[1].ensemble.members
    every = range(1, len(question.dataset.classes) + 1)

    def covered(some: Sequence[int]) -> set[tuple[int, int]]:
        return {
            (fold, known)
            for number in some
            for fold in question.recipe.folds_of(members[number])
            for known in members[number].classes or every
        }

    return covered(chosen) == covered(range(len(members)))


def _count(
    question: Question,
    files: StripFiles,
    rows: Sequence[int],
    sets: Sequence[Members],
    kept: Sequence[int],
) -> _Counted:
    """What each set comes to on each strip; a set is there by those fitted for the strip's fold."""
    masks = [sum(1 << member for member in chosen) for chosen in sets]
    present = {
        row: sum(1 << member for member in question.members(fold))
        for fold, of_fold in question.rows.items()
        for row in of_fold
    }
    values = np.empty((len(rows), len(sets)))
    pairs: dict[int, list[NDArray[np.int64]]] = {place: [] for place in kept}
    for at, row in enumerate(track(rows, "Counting sets of members", len(rows))):
        counts = files.counts(row)
        stacked = np.stack([counts.get(mask & present[row], counts[0]) for mask in masks])
        values[at] = dice(Pairs(stacked[:, 0], stacked[:, 1], stacked[:, 2])).mean(axis=1)
        for place in kept:
            pairs[place].append(stacked[place])
    return _Counted(values, {place: Pairs.of(counts) for place, counts in pairs.items()})
