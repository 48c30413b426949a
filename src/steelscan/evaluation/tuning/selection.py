"""Which of some answers to choose, and what of its advantage is luck.

Whoever tries many answers on the same strips and keeps the best finds a score that flatters: some
of it was chosen for being lucky there. Chosen on some strips and judged on others, it does not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import nan
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.data.folds import split_groups
from steelscan.evaluation.statistics import (
    Estimate,
    gain_interval,
    ratios_of,
    resample_weights,
    sums_by,
)
from steelscan.strip import InputError

Members: TypeAlias = tuple[int, ...]
"""Numbers of some members of an ensemble, in rising order."""

Choose: TypeAlias = Callable[[NDArray[np.float64]], int]
"""Names the answer to keep, given the score of each: float64 ``(answers,)``."""

_AS_GOOD = 1e-12
"""Scores that differ by less are the same but for rounding."""


def subsets(members: int, staying: Sequence[int] = ()) -> tuple[Members, ...]:
    """All sets of so many members that are not empty and hold those that stay.

    The smaller ones come first, those of one size in the order of their members.
    """
    free = [member for member in range(members) if member not in staying]
    return tuple(
        tuple(sorted((*staying, *some)))
        for size in range(len(free) + 1)
        for some in combinations(free, size)
        if size or staying
    )


def best_set(sets: Sequence[Members], allowed: NDArray[np.bool_]) -> Choose:
    """Choose the best of all sets; of equals the one with the fewest members, then the first.

    ``allowed`` is bool ``(sets,)``: which may be chosen. Raises InputError when none may.
    """
    if not allowed.any():
        raise InputError("sets", "may none of them be chosen", "Allow the set of all members")
    sizes = np.array([len(each) for each in sets])

    def choose(scores: NDArray[np.float64]) -> int:
        reached = np.where(allowed, scores, -np.inf)
        good = np.flatnonzero(reached >= reached.max() - _AS_GOOD)
        return int(good[sizes[good].argmin()])

    return choose


def greedy_set(sets: Sequence[Members], allowed: NDArray[np.bool_]) -> Choose:
    """Grow a set by the member that makes it best, to the last one, and choose the best on the way.

    It begins with the members that stay, which are those in all sets, or else with the best one.
    No member comes twice: an ensemble has no weights. (Forward selection, Caruana et al. 2004,
    section 2.) ``sets`` are those of `subsets`. Raises InputError when none may be chosen.
    """
    place = {frozenset(each): at for at, each in enumerate(sets)}
    everyone = max(place, key=len)
    staying = frozenset.intersection(*place)
    stop = best_set(sets, allowed)

    def choose(scores: NDArray[np.float64]) -> int:
        grown, path = staying, [place[staying]] if staying in place else []
        while grown != everyone:
            more = [place[grown | {member}] for member in sorted(everyone - grown)]
            path.append(more[int((scores[more] >= scores[more].max() - _AS_GOOD).argmax())])
            grown = frozenset(sets[path[-1]])
        on_the_way = np.full(len(scores), -np.inf)
        on_the_way[path] = scores[path]
        return stop(on_the_way)

    return choose


@dataclass(frozen=True)
class Chosen:
    """An answer that was chosen among many, each number over that of the answer to beat."""

    index: int
    """Which one it is."""
    apparent: Estimate
    """What it gains on the strips that it was chosen on: flattered."""
    honest: Estimate
    """What is gained when it is chosen on some groups and judged on others."""
    optimism: Estimate
    """The one less the other: how far the gain flatters."""
    often: float
    """The share of the choices on parts of the groups that fell on the same answer."""


def choose_honestly(
    values: NDArray[np.float64],
    groups: NDArray[np.int64],
    choose: Choose,
    baseline: int,
    *,
    parts: int = 5,
    repeats: int = 20,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Chosen:
    """Choose among answers, and estimate what the choice is worth on other strips.

    ``values`` is float64 ``(strips, answers)``, the score of each strip; ``baseline`` the answer to
    beat; ``groups`` int64 ``(strips,)``. Groups are dealt at random into ``parts``, ``repeats``
    times over; each part is judged by the answer that all others choose. Intervals are those of a
    bootstrap over groups, given the choices that were made. As each choice sees only a share of
    ``1 - 1 / parts`` of the groups, the honest gain is, if anything, too small. All but ``index``
    is nan where there is one group. (Stone 1974; repeated cross-validation of the whole procedure:
    Varma and Simon 2006.)

    Raises InputError when values and groups do not fit each other.
    """
    if values.ndim != 2 or groups.shape != values.shape[:1] or not len(values):
        found = f"have shape {values.shape}, groups {groups.shape}"
        raise InputError("values", found, "Give (strips, answers), at least one, and their groups")
    group, member = np.unique(groups, return_inverse=True)
    sums = sums_by(member, values, len(group))
    strips = np.bincount(member).astype(np.float64)
    index = choose(sums.sum(axis=0) / strips.sum())
    if len(group) < 2:
        unknown = Estimate(nan)
        return Chosen(index, unknown, unknown, unknown, nan)
    apparent = sums[:, index] - sums[:, baseline]
    honest = np.zeros(len(group))
    same = choices = 0
    random = np.random.default_rng(seed)
    parts = min(parts, len(group))
    for _ in range(repeats):
        part_of = split_groups(np.zeros(len(group), np.int64), parts, random)
        for part in range(parts):
            inside = part_of == part
            there = choose(sums[~inside].sum(axis=0) / strips[~inside].sum())
            honest[inside] += (sums[inside, there] - sums[inside, baseline]) / repeats
            same, choices = same + (there == index), choices + 1
    gains = np.stack([apparent, honest, apparent - honest], axis=1)
    first, then, flattered = _means(gains, strips, resamples, seed, level)
    return Chosen(index, first, then, flattered, same / choices)


def _means(
    over: NDArray[np.float64], strips: NDArray[np.float64], resamples: int, seed: int, level: float
) -> list[Estimate]:
    """The mean a strip of each column of sums ``(groups, columns)``, with its interval."""
    over[np.abs(over) < _AS_GOOD] = 0.0
    under = np.repeat(strips[:, None], over.shape[1], axis=1)
    drawn = np.concatenate(
        [
            ratios_of(weight @ over, weight @ under)
            for weight in resample_weights(len(over), resamples, seed)
        ]
    )
    return [
        Estimate(
            float(over[:, at].sum() / strips.sum()),
            *gain_interval(drawn[:, at], over[:, at], under[:, at], level),
        )
        for at in range(over.shape[1])
    ]
