"""One picture's masks between two formats, and the checks that all readers and writers share."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.data.annotations import key, stem
from steelscan.data.formats.polygon import crosses_itself, fill
from steelscan.data.watch import STRICT, Watch
from steelscan.strip import (
    Classes,
    DatasetError,
    Fault,
    Frame,
    Mask,
    MaskError,
    Masks,
    check_masks,
)

_MOST_PIXELS = 178_956_970  # beyond it the pictures themselves are refused


@dataclass(frozen=True, eq=False)
class Labelled:
    """The masks of one picture, in no format."""

    image: str
    """File name of the picture, maybe below folders, with ``/`` between the parts."""

    frame: Frame

    masks: Masks
    """bool ``(classes, height, width)``; masks may overlap and have holes."""

    classes: Classes

    clipped: int = 0
    """How many polygons reached outside the picture and were cut at its border."""

    vanished: int = 0
    """How many polygons cover no pixel's centre, and left nothing."""

    ignored: int = 0
    """How many pixels the file calls neither sound nor defective; they were read as sound."""

    def by_class(self) -> dict[str, Mask]:
        """Mask of each class, bool ``(height, width)``, by the name of the class."""
        return dict(zip(self.classes.names, self.masks, strict=True))


class Loss(NamedTuple):
    """What a format could not say of one mask."""

    image: str
    class_name: str
    pixels: int
    """How many pixels will be read back otherwise than they were."""

    why: str


class Canvas:
    """The masks of one picture while its file is read; each shape adds to its class."""

    def __init__(self, image: str, frame: Frame, classes: Classes, watch: Watch = STRICT) -> None:
        self.classes = classes
        self._image, self._frame, self._watch = image, frame, watch
        self._masks = np.zeros((len(classes), *frame), np.bool_)
        self._clipped = self._vanished = 0

    def polygon(self, class_name: str, points: object, where: object) -> None:
        """Add a polygon, ``(corners, 2)`` of x, y in pixels; see `fill`. Raises MaskError."""
        filled = fill(self._mask(class_name, where), points, where)
        self._clipped += filled.outside
        self._vanished += filled.pixels == 0
        if filled.outside:
            found = "a polygon reaches outside the picture, and is cut there"
            self._watch.note(Fault.POLYGON_OUTSIDE, where, found)
        if not filled.pixels:
            self._watch.note(Fault.EMPTY, where, "a polygon covers no pixel's centre")
        if self._watch.closely and crosses_itself(points):
            found = "sides of a polygon cross: what it winds around twice is outside"
            self._watch.note(Fault.POLYGON_CROSSED, where, found)

    def mask(
        self, class_name: str, mask: Mask, where: object, at: tuple[int, int] = (0, 0)
    ) -> None:
        """Add a mask whose first pixel lies at ``at`` (row, column).

        Raises MaskError when it leaves the frame.
        """
        (top, left), (height, width) = at, mask.shape
        if min(at) < 0 or top + height > self._frame.height or left + width > self._frame.width:
            found = f"a mask of {Frame(height, width)} at row {top}, column {left} leaves the frame"
            again = "Export the annotations again"
            raise MaskError(where, f"{found} {self._frame}", again, Fault.OUTSIDE)
        self._mask(class_name, where)[top : top + height, left : left + width] |= mask
        if not mask.any():
            self._watch.note(Fault.EMPTY, where, "a mask holds no pixel")

    def labelled(self) -> Labelled:
        """Everything added so far."""
        return Labelled(
            self._image, self._frame, self._masks, self.classes, self._clipped, self._vanished
        )

    def _mask(self, class_name: str, where: object) -> Mask:
        if class_name not in self.classes.names:
            found = f"names the class {class_name!r}, known are {', '.join(self.classes.names)}"
            remedy = "Correct the name, or add it to the list of classes"
            raise MaskError(where, found, remedy, Fault.UNKNOWN_CLASS)
        mask: NDArray[np.bool_] = self._masks[self.classes.names.index(class_name)]
        return mask


def make_classes(names: Sequence[str], where: object) -> Classes:
    """Classes by their names. Raises DatasetError when none is named, or one twice."""
    if not names or len(set(names)) != len(names) or not all(names):
        found = "names no class" if not names else "names a class twice, or without a name"
        raise DatasetError(where, found, "Name each class once", Fault.UNREADABLE_FILE)
    return Classes(names=tuple(names))


