"""What to score, and the result that follows from pixels and defects."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from steelscan.evaluation.metrics import (
    ClassRow,
    Defects,
    Expected,
    Overlap,
    Pairs,
    Reliability,
    Scores,
    SizeRow,
    by_size,
    class_rows,
    count_pixels,
    expected_dice,
    measure_defects,
    overlaps,
    score,
)
from steelscan.strip import Classes, Frame, Masks
from steelscan.strip.errors import InputError


@dataclass(frozen=True)
class ScoreOptions:
    """What to compute in addition to the five numbers."""

    frame: Frame | None = None
    """The size of every picture, if the truth is a table."""
    mm_per_pixel: float | None = None
    expected: Expected | None = None
    """Class frequencies for which to estimate the mean Dice."""


def score_options(
    frame: str | None, mm_per_pixel: float | None, expected: str | None
) -> ScoreOptions:
    """Read a frame "256x1600" and frequencies "128,43,741,120/1801". Raises InputError."""
    return ScoreOptions(
        frame=None if frame is None else Frame.parse(frame),
        mm_per_pixel=mm_per_pixel,
        expected=None if expected is None else read_expected(expected),
    )


def read_expected(text: str) -> Expected:
    """Read one count per class and, after a slash, the number of strips. Raises InputError."""
    match = re.fullmatch(r"(\d{1,9}(?:,\d{1,9})*)/(\d{1,9})", text)
    if not match or not int(match[2]):
        remedy = "Give strips with each class out of all strips, as 128,43,741,120/1801"
        raise InputError("expected", f"is {text!r}", remedy)
    return Expected(tuple(map(int, match[1].split(","))), int(match[2]))


class ScoreResult(BaseModel):
    """The scores of predictions, those of empty predictions, tables, and notes."""

    model_config = ConfigDict(frozen=True)

    scores: Scores
    empty: Scores
    classes: tuple[ClassRow, ...]
    overlaps: tuple[Overlap, ...] = ()
    """One per class, and last their mean."""
    parts: dict[str, Scores] = {}
    """Of a run: the held-out strips, and those out of fold."""
    folds: dict[int, Scores] = {}
    size_unit: str = "px"
    sizes: tuple[SizeRow, ...] | None = None
    """Defects by size; None if the sizes of pictures are not known."""
    expected_dice: float | None = None
    """Mean Dice to expect at the given class frequencies."""
    reliability: dict[str, Reliability] = {}
    """Of the class probabilities on whole strips, if a run has them."""
    unread: tuple[str, ...] = ()
    """Strips that could not be read when they were predicted: in no other number."""
    notes: tuple[str, ...] = ()


class StripCounts:
    """The pixels and the defects of strips, counted one after another."""

    def __init__(self) -> None:
        self._pixels: list[NDArray[np.int64]] = []
        self.defects: list[Defects] = []

    def add(self, predicted: Masks, truth: Masks) -> None:
        """Count a strip. Raises MaskError if the two do not match."""
        self._pixels.append(count_pixels(predicted, truth))
        self.defects.append(measure_defects(predicted, truth))

    @property
    def pairs(self) -> Pairs:
        """The pixels of all strips."""
        return Pairs.of(self._pixels)


def score_result(
    pairs: Pairs,
    classes: Classes,
    groups: NDArray[np.int64] | None,
    notes: Sequence[str],
    options: ScoreOptions,
    defects: Sequence[Defects] | None = None,
) -> ScoreResult:
    """Compute the result from the pixels of strips, and from their defects if known.

    Raises InputError for a pixel size without known defects.
    """
    sizes = None
    if defects is not None:
        members = np.arange(len(pairs)) if groups is None else groups
        escaped = np.asarray(~(pairs.predicted > 0).any(axis=1))
        sizes = tuple(by_size(defects, escaped, members, mm_per_pixel=options.mm_per_pixel))
    elif options.mm_per_pixel is not None:
        problem = "is given, and the sizes of the pictures are not known"
        raise InputError("mm per pixel", problem, "Give --frame HEIGHTxWIDTH, or a data set")
    expected = options.expected
    return ScoreResult(
        scores=score(pairs, groups),
        empty=score(pairs.emptied(), groups),
        classes=tuple(class_rows(pairs, classes)),
        notes=tuple(notes),
        overlaps=tuple(overlaps(pairs, classes)),
        sizes=sizes,
        size_unit="px" if options.mm_per_pixel is None else "mm2",
        expected_dice=None if expected is None else expected_dice(pairs, expected),
    )


def numbered_classes(count: int) -> Classes:
    """Return classes that are named by their ids."""
    return Classes(names=tuple(map(str, range(1, count + 1))))
