"""Crops of strips for training."""

from typing import Annotated, Literal

import cv2
import numpy as np
from pydantic import Field

from steelscan.strip import Frame, Masks, Picture, Share, Spec

STRIDE = 32
"""Height and width of the networks' input must be multiples of this."""

Side = Annotated[int, Field(gt=0, multiple_of=STRIDE)]


class RandomCrop(Spec):
    """A random window; with probability ``defect`` it contains a pixel of a defect.

    It is never larger than the data set's largest strip, rounded up to a multiple of 32. Of a strip
    without defect it is any window (12th, K:114309).
    """

    kind: Literal["random"] = "random"
    height: Side
    width: Side
    defect: Share = 0.0


class WholeStrip(Spec):
    """The whole strip, padded to the data set's largest, rounded up to a multiple of 32."""

    kind: Literal["whole"] = "whole"


class SteelCrop(Spec):
    """A window of steel: a random one, or the left end of the strip if the random one is black.

    It is black if more than ``black`` of its pixels are below ``dark``, or its mean is below
    ``mean``; if the left end is black, too, the right end is used. At least one end always shows
    steel (14th, K:114367 and its code).
    """

    kind: Literal["steel"] = "steel"
    height: Side
    width: Side
    dark: Annotated[int, Field(ge=0, le=255)] = 10
    black: Share = 0.85
    mean: Annotated[float, Field(ge=0, le=255)] = 15.0


Crop = Annotated[RandomCrop | WholeStrip | SteelCrop, Field(discriminator="kind")]


def crop_frame(crop: Crop, largest: Frame) -> Frame:
    """Return the size of the crops for a data set whose largest strip has this frame."""
    whole = padded_frame(largest)
    if isinstance(crop, WholeStrip):
        return whole
    return Frame(min(crop.height, whole.height), min(crop.width, whole.width))


def padded_frame(frame: Frame) -> Frame:
    """Round a frame up to multiples of 32."""
    return Frame(*(-(-side // STRIDE) * STRIDE for side in frame))


def cut(
    picture: Picture, masks: Masks, crop: Crop, frame: Frame, rng: np.random.Generator
) -> tuple[Picture, Masks]:
    """Cut one crop of size ``frame``; smaller strips and masks are padded by mirroring."""
    size = Frame(min(frame.height, picture.shape[0]), min(frame.width, picture.shape[1]))
    top, left = _corner(picture, masks, crop, size, rng)
    window = np.s_[top : top + size.height, left : left + size.width]
    picture, masks = picture[window], masks[:, *window]
    if size == frame:
        return picture, masks
    planes = [pad(mask.view(np.uint8), frame).view(np.bool_) for mask in masks]
    return pad(picture, frame), np.stack(planes)


def pad(plane: Picture, frame: Frame) -> Picture:
    """Extend a plane ``(height, width)`` to the right and downwards by mirroring it."""
    down, right = frame.height - plane.shape[0], frame.width - plane.shape[1]
    if not down and not right:
        return plane
    padded = cv2.copyMakeBorder(np.ascontiguousarray(plane), 0, down, 0, right, cv2.BORDER_REFLECT)
    return padded.astype(np.uint8, copy=False)


def _corner(
    picture: Picture, masks: Masks, crop: Crop, frame: Frame, rng: np.random.Generator
) -> tuple[int, int]:
    """Choose the top left corner of the window."""
    room = np.array(masks.shape[1:], np.int64) - np.array(frame, np.int64)
    if isinstance(crop, RandomCrop) and rng.random() < crop.defect:
        pixels = np.argwhere(masks.any(0))
        if len(pixels):
            pixel = pixels[rng.integers(len(pixels))]
            corner = pixel - [rng.integers(side) for side in frame]
            top, left = np.clip(corner, 0, room)
            return int(top), int(left)
    top, left = (int(offset) for offset in rng.integers(room + 1))
    if isinstance(crop, SteelCrop):
        left = _steel(picture[top : top + frame.height], crop, left, frame.width)
    return top, left


def _steel(rows: Picture, crop: SteelCrop, left: int, width: int) -> int:
    """Return the left side of the window: the given one, or an end if that window is black."""
    right = rows.shape[1] - width
    drawn = rows[:, left : left + width]
    if np.mean(drawn < crop.dark) <= crop.black and drawn.mean() >= crop.mean:
        return left
    return right if np.mean(rows[:, :width] < crop.dark) > crop.black else 0
