"""Two answers to the same truth: by how much they differ, and whether that may be luck."""

from dataclasses import dataclass
from math import isnan, nan
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.metrics import Pairs
from steelscan.evaluation.metrics.scores import _strip_sums
from steelscan.evaluation.statistics import gain_interval, ratios_of, resample_weights, sums_by
from steelscan.strip import InputError

Verdict = Literal["better", "worse", "not distinguishable"]

_NOISE = 1e-12
"""Differences of sums of Dice below this are rounding."""


@dataclass(frozen=True)
class Difference:
    """One number of two answers, and ``value``, the other's less the one's, with its interval.

    All are nan where undefined; the interval also where it is unknown.
    """

    one: float
    other: float
    value: float
    low: float
    high: float
    differing: int
    """Groups that the two answers score differently."""
    more_is_better: bool

    @property
    def verdict(self) -> Verdict:
        """What the other answer is by this number, if its interval leaves out 0."""
        if isnan(self.low) or self.low <= 0 <= self.high:
            return "not distinguishable"
        return "better" if (self.value > 0) == self.more_is_better else "worse"


@dataclass(frozen=True)
class Differences:
    """The five numbers of `Scores`, each as a difference of two answers."""

    mean_dice: Difference
    defect_dice: Difference
    clean_kept: Difference
    escapes: Difference
    overkill: Difference
    strips: int
    groups: int


_MORE_IS_BETTER = {
    "mean_dice": True,
    "defect_dice": True,
    "clean_kept": True,
    "escapes": False,
    "overkill": False,
}


def paired_differences(
    one: Pairs,
    other: Pairs,
    groups: NDArray[np.int64] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Differences:
    """The five numbers of ``other`` less those of ``one``, with paired bootstrap intervals.

    Both answer the same strips in the same order. Whole groups are drawn, the same ones for both,
    so what makes a strip hard for both answers cancels out. ``groups`` is int64 ``(strips,)``;
    without it every strip is its own group. The same seed gives the same intervals.

    An interval holds the differences that other strips of the same kind could well have shown,
    for these very networks and thresholds; how another seed of training would differ, it does not
    say. Where so few groups differ that all might lean to one side by luck (up to 5 at a level
    of 0.95), it is stretched to 0: a resampling cannot see that. [0, 0] says that no group tells
    the two apart, not that none could. Of 20 intervals one leaves out the truth.

    Raises InputError when the two have other truths or groups of another length. (Cluster
    bootstrap: Davison and Hinkley 1997, section 3.8; sign test: Dixon and Mood 1946.)
    """
    members = np.arange(len(one)) if groups is None else np.asarray(groups)
    _check(one, other, members)
    group, member = np.unique(members, return_inverse=True)
    over_one, under = (sums_by(member, sums, len(group)) for sums in _strip_sums(one))
    over_other = sums_by(member, _strip_sums(other)[0], len(group))
    gained = over_other - over_one
    gained[np.abs(gained) < _NOISE] = 0.0
    drawn = [
        ratios_of(weight @ gained, weight @ under)
        for weight in resample_weights(len(group), resamples, seed)
    ]
    shares = np.concatenate(drawn) if drawn else np.empty((0, gained.shape[1]))
    found = {}
    for at, (name, more_is_better) in enumerate(_MORE_IS_BETTER.items()):
        low, high = gain_interval(shares[:, at], gained[:, at], under[:, at], level)
        found[name] = Difference(
            one=_share(over_one[:, at], under[:, at]),
            other=_share(over_other[:, at], under[:, at]),
            value=_share(gained[:, at], under[:, at]),
            low=low,
            high=high,
            differing=int(np.count_nonzero(gained[:, at])),
            more_is_better=more_is_better,
        )
    return Differences(**found, strips=len(one), groups=len(group))


def merged_groups(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """The finest groups that split no group of either, int64 ``(strips,)``.

    ``one`` and ``other`` are int64 ``(strips,)``, of the same strips. A merged group goes by the
    first of its strips. Raises InputError when the lengths differ.
    """
    if one.shape != other.shape:
        found = f"have shapes {one.shape} and {other.shape}"
        raise InputError("groups", found, "Give both for the same strips")
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


def select_class(pairs: Pairs, index: int) -> Pairs:
    """The pairs of one class, ``(strips, 1)``; ``index`` counts from 0.

    A strip then escapes when the class is missed on it, and is stopped by a false alarm of it.
    """
    counts = (pairs.predicted, pairs.truth, pairs.shared)
    return Pairs(*(each[:, [index]] for each in counts))


def _check(one: Pairs, other: Pairs, groups: NDArray[np.int64]) -> None:
    if not np.array_equal(one.truth, other.truth):
        remedy = "Give two answers to the same strips, in the same order"
        raise InputError("pairs", "of the two answers have other truths", remedy)
    if groups.shape != (len(one),):
        found = f"have shape {groups.shape}, there are {len(one)} strips"
        raise InputError("groups", found, "Give one group number a strip")


def _share(over: NDArray[np.float64], under: NDArray[np.float64]) -> float:
    return float(over.sum() / under.sum()) if under.any() else nan
