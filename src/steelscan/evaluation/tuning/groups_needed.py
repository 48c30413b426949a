"""How many groups of strips a search needs before a gain shows more than chance."""

from collections.abc import Sequence
from math import ceil, log
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.tuning.class_search import ClassSearch
from steelscan.evaluation.tuning.crossfit import CrossFitOptions


def fewest_groups(confidence: float, parts: int) -> int:
    """Return the fewest groups with a class for which a search can show more than chance.

    If fewer groups differ, all may favour one side by chance; a search sees all parts but one.
    """
    differing = ceil(log((1 - confidence) / 2) / log(0.5))
    return ceil(differing * parts / (parts - 1))


def groups_for_gain(variance: float, gain: float, confidence: float, power: float) -> int:
    """Return how many groups with the class show a gain of ``gain`` each, with chance ``power``.

    ``variance`` is that of the paired difference between two settings, per group with the class:
    what groups without it add is divided among them.
    """
    normal = NormalDist()
    distance = normal.inv_cdf((1 + confidence) / 2) + normal.inv_cdf(power)
    return ceil(distance**2 * variance / gain**2)


def groups_needed(variance: float, options: CrossFitOptions) -> int:
    """Return how many groups with the class show the gain of interest: at least `fewest_groups`."""
    least = fewest_groups(options.confidence, options.parts)
    return max(least, groups_for_gain(variance, options.gain, options.confidence, options.power))


def count_positives(positive: NDArray[np.bool_], groups: NDArray[np.int64]) -> tuple[int, int]:
    """Return how many strips, and how many groups, are positive."""
    return int(positive.sum()), len(np.unique(groups[positive]))


def group_variance(
    gains: NDArray[np.float64], groups: NDArray[np.int64], positive_groups: int
) -> float:
    """Return the sum of squares of the gains of groups around their mean, per positive group."""
    _, member = np.unique(groups, return_inverse=True)
    sums = np.bincount(member, gains)
    return float(np.square(sums - sums.mean()).sum()) / max(positive_groups, 1)


def pooled_variance(searches: Sequence[ClassSearch], groups: NDArray[np.int64]) -> float:
    """Return the variance between best and default thresholds, over all classes."""
    squares, positive_groups = 0.0, 0
    for search in searches:
        if search.positive.any():
            (best,) = search.choose(np.ones((1, len(groups))))
            gains = (search.strip_scores(best) - search.strip_scores(search.default))[:, 0]
            squares += group_variance(gains, groups, 1)
            positive_groups += count_positives(search.positive, groups)[1]
    return squares / max(positive_groups, 1)
