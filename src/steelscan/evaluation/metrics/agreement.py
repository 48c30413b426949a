"""Several answers to the same strips: how far they agree, and what most of them say."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import nan

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.metrics.pairs import Pairs, dice
from steelscan.evaluation.metrics.tables import Runs
from steelscan.strip import InputError


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far answers agree, each against each.

    ``decisions`` is float64 ``(answers, answers, classes + 1)``: the share of strips on which two
    answers agree that the class is there or not, and last whether the strip has any defect.
    ``kappa`` is the same less what two answers would agree by chance, 1 for always and 0 for no
    more than chance (Cohen 1960). ``dice`` is the mean Dice of the masks on strips where either
    finds the class, and last over all classes together. nan where nothing speaks.
    """

    decisions: NDArray[np.float64]
    kappa: NDArray[np.float64]
    dice: NDArray[np.float64]
    found: NDArray[np.int64]
    """int64 ``(answers, classes + 1)``: strips on which each answer finds each class, and any."""
    strips: int


def agreement(answers: int, pairs: dict[tuple[int, int], Pairs]) -> Agreement:
    """Work out how far answers agree.

    ``pairs`` has, for each two answers by their places, the lower first, their pixels on all
    strips, the one as predicted and the other as truth. Raises InputError when one is missing.
    """
    wanted = list(combinations(range(answers), 2))
    if answers < 2 or sorted(pairs) != wanted:
        found = f"are {answers}, and {len(pairs)} pairs of them"
        raise InputError("answers", found, "Give two or more, and every pair of them")
    first = pairs[wanted[0]]
    if not len(first):
        raise InputError("answers", "are to no strip", "Give answers to one strip or more")
    shape = (answers, answers, first.classes + 1)
    decisions, kappa, alike = (np.full(shape, 1.0) for _ in range(3))
    found_on = np.zeros((answers, first.classes + 1), np.int64)
    for (one, other), both in pairs.items():
        says = [_with_any(masks > 0) for masks in (both.predicted, both.truth)]
        decisions[one, other] = decisions[other, one] = (says[0] == says[1]).mean(axis=0)
        kappa[one, other] = kappa[other, one] = _kappa(*says)
        alike[one, other] = alike[other, one] = _dice(both)
        found_on[one], found_on[other] = (said.sum(axis=0) for said in says)
    return Agreement(decisions, kappa, alike, found_on, len(first))


def majority(answers: Sequence[Runs], *, ties: bool = False) -> Runs:
    """The pixels that more than half of the answers hold, as run lengths, int64 ``(runs, 2)``.

    Each answer is int64 ``(runs, 2)`` as `steelscan.strip.parse` gives it. Of an even number of
    answers, pixels that exactly half hold are a tie: kept with ``ties``, else left out.
    """
    runs = [each for each in answers if len(each)]
    least = len(answers) / 2
    if not runs:
        return np.empty((0, 2), np.int64)
    every = np.concatenate(runs)
    places = np.concatenate([every[:, 0], every.sum(axis=1)])
    steps = np.repeat([1, -1], len(every))
    edges, at = np.unique(places, return_inverse=True)
    votes = np.bincount(at, steps, minlength=len(edges)).cumsum().round()
    held = votes >= least if ties else votes > least
    changes = np.flatnonzero(np.diff(held.astype(np.int8), prepend=0))
    bounds = edges[changes].reshape(-1, 2)  # the last edge ends all runs, and is held by none
    return np.column_stack([bounds[:, 0], bounds[:, 1] - bounds[:, 0]])


def _with_any(says: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.column_stack([says, says.any(axis=1)])


def _kappa(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.float64]:
    seen = (one == other).mean(axis=0)
    yes = one.mean(axis=0) * other.mean(axis=0)
    no = (1 - one.mean(axis=0)) * (1 - other.mean(axis=0))
    chance = yes + no
    found = np.full(len(seen), nan)
    np.divide(seen - chance, 1 - chance, out=found, where=chance < 1)
    return found


def _dice(both: Pairs) -> NDArray[np.float64]:
    values, either = dice(both), (both.predicted + both.truth) > 0
    found = np.full(both.classes + 1, nan)
    sums, counts = (values * either).sum(axis=0), either.sum(axis=0)
    np.divide(sums, counts, out=found[:-1], where=counts > 0)
    if counts.any():
        found[-1] = sums.sum() / counts.sum()
    return found
