"""Frames (the size of a picture), classes, and the types of pictures and masks."""

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
"""Most classes: as many as an 8-bit index picture can hold; a higher class id is an error."""

MOST_PIXELS = 178_956_970
"""Pixels of the largest picture; Pillow refuses pictures beyond it."""

_MOST_IN_MASKS = 1 << 32
"""Most bytes for the masks of one strip: 24 classes of the largest picture."""


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
    """The defect classes of a data set, in order. Class ids count from 1; 0 is background."""

    names: tuple[str, ...]

    @field_validator("names")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names or len(set(names)) != len(names) or not all(names):
            raise ValueError("give at least one class; names must be unique and not empty")
        return names

    def __len__(self) -> int:
        return len(self.names)

    @property
    def ids(self) -> range:
        """The class ids, 1 to the number of classes."""
        return range(1, len(self.names) + 1)


def blank_masks(classes: int, frame: Frame, where: object) -> Masks:
    """Return empty masks, bool ``(classes, height, width)``.

    Raises MaskError, naming ``where``, for an invalid frame, and for more classes than fit into the
    memory that is allowed for one strip.
    """
    check_frame(frame, where)
    if classes * frame.pixels > _MOST_IN_MASKS:
        problem = f"needs {classes} masks of {frame}, over {_MOST_IN_MASKS >> 30} GiB"
        raise MaskError(where, problem, "Cut the picture into shorter strips, or use fewer classes")
    return np.zeros((classes, *frame), np.bool_)


def check_frame(frame: Frame, where: object) -> Frame:
    """Return the frame if a picture can have it. Raises MaskError, naming ``where``."""
    if min(frame) < 1 or frame.pixels > MOST_PIXELS:
        height, width = (str(side)[:20] for side in frame)
        problem = f"gives the picture a height of {height} and a width of {width}"
        remedy = f"Give its size in pixels, at most {MOST_PIXELS} in all"
        raise MaskError(where, problem, remedy, Fault.UNREADABLE_FILE)
    return frame


def check_masks(masks: NDArray[np.generic], classes: int, frame: Frame, where: object) -> None:
    """Raise MaskError, naming ``where``, unless masks are bool ``(classes, height, width)``."""
    expected = (classes, *frame)
    if masks.dtype != np.bool_ or masks.shape != expected:
        raise MaskError(
            where,
            f"masks are {masks.dtype} {masks.shape}, the strip needs bool {expected}",
            "Give one bool mask per class, of the picture's height and width",
        )
