"""Paired differences between two predictions of the same strips, with intervals."""

from dataclasses import dataclass
from math import isnan, nan
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.metrics.pairs import Pairs
from steelscan.evaluation.metrics.scores import NUMBERS, strip_sums
from steelscan.evaluation.statistics import Estimate, estimate_gains, sums_by
from steelscan.strip.errors import InputError

Verdict = Literal["better", "worse", "not distinguishable"]

_NOISE = 1e-12
"""Differences of sums of Dice below this are rounding."""


@dataclass(frozen=True)
class Difference:
    """One number of two predictions, and ``value``, ``other`` less ``one``, with its interval.

    All are nan if undefined, the interval also if unknown.
    """

    one: float
    other: float
    value: float
    low: float
    high: float
    differing: int
    """Groups with different scores."""
    more_is_better: bool

    @property
    def estimate(self) -> Estimate:
        """The difference with its interval."""
        return Estimate(self.value, self.low, self.high)

    @property
    def verdict(self) -> Verdict:
        """Whether the other prediction is better or worse: if the interval does not contain 0."""
        if isnan(self.low) or self.low <= 0 <= self.high:
            return "not distinguishable"
        return "better" if (self.value > 0) == self.more_is_better else "worse"


@dataclass(frozen=True)
class Differences:
    """The five numbers of `Scores`, each as a difference of two predictions."""

    mean_dice: Difference
    defect_dice: Difference
    clean_kept: Difference
    escapes: Difference
    overkill: Difference
    strips: int
    groups: int


_MORE_IS_BETTER = (True, True, True, False, False)
"""For each of the five numbers, in the order of `Differences`."""


def paired_differences(
    one: Pairs,
    other: Pairs,
    groups: NDArray[np.int64] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Differences:
    """Return the five numbers of ``other`` less those of ``one``, with paired intervals.

    Both are predictions of the same strips in the same order. The bootstrap draws whole groups,
    the same ones for both, so that difficult strips cancel out. ``groups`` is int64 ``(strips,)``;
    without it every strip is its own group. The same seed gives the same intervals.

    An interval covers the differences that other strips of the same kind could show with these
    networks and thresholds; it does not cover training with another seed. If so few groups differ
    that all could favour one side by chance (up to 5), it is extended to 0,
    because resamples cannot show that. [0, 0] means that no group differs. One of 20 intervals
    does not contain the truth.

    Raises InputError for different truths or groups of another length. (Cluster bootstrap:
    Davison and Hinkley 1997, section 3.8; sign test: Dixon and Mood 1946.)
    """
    members = np.arange(len(one)) if groups is None else np.asarray(groups)
    _check(one, other, members)
    group, member = np.unique(members, return_inverse=True)
    over_one, under = (sums_by(member, sums, len(group)) for sums in strip_sums(one))
    over_other = sums_by(member, strip_sums(other)[0], len(group))
    gained = over_other - over_one
    gained[np.abs(gained) < _NOISE] = 0.0
    gains = estimate_gains(gained, under, resamples, seed)
    differences = {
        name: Difference(
            one=_share(over_one[:, at], under[:, at]),
            other=_share(over_other[:, at], under[:, at]),
            value=gain.value,
            low=gain.low,
            high=gain.high,
            differing=int(np.count_nonzero(gained[:, at])),
            more_is_better=more_is_better,
        )
        for at, (name, gain, more_is_better) in enumerate(
            zip(NUMBERS, gains, _MORE_IS_BETTER, strict=True)
        )
    }
    return Differences(**differences, strips=len(one), groups=len(group))


def merged_groups(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the finest groups that split no group of either, int64 ``(strips,)``.

    ``one`` and ``other`` are int64 ``(strips,)``, of the same strips. The number of a merged group
    is the index of its first strip. Raises InputError if the lengths differ.
    """
    if one.shape != other.shape:
        problem = f"have shapes {one.shape} and {other.shape}"
        raise InputError("groups", problem, "Give both for the same strips")
    merged = np.arange(len(one))
    members = [np.unique(each, return_inverse=True)[1] for each in (one, other)]
    while True:
        before = merged
        for member in members:
            first = np.full(len(merged), len(merged))
            np.minimum.at(first, member, merged)
            merged = first[member]
        if np.array_equal(merged, before):
            return merged


def _check(one: Pairs, other: Pairs, groups: NDArray[np.int64]) -> None:
    if not np.array_equal(one.truth, other.truth):
        remedy = "Give two predictions of the same strips, in the same order"
        raise InputError("pairs", "have different truths", remedy)
    if groups.shape != (len(one),):
        problem = f"have shape {groups.shape}, there are {len(one)} strips"
        raise InputError("groups", problem, "Give one group number per strip")


def _share(over: NDArray[np.float64], under: NDArray[np.float64]) -> float:
    return float(over.sum() / under.sum()) if under.any() else nan
