"""Outlines of defects drawn on the picture of a strip."""

import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.strip import Frame, Masks, Picture, check_masks
from steelscan.strip.errors import MaskError, PictureError

_COLORS = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (240, 228, 66),  # yellow
    (224, 130, 190),  # pink
    (0, 178, 130),  # green
    (230, 100, 30),  # vermilion
    (90, 130, 255),  # blue
)
"""Distinct for every kind of colour blindness (Okabe and Ito 2008); some are lighter than in the
source because steel is dark grey."""

_GOLDEN_ANGLE = 0.381966
_SUBPIXEL_BITS = 4


def class_color(index: int) -> tuple[int, int, int]:
    """Return the colour (red, green, blue) of a class; ``index`` counts from 0, without limit."""
    if index < len(_COLORS):
        return _COLORS[index]
    step = index - len(_COLORS)
    channels = colorsys.hsv_to_rgb(step * _GOLDEN_ANGLE % 1, (0.55, 0.85)[step % 2], 0.95)
    red, green, blue = (round(255 * channel) for channel in channels)
    return red, green, blue


def outline(picture: Picture, masks: Masks, *, width: int | None = None) -> NDArray[np.uint8]:
    """Draw the outline of each class on the grey picture: uint8 RGB ``(height, width, 3)``.

    ``picture`` is uint8 ``(height, width)``, ``masks`` bool ``(classes, height, width)``. If given,
    ``width`` is the width to which the picture is scaled first; lines keep their width, and the
    smallest mask is visible. Raises PictureError and MaskError for other types and shapes.
    """
    if picture.dtype != np.uint8 or picture.ndim != 2:
        problem = f"is {picture.dtype} with {picture.ndim} axes"
        raise PictureError("picture", problem, "Give uint8 (height, width)")
    if masks.ndim != 3:
        raise MaskError("masks", f"have {masks.ndim} axes", "Give (classes, height, width)")
    frame = Frame(*picture.shape)
    check_masks(masks, len(masks), frame, "masks")
    scale = 1.0 if width is None else width / frame.width
    canvas = cv2.cvtColor(_scaled(picture, scale), cv2.COLOR_GRAY2RGB)
    lines = [_contours(mask, scale) for mask in masks]
    for contours in lines:
        _draw(canvas, contours, (20, 20, 20), thickness=4)  # a dark rim, for bright steel
    for index, contours in enumerate(lines):
        _draw(canvas, contours, class_color(index), thickness=2)
    return canvas.astype(np.uint8, copy=False)


def _scaled(picture: Picture, scale: float) -> Picture:
    if scale == 1:
        return picture
    height, width = (max(1, round(side * scale)) for side in picture.shape)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(picture, (width, height), interpolation=how).astype(np.uint8, copy=False)


def _contours(mask: NDArray[np.bool_], scale: float) -> list[NDArray[np.int32]]:
    """Return contours, including those of holes, in 1/16 of a pixel of the scaled picture."""
    if not mask.any():
        return []
    plane = np.ascontiguousarray(mask).view(np.uint8)
    contours, _ = cv2.findContours(plane, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    unit = 1 << _SUBPIXEL_BITS
    return [
        np.round(((contour + 0.5) * scale - 0.5) * unit).astype(np.int32) for contour in contours
    ]


def _draw(
    canvas: cv2.typing.MatLike,
    contours: list[NDArray[np.int32]],
    color: tuple[int, int, int],
    thickness: int,
) -> None:
    cv2.polylines(canvas, contours, True, color, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
