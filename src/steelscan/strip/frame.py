"""The size of a picture and the classes of its defects: all that masks need to know."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from steelscan.strip.errors import MaskError
from steelscan.strip.spec import Spec

Picture = NDArray[np.uint8]
"""uint8 ``(height, width)``: one grey strip."""

Mask = NDArray[np.bool_]
"""bool ``(height, width)``: the pixels of one class."""

Masks = NDArray[np.bool_]
"""bool ``(classes, height, width)``: the masks of all classes of one strip."""


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
