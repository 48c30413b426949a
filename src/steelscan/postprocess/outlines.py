"""Outlines of masks: what they enclose, and how few corners they need."""

from typing import Annotated, Literal

import cv2
import numpy as np
from pydantic import Field

from steelscan.postprocess.components import box_of, drop_specks, fill
from steelscan.postprocess.thresholds import PixelCount
from steelscan.strip import Mask, Masks, PerClass, Spec, per_class

Distance = Annotated[float, Field(ge=0, allow_inf_nan=False)]

# Canny's lines lie up to one pixel outside a mask, and must not reach the border themselves.
_MARGIN = 2


class FillEdges(Spec):
    """What the edges of a mask enclose is filled, specks under ``pixels`` go (14th, K:114367).

    Edges are closed at the picture's border first, where half of all masks end, and masks grow
    into holes and narrow notches only: taken as it stands, the author's way leaves masks at the
    border open, and makes all others a pixel wider.
    """

    kind: Literal["fill_edges"] = "fill_edges"
    pixels: PerClass[PixelCount] = 20


class Polygons(Spec):
    """Each component becomes a polygon that leaves its outline by ``eps`` pixels or so (ours).

    Holes are kept as they are. (Douglas and Peucker 1973, as in OpenCV's approxPolyDP.)
    """

    kind: Literal["polygons"] = "polygons"
    eps: PerClass[Distance] = 1.0


def fill_edges(masks: Masks, rule: FillEdges) -> Masks:
    """Fill what the edges of masks enclose, then remove specks smaller than the rule's area."""
    least = per_class(rule.pixels, len(masks), "FillEdges.pixels")
    filled = masks.copy()
    for mask, pixels in zip(filled, least, strict=True):
        if mask.any():
            inside = mask[box_of(mask[None])]
            inside |= _enclosed(inside)
            drop_specks(mask, pixels)
    return filled


def polygons(masks: Masks, rule: Polygons) -> Masks:
    """Draw every component anew, as a polygon."""
    tolerances = per_class(rule.eps, len(masks), "Polygons.eps")
    drawn = np.zeros(masks.shape, np.bool_)
    for mask, canvas, eps in zip(masks, drawn, tolerances, strict=True):
        if mask.any():
            box = box_of(mask[None])
            canvas[box] = _as_polygons(mask[box], eps) & ~_holes(mask[box])
    return drawn


def _holes(mask: Mask) -> Mask:
    filled = mask.copy()
    fill(filled)
    return filled & ~mask


def _enclosed(mask: Mask) -> Mask:
    plane = np.pad(mask, _MARGIN)
    weakest = 1  # a corner's slope is 2, and each step of a mask is an edge
    solid = np.asarray(cv2.Canny(plane.view(np.uint8), weakest, weakest)) > 0
    fill(solid)
    solid |= plane
    # Where nothing is closed, lines outside the mask are all that was added: one pixel wide.
    eroded = np.asarray(cv2.erode(solid.view(np.uint8), np.ones((3, 3), np.uint8)), np.uint8)
    return eroded.view(np.bool_)[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def _as_polygons(mask: Mask, eps: float) -> Mask:
    canvas = np.zeros(mask.shape, np.uint8)
    contours, nesting = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for contour, around in zip(contours, nesting[0, :, 3].tolist(), strict=True):
        if around < 0:  # one by one: drawn together, polygons that overlap would cut each other
            cv2.fillPoly(canvas, [cv2.approxPolyDP(contour, eps, closed=True)], (1,))
    return canvas.view(np.bool_)
