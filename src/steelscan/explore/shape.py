"""What a mask is like: its size, its pieces, its holes, and where it lies. Pure functions.

Pixels of a mask hang together at edges and corners (8-connected), those of its background at edges
only (4-connected), as in `postprocess`.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.strip import Frame, Mask, Masks, connected_components

Areas = NDArray[np.int64]
"""int64 ``(pieces,)``: pixels of each, the smallest first."""

_CELLS = 1600
"""A heat map has about so many cells."""


class Touches(NamedTuple):
    """Which edges of the picture a mask touches."""

    top: bool
    bottom: bool
    left: bool
    right: bool


class MaskShape(NamedTuple):
    """The shape of one mask that has pixels."""

    pixels: int

    share: float
    """Pixels as a share of the picture, 0 to 1."""

    pieces: Areas
    """Pixels of each component."""

    slivers: int
    """Components that are one pixel wide everywhere: no four of their pixels form a square."""

    holes: Areas
    """Pixels of each piece of background that the mask encloses."""

    touches: Touches


def shape_of(mask: Mask) -> MaskShape | None:
    """Measure a mask, bool ``(height, width)``; None for one without pixels."""
    plane = np.ascontiguousarray(mask).view(np.uint8)
    left, top, width, height = cv2.boundingRect(plane)
    if not width:
        return None
    bottom, right = top + height, left + width
    inside = np.pad(plane[top:bottom, left:right], 1)  # a ring of background around it
    labels, _, pieces = connected_components(inside.view(np.bool_))
    wide = cv2.erode(inside, np.ones((2, 2), np.uint8))
    return MaskShape(
        pixels=int(pieces.sum()),
        share=float(pieces.sum() / mask.size),
        pieces=np.sort(pieces),
        slivers=pieces.size - np.unique(labels[np.asarray(wide) > 0]).size,
        holes=_holes(inside.view(np.bool_)),
        touches=Touches(top == 0, bottom == mask.shape[0], left == 0, right == mask.shape[1]),
    )


def _holes(inside: Mask) -> Areas:
    """Pixels of the pieces of background that do not reach the ring around a mask."""
    labels, _, areas = connected_components(~inside, neighbours=4)
    return np.sort(np.delete(areas, labels[0, 0] - 1))


def shared_by(masks: Masks) -> dict[tuple[int, int], int]:
    """Pixels that two classes share, by the indices of both; pairs that share none are not listed.

    ``masks`` is bool ``(classes, height, width)``. {} proves that no pixel has two classes.
    """
    there = [index for index, mask in enumerate(masks) if mask.any()]
    pairs = {
        (one, other): int(np.count_nonzero(masks[one] & masks[other]))
        for at, one in enumerate(there)
        for other in there[at + 1 :]
    }
    return {pair: pixels for pair, pixels in pairs.items() if pixels}


def heat_frame(frames: tuple[Frame, ...]) -> Frame:
    """Rows and columns of a heat map for pictures of these sizes: of their middle proportions.

    It never has more rows or columns than the smallest picture.
    """
    heights, widths = np.array(frames).T
    aspect = float(np.median(heights / widths))
    rows = int(np.clip(round((_CELLS * aspect) ** 0.5), 1, heights.min()))
    return Frame(rows, int(np.clip(round(_CELLS / rows), 1, widths.min())))


def spread(mask: Mask, cells: Frame) -> NDArray[np.float32]:
    """How much of each cell a mask covers, float32 ``(rows, columns)``, 0 to 1.

    The picture is laid on the cells whole, whatever its size and proportions.
    """
    plane = np.ascontiguousarray(mask).view(np.uint8).astype(np.float32)
    covered = cv2.resize(plane, (cells.width, cells.height), interpolation=cv2.INTER_AREA)
    return np.asarray(covered, np.float32).reshape(cells)
