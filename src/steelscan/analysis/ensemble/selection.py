"""Choose among candidates, such as subsets of an ensemble, and measure the optimism of the choice.

The best of many candidates on the same strips has a score that is too high: part of it is chance.
A choice made on some strips and scored on others is not biased in this way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import nan
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.data.folds import split_groups
from steelscan.evaluation.statistics import Estimate, estimate_gains, sums_by
from steelscan.strip.errors import InputError

Members: TypeAlias = tuple[int, ...]
"""Indices of some members of an ensemble, in rising order."""

Choose: TypeAlias = Callable[[NDArray[np.float64]], int]
"""Returns the candidate to keep, given the score of each: float64 ``(candidates,)``."""

_AS_GOOD = 1e-12
"""Scores that differ by less are equal up to rounding."""


def subsets(members: int, staying: Sequence[int] = ()) -> tuple[Members, ...]:
    """Return all subsets of ``members`` members that are not empty and contain ``staying``.

    Smaller ones first, those of one size in the order of their members.
    """
    free = [member for member in range(members) if member not in staying]
    return tuple(
        tuple(sorted((*staying, *some)))
        for size in range(len(free) + 1)
        for some in combinations(free, size)
        if size or staying
    )


def best_set(sets: Sequence[Members], allowed: NDArray[np.bool_]) -> Choose:
    """Choose the best of all sets; among equals the one with the fewest members, then the first.

    ``allowed`` is bool ``(sets,)``: which may be chosen. Raises InputError if it is all False.
    """
    if not allowed.any():
        raise InputError("sets", "are all excluded", "Allow the set of all members")
    sizes = np.array([len(each) for each in sets])

    def choose(scores: NDArray[np.float64]) -> int:
        reached = np.where(allowed, scores, -np.inf)
        good = np.flatnonzero(reached >= reached.max() - _AS_GOOD)
        return int(good[sizes[good].argmin()])

    return choose


def greedy_set(sets: Sequence[Members], allowed: NDArray[np.bool_]) -> Choose:
    """Add the best next member, one after the other, and choose the best set on the way.

    This starts with the members that are in all sets, or else with the best one. No member is
    added twice: an ensemble has no weights. (Forward selection, Caruana et al. 2004, section 2.)
    ``sets`` are those of `subsets`. Raises InputError if none may be chosen.
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
    """A choice among many candidates; gains are over the baseline."""

    index: int
    """The candidate chosen on all strips."""
    apparent: Estimate
    """Its gain on the strips that it was chosen on, which is too high."""
    honest: Estimate
    """The gain of candidates chosen on some groups and scored on others."""
    optimism: Estimate
    """Apparent less honest gain."""
    often: float
    """Share of the choices on parts of the groups that are the same candidate."""


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
) -> Chosen:
    """Choose among candidates, and estimate the gain of the choice on other strips.

    ``values`` is float64 ``(strips, candidates)``, the score of each strip; ``baseline`` the
    candidate to compare with; ``groups`` int64 ``(strips,)``. Groups are split at random into
    ``parts``, ``repeats`` times; each part is scored with the candidate that the other parts
    choose. Intervals are those of a bootstrap over groups, given the choices made. Because each
    choice uses only a share ``1 - 1 / parts`` of the groups, the honest gain is rather too small.
    All but ``index`` is nan if there is only one group. (Stone 1974; repeated cross-validation of
    the whole procedure: Varma and Simon 2006.)

    Raises InputError if values and groups do not match.
    """
    if values.ndim != 2 or groups.shape != values.shape[:1] or not len(values):
        problem = f"have shape {values.shape}, groups {groups.shape}"
        raise InputError(
            "values", problem, "Give (strips, candidates), at least one, and their groups"
        )
    group, member = np.unique(groups, return_inverse=True)
    sums = sums_by(member, values, len(group))
    strips = np.bincount(member).astype(np.float64)
    index = choose(sums.sum(axis=0) / strips.sum())
    if len(group) < 2:
        unknown = Estimate(nan)
        return Chosen(index, unknown, unknown, unknown, nan)
    random, parts = np.random.default_rng(seed), min(parts, len(group))
    one_kind = np.zeros(len(group), np.int64)
    splits = [split_groups(one_kind, parts, random) for _ in range(repeats)]
    apparent = sums[:, index] - sums[:, baseline]
    honest, choices = _gains_on_others(sums, strips, choose, baseline, splits)
    gains = np.stack([apparent, honest, apparent - honest], axis=1)
    gains[np.abs(gains) < _AS_GOOD] = 0.0
    per_strip = np.repeat(strips[:, None], gains.shape[1], axis=1)
    on_these, on_others, optimism = estimate_gains(gains, per_strip, resamples, seed)
    return Chosen(index, on_these, on_others, optimism, choices.count(index) / len(choices))


def _gains_on_others(
    sums: NDArray[np.float64],
    strips: NDArray[np.float64],
    choose: Choose,
    baseline: int,
    splits: Sequence[NDArray[np.int64]],
) -> tuple[NDArray[np.float64], list[int]]:
    """Score the groups of each part with the candidate that the other parts choose.

    Returns the gain of each group over the baseline, the mean over all splits, and all choices.
    ``sums`` is float64 ``(groups, candidates)``, ``strips`` the number of strips per group.
    """
    gains = np.zeros(len(sums))
    choices = []
    for part_of in splits:
        for part in np.unique(part_of):
            held = part_of == part
            other = choose(sums[~held].sum(axis=0) / strips[~held].sum())
            gains[held] += (sums[held, other] - sums[held, baseline]) / len(splits)
            choices.append(other)
    return gains, choices
