"""How many pictures hold which classes. Pure functions of who holds what."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Combination:
    """Classes that stand together on pictures, and on no other class's company."""

    classes: tuple[int, ...]
    """Indices, rising; () is a clean picture."""

    pictures: int


@dataclass(frozen=True)
class Counts:
    """Pictures by what they hold. Clean ones count only where the source lists them."""

    source: str
    pictures: int
    lists_clean: bool
    per_class: tuple[int, ...]

    per_number: tuple[int, ...]
    """Pictures with 0, 1, 2, ... classes, up to the highest number that occurs."""

    combinations: tuple[Combination, ...]
    """The most frequent first."""

    together: tuple[tuple[int, ...], ...]
    """Pictures that hold both classes, a row a class; the diagonal is ``per_class``."""

    @property
    def clean(self) -> int:
        """Pictures without any class."""
        return self.per_number[0]


def count_pictures(present: NDArray[np.bool_], source: str, lists_clean: bool = True) -> Counts:
    """Count pictures by class, number of classes and combination.

    ``present`` is bool ``(pictures, classes)``: who holds what.
    """
    held = present.astype(np.int64)
    sets = Counter(tuple(np.flatnonzero(row).tolist()) for row in present)
    ranked = sorted(sets.items(), key=lambda each: (-each[1], len(each[0]), each[0]))
    return Counts(
        source=source,
        pictures=len(present),
        lists_clean=lists_clean,
        per_class=tuple(held.sum(axis=0).tolist()),
        per_number=tuple(np.bincount(held.sum(axis=1), minlength=1).tolist()),
        combinations=tuple(Combination(classes, pictures) for classes, pictures in ranked),
        together=tuple(map(tuple, (held.T @ held).tolist())),
    )
