"""Pieces of a mask that are too small, and holes in it.

Pixels of a mask hang together at edges and corners (8-connected), those of its background at
edges only (4-connected): a line of pixels that touch at corners keeps its two sides apart.
Most masks are clean already, and following outlines shows that in a fraction of the time that
labelling all pixels takes. Where there are many, as in noise, one pass over all pixels is quicker
than one over each.
"""

from collections.abc import Sequence
from itertools import compress
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.postprocess.thresholds import PixelCount
from steelscan.strip import Mask, Masks, PerClass, Spec, connected_components, per_class

_MANY = 100


class RemoveSmallComponents(Spec):
    """8-connected components of fewer than ``pixels`` pixels are removed (1st, K:114254)."""

    kind: Literal["remove_small_components"] = "remove_small_components"
    pixels: PerClass[PixelCount] = 0


class FillHoles(Spec):
    """Holes of fewer than ``pixels`` pixels are filled; None: all holes (12th, K:114309).

    A hole is a 4-connected piece of background that does not reach the picture's border.
    """

    kind: Literal["fill_holes"] = "fill_holes"
    pixels: PerClass[PixelCount] | None = None


def remove_small_components(masks: Masks, rule: RemoveSmallComponents) -> Masks:
    """Remove the 8-connected components that are smaller than the rule's area."""
    least = per_class(rule.pixels, len(masks), "RemoveSmallComponents.pixels")
    cleaned = masks.copy()
    for mask, pixels in zip(cleaned, least, strict=True):
        drop_specks(mask, pixels)
    return cleaned


def fill_holes(masks: Masks, rule: FillHoles) -> Masks:
    """Fill the holes that are smaller than the rule's area."""
    below = per_class(rule.pixels, len(masks), "FillHoles.pixels")
    filled = masks.copy()
    for mask, pixels in zip(filled, below, strict=True):
        if pixels is None:
            fill(mask)
        else:
            _fill_small(mask, pixels)
    return filled


def drop_specks(mask: Mask, pixels: int) -> None:
    """Remove, in place, the 8-connected components of fewer than ``pixels`` pixels."""
    if pixels < 2 or not mask.any():
        return
    plane = mask.view(np.uint8)
    contours, nesting = cv2.findContours(plane, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if len(contours) > _MANY:
        components = connected_components(mask)
        mask &= np.append(False, components.areas >= pixels)[components.labels]
        return
    areas = _areas(contours, np.asarray(nesting[0, :, 3], np.intp))
    for contour, area in zip(contours, areas, strict=True):
        if area < pixels:
            cv2.floodFill(plane, None, contour[0, 0].tolist(), (0,), flags=8)


def fill(mask: Mask) -> None:
    """Fill, in place, all pieces of background that do not reach the border."""
    if not mask.any():
        return
    plane = mask.view(np.uint8)
    contours, nesting = cv2.findContours(plane, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    is_hole = (np.asarray(nesting[0, :, 3]) >= 0).tolist()
    holes = list(compress(contours, is_hole))
    if len(holes) > _MANY:
        around = np.pad(plane, 1)
        cv2.floodFill(around, None, (0, 0), (2,), flags=4)
        mask[:] = around[1:-1, 1:-1] != 2
        return
    for contour in holes:
        cv2.fillPoly(plane, [contour], (1,))


def _areas(contours: Sequence[cv2.typing.MatLike], around: NDArray[np.intp]) -> NDArray[np.float64]:
    """Pixels of the component of each outer contour; infinite for the contours of holes.

    ``around`` is the outer contour of each hole, and below 0 for those.
    A line through the centres of a component's outermost pixels that encloses the area A and is N
    steps long has A + N/2 + 1 pixels on or within it, and A - N/2 + 1 within (Pick 1899). What
    stands within holes is no part of the component.
    """
    enclosed = np.array([cv2.contourArea(contour) for contour in contours])
    steps = np.array([len(contour) for contour in contours])
    hole = around >= 0
    # A single pixel is a line of no step, and has one point all the same: hence the floor.
    within = np.floor(enclosed + np.where(hole, -steps, steps) / 2) + 1
    areas = np.where(hole, np.inf, within)
    np.subtract.at(areas, around[hole], within[hole])
    return areas


def _fill_small(mask: Mask, below: int) -> None:
    """Fill, in place, holes of fewer than ``below`` pixels; islands in them count as nothing."""
    filled = mask.copy()
    fill(filled)
    holes = filled & ~mask
    if holes.any():
        labels, _, areas = connected_components(holes, neighbours=4)
        mask |= np.append(False, areas < below)[labels]


def box_of(masks: Masks) -> tuple[slice, slice]:
    """The rows and columns between which all pixels of all classes lie; none for empty masks.

    No rule needs to look beyond: background at the box's border either lies at the picture's
    border, or goes on outside, where there is nothing but background.
    """
    boxes = [cv2.boundingRect(mask.view(np.uint8)) for mask in masks if mask.any()]
    if not boxes:
        return slice(0), slice(0)
    left, top, width, height = np.array(boxes).T
    rows = slice(int(top.min()), int((top + height).max()))
    return rows, slice(int(left.min()), int((left + width).max()))
