"""The size of a picture and the classes of its defects: all that masks need to know."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from steelscan.strip.errors import MaskError
from steelscan.strip.faults import Fault
from steelscan.strip.spec import Spec

Picture = NDArray[np.uint8]
"""uint8 ``(height, width)``: one grey strip."""

Mask = NDArray[np.bool_]
"""bool ``(height, width)``: the pixels of one class."""

Masks = NDArray[np.bool_]
"""bool ``(classes, height, width)``: the masks of all classes of one strip."""


MOST_CLASSES = 255
"""As many classes as index pictures can tell apart; a class id beyond it is damage."""

MOST_PIXELS = 178_956_970
"""Pixels of the largest picture; Pillow refuses pictures beyond it."""

_MOST_IN_MASKS = 1 << 32
"""Bytes that the masks of one strip may take: 24 classes of the largest picture."""


class Frame(NamedTuple):
    """Height and width of a picture, in pixels; equal to its array's ``shape``."""

    height: int
    width: int

    @property
    def pixels(self) -> int:
        """Number of pixels in the frame."""
        return self.height * self.width

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"


class Classes(Spec):
    """The defect classes of a data set, in order. Class ids count from 1; 0 is sound steel."""

    names: tuple[str, ...]

    @field_validator("names")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names or len(set(names)) != len(names) or not all(names):
            raise ValueError("classes need names that differ, at least one, none of them empty")
        return names

    def __len__(self) -> int:
        return len(self.names)

    @property
    def ids(self) -> range:
        """The class ids, 1 to the number of classes."""
        return range(1, len(self.names) + 1)


def blank_masks(classes: int, frame: Frame, where: object) -> Masks:
    """Masks without a pixel, bool ``(classes, height, width)``.

    Raises MaskError, naming ``where``, for a frame that no picture has, and for more classes of it
    than memory is meant to hold.
    """
    check_frame(frame, where)
    if classes * frame.pixels > _MOST_IN_MASKS:
        found = f"needs {classes} masks of {frame}, over {_MOST_IN_MASKS >> 30} GiB"
        raise MaskError(where, found, "Cut the picture into shorter strips, or leave classes out")
    return np.zeros((classes, *frame), np.bool_)


def check_frame(frame: Frame, where: object) -> Frame:
    """Refuse a size that no picture has. Raises MaskError, naming ``where``."""
    if min(frame) < 1 or frame.pixels > MOST_PIXELS:
        height, width = (str(side)[:20] for side in frame)
        found = f"gives the picture a height of {height} and a width of {width}"
        remedy = f"Give its size in pixels, at most {MOST_PIXELS} in all"
        raise MaskError(where, found, remedy, Fault.UNREADABLE_FILE)
    return frame


def check_masks(masks: NDArray[np.generic], classes: int, frame: Frame, where: object) -> None:
    """Refuse anything but bool ``(classes, height, width)`` of this frame.

    Raises MaskError, naming ``where`` the masks came from.
    """
    expected = (classes, *frame)
    if masks.dtype != np.bool_ or masks.shape != expected:
        raise MaskError(
            where,
            f"masks are {masks.dtype} {masks.shape}, the strip needs bool {expected}",
            "Give one bool plane a class, of the picture's height and width",
        )
