"""Adversarial validation: which training strips look most like the test strips (70th)."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.strip import InputError, Picture

_DARK = 15
"""Mean grey below which a column shows no steel."""

FEWEST_LOOKS = 10
"""Below so many strips on either side nobody can say whether the sides differ."""

_PARTS = 5
_RIDGE = 1.0
_STEPS = 25


@dataclass(frozen=True)
class LikeTestScores:
    """How much each training strip looks like a test strip, by models that have not seen it.

    Attributes:
        likeness: float64 ``(training strips,)``, probabilities from 0 to 1.
        auc: how well training and test strips are told apart; 0.5 is not at all.
        told_apart: whether that is more than luck: over 0.5 by three standard errors.
    """

    likeness: NDArray[np.float64]
    auc: float
    told_apart: bool


def look(picture: Picture) -> NDArray[np.float64]:
    """How a strip was taken, not what is on it: float64 ``(15,)``.

    Share of black columns, on the left and on the right; mean and deviation of the columns' means;
    grey levels of the steel at five quantiles; deviation along rows and columns; sharpness.
    """
    columns = picture.mean(axis=0)
    black = columns < _DARK
    half = len(columns) // 2
    steel = picture[:, ~black] if not black.all() else picture
    means = steel.mean(axis=0)
    fine = cv2.Laplacian(steel.astype(np.float32), cv2.CV_32F)
    numbers = [
        black.mean(),
        black[:half].mean() if half else 0.0,
        black[half:].mean(),
        means.mean(),
        means.std(),
        steel.mean(axis=1).std(),
        *np.quantile(steel, (0.01, 0.25, 0.5, 0.75, 0.99)),
        steel.std(),
        np.abs(np.diff(steel.astype(np.float32), axis=0)).mean() if len(steel) > 1 else 0.0,
        np.abs(np.diff(means)).mean() if len(means) > 1 else 0.0,
        float(np.abs(np.asarray(fine)).mean()),
    ]
    return np.array(numbers, np.float64)


def looks(pictures: Iterable[Picture]) -> NDArray[np.float64]:
    """`look` of each picture, float64 ``(pictures, 15)``."""
    return np.stack([look(picture) for picture in pictures])


def like_test(
    train: NDArray[np.float64],
    test: NDArray[np.float64],
    groups: NDArray[np.int64],
    seed: int = 0,
) -> LikeTestScores:
    """Tell training strips from test strips by their looks, out of fold.

    ``train`` and ``test`` are float64 ``(strips, numbers)``, ``groups`` int64 ``(training
    strips,)``: near-duplicates are judged by one model. A ridge logistic regression on ranks and
    their squares, in five parts. Raises InputError when either side has fewer than `FEWEST_LOOKS`.
    """
    if min(len(train), len(test)) < FEWEST_LOOKS:
        found = f"are {len(train)} for training and {len(test)} for the test"
        raise InputError("strips", found, f"Adversarial validation needs {FEWEST_LOOKS} of each")
    rng = np.random.default_rng(seed)
    values = _standard(np.concatenate([train, test]))
    labels = np.repeat([0.0, 1.0], [len(train), len(test)])
    parts = np.concatenate([_dealt(groups, rng), rng.permutation(np.arange(len(test)) % _PARTS)])
    said = np.zeros(len(labels))
    for part in range(_PARTS):
        away = parts == part
        weights = _fitted(values[~away], labels[~away])
        said[away] = 1 / (1 + np.exp(-values[away] @ weights))
    auc = area_under_curve(said, labels > 0)
    error = sqrt((len(labels) + 1) / (12 * len(train) * len(test)))  # of an AUC of one half
    return LikeTestScores(said[: len(train)], auc, auc > 0.5 + 3 * error)


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


def area_under_curve(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """The chance that a positive has a higher score than a negative; ties count one half."""
    ranks = _ranks(scores)
    count = positive.sum()
    above = ranks[positive].sum() - count * (count + 1) / 2
    return float(above / (count * (~positive).sum()))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, equal values at their mean rank."""
    _, place, times = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(times)
    return np.asarray((last - (times - 1) / 2)[place], np.float64)


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from -1 to 1, their squares and a constant: no number is too far out."""
    ranks = np.stack([_ranks(column) for column in values.T], axis=1)
    ranks = 2 * (ranks - 0.5) / len(values) - 1
    return np.column_stack([np.ones(len(values)), ranks, ranks**2 - 1 / 3])


def _dealt(groups: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """A part for each strip, one for each group."""
    _, group = np.unique(groups, return_inverse=True)
    return np.asarray(rng.permutation(np.arange(group.max() + 1) % _PARTS)[group], np.int64)


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
