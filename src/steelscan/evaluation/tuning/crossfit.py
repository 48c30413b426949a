"""Thresholds chosen on some groups of strips and judged on others.

A score on the strips that were searched flatters: the search also fits what is only luck in them.
Here the search is given all groups but those of one part, and what it chooses is judged on that
part; all parts together judge every strip, and no group ever stands on both sides. The score on
the strips searched less that on the strips not searched is the optimism.

Intervals come from resamples of whole groups, each searched and judged anew from the start: with
the choice held still they would be too narrow, for on other strips another setting is chosen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from math import nan, sqrt
from statistics import NormalDist
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.statistics import Estimate
from steelscan.strip import InputError

T = TypeVar("T")

_TWO_LUCKS = sqrt(2)
"""On a resample a search meets the luck of its strips and that of the draw, which is as large: the
optimism has twice the variance that it has on the strips themselves (benchmarks/luck.py)."""


class Searched(Protocol[T]):
    """What can be searched: the ways to choose, and what each strip scores with what is chosen."""

    @property
    def default(self) -> T:
        """What stands unless something better is found."""

    @property
    def holds(self) -> NDArray[np.bool_]:
        """The strips that hold what is searched for, bool ``(strips,)``."""

    def defined(self, times: NDArray[np.float64]) -> bool:
        """Whether choosing and weighing is defined on each set; the first is of all strips."""

    def choose(self, times: NDArray[np.float64]) -> Sequence[T]:
        """What is best on each set, which holds each strip so many times, ``(sets, strips)``."""

    def values(self, chosen: T) -> NDArray[np.float64]:
        """What each strip scores with it, float64 ``(strips, columns)``."""

    def weights(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """How much that counts in one set, float64 ``(strips, columns)``, in sum 1."""


class Spread(NamedTuple):
    """How a crossfit may be spread over parts and resamples."""

    parts: int = 5
    repeats: int = 2
    resamples: int = 60
    level: float = 0.95
    seed: int = 0


class Totals(NamedTuple):
    """Three scores: float64, one number, or one a resample."""

    before: NDArray[np.float64]
    """With the defaults."""
    searched: NDArray[np.float64]
    """With what was chosen on all strips, on these strips."""
    unsearched: NDArray[np.float64]
    """On each strip with what was chosen without its part."""


@dataclass(frozen=True, eq=False)
class Crossfit(Generic[T]):
    """What a search came to: on the strips that it saw, and on those that it did not."""

    chosen: T
    """On all strips."""
    others: tuple[T, ...]
    """Without each part, repeat by repeat."""
    found: Totals
    drawn: Totals
    """The same on each resample of groups, all of it done anew; nan where it is not defined."""
    gains: NDArray[np.float64]
    """What each strip scores more, not searched, than with the defaults: ``(strips, columns)``."""
    level: float

    def score(self, which: int) -> Estimate:
        """One of the three scores with its interval; ``which`` counts as `Totals` does."""
        return _around(float(self.found[which]), self.drawn[which], self.level)

    @property
    def gain(self) -> Estimate:
        """By how much the search betters strips that it did not see."""
        drawn = self.drawn.unsearched - self.drawn.before
        return _around(float(self.found.unsearched - self.found.before), drawn, self.level)

    @property
    def optimism(self) -> Estimate:
        """The score on the strips searched, less that on the strips not searched."""
        drawn = (self.drawn.searched - self.drawn.unsearched) / _TWO_LUCKS
        return _around(float(self.found.searched - self.found.unsearched), drawn, self.level)


def crossfit(
    searched: Searched[T], groups: NDArray[np.int64], spread: Spread | None = None
) -> Crossfit[T]:
    """Search all strips, and all but each of some parts; then the same on resamples of groups.

    ``groups`` is int64 ``(strips,)``. The same seed gives the same parts and resamples. A resample
    of few groups may lack what the objective needs, such as strips that hold the class: it is
    left out. Raises InputError for fewer groups than parts.
    """
    spread = spread or Spread()
    _, member = np.unique(groups, return_inverse=True)
    plans = [_whole_plan(searched, groups, spread)]
    for number, drawn in enumerate(_draws(member, spread), start=1):
        parts = _deals(groups, searched.holds, spread, 1, spread.seed + 1000 * number)
        plans.append((drawn, parts))
    sets_of = [np.stack(list(_sets(times, parts, spread.parts))) for times, parts in plans]
    defined = [True, *(searched.defined(sets) for sets in sets_of[1:])]
    choices = iter(searched.choose(np.concatenate(list(compress(sets_of, defined)))))
    known: dict[T, NDArray[np.float64]] = {}

    def values(chosen: T) -> NDArray[np.float64]:
        if chosen not in known:
            known[chosen] = searched.values(chosen)
        return known[chosen]

    found, first = [], None
    for (times, parts), complete in zip(plans, defined, strict=True):
        if not complete:
            found.append([nan] * 3)
            continue
        chosen = next(choices)
        others = [[next(choices) for _ in range(spread.parts)] for _ in parts]
        unsearched = np.zeros_like(values(chosen))
        for part_of, without in zip(parts, others, strict=True):
            for part, other in enumerate(without):
                rows = part_of == part
                unsearched[rows] += values(other)[rows] / len(parts)
        weights = searched.weights(times)
        each = (values(searched.default), values(chosen), unsearched)
        found.append([float((weights * one).sum()) for one in each])
        if first is None:
            told = tuple(other for without in others for other in without)
            first = chosen, told, unsearched - values(searched.default)
    assert first is not None
    totals = np.array(found).T
    mine, drawn_totals = Totals(*totals[:, 0]), Totals(*totals[:, 1:])
    return Crossfit(first[0], first[1], mine, drawn_totals, first[2], spread.level)


def can_search(
    searched: Searched[T], groups: NDArray[np.int64], spread: Spread | None = None
) -> bool:
    """Whether `crossfit` is defined on all strips, and on all but those of each part."""
    spread = spread or Spread()
    times, parts = _whole_plan(searched, groups, spread)
    return searched.defined(np.stack(list(_sets(times, parts, spread.parts))))


def joined(parts: Sequence[Crossfit[T]]) -> Crossfit[tuple[T, ...]]:
    """Crossfits of the same groups and spread as one, whose scores are the means of theirs."""
    found, drawn = (
        Totals(*np.mean([getattr(each, name) for each in parts], axis=0))
        for name in ("found", "drawn")
    )
    others = tuple(zip(*(each.others for each in parts), strict=True))
    gains = np.hstack([each.gains for each in parts])
    return Crossfit(
        tuple(each.chosen for each in parts), others, found, drawn, gains, parts[0].level
    )


def deal(
    groups: NDArray[np.int64], holds: NDArray[np.bool_], parts: int, seed: int
) -> NDArray[np.int64]:
    """Deal whole groups into parts, int64 ``(strips,)`` from 0, alike in strips that hold a class.

    Groups that hold most of it are dealt first, back and forth; among equals chance decides.
    Raises InputError for fewer groups than parts.
    """
    _, member = np.unique(groups, return_inverse=True)
    sizes = np.bincount(member)
    if len(sizes) < parts:
        found = f"are {len(sizes)}, too few for {parts} parts"
        raise InputError("groups of strips", found, f"Use a run that judged {parts} groups or more")
    held = np.bincount(member, holds)
    order = np.lexsort((np.random.default_rng(seed).random(len(sizes)), -sizes, -held))
    there_and_back = np.concatenate([np.arange(parts), np.arange(parts)[::-1]])
    part_of = np.empty(len(sizes), np.int64)
    part_of[order] = np.resize(there_and_back, len(sizes))
    return part_of[member]


def _whole_plan(
    searched: Searched[T], groups: NDArray[np.int64], spread: Spread
) -> tuple[NDArray[np.float64], list[NDArray[np.int64]]]:
    """All strips once, and the parts that they are dealt into."""
    parts = _deals(groups, searched.holds, spread, spread.repeats, spread.seed)
    return np.ones(len(groups)), parts


def _deals(
    groups: NDArray[np.int64], holds: NDArray[np.bool_], spread: Spread, repeats: int, seed: int
) -> list[NDArray[np.int64]]:
    return [deal(groups, holds, spread.parts, seed + repeat) for repeat in range(repeats)]


def _draws(member: NDArray[np.int64], spread: Spread) -> Iterator[NDArray[np.float64]]:
    """How often each strip stands in each resample of groups, ``(strips,)``."""
    random = np.random.default_rng(spread.seed)
    count = int(member.max()) + 1
    for _ in range(spread.resamples):
        drawn = random.integers(count, size=count)
        yield np.bincount(drawn, minlength=count)[member].astype(np.float64)


def _sets(
    times: NDArray[np.float64], parts: Sequence[NDArray[np.int64]], count: int
) -> Iterator[NDArray[np.float64]]:
    yield times
    for part_of in parts:
        for part in range(count):
            yield times * (part_of != part)


def _around(value: float, drawn: NDArray[np.float64], level: float) -> Estimate:
    """A number with the interval that the spread of its resamples gives.

    The interval is unknown where fewer than two, or less than half, of the resamples are.
    """
    known = drawn[~np.isnan(drawn)]
    if len(known) < max(2, len(drawn) / 2):
        return Estimate(value)
    reach = NormalDist().inv_cdf((1 + level) / 2) * float(known.std(ddof=1))
    return Estimate(value, value - reach, value + reach)
