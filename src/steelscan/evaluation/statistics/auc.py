"""How well one number tells two sides apart: the area under the curve, and its interval."""

from math import exp, log, sqrt

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.statistics.bootstrap import Estimate
from steelscan.strip import InputError

_NOISE = 1e-12
"""A standard error below this is rounding."""


def area_under_curve(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """The chance that a positive has a higher score than a negative; ties count one half.

    Both are ``(strips,)``, with at least one strip of either side.
    """
    ranks = midranks(scores)
    count = positive.sum()
    above = ranks[positive].sum() - count * (count + 1) / 2
    return float(above / (count * (~positive).sum()))


def auc_interval(
    scores: NDArray[np.float64],
    positive: NDArray[np.bool_],
    groups: NDArray[np.int64],
    *,
    level: float = 0.95,
    cross_fitted: bool = False,
) -> Estimate:
    """The area under the curve with its interval, for strips that come in groups.

    ``scores`` is float64, ``positive`` bool, ``groups`` int64, all ``(strips,)``; groups vary
    freely, strips within one as they like. The variance is that of DeLong, DeLong and
    Clarke-Pearson 1988 summed by groups (Obuchowski 1997). The interval is symmetric in log odds,
    so that it stays within 0 and 1, and as wide as Student's for the groups of the smaller side.
    Where the sides do not overlap at all, the exact bound stands: n pairs of groups that are all
    in order have a chance of at most AUC**n. The same room is left where no group differs from
    another, which says nothing about how groups differ.

    ``cross_fitted`` scores come from models each fitted on the strips of all others. Where there
    is nothing to learn, that two parts agree is counted twice, and the variance is up to twice
    DeLong's; no unbiased estimate of it exists (Bengio and Grandvalet 2004). It is doubled.

    Raises InputError when a side has no strip, or fewer than two groups.
    """
    sides = [len(np.unique(groups[side])) for side in (positive, ~positive)]
    if min(sides) < 2:
        found = f"are {sides[0]} groups on one side and {sides[1]} on the other"
        raise InputError("strips", found, "An interval needs two groups of strips on each side")
    value = area_under_curve(scores, positive)
    tail = (1 - level) / 2
    error = _standard_error(scores, positive, groups) * (sqrt(2) if cross_fitted else 1)
    if value in (0.0, 1.0) or error < _NOISE:
        room = 1 - tail ** (1 / min(sides))
        return Estimate(value, max(0.0, value - room), min(1.0, value + room))
    from scipy.special import stdtrit

    student = float(stdtrit(min(sides) - 1, 1 - tail))
    wide = student * error / (value * (1 - value))
    odds = log(value / (1 - value))
    return Estimate(value, 1 / (1 + exp(wide - odds)), 1 / (1 + exp(-wide - odds)))


def midranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, equal values at their mean rank: float64 of the same length."""
    _, place, times = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(times)
    return np.asarray((last - (times - 1) / 2)[place], np.float64)


def _standard_error(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], groups: NDArray[np.int64]
) -> float:
    """Obuchowski's: how much each group pulls the area, added up."""
    ranks = midranks(scores)
    shares = np.empty(len(scores))
    for side, other in ((positive, ~positive), (~positive, positive)):
        below = (ranks[side] - midranks(scores[side])) / np.count_nonzero(other)
        shares[side] = (below - below.mean()) / np.count_nonzero(side)
    shares[~positive] *= -1  # a negative that is above many pulls the area down
    _, group = np.unique(groups, return_inverse=True)
    pulls = np.bincount(group, shares)
    return sqrt(float((pulls**2).sum()) * len(pulls) / (len(pulls) - 1))
