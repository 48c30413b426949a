"""The shape of a mask: its pieces, thin lines and holes, and which picture edges it touches.

Pixels of a mask are joined at edges and corners (8-connected), those of its background at edges
only (4-connected), as in `postprocess`.
"""

from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.strip import Frame, Mask, Masks, connected_components

Parts = NDArray[np.int64]
"""int64 ``(parts, 5)``: pixels, top, left, height and width of each part, the smallest first."""

_CELLS = 1600
"""Approximate number of cells of a heat map."""

_SLIVER = 8
"""Smallest length of a sliver in pixels; shorter thin lines are corners of an outline."""

_SLIVER_SHARE = 1 / 32
"""Length of a sliver as a share of the picture's shorter side: 8 pixels of 256x1600."""


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

    pieces: Parts
    """The connected components."""

    slivers: Parts
    """Lines one pixel wide, of at least `sliver_length` pixels; they may belong to a wider piece.

    A pixel belongs to a line if no square of 2x2 pixels within the mask covers it.
    """

    holes: Parts
    """Connected parts of the background that the mask encloses."""

    touches: Touches


def sliver_length(frame: Frame) -> int:
    """Return from how many pixels on a line one pixel wide is a sliver, in a picture this size."""
    return max(_SLIVER, round(_SLIVER_SHARE * min(frame)))


def shape_of(mask: Mask) -> MaskShape | None:
    """Measure a mask, bool ``(height, width)``; None if it has no pixels."""
    plane = np.ascontiguousarray(mask).view(np.uint8)
    left, top, width, height = cv2.boundingRect(plane)
    if not width:
        return None
    bottom, right = top + height, left + width
    corner = top - 1, left - 1
    padded = np.pad(mask[top:bottom, left:right], 1)  # a ring of background around the mask
    pieces = _parts(padded, 8, corner)
    background = _parts(~padded, 4, corner)
    encloses = (background[:, 1] > corner[0]) & (background[:, 2] > corner[1])
    lines = _parts(_thin(padded), 8, corner)
    pixels = int(pieces[:, 0].sum())
    return MaskShape(
        pixels=pixels,
        share=pixels / mask.size,
        pieces=pieces,
        slivers=lines[lines[:, 0] >= sliver_length(Frame(*mask.shape))],
        holes=background[encloses],
        touches=Touches(top == 0, bottom == mask.shape[0], left == 0, right == mask.shape[1]),
    )


def _parts(mask: Mask, neighbours: Literal[4, 8], corner: tuple[int, int]) -> Parts:
    """Find the connected parts of a mask whose top left pixel is at ``corner``."""
    _, boxes, pixels = connected_components(mask, neighbours)
    parts = np.column_stack([pixels, boxes])
    parts[:, 1:3] += corner
    return parts[np.lexsort((parts[:, 2], parts[:, 1], pixels))]


def _thin(mask: Mask) -> Mask:
    """Return the pixels that no square of 2x2 pixels covers, bool ``(height, width)``."""
    square = mask[:-1, :-1] & mask[1:, :-1] & mask[:-1, 1:] & mask[1:, 1:]
    thin = mask.copy()
    for rows in (slice(None, -1), slice(1, None)):
        for columns in (slice(None, -1), slice(1, None)):
            thin[rows, columns] &= ~square
    return thin


def shared_by(masks: Masks) -> dict[tuple[int, int], int]:
    """Count the pixels that two classes share, by the indices of both; other pairs are left out.

    ``masks`` is bool ``(classes, height, width)``. {} means that no pixel has two classes.
    """
    present = [index for index, mask in enumerate(masks) if mask.any()]
    pairs = {
        (one, other): int(np.count_nonzero(masks[one] & masks[other]))
        for at, one in enumerate(present)
        for other in present[at + 1 :]
    }
    return {pair: pixels for pair, pixels in pairs.items() if pixels}


def heat_frame(frames: tuple[Frame, ...]) -> Frame:
    """Return rows and columns of a heat map, in the median proportions of pictures of these sizes.

    It never has more rows or columns than the smallest picture.
    """
    heights, widths = np.array(frames).T
    aspect = float(np.median(heights / widths))
    rows = int(np.clip(round((_CELLS * aspect) ** 0.5), 1, heights.min()))
    return Frame(rows, int(np.clip(round(_CELLS / rows), 1, widths.min())))


def coverage(mask: Mask, cells: Frame) -> NDArray[np.float32]:
    """Return how much of each cell a mask covers, float32 ``(rows, columns)``, 0 to 1.

    The whole picture is scaled to the cells, whatever its size and proportions.
    """
    plane = np.ascontiguousarray(mask).view(np.uint8).astype(np.float32)
    covered = cv2.resize(plane, (cells.width, cells.height), interpolation=cv2.INTER_AREA)
    return np.asarray(covered, np.float32).reshape(cells)
