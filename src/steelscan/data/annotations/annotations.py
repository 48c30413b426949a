"""The interface of masks on disk, whatever their layout."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from steelscan.strip import Classes, Frame, Masks
from steelscan.strip.errors import STRICT, Fault, FaultPolicy, MaskError
from steelscan.strip.tables import Layout


class Checked(NamedTuple):
    """The result of checking the masks of one strip."""

    present: NDArray[np.bool_]
    """bool ``(classes,)``: which classes have pixels."""

    digest: bytes
    """Hash of the masks."""

    ignored: int = 0
    """Pixels marked as neither defective nor defect-free; they are read as defect-free."""

    odd_palette: bool = False
    """Whether the mask was read by its colours, or its background is not black."""


class StripMasks(NamedTuple):
    """The masks of one strip."""

    masks: Masks
    """bool ``(classes, height, width)``."""

    ignored: int = 0
    """As in `Checked`."""

    incomplete: bool = False
    """Whether masks with faults were left out."""


class Annotations(Protocol):
    """The masks of all strips, by the names of their pictures."""

    folder: str
    """Folder of the pictures."""

    classes: Classes
    layout: Layout

    def check(self, name: str, frame: Frame) -> Checked:
        """Check the masks of a strip. Raises MaskError if they do not fit the frame."""

    def find(self, name: str, frame: Frame, policy: FaultPolicy = STRICT) -> StripMasks:
        """Read the masks of a strip. Raises MaskError, unless ``policy`` has faults left out."""

    def strays(self, names: Iterable[str]) -> list[MaskError]:
        """Return one error per annotation whose picture is not among ``names``."""


def check_mask_size(where: object, shape: Sequence[int], image: str, frame: Frame) -> None:
    """Raise MaskError if a mask file, ``(height, width)``, differs in size from its picture."""
    if tuple(shape) != frame:
        problem = f"is {Frame(*shape)}, its picture {image} is {frame}"
        raise MaskError(where, problem, "Save both with the same height and width", Fault.SIZE)
