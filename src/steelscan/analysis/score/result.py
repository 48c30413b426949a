"""The result of scoring predictions, and how it follows from pixels and defects."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from steelscan.analysis.score.options import ScoreOptions
from steelscan.evaluation.metrics import (
    ClassRow,
    Defects,
    Overlap,
    Pairs,
    Reliability,
    Scores,
    SizeRow,
    by_size,
    count_pixels,
    defects_of,
    expected_dice,
    overlaps,
    per_class,
    score,
)
from steelscan.strip import Classes, InputError, Masks


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
        self.defects.append(defects_of(predicted, truth))

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
        found = "is given, and the sizes of the pictures are not known"
        raise InputError("mm per pixel", found, "Give --frame HEIGHTxWIDTH, or a data set")
    expected = options.expected
    return ScoreResult(
        scores=score(pairs, groups),
        empty=score(pairs.emptied(), groups),
        classes=tuple(per_class(pairs, classes)),
        notes=tuple(notes),
        overlaps=tuple(overlaps(pairs, classes)),
        sizes=sizes,
        size_unit="px" if options.mm_per_pixel is None else "mm2",
        expected_dice=None if expected is None else expected_dice(pairs, expected),
    )


def numbered_classes(count: int) -> Classes:
    """Return classes that are named by their ids."""
    return Classes(names=tuple(map(str, range(1, count + 1))))
