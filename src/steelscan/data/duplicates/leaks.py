"""The leak of a split: near-duplicates of validation strips among the strips trained on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Leak:
    """Near-duplicates in different folds; expected values for random folds."""

    strips: float
    """Strips with a near-duplicate in another fold: a network that is evaluated on them was trained
    on it."""

    pairs: float
    """Pairs of near-duplicates (any two strips of a group) in two folds."""

    differing: float
    """Those of them with different classes."""

    all_strips: int
    """Strips that have a near-duplicate at all."""

    all_pairs: int
    all_differing: int


def leak(folds: NDArray[np.int64], groups: NDArray[np.int64], present: NDArray[np.bool_]) -> Leak:
    """Return what folds leak.

    ``folds`` and ``groups`` are int64 ``(strips,)``, ``present`` is bool ``(strips, classes)``.
    """
    labels = _class_sets(present)
    pairs = _pairs(groups)
    alike = _pairs(groups, labels)
    separated = pairs - _pairs(groups, folds)
    separated_alike = alike - _pairs(groups, labels, folds)
    mates = np.bincount(groups)[groups]
    _, own, sizes = np.unique(
        np.column_stack([groups, folds]), axis=0, return_inverse=True, return_counts=True
    )
    return Leak(
        strips=int(np.count_nonzero(sizes[own.reshape(-1)] < mates)),
        pairs=separated,
        differing=separated - separated_alike,
        all_strips=int(np.count_nonzero(mates > 1)),
        all_pairs=pairs,
        all_differing=pairs - alike,
    )


def random_leak(groups: NDArray[np.int64], present: NDArray[np.bool_], count: int) -> Leak:
    """Return what ``count`` random folds are expected to leak: a shuffled list in equal parts."""
    strips = len(groups)
    fold_sizes = np.array([len(part) for part in np.array_split(np.arange(strips), count)])
    sizes = np.bincount(groups)
    together = _all_together(sizes.max(initial=1), fold_sizes, strips)
    pairs, alike = _pairs(groups), _pairs(groups, _class_sets(present))
    separated = 1 - together[2] if len(together) > 2 else 0.0
    shared = sizes[sizes > 1]
    return Leak(
        strips=float((shared * (1 - together[shared])).sum()),
        pairs=pairs * separated,
        differing=(pairs - alike) * separated,
        all_strips=int(shared.sum()),
        all_pairs=pairs,
        all_differing=pairs - alike,
    )


def _all_together(largest: int, fold_sizes: NDArray[np.int64], strips: int) -> NDArray[np.float64]:
    """Return the chance that 0, 1, ... ``largest`` strips are all in one fold."""
    chance = np.ones(largest + 1)
    each = np.ones(len(fold_sizes))
    for drawn in range(largest):
        each = each * np.maximum(fold_sizes - drawn, 0) / max(strips - drawn, 1)
        chance[drawn + 1] = each.sum()
    return chance


def _class_sets(present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number the set of classes of each strip."""
    return np.unique(present, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _pairs(*keys: NDArray[np.int64]) -> int:
    """Count the pairs of strips that are equal in all keys."""
    _, counts = np.unique(np.column_stack(keys), axis=0, return_counts=True)
    return int((counts * (counts - 1) // 2).sum())
