"""Adversarial validation: which training strips look most like the test strips (70th)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.statistics import Estimate, auc_interval
from steelscan.strip import InputError

FEWEST_LOOKS = 10
"""Below so many strips on either side nobody can say whether the sides differ."""

_PARTS = 5
_RIDGE = 1.0
_STEPS = 25


@dataclass(frozen=True)
class LikeTestScores:
    """How much each strip looks like a test strip, by models that have not seen it.

    Attributes:
        likeness: float64 ``(training strips,)``, probabilities from 0 to 1.
        of_test: the same of the test strips, float64 ``(test strips,)``.
        found: how well training and test strips are told apart, an AUC with its interval; 0.5 is
            not at all.
    """

    likeness: NDArray[np.float64]
    of_test: NDArray[np.float64]
    found: Estimate

    @property
    def auc(self) -> float:
        """How well training and test strips are told apart."""
        return self.found.value

    @property
    def told_apart(self) -> bool:
        """Whether that is more than luck: the interval lies above 0.5."""
        return self.found.low > 0.5


def like_test(
    train: NDArray[np.float64],
    test: NDArray[np.float64],
    groups: NDArray[np.int64],
    seed: int = 0,
    *,
    test_groups: NDArray[np.int64] | None = None,
    level: float = 0.95,
) -> LikeTestScores:
    """Tell training strips from test strips by their looks, out of fold.

    ``train`` and ``test`` are float64 ``(strips, numbers)``, ``groups`` int64 ``(training
    strips,)`` and ``test_groups`` int64 ``(test strips,)``, where equal numbers are one group
    (without it each test strip is one): near-duplicates are judged by one model. A ridge logistic
    regression on ranks and their squares, in five parts. Raises InputError when either side has
    fewer than `FEWEST_LOOKS` strips, or fewer than two groups.
    """
    values = _standard(np.concatenate([train, test]))
    labels = np.repeat([0.0, 1.0], [len(train), len(test)])
    every = joined_groups(groups, len(test), test_groups)
    said = np.zeros(len(labels))
    for away in cross_parts(every, labels > 0, seed, _PARTS):
        weights = _fitted(values[~away], labels[~away])
        said[away] = 1 / (1 + np.exp(-values[away] @ weights))
    return like_test_scores(said, labels > 0, every, level)


def like_test_scores(
    said: NDArray[np.float64], is_test: NDArray[np.bool_], groups: NDArray[np.int64], level: float
) -> LikeTestScores:
    """What probabilities of being a test strip, said out of fold, come to.

    All are ``(strips,)``, training strips first.
    """
    found = auc_interval(said, is_test, groups, level=level, cross_fitted=True)
    return LikeTestScores(said[~is_test], said[is_test], found)


def joined_groups(
    groups: NDArray[np.int64], tests: int, test_groups: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """The group of each training strip, then of each test strip, int64."""
    if test_groups is None:
        test_groups = np.arange(tests) + groups.max(initial=-1) + 1
    return np.concatenate([groups, test_groups])


def cross_parts(
    groups: NDArray[np.int64], is_test: NDArray[np.bool_], seed: int, most: int
) -> list[NDArray[np.bool_]]:
    """Which strips each part holds, bool ``(strips,)``: whole groups, each part with both sides.

    There are ``most`` parts, or as many as the side with fewer groups has. Raises InputError when
    a side has fewer than `FEWEST_LOOKS` strips, or fewer than two groups.
    """
    sides = [int(np.count_nonzero(side)) for side in (~is_test, is_test)]
    if min(sides) < FEWEST_LOOKS:
        found = f"are {sides[0]} for training and {sides[1]} for the test"
        raise InputError("strips", found, f"Adversarial validation needs {FEWEST_LOOKS} of each")
    _, group = np.unique(groups, return_inverse=True)
    trains, tests = (np.bincount(group, side) > 0 for side in (~is_test, is_test))
    count = min(most, int(trains.sum()), int(tests.sum()))
    if count < 2:
        found = f"are {trains.sum()} groups for training and {tests.sum()} for the test"
        raise InputError("strips", found, "Adversarial validation needs two groups of each")
    rng = np.random.default_rng(seed)
    part = np.zeros(len(trains), np.int64)
    for kind in (trains & ~tests, tests & ~trains, trains & tests):
        part[kind] = rng.permutation(np.arange(kind.sum()) % count)
    return [part[group] == number for number in range(count)]


def like_test_folds(
    likeness: NDArray[np.float64], groups: NDArray[np.int64], share: float
) -> NDArray[np.int64]:
    """Fold of each strip, int64: 0 for the groups most like the test, a ``share`` of all strips.

    Whole groups, by their mean likeness; at least one group stands on each side.
    """
    _, group = np.unique(groups, return_inverse=True)
    sizes = np.bincount(group)
    order = np.argsort(-np.bincount(group, likeness) / sizes, kind="stable")
    taken = int(np.searchsorted(np.cumsum(sizes[order]), share * len(groups), side="left")) + 1
    judges = order[: min(max(taken, 1), len(order) - 1)]
    return np.where(np.isin(group, judges), 0, 1).astype(np.int64)


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from -1 to 1, their squares and a constant: no number is too far out."""
    from scipy.stats import rankdata

    ranks = 2 * (rankdata(values, axis=0) - 0.5) / len(values) - 1
    return np.column_stack([np.ones(len(values)), ranks, ranks**2 - 1 / 3])


def _fitted(values: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of a ridge logistic regression, both sides counting alike (Newton's steps)."""
    positive = labels.mean()
    each = np.where(labels > 0, 0.5 / positive, 0.5 / (1 - positive))
    weights = np.zeros(values.shape[1])
    ridge = _RIDGE * np.eye(len(weights))
    ridge[0, 0] = 1e-6
    for _ in range(_STEPS):
        said = 1 / (1 + np.exp(-values @ weights))
        slope = values.T @ (each * (said - labels)) + ridge @ weights
        bend = (values.T * (each * said * (1 - said))) @ values + ridge
        weights = weights - np.linalg.solve(bend, slope)
    return weights
