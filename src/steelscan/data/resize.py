"""Resize strips and masks to the input size of a network."""

from math import sqrt
from typing import Literal

import cv2
import numpy as np
from pydantic import PositiveInt

from steelscan.strip import Frame, Masks, Picture, Spec


class Shrink(Spec):
    """Scale strips of more than ``pixels`` pixels down to about that many; never up."""

    kind: Literal["shrink"] = "shrink"
    pixels: PositiveInt

    def frame(self, frame: Frame) -> Frame:
        """Return the size of a strip of this frame after resizing."""
        scale = min(1.0, sqrt(self.pixels / frame.pixels))
        return Frame(max(1, round(frame.height * scale)), max(1, round(frame.width * scale)))


def resize_picture(picture: Picture, frame: Frame) -> Picture:
    """Resize a strip; by area if it shrinks, so that thin scratches do not vanish."""
    if picture.shape == frame:
        return picture
    method = cv2.INTER_AREA if frame.pixels < picture.size else cv2.INTER_LINEAR
    return cv2.resize(picture, frame[::-1], interpolation=method).astype(np.uint8, copy=False)


def resize_masks(masks: Masks, frame: Frame) -> Masks:
    """Resize masks; a pixel belongs to a class if at least half of its area does."""
    if masks.shape[1:] == frame:
        return masks
    planes = [
        cv2.resize(mask.view(np.uint8) * 255, frame[::-1], interpolation=cv2.INTER_AREA)
        if mask.any()
        else np.zeros(frame, np.uint8)
        for mask in masks
    ]
    return np.stack(planes) >= 128
