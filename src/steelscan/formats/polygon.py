"""Polygons and masks, converted into one another without loss.

A pixel is a square: that in row r and column c spans x from c to c + 1 and y from r to r + 1, and
its centre is at (c + 0.5, r + 0.5). It belongs to a polygon if its centre does. Outlines follow
the sides of pixels, so that a mask without holes comes back unchanged. Drawing programs (OpenCV's
fillPoly, Pillow) also fill each pixel that the line touches, half a pixel more all around; corners
from OpenCV's findContours are centres of border pixels, half a pixel less. Files do not
record which convention they follow.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.formats.parsing import numbers
from steelscan.strip import Mask
from steelscan.strip.errors import Fault, MaskError

_FARTHEST = 1e9
"""Larger coordinates are treated as damage."""

_ROUNDED = 1e-2
"""Pixels that a corner may be outside the picture because its file rounded it."""

_PAIRS_AT_ONCE = 1_000_000


class Filled(NamedTuple):
    """What a polygon added to a mask."""

    pixels: int
    outside: bool
    """Whether it reached outside the picture."""


def fill(mask: Mask, points: object, where: object) -> Filled:
    """Add a polygon to a mask, bool ``(height, width)``, in place.

    ``points`` are its corners, ``(corners, 2)`` of x to the right and y down in pixels; the last
    is joined to the first. Where the polygon crosses itself, the even-odd rule applies: an area
    that it encloses twice is outside. Parts outside the picture are cut off. A centre on a left
    or upper side is inside, on a right or lower one outside: neighbours never share a pixel.

    Raises MaskError for fewer than three corners, and for corners that are not finite numbers.
    """
    corners = _corners(points, where)
    height, width = mask.shape
    low, high = corners.min(axis=0), corners.max(axis=0)
    outside = bool((low < -_ROUNDED).any() or (high > np.array((width, height)) + _ROUNDED).any())
    rows, columns = _crossings(corners, height, width)
    if not rows.size:
        return Filled(0, outside)
    top, left = rows.min(), columns.min()
    box = (int(rows.max() - top) + 1, int(columns.max() - left) + 1)
    places = (rows - top) * box[1] + columns - left
    toggles = np.bincount(places, minlength=box[0] * box[1]).reshape(box)
    inside = (np.cumsum(toggles, axis=1) % 2 == 1)[:, : width - left]
    mask[top : top + box[0], left : left + box[1]] |= inside
    return Filled(int(inside.sum()), outside)


def box(
    left: float, top: float, right: float, bottom: float, degrees: float = 0
) -> NDArray[np.float64]:
    """Return the corners of a box, ``(4, 2)`` of x, y, turned clockwise about its middle."""
    sides = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
    return turned(sides, sides.mean(axis=0), degrees)


def ellipse(
    x: float, y: float, across: float, down: float, degrees: float = 0
) -> NDArray[np.float64]:
    """Return an ellipse as a polygon, ``(corners, 2)`` of x, y, turned clockwise about its middle.

    ``across`` and ``down`` are its half axes. The corners are on the ellipse; between them the
    polygon is at most 0.03 % of a half axis inside it.
    """
    around = np.linspace(0, 2 * np.pi, 128, endpoint=False)
    middle = np.array((x, y), np.float64)
    rim = middle + np.column_stack([across * np.cos(around), down * np.sin(around)])
    return turned(rim, middle, degrees)


def turned(
    points: NDArray[np.float64], about: NDArray[np.float64], degrees: float
) -> NDArray[np.float64]:
    """Return points, ``(points, 2)`` of x, y, turned clockwise as seen on a picture."""
    if not degrees:
        return points
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.asarray((points - about) @ np.array([[cos, sin], [-sin, cos]]) + about)


def outlines(mask: Mask) -> tuple[list[NDArray[np.int64]], bool]:
    """Return the outer outlines of a mask, bool ``(height, width)``, and whether it has holes.

    One outline per component (8-connected), int64 ``(corners, 2)`` of x, y along the sides of its
    pixels. Filled again, they give the mask with its holes closed.
    """
    if not mask.any():
        return [], False
    left, top, width, height = bounding_box(mask)
    part = np.ascontiguousarray(mask[top : top + height, left : left + width])
    # With every pixel doubled, each side of a pixel has border pixels of its own.
    doubled = part.view(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours, nesting = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outer = nesting[0, :, 3] < 0
    first = np.array((left, top))
    polygons = [first + _corners_only(contours[at]) for at in np.flatnonzero(outer).tolist()]
    return polygons, not outer.all()


def bounding_box(mask: Mask) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the smallest box around a mask's pixels."""
    left, top, width, height = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
    return left, top, width, height