def make_frame(height: int, width: int, where: object) -> Frame:
    """A frame as a file gives it. Raises MaskError when no picture has that size."""
    if height < 1 or width < 1 or height * width > _MOST_PIXELS:
        found = f"gives the picture a height of {height} and a width of {width}"
        remedy = "Give the size of the picture in pixels"
        raise MaskError(where, found, remedy, Fault.UNREADABLE_FILE)
    return Frame(height, width)


def check_name(name: str, where: object) -> str:
    """A picture's name as it may be used below a folder. Raises DatasetError for all others."""
    parts = name.split("/")
    if (
        not name.isprintable()
        or any(part in ("", ".", "..") for part in parts)
        or "\\" in name
        or PureWindowsPath(name).drive
    ):
        found = f"names the picture {name!r}, which may lie outside the data set"
        remedy = "Name pictures relative to their folder, with / between folders and without .."
        raise DatasetError(where, found, remedy, Fault.UNSAFE_NAME)
    return name


def check_mask_size(where: object, found: Sequence[int], image: str, frame: Frame) -> None:
    """Refuse a mask picture, (height, width), of another size than its picture's frame."""
    if tuple(found) != frame:
        sizes = f"is {Frame(*found)}, its picture {image} is {frame}"
        remedy = "Save both with the same height and width"
        raise MaskError(where, sizes, remedy, Fault.SIZE)


def check_distinct(names: Iterable[str], where: object, watch: Watch = STRICT) -> None:
    """Refuse names that stand twice. Raises DatasetError."""
    seen: set[str] = set()
    for name in names:
        if key(name) in seen:
            found = f"names the picture {name} twice"
            watch.error(DatasetError(where, found, "Keep one of the two", Fault.SAME_NAME))
        seen.add(key(name))


def check_all(
    labelled: Iterable[Labelled], path: Path, by_stem: bool = False, flat: bool = False
) -> Iterator[Labelled]:
    """Hand on what is to be written, checked.

    Raises MaskError for masks that are not bool of their frame, and DatasetError for no picture
    at all, for classes that change on the way, for unsafe names, and for names that the format
    cannot tell apart: equal ones, with ``by_stem`` those with equal stems, with ``flat`` those
    below folders.
    """
    classes: Classes | None = None
    seen: set[str] = set()
    for each in labelled:
        check_name(each.image, path)
        classes = classes or each.classes
        if each.classes != classes:
            remedy = "Give every picture the same classes, in the same order"
            raise DatasetError(path, f"is given other classes with {each.image}", remedy)
        check_masks(each.masks, len(classes), each.frame, each.image)
        if flat and "/" in each.image:
            found = f"is given {each.image}, but this format has no folders"
            raise DatasetError(path, found, "Put all pictures into one folder")
        name = (PurePosixPath(each.image).parent / stem(each.image)).as_posix()
        name = name if by_stem else key(each.image)
        if name in seen:
            found = f"is given {each.image} beside another picture of that name"
            remedy = "Rename one of them: this format knows pictures by their "
            raise DatasetError(path, found, remedy + ("stems" if by_stem else "names"))
        seen.add(name)
        yield each
    if classes is None:
        raise DatasetError(path, "is given no picture", "Convert a data set that has pictures")


def flatten(each: Labelled) -> tuple[NDArray[np.uint8], list[Loss]]:
    """One class a pixel: uint8 ``(height, width)``, 0 or the class id, and what that loses.

    Where masks overlap, the later class stands. Raises DatasetError for over 254 classes.
    """
    if len(each.classes) > 254:
        found = f"has {len(each.classes)} classes, an index picture holds 254"
        raise DatasetError(each.image, found, "Choose a format with one mask a class")
    index = np.zeros(each.frame, np.uint8)
    for class_id, mask in zip(each.classes.ids, each.masks, strict=True):
        index[mask] = class_id
    losses = []
    for class_id, (name, mask) in zip(each.classes.ids, each.by_class().items(), strict=True):
        pixels = int((mask & (index != class_id)).sum())
        if pixels:
            losses.append(Loss(each.image, name, pixels, "lie under the mask of a later class"))
    return index, losses
