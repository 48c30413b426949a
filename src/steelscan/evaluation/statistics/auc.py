"""The area under the ROC curve and its interval: how well one number separates two classes."""

from math import exp, log, sqrt

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.statistics.bootstrap import LEVEL, Estimate
from steelscan.strip.errors import InputError

_NOISE = 1e-12
"""A standard error below this is rounding."""


def area_under_curve(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the chance that a positive has a higher score than a negative; ties count one half.

    Both are ``(strips,)``, with at least one positive and one negative.
    """
    from scipy.stats import rankdata

    ranks = rankdata(scores)
    count = positive.sum()
    above = ranks[positive].sum() - count * (count + 1) / 2
    return float(above / (count * (~positive).sum()))


def auc_interval(
    scores: NDArray[np.float64],
    positive: NDArray[np.bool_],
    groups: NDArray[np.int64],
    *,
    level: float = LEVEL,
    cross_fitted: bool = False,
) -> Estimate:
    """Return the area under the curve with its interval, for strips that come in groups.

    ``scores`` is float64, ``positive`` bool, ``groups`` int64, all ``(strips,)``. Groups are
    independent; strips of one group need not be. The variance is that of DeLong, DeLong and
    Clarke-Pearson 1988 summed by groups (Obuchowski 1997). The interval is symmetric in log odds,
    so that it stays within 0 and 1, and uses Student's t for the groups of the smaller class. If
    the classes do not overlap at all, it is the exact bound: n pairs of groups that are all in
    order have a chance of at most AUC**n. The same bound is used if all groups are equal, because
    then nothing is known of how groups differ.

    ``cross_fitted`` scores come from models that were each trained on the strips of all others.
    If there is nothing to learn, the parts are correlated and the variance is up to twice
    DeLong's; no unbiased estimate of it exists (Bengio and Grandvalet 2004). It is doubled.

    Raises InputError if a class has fewer than two groups.
    """
    sides = [len(np.unique(groups[side])) for side in (positive, ~positive)]
    if min(sides) < 2:
        problem = f"are {sides[0]} groups in one class and {sides[1]} in the other"
        raise InputError("strips", problem, "An interval needs two groups of strips in each class")
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


def _standard_error(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], groups: NDArray[np.int64]
) -> float:
    """Return the standard error by groups (Obuchowski 1997)."""
    from scipy.stats import rankdata

    ranks = rankdata(scores)
    shares = np.empty(len(scores))
    for side, other in ((positive, ~positive), (~positive, positive)):
        below = (ranks[side] - rankdata(scores[side])) / np.count_nonzero(other)
        shares[side] = (below - below.mean()) / np.count_nonzero(side)
    shares[~positive] *= -1  # a negative above many positives lowers the area
    _, group = np.unique(groups, return_inverse=True)
    pulls = np.bincount(group, shares)
    return sqrt(float((pulls**2).sum()) * len(pulls) / (len(pulls) - 1))
