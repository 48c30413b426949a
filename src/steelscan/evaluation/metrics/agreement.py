"""Agreement of several predictions of the same strips, and their majority."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import nan

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.metrics.pairs import Pairs, dice
from steelscan.evaluation.metrics.tables import Runs
from steelscan.strip.errors import InputError


@dataclass(frozen=True, eq=False)
class Agreement:
    """Pairwise agreement of predictions.

    ``decisions`` is float64 ``(predictions, predictions, classes + 1)``: the share of strips on
    which two predictions agree whether the class is present, and last whether there is any
    defect. ``kappa`` is the same corrected for chance agreement, 1 for always and 0 for no more
    than chance (Cohen 1960). ``dice`` is the mean Dice of the masks on strips where either
    predicts the class, and last over all classes together. nan if undefined.
    """

    decisions: NDArray[np.float64]
    kappa: NDArray[np.float64]
    dice: NDArray[np.float64]
    predicted: NDArray[np.int64]
    """int64 ``(predictions, classes + 1)``: strips on which each class, and any, is predicted."""
    strips: int


def agreement(count: int, pairs: dict[tuple[int, int], Pairs]) -> Agreement:
    """Compute the agreement of ``count`` predictions.

    ``pairs`` has, for each two of them by index, the lower first, their pixels on all strips, one
    as predicted and the other as truth. Raises InputError if a pair or all strips are missing.
    """
    wanted = list(combinations(range(count), 2))
    if count < 2 or sorted(pairs) != wanted:
        problem = f"are {count}, and {len(pairs)} pairs of them"
        raise InputError("predictions", problem, "Give two or more, and every pair of them")
    first = pairs[wanted[0]]
    if not len(first):
        raise InputError("predictions", "are of no strip", "Give predictions of at least one strip")
    shape = (count, count, first.classes + 1)
    decisions, kappa, dices = (np.full(shape, 1.0) for _ in range(3))
    predicted = np.zeros((count, first.classes + 1), np.int64)
    for (one, other), both in pairs.items():
        present = [_with_any(masks > 0) for masks in (both.predicted, both.truth)]
        decisions[one, other] = decisions[other, one] = (present[0] == present[1]).mean(axis=0)
        kappa[one, other] = kappa[other, one] = _kappa(*present)
        dices[one, other] = dices[other, one] = _dice(both)
        predicted[one], predicted[other] = (each.sum(axis=0) for each in present)
    return Agreement(decisions, kappa, dices, predicted, len(first))


def majority(masks: Sequence[Runs], *, ties: bool = False) -> Runs:
    """Return the pixels that are in more than half of the masks, as run lengths.

    Each mask and the result are int64 ``(runs, 2)`` as from `steelscan.strip.parse_runs`. Pixels in
    exactly half of an even number of masks are a tie: kept with ``ties``, else left out.
    """
    runs = [each for each in masks if len(each)]
    least = len(masks) / 2
    if not runs:
        return np.empty((0, 2), np.int64)
    every = np.concatenate(runs)
    places = np.concatenate([every[:, 0], every.sum(axis=1)])
    steps = np.repeat([1, -1], len(every))
    edges, at = np.unique(places, return_inverse=True)
    votes = np.bincount(at, steps, minlength=len(edges)).cumsum().round()
    kept = votes >= least if ties else votes > least
    changes = np.flatnonzero(np.diff(kept.astype(np.int8), prepend=0))
    bounds = edges[changes].reshape(-1, 2)  # all runs have ended at the last edge
    return np.column_stack([bounds[:, 0], bounds[:, 1] - bounds[:, 0]])


def _with_any(present: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.column_stack([present, present.any(axis=1)])


def _kappa(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.float64]:
    agreed = (one == other).mean(axis=0)
    yes = one.mean(axis=0) * other.mean(axis=0)
    no = (1 - one.mean(axis=0)) * (1 - other.mean(axis=0))
    chance = yes + no
    kappa = np.full(len(agreed), nan)
    np.divide(agreed - chance, 1 - chance, out=kappa, where=chance < 1)
    return kappa


def _dice(both: Pairs) -> NDArray[np.float64]:
    values, either = dice(both), (both.predicted + both.truth) > 0
    means = np.full(both.classes + 1, nan)
    sums, counts = (values * either).sum(axis=0), either.sum(axis=0)
    np.divide(sums, counts, out=means[:-1], where=counts > 0)
    if counts.any():
        means[-1] = sums.sum() / counts.sum()
    return means
