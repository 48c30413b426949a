"""Cutting crops from strips for training."""

from typing import Annotated, Literal

import cv2
import numpy as np
from pydantic import Field

from steelscan.strip import Frame, Masks, Picture, Spec

STRIDE = 32
"""Sides that the networks take are multiples of this."""

Side = Annotated[int, Field(gt=0, multiple_of=STRIDE)]


class RandomCrop(Spec):
    """A window at a random place; with probability ``defect`` one that holds a defect's pixel.

    It is never larger than the data set's largest strip, rounded up to a multiple of 32.
    A strip without defect gives a window anywhere (12th, K:114309).
    """

    kind: Literal["random"] = "random"
    height: Side
    width: Side
    defect: Annotated[float, Field(ge=0, le=1)] = 0.0


class WholeStrip(Spec):
    """The whole strip, padded to the data set's largest, rounded up to a multiple of 32."""

    kind: Literal["whole"] = "whole"


class SteelCrop(Spec):
    """A window of steel: a random one that is black gives way to the left end of the strip.

    It is black when more than ``black`` of its pixels are under ``dark``, or its mean is under
    ``mean``; when more than ``black`` of the left end are, too, the right end is taken. Steel is
    always seen at one end at least (14th, K:114367 and its code).
    """

    kind: Literal["steel"] = "steel"
    height: Side
    width: Side
    dark: Annotated[int, Field(ge=0, le=255)] = 10
    black: Annotated[float, Field(ge=0, le=1)] = 0.85
    mean: Annotated[float, Field(ge=0, le=255)] = 15.0


Crop = Annotated[RandomCrop | WholeStrip | SteelCrop, Field(discriminator="kind")]


def crop_frame(crop: Crop, largest: Frame) -> Frame:
    """The size of the crops from a data set whose largest strip has this frame."""
    whole = padded_frame(largest)
    if isinstance(crop, WholeStrip):
        return whole
    return Frame(min(crop.height, whole.height), min(crop.width, whole.width))


def padded_frame(frame: Frame) -> Frame:
    """The frame rounded up to the networks' stride."""
    return Frame(*(-(-side // STRIDE) * STRIDE for side in frame))


def cut(
    picture: Picture, masks: Masks, crop: Crop, frame: Frame, rng: np.random.Generator
) -> tuple[Picture, Masks]:
    """Cut one crop of size ``frame``; a smaller strip is padded by mirroring, masks too."""
    inside = Frame(min(frame.height, picture.shape[0]), min(frame.width, picture.shape[1]))
    top, left = _corner(picture, masks, crop, inside, rng)
    window = np.s_[top : top + inside.height, left : left + inside.width]
    picture, masks = picture[window], masks[:, *window]
    if inside == frame:
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
    """The top left corner of the window."""
    room = np.array(masks.shape[1:], np.int64) - np.array(frame, np.int64)
    if isinstance(crop, RandomCrop) and rng.random() < crop.defect:
        found = np.argwhere(masks.any(0))
        if len(found):
            inside = found[rng.integers(len(found))]
            corner = inside - [rng.integers(side) for side in frame]
            top, left = np.clip(corner, 0, room)
            return int(top), int(left)
    top, left = (int(place) for place in rng.integers(room + 1))
    if isinstance(crop, SteelCrop):
        left = _steel(picture[top : top + frame.height], crop, left, frame.width)
    return top, left


def _steel(rows: Picture, crop: SteelCrop, left: int, width: int) -> int:
    """Where the window begins after all, from where it was drawn."""
    right = rows.shape[1] - width
    drawn = rows[:, left : left + width]
    if np.mean(drawn < crop.dark) <= crop.black and drawn.mean() >= crop.mean:
        return left
    return right if np.mean(rows[:, :width] < crop.dark) > crop.black else 0
