"""How many pictures have which classes."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Combination:
    """A set of classes that pictures have, and no others."""

    classes: tuple[int, ...]
    """Indices, rising; () for a clean picture."""

    pictures: int


@dataclass(frozen=True)
class Counts:
    """Pictures by their classes. Clean ones count only if the source lists them."""

    source: str
    pictures: int
    clean: int
    """Pictures without any class."""

    lists_clean: bool
    per_class: tuple[int, ...]

    per_number: tuple[int, ...]
    """Pictures with 0, 1, 2, ... classes, up to the highest number that occurs."""

    combinations: tuple[Combination, ...]
    """The most frequent first."""

    together: tuple[tuple[int, ...], ...]
    """Pictures with both classes, one row per class; the diagonal is ``per_class``."""


def count_pictures(present: NDArray[np.bool_], source: str, lists_clean: bool = True) -> Counts:
    """Count pictures by class, number of classes and combination.

    ``present`` is bool ``(pictures, classes)``: which picture has which class.
    """
    held = present.astype(np.int64)
    sets = Counter(tuple(np.flatnonzero(row).tolist()) for row in present)
    ranked = sorted(sets.items(), key=lambda each: (-each[1], len(each[0]), each[0]))
    per_number = tuple(np.bincount(held.sum(axis=1), minlength=1).tolist())
    return Counts(
        source=source,
        pictures=len(present),
        clean=per_number[0],
        lists_clean=lists_clean,
        per_class=tuple(held.sum(axis=0).tolist()),
        per_number=per_number,
        combinations=tuple(Combination(classes, pictures) for classes, pictures in ranked),
        together=tuple(map(tuple, (held.T @ held).tolist())),
    )