def crosses_itself(points: object) -> bool:
    """Return whether two sides of a polygon, ``(corners, 2)`` of x, y, cross between their ends.

    Sides that only touch, or are on the same line, do not cross.
    """
    corners = _corners(points, "polygon")
    ends = np.roll(corners, -1, axis=0)
    order = np.argsort(np.minimum(corners[:, 0], ends[:, 0]))
    starts, ends = corners[order], ends[order]
    low, high = np.minimum(starts, ends), np.maximum(starts, ends)
    # Each side is compared only with the later ones that begin before it ends.
    end_of_range = np.searchsorted(low[:, 0], high[:, 0], side="right")
    counts = end_of_range - np.arange(len(starts)) - 1
    blocks = np.cumsum(counts) // _PAIRS_AT_ONCE
    return any(
        _any_cross(starts, ends, np.flatnonzero(blocks == block), counts)
        for block in range(int(blocks[-1]) + 1)
    )


def _any_cross(
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    sides: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> bool:
    """Return whether any of ``sides`` crosses one of the ``counts`` sides that follow it."""
    of = counts[sides]
    one = np.repeat(sides, of)
    other = one + 1 + np.arange(len(one)) - np.repeat(np.cumsum(of) - of, of)
    a, b, c, d = starts[one], ends[one], starts[other], ends[other]
    apart = _side(a, b, c) * _side(a, b, d) < 0
    return bool((apart & (_side(c, d, a) * _side(c, d, b) < 0)).any())


def _side(
    start: NDArray[np.float64], end: NDArray[np.float64], point: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return on which side of a line each point is: 1, -1, or 0 on the line."""
    (dx, dy), (x, y) = (end - start).T, (point - start).T
    return np.asarray(np.sign(dx * y - dy * x))


def _corners(points: object, where: object) -> NDArray[np.float64]:
    corners = numbers(points, where, columns=2)
    remedy = "Give x and y in pixels for three corners or more"
    if len(corners) < 3:
        raise MaskError(where, f"a polygon has {len(corners)} corners", remedy, Fault.POLYGON)
    if not (np.abs(corners) <= _FARTHEST).all():
        problem = "a corner of a polygon is not a number, or is far outside the picture"
        raise MaskError(where, problem, remedy, Fault.POLYGON)
    return corners


def _crossings(
    corners: NDArray[np.float64], height: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of the first pixels right of where sides cross middles of rows."""
    (x, y), (dx, dy) = corners.T, (np.roll(corners, -1, axis=0) - corners).T
    first = _first_centre(np.minimum(y, y + dy), height)
    counts = _first_centre(np.maximum(y, y + dy), height) - first
    side = np.repeat(np.arange(len(corners)), counts)
    rows = np.arange(len(side)) - np.repeat(np.cumsum(counts) - counts - first, counts)
    crossed = x[side] + (rows + 0.5 - y[side]) * (dx[side] / dy[side])
    return rows, _first_centre(crossed, width)


def _first_centre(at: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    return np.clip(np.ceil(at - 0.5), 0, size).astype(np.int64)


def _corners_only(contour: cv2.typing.MatLike) -> NDArray[np.int64]:
    sides: NDArray[np.int64] = (contour.reshape(-1, 2).astype(np.int64) + 1) // 2
    sides = sides[(sides != np.roll(sides, 1, axis=0)).any(axis=1)]
    before, after = sides - np.roll(sides, 1, axis=0), np.roll(sides, -1, axis=0) - sides
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    return np.asarray(sides[turns], np.int64)
