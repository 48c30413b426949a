"""What a split leaks: near-duplicates of judged strips among those that teach."""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Leak:
    """Near-duplicates that folds part, or are expected to part when they are random."""

    strips: float
    """Strips that have a near-duplicate in another fold: judged by a network that learned it."""

    pairs: float
    """Pairs of near-duplicates, any two strips of a group, in two folds."""

    differing: float
    """Those of them that hold different classes."""

    all_strips: int
    """Strips that have a near-duplicate at all."""

    all_pairs: int
    all_differing: int

    def to_dict(self) -> dict[str, float]:
        """The same for JSON."""
        return asdict(self)


def leak(folds: NDArray[np.int64], groups: NDArray[np.int64], present: NDArray[np.bool_]) -> Leak:
    """What folds part: all of these are int64 ``(strips,)``, but bool ``(strips, classes)``."""
    labels = _class_sets(present)
    pairs = _pairs(groups)
    alike = _pairs(groups, labels)
    parted = pairs - _pairs(groups, folds)
    parted_alike = alike - _pairs(groups, labels, folds)
    mates = np.bincount(groups)[groups]
    _, own, sizes = np.unique(
        np.column_stack([groups, folds]), axis=0, return_inverse=True, return_counts=True
    )
    return Leak(
        strips=int(np.count_nonzero(sizes[own.reshape(-1)] < mates)),
        pairs=parted,
        differing=parted - parted_alike,
        all_strips=int(np.count_nonzero(mates > 1)),
        all_pairs=pairs,
        all_differing=pairs - alike,
    )


def random_leak(groups: NDArray[np.int64], present: NDArray[np.bool_], count: int) -> Leak:
    """What ``count`` folds of equal size are expected to part that are dealt without groups.

    The folds of a shuffled list, cut into parts that differ by one strip at most.
    """
    strips = len(groups)
    rooms = np.array([len(part) for part in np.array_split(np.arange(strips), count)])
    sizes = np.bincount(groups)
    together = _all_together(sizes.max(initial=1), rooms, strips)
    pairs, alike = _pairs(groups), _pairs(groups, _class_sets(present))
    parted = 1 - together[2] if len(together) > 2 else 0.0
    shared = sizes[sizes > 1]
    return Leak(
        strips=float((shared * (1 - together[shared])).sum()),
        pairs=pairs * parted,
        differing=(pairs - alike) * parted,
        all_strips=int(shared.sum()),
        all_pairs=pairs,
        all_differing=pairs - alike,
    )


def _all_together(largest: int, rooms: NDArray[np.int64], strips: int) -> NDArray[np.float64]:
    """For each number of strips up to ``largest``: the chance that one fold gets all of them."""
    chance = np.ones(largest + 1)
    each = np.ones(len(rooms))
    for drawn in range(largest):
        each = each * np.maximum(rooms - drawn, 0) / max(strips - drawn, 1)
        chance[drawn + 1] = each.sum()
    return chance


def _class_sets(present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """A number for the set of classes on each strip."""
    return np.unique(present, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _pairs(*keys: NDArray[np.int64]) -> int:
    """Pairs of strips that are equal in all keys."""
    _, counts = np.unique(np.column_stack(keys), axis=0, return_counts=True)
    return int((counts * (counts - 1) // 2).sum())
