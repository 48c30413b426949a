"""Rules that fill the edges of masks and simplify their outlines to polygons."""

from typing import Annotated, Literal

import cv2
import numpy as np
from pydantic import Field

from steelscan.postprocess.components import box_of, drop_small, fill_all_holes
from steelscan.postprocess.thresholds import PixelCount
from steelscan.strip import Mask, Masks, PerClass, Spec, per_class

Distance = Annotated[float, Field(ge=0, allow_inf_nan=False)]

# Canny's lines lie up to one pixel outside a mask and must not touch the border.
_MARGIN = 2


class FillEdges(Spec):
    """Fill what a mask's edges enclose; remove components under ``pixels`` (14th, K:114367).

    Unlike the author's code, this closes edges at the picture's border, where half of all masks
    end, and adds only holes and narrow notches: his code loses masks at the border and makes all
    others one pixel wider.
    """

    kind: Literal["fill_edges"] = "fill_edges"
    pixels: PerClass[PixelCount] = 20


class Polygons(Spec):
    """Replace each component by a polygon within about ``eps`` pixels of its outline (ours).

    Holes stay as they are. (Douglas and Peucker 1973, as in OpenCV's approxPolyDP.)
    """

    kind: Literal["polygons"] = "polygons"
    eps: PerClass[Distance] = 1.0


def fill_edges(masks: Masks, rule: FillEdges) -> Masks:
    """Fill what the edges of masks enclose, then remove components below the rule's area."""
    least = per_class(rule.pixels, len(masks), "FillEdges.pixels")
    filled = masks.copy()
    for mask, pixels in zip(filled, least, strict=True):
        if mask.any():
            box = mask[box_of(mask[None])]
            box |= _enclosed(box)
            drop_small(mask, pixels)
    return filled


def polygons(masks: Masks, rule: Polygons) -> Masks:
    """Redraw every component as a polygon."""
    tolerances = per_class(rule.eps, len(masks), "Polygons.eps")
    drawn = np.zeros(masks.shape, np.bool_)
    for mask, canvas, eps in zip(masks, drawn, tolerances, strict=True):
        if mask.any():
            box = box_of(mask[None])
            filled = mask[box].copy()
            fill_all_holes(filled)
            holes = filled & ~mask[box]
            canvas[box] = _as_polygons(mask[box], eps) & ~holes
    return drawn


def _enclosed(mask: Mask) -> Mask:
    plane = np.pad(mask, _MARGIN)
    weakest = 1  # each step of a mask is an edge, and a corner has a slope of 2
    solid = np.asarray(cv2.Canny(plane.view(np.uint8), weakest, weakest)) > 0
    fill_all_holes(solid)
    solid |= plane
    # Erosion removes the lines that lie outside the mask, which are one pixel wide.
    eroded = np.asarray(cv2.erode(solid.view(np.uint8), np.ones((3, 3), np.uint8)), np.uint8)
    return eroded.view(np.bool_)[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def _as_polygons(mask: Mask, eps: float) -> Mask:
    canvas = np.zeros(mask.shape, np.uint8)
    contours, nesting = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for contour, around in zip(contours, nesting[0, :, 3].tolist(), strict=True):
        if around < 0:  # one by one: in one call, overlapping polygons would cancel each other
            cv2.fillPoly(canvas, [cv2.approxPolyDP(contour, eps, closed=True)], (1,))
    return canvas.view(np.bool_)
