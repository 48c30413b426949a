"""Rules that remove small components of a mask and fill its holes.

Pixels of a mask are connected at edges and corners (8-connected), those of its background only at
edges (4-connected), so that a diagonal line of pixels separates its two sides.
Most masks have few components and holes; tracing their contours is several times faster than
labelling all pixels. With many of them, as in noise, labelling all pixels is faster.
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
    """Remove the 8-connected components of fewer than ``pixels`` pixels (1st, K:114254)."""

    kind: Literal["remove_small_components"] = "remove_small_components"
    pixels: PerClass[PixelCount] = 0


class FillHoles(Spec):
    """Fill the holes of fewer than ``pixels`` pixels, or all if None (12th, K:114309).

    A hole is a 4-connected component of the background that does not touch the picture's border.
    """

    kind: Literal["fill_holes"] = "fill_holes"
    pixels: PerClass[PixelCount] | None = None


def remove_small_components(masks: Masks, rule: RemoveSmallComponents) -> Masks:
    """Remove the 8-connected components that are smaller than the rule's area."""
    least = per_class(rule.pixels, len(masks), "RemoveSmallComponents.pixels")
    cleaned = masks.copy()
    for mask, pixels in zip(cleaned, least, strict=True):
        drop_small(mask, pixels)
    return cleaned


def fill_holes(masks: Masks, rule: FillHoles) -> Masks:
    """Fill the holes that are smaller than the rule's area."""
    below = per_class(rule.pixels, len(masks), "FillHoles.pixels")
    filled = masks.copy()
    for mask, pixels in zip(filled, below, strict=True):
        if pixels is None:
            fill_all_holes(mask)
        else:
            _fill_small(mask, pixels)
    return filled


def drop_small(mask: Mask, pixels: int) -> None:
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


def fill_all_holes(mask: Mask) -> None:
    """Fill all holes of a mask in place."""
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
    """Return the area of each outer contour's component in pixels; infinity for holes' contours.

    ``around`` is the index of each hole's outer contour, and negative for outer contours.
    A contour through the centres of a component's outermost pixels that encloses the area A in N
    steps has A + N/2 + 1 pixels on or inside it, and A - N/2 + 1 inside (Pick 1899). Components in
    holes do not count.
    """
    enclosed = np.array([cv2.contourArea(contour) for contour in contours])
    steps = np.array([len(contour) for contour in contours])
    hole = around >= 0
    # The contour of a single pixel has one point but no step: hence the floor.
    within = np.floor(enclosed + np.where(hole, -steps, steps) / 2) + 1
    areas = np.where(hole, np.inf, within)
    np.subtract.at(areas, around[hole], within[hole])
    return areas


def _fill_small(mask: Mask, below: int) -> None:
    """Fill holes of fewer than ``below`` pixels in place; components inside a hole do not count."""
    filled = mask.copy()
    fill_all_holes(filled)
    holes = filled & ~mask
    if holes.any():
        labels, _, areas = connected_components(holes, neighbours=4)
        mask |= np.append(False, areas < below)[labels]


def box_of(masks: Masks) -> tuple[slice, slice]:
    """Return the rows and columns that contain all pixels of all classes; none for empty masks.

    Rules need only this box: background at its border touches the picture's border, or is connected
    to the background outside the box.
    """
    boxes = [cv2.boundingRect(mask.view(np.uint8)) for mask in masks if mask.any()]
    if not boxes:
        return slice(0), slice(0)
    left, top, width, height = np.array(boxes).T
    rows = slice(int(top.min()), int((top + height).max()))
    return rows, slice(int(left.min()), int((left + width).max()))
