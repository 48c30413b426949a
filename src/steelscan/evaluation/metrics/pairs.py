"""Pixel counts of all (strip, class) pairs, and their Dice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.strip import Classes, Frame, Masks, check_masks
from steelscan.strip.errors import InputError, MaskError

Counts: TypeAlias = NDArray[np.int64]
"""int64 ``(strips, classes)``: pixels of every pair."""

PixelCounts: TypeAlias = NDArray[np.int64]
"""int64 ``(3, classes)``: predicted, true and shared pixels of one strip."""

Rows: TypeAlias = NDArray[np.integer] | NDArray[np.bool_] | Sequence[int] | slice
"""Which strips: numbers, a bool mask over all strips, or a slice."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pixel counts of all (strip, class) pairs, from which all metrics are computed.

    ``predicted``, ``truth`` and ``shared`` are int64 ``(strips, classes)``. Raises MaskError for
    different shapes or types, and for more shared than predicted or true pixels.
    """

    predicted: Counts
    truth: Counts
    shared: Counts

    def __post_init__(self) -> None:
        fields = (self.predicted, self.truth, self.shared)
        same = len({field.shape for field in fields}) == 1 and self.truth.ndim == 2
        if not same or any(field.dtype != np.int64 for field in fields):
            problem = ", ".join(f"{field.dtype} {field.shape}" for field in fields)
            raise MaskError(
                "pixel counts", f"are {problem}", "Give three int64 arrays (strips, classes)"
            )
        if (self.shared < 0).any() or (self.shared > np.minimum(*fields[:2])).any():
            problem = "have more shared than predicted or true pixels"
            raise MaskError("pixel counts", problem, "Count all three on the same masks")

    @staticmethod
    def of(counts: Sequence[PixelCounts]) -> "Pairs":
        """Stack the counts of strips, each int64 ``(3, classes)``, in their order.

        Raises MaskError for no strip, or for strips with different numbers of classes.
        """
        if len({strip.shape for strip in counts}) != 1:
            problem = "differ in their classes" if len(counts) else "are of no strip"
            raise MaskError("pixel counts", problem, "Count strips of one data set, at least one")
        predicted, truth, shared = np.stack(counts, axis=1)
        return Pairs(predicted, truth, shared)

    @staticmethod
    def of_classes(columns: Sequence["Pairs"]) -> "Pairs":
        """Join the pairs of single classes, ``(strips, 1)`` each, in their order."""
        parts = ("predicted", "truth", "shared")
        return Pairs(*(np.hstack([getattr(each, part) for each in columns]) for part in parts))

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.truth.shape[1])

    def select(self, rows: Rows) -> "Pairs":
        """Return the pairs of some strips."""
        return Pairs(self.predicted[rows], self.truth[rows], self.shared[rows])

    def of_class(self, index: int) -> "Pairs":
        """Return the pairs of one class, ``(strips, 1)``; ``index`` counts from 0.

        A strip then escapes if the class is missed, and is stopped by a false alarm of the class.
        """
        return Pairs(*(each[:, [index]] for each in (self.predicted, self.truth, self.shared)))

    def emptied(self) -> "Pairs":
        """Return the pairs of empty predictions with the same truth, a baseline for every score."""
        nothing = np.zeros_like(self.truth)
        return replace(self, predicted=nothing, shared=nothing)


def check_classes(pairs: Pairs, classes: Classes) -> None:
    """Raise InputError if the pairs have another number of classes."""
    if pairs.classes != len(classes):
        problem = f"are {len(classes)}, the pairs have {pairs.classes}"
        raise InputError("classes", problem, "Name the classes that the masks were made for")


def count_pixels(predicted: Masks, truth: Masks) -> PixelCounts:
    """Count predicted, true and shared pixels of one strip: int64 ``(3, classes)``.

    Both are bool ``(classes, height, width)`` of one frame. Raises MaskError for anything else.
    """
    if truth.ndim != 3:
        problem = f"has {truth.ndim} axes"
        raise MaskError("truth", problem, "Give bool masks (classes, height, width)")
    classes, height, width = truth.shape
    frame = Frame(height, width)
    check_masks(truth, classes, frame, "truth")
    check_masks(predicted, classes, frame, "prediction")
    counts = np.zeros((3, classes), np.int64)
    for index, (guess, true) in enumerate(zip(predicted, truth, strict=True)):
        guessed, present = np.count_nonzero(guess), np.count_nonzero(true)
        both = np.count_nonzero(guess & true) if guessed and present else 0
        counts[:, index] = guessed, present, both
    return counts


def dice(pairs: Pairs) -> NDArray[np.float64]:
    """Return the Dice of every pair, float64 ``(strips, classes)``: 2 shared / (predicted + true).

    Empty against empty is 1, empty against anything is 0. (The competition's metric; K:114297.)
    """
    total = pairs.predicted + pairs.truth
    return np.where(total == 0, 1.0, 2 * pairs.shared / np.maximum(total, 1))
