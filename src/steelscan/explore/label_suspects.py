"""Labels that look wrong by themselves: specks, slivers, holes, odd sizes, copies labelled apart.

Pure functions of masks and pictures; nothing here says that a label is wrong, only that it is
worth a look.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.explore.near_pairs import NearPair
from steelscan.strip import Mask, Masks, connected_components

SPECK = 16
"""Pixels under which a part of a mask is a speck."""

SLIVER = 8
"""Pixels from which a part one pixel wide is a sliver; shorter ones are corners of outlines."""

ODD = 3.5
"""Robust deviations from which a size is odd (Iglewicz and Hoaglin 1993)."""

FEWEST_SIZES = 10
"""Masks of a class below which nobody can say which size is usual."""

_OF_NORMAL = 1.4826
"""Standard deviation over median absolute deviation, of a normal distribution."""

_LEAST_SPREAD = 0.25
"""Of the logarithm of areas: masks that are all alike to a quarter have no odd ones among them."""


class Part(NamedTuple):
    """A connected part of a mask, or of its background."""

    pixels: int
    top: int
    left: int
    height: int
    width: int


def specks(mask: Mask, below: int = SPECK) -> list[Part]:
    """The 8-connected parts of a mask of fewer than ``below`` pixels, from the top."""
    return [part for part in parts(mask) if part.pixels < below]


def slivers(mask: Mask, least: int = SLIVER) -> list[Part]:
    """What is one pixel wide in a mask: 8-connected, of ``least`` pixels and more, from the top.

    A pixel is part of a sliver when no square of 2x2 pixels within the mask covers it.
    """
    square = mask[:-1, :-1] & mask[1:, :-1] & mask[:-1, 1:] & mask[1:, 1:]
    thin = mask.copy()
    for rows in (slice(None, -1), slice(1, None)):
        for columns in (slice(None, -1), slice(1, None)):
            thin[rows, columns] &= ~square
    return [part for part in parts(thin) if part.pixels >= least]


def holes(mask: Mask) -> list[Part]:
    """The 4-connected parts of the background that do not reach the border, from the top."""
    height, width = mask.shape
    return [
        part
        for part in parts(~mask, neighbours=4)
        if part.top > 0
        and part.left > 0
        and part.top + part.height < height
        and part.left + part.width < width
    ]


def parts(mask: Mask, neighbours: Literal[4, 8] = 8) -> list[Part]:
    """The connected parts of a mask, bool ``(height, width)``, from the top."""
    if not mask.any():
        return []
    _, boxes, areas = connected_components(mask, neighbours)
    found = [Part(area, *box) for area, box in zip(areas.tolist(), boxes.tolist(), strict=True)]
    return sorted(found, key=lambda part: (part.top, part.left))


def odd_sizes(areas: NDArray[np.int64]) -> NDArray[np.float64]:
    """How far the size of each mask lies from what is usual: float64 ``(strips, classes)``.

    ``areas`` are pixels, int64 ``(strips, classes)``. Counted on the logarithm, in robust standard
    deviations from the class's median, below 0 for small masks; from 3.5 on it is odd (Iglewicz
    and Hoaglin 1993). 0 for empty masks, and for classes with fewer than `FEWEST_SIZES` masks.
    """
    found = np.zeros(areas.shape)
    for column, scores in zip(areas.T, found.T, strict=True):
        there = column > 0
        if np.count_nonzero(there) < FEWEST_SIZES:
            continue
        sizes = np.log(column[there])
        away = sizes - np.median(sizes)
        spread = max(_OF_NORMAL * float(np.median(np.abs(away))), _LEAST_SPREAD)
        scores[there] = away / spread
    return found


class LabelDifference(NamedTuple):
    """A class that two pictures of the same piece of steel are labelled with otherwise."""

    one: int
    other: int
    class_index: int
    """Counts from 0."""
    dice: float
    """Of both masks where the pictures overlap, laid on each other; 0 where one is empty."""
    pixels: tuple[int, int]
    """Of both masks, where the pictures overlap."""


def label_differences(
    pairs: Sequence[NearPair], masks: Callable[[int], Masks], below: float = 0.5
) -> Iterator[LabelDifference]:
    """The classes by which near-duplicates are labelled otherwise, pair by pair.

    ``masks`` gives those of a strip by its row. Only where both pictures of a pair show the same
    steel their masks count; classes whose Dice is under ``below`` are told.
    """
    for pair in pairs:
        both = overlapping(masks(pair.one), masks(pair.other), pair.down, pair.right)
        for index, (one, other) in enumerate(zip(*both, strict=True)):
            counts = int(np.count_nonzero(one)), int(np.count_nonzero(other))
            if not any(counts):
                continue
            dice = 2 * int(np.count_nonzero(one & other)) / sum(counts)
            if dice < below:
                yield LabelDifference(pair.one, pair.other, index, dice, counts)


def overlapping(one: Masks, other: Masks, down: int, right: int) -> tuple[Masks, Masks]:
    """What two masks, ``(classes, height, width)``, say of the steel that both show.

    A point of the one in row r and column c is that of the other in ``r + down``, ``c + right``.
    """
    cut = []
    for mask, sign in ((one, -1), (other, 1)):
        top, left = max(0, sign * down), max(0, sign * right)
        cut.append(mask[:, top:, left:])
    height, width = (min(each.shape[axis] for each in cut) for axis in (1, 2))
    return cut[0][:, :height, :width], cut[1][:, :height, :width]
