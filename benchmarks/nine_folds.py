"""The same held-out strips for recipes whose folds differ."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Dataset, Folds, LikeTest, make_folds
from steelscan.data.duplicates import find_groups
from steelscan.strip.tables import write_rows


class Split(NamedTuple):
    """Groups of strips, int64 ``(strips,)``, and which are held out and which validate, bool."""

    groups: NDArray[np.int64]
    held_out: NDArray[np.bool_]
    validating: NDArray[np.bool_]


def split_of_quick(dataset: Dataset) -> Split:
    """Return a split in which a fifth validates, and that fifth is held out that quick holds out.

    The folds are those of ``train quick --seed 0``, which validates on the first of ten alone.
    """
    groups = find_groups(dataset).numbers
    folds = make_folds(dataset.present, groups, 10, 0)
    return Split(groups, np.isin(folds, (8, 9)), np.isin(folds, (0, 1)))


def folds_of(spec: Folds | LikeTest, split: Split) -> NDArray[np.int64]:
    """Return the fold of each strip for a recipe, int64 ``(strips,)``; groups stay together.

    If all folds validate that are not held out, as in the 9th place, the strips that are not held
    out are dealt to them. Raises ValueError if the recipe holds no strips out.
    """
    if not spec.holdout:
        raise ValueError("the recipe holds no strips out")
    folds = np.full(len(split.groups), -1, np.int64)
    left = [fold for fold in range(spec.count) if fold not in (*spec.validation, *spec.holdout)]
    _deal(folds, split.held_out, spec.holdout, split.groups)
    if left:
        _deal(folds, split.validating, spec.validation, split.groups)
    _deal(folds, folds < 0, left or spec.validation, split.groups)
    return folds


def write_folds(path: Path, dataset: Dataset, folds: NDArray[np.int64]) -> None:
    """Write a table for ``train --folds``."""
    write_rows(path, ("image", "fold"), zip(dataset.names, folds.tolist(), strict=True))


def _deal(
    folds: NDArray[np.int64],
    strips: NDArray[np.bool_],
    to: tuple[int, ...] | list[int],
    groups: NDArray[np.int64],
) -> None:
    """Deal the groups of some strips to folds, one after another."""
    rows = np.flatnonzero(strips)
    _, number = np.unique(groups[rows], return_inverse=True)
    folds[rows] = np.array(to)[number % len(to)]
