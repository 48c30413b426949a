"""Adversarial validation: which training strips are most like the test strips (70th)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelscan.data.folds import split_groups
from steelscan.evaluation.statistics import Estimate, auc_interval
from steelscan.strip.errors import InputError

FEWEST_STRIPS = 10
"""Smallest number of training strips, and of test strips, that can be compared."""

_PARTS = 5
_RIDGE = 1.0
_STEPS = 25


@dataclass(frozen=True, eq=False)
class LikenessScores:
    """How much each strip is like a test strip, predicted out of fold.

    Attributes:
        likeness: float64 ``(training strips,)``, probabilities from 0 to 1.
        estimate: AUC of the separation of test from training strips, with its interval; 0.5 means
            that they cannot be separated.
    """

    likeness: NDArray[np.float64]
    estimate: Estimate

    @property
    def auc(self) -> float:
        """AUC of the separation of test from training strips."""
        return self.estimate.value

    @property
    def separable(self) -> bool:
        """Whether the separation is better than chance: the interval is above 0.5."""
        return self.estimate.low > 0.5


def likeness_to_test(
    train: NDArray[np.float64],
    test: NDArray[np.float64],
    groups: NDArray[np.int64],
    seed: int = 0,
    *,
    test_groups: NDArray[np.int64] | None = None,
) -> LikenessScores:
    """Predict out of fold, from their features, which strips are test strips.

    ``train`` and ``test`` are float64 ``(strips, features)``, ``groups`` is int64 ``(training
    strips,)`` and ``test_groups`` int64 ``(test strips,)``, with one numbering (without it each
    test strip is a group): all strips of a group are in one part. A ridge logistic regression on
    ranks and their squares, in five parts. Raises InputError if there are fewer than 10
    training or test strips, or fewer than two groups of them.
    """
    values = _standardised(np.concatenate([train, test]))
    labels = np.repeat([0.0, 1.0], [len(train), len(test)])
    if test_groups is None:
        test_groups = np.arange(len(test)) + groups.max(initial=-1) + 1
    every = np.concatenate([groups, test_groups])
    probabilities = np.zeros(len(labels))
    for part in cross_parts(every, labels > 0, seed, _PARTS):
        weights = _fitted(values[~part], labels[~part])
        probabilities[part] = 1 / (1 + np.exp(-values[part] @ weights))
    auc = auc_interval(probabilities, labels > 0, every, cross_fitted=True)
    return LikenessScores(probabilities[labels == 0], auc)


def cross_parts(
    groups: NDArray[np.int64], is_test: NDArray[np.bool_], seed: int, most: int
) -> list[NDArray[np.bool_]]:
    """Return the strips of each part, bool ``(strips,)``: whole groups, both training and test.

    There are ``most`` parts, or as many as the smaller number of groups of training or test strips.
    Raises InputError if there are fewer than `FEWEST_STRIPS` training or test strips, or fewer than
    two groups of them.
    """
    tests = int(np.count_nonzero(is_test))
    trains = len(is_test) - tests
    if min(trains, tests) < FEWEST_STRIPS:
        problem = f"are {trains} for training and {tests} for the test"
        remedy = f"Adversarial validation needs {FEWEST_STRIPS} of each"
        raise InputError("strips", problem, remedy)
    _, group = np.unique(groups, return_inverse=True)
    of_train, of_test = (np.bincount(group, part) > 0 for part in (~is_test, is_test))
    count = min(most, int(of_train.sum()), int(of_test.sum()))
    if count < 2:
        problem = f"are {of_train.sum()} groups for training and {of_test.sum()} for the test"
        raise InputError("strips", problem, "Adversarial validation needs two groups of each")
    # Groups with training strips only, with test strips only, and with both.
    kinds = np.select([of_train & ~of_test, of_test & ~of_train], [0, 1], 2)
    part = split_groups(kinds, count, np.random.default_rng(seed))
    return [part[group] == number for number in range(count)]


def like_test_folds(
    likeness: NDArray[np.float64], groups: NDArray[np.int64], share: float
) -> NDArray[np.int64]:
    """Return the fold of each strip, int64: 0 for a ``share`` of strips, those most like the test.

    Groups stay whole and are ranked by their mean likeness; each fold has at least one group.
    """
    _, group = np.unique(groups, return_inverse=True)
    sizes = np.bincount(group)
    order = np.argsort(-np.bincount(group, likeness) / sizes, kind="stable")
    needed = int(np.searchsorted(np.cumsum(sizes[order]), share * len(groups), side="left")) + 1
    validation = order[: min(max(needed, 1), len(order) - 1)]
    return np.where(np.isin(group, validation), 0, 1).astype(np.int64)


def _standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks from -1 to 1, their squares and a constant, so that there are no outliers."""
    from scipy.stats import rankdata

    ranks = 2 * (rankdata(values, axis=0) - 0.5) / len(values) - 1
    return np.column_stack([np.ones(len(values)), ranks, ranks**2 - 1 / 3])


def _fitted(values: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit a ridge logistic regression with balanced classes (Newton's method)."""
    positive = labels.mean()
    sample_weights = np.where(labels > 0, 0.5 / positive, 0.5 / (1 - positive))
    weights = np.zeros(values.shape[1])
    ridge = _RIDGE * np.eye(len(weights))
    ridge[0, 0] = 1e-6
    for _ in range(_STEPS):
        predicted = 1 / (1 + np.exp(-values @ weights))
        gradient = values.T @ (sample_weights * (predicted - labels)) + ridge @ weights
        hessian = (values.T * (sample_weights * predicted * (1 - predicted))) @ values + ridge
        weights = weights - np.linalg.solve(hessian, gradient)
    return weights
