"""Frames (the size of a picture), classes, and the types of pictures and masks."""

import re
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from steelscan.strip.errors import Fault, InputError, MaskError
from steelscan.strip.spec import Spec

Picture = NDArray[np.uint8]
"""uint8 ``(height, width)``: one grey strip."""

Mask = NDArray[np.bool_]
"""bool ``(height, width)``: the pixels of one class."""

Masks = NDArray[np.bool_]
"""bool ``(classes, height, width)``: the masks of all classes of one strip."""


_MOST_PIXELS = 178_956_970
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

    @property
    def is_readable(self) -> bool:
        """Whether a picture of this size can be read."""
        return min(self) >= 1 and self.pixels <= _MOST_PIXELS

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse HEIGHTxWIDTH, as 256x1600. Raises InputError."""
        match = re.fullmatch(r"([1-9]\d{0,6})[xX]([1-9]\d{0,6})", text)
        if not match:
            raise InputError("frame", f"is {text!r}", "Give HEIGHTxWIDTH in pixels, as 256x1600")
        return cls(int(match[1]), int(match[2])).checked("frame")

    def checked(self, where: object) -> Self:
        """Return the frame if a picture can have it. Raises MaskError, naming ``where``."""
        if not self.is_readable:
            height, width = (str(side)[:20] for side in self)
            problem = f"gives the picture a height of {height} and a width of {width}"
            remedy = f"Give its size in pixels, at most {_MOST_PIXELS} in all"
            raise MaskError(where, problem, remedy, Fault.UNREADABLE_FILE)
        return self

    def empty_masks(self, classes: int, where: object) -> Masks:
        """Return empty masks, bool ``(classes, height, width)``.

        Raises MaskError, naming ``where``, for an invalid frame, and for more classes than fit into
        the memory that is allowed for one strip.
        """
        self.checked(where)
        if classes * self.pixels > _MOST_IN_MASKS:
            problem = f"needs {classes} masks of {self}, over {_MOST_IN_MASKS >> 30} GiB"
            remedy = "Cut the picture into shorter strips, or use fewer classes"
            raise MaskError(where, problem, remedy)
        return np.zeros((classes, *self), np.bool_)


class Classes(Spec):
    """The defect classes of a data set, in order. Class ids count from 1; 0 is background."""

    MOST: ClassVar = 255
    """As many as an 8-bit index picture can hold; a higher class id is an error."""

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


def check_masks(masks: NDArray[np.generic], classes: int, frame: Frame, where: object) -> None:
    """Raise MaskError, naming ``where``, unless masks are bool ``(classes, height, width)``."""
    expected = (classes, *frame)
    if masks.dtype != np.bool_ or masks.shape != expected:
        raise MaskError(
            where,
            f"masks are {masks.dtype} {masks.shape}, the strip needs bool {expected}",
            "Give one bool mask per class, of the picture's height and width",
        )
