"""One picture's masks between two formats, and the checks that all readers and writers share."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.data import key, stem
from steelscan.data.files import fault_of
from steelscan.formats.polygon import crosses_itself, fill
from steelscan.strip import (
    MOST_CLASSES,
    STRICT,
    Classes,
    DatasetError,
    Fault,
    Frame,
    InputError,
    Mask,
    MaskError,
    Masks,
    Watch,
    blank_masks,
    check_frame,
    check_masks,
)


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

    boxes: int = 0
    """How many shapes are boxes or ellipses; all of each was filled."""

    incomplete: bool = False
    """Whether so much was left out that the masks say nothing of the picture: it may not pass for
    clean steel."""

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
        self._masks = blank_masks(len(classes), frame, image)
        self._clipped = self._vanished = self._boxes = self._left_out = 0
        self._tags: list[tuple[object, str]] = []

    @contextmanager
    def shape(self) -> Iterator[None]:
        """Draw a shape in a block; one that is wrong is left out if the watch takes its error."""
        try:
            yield
        except InputError as error:
            self._left_out += 1
            self._watch.left_out(error)

    def polygon(self, class_name: str, points: object, where: object) -> None:
        """Add a polygon, ``(corners, 2)`` of x, y in pixels; see `fill`. Raises MaskError."""
        filled = fill(self._mask(class_name, where), points, where)
        if filled.outside and not filled.pixels:
            found = f"a polygon lies outside the picture, which has {self._frame}"
            remedy = "Correct its corners; they may be of a picture of another size"
            raise MaskError(where, found, remedy, Fault.OUTSIDE)
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

    def filled(self, class_name: str, points: object, what: str, where: object) -> None:
        """Add all of a box or an ellipse, given as a polygon. Raises MaskError."""
        self.polygon(class_name, points, where)
        self._boxes += 1
        self._watch.note(Fault.BOX, where, f"is {what}, which says where: all of it is filled")

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

    def tag(self, found: str, where: object) -> None:
        """Add what speaks of the whole picture: passed over if shapes say where, else refused."""
        self._tags.append((where, found))

    def labelled(self) -> Labelled:
        """Everything added so far; incomplete if there were shapes, and none left a pixel.

        Raises MaskError for tags alone, which may speak of a defect.
        """
        drawn = self._masks.any()
        for where, found in self._tags:
            if drawn:
                self._watch.note(Fault.PASSED_OVER, where, found)
                continue
            with self.shape():
                alone = f"{found}, and no shape says where"
                remedy = "Outline the defect, or remove this if the steel is sound"
                raise MaskError(where, alone, remedy, Fault.NO_OUTLINE)
        return Labelled(
            self._image,
            self._frame,
            self._masks,
            self.classes,
            self._clipped,
            self._vanished,
            self._boxes,
            incomplete=self._left_out + self._vanished > 0 and not self._masks.any(),
        )

    def _mask(self, class_name: str, where: object) -> Mask:
        given, class_name = class_name, class_name.strip()
        if given != class_name:
            found = f"names the class {given!r}, which is read as {class_name!r}"
            self._watch.note(Fault.CLASS_NAME, where, found)
        if class_name not in self.classes.names:
            found = f"names the class {class_name!r}, known are {', '.join(self.classes.names)}"
            remedy = "Correct the name, or add it to the list of classes"
            raise MaskError(where, found, remedy, Fault.UNKNOWN_CLASS)
        mask: NDArray[np.bool_] = self._masks[self.classes.names.index(class_name)]
        return mask


def make_classes(names: Sequence[str], where: object) -> Classes:
    """Classes by their names, without blanks around them.

    Raises DatasetError when none is named, one twice or without a name, or more than there can be.
    """
    plain = tuple(name.strip() for name in names)
    if not plain or len(set(plain)) != len(plain) or not all(plain):
        found = "names no class" if not plain else "names a class twice, or without a name"
        raise DatasetError(where, found, "Name each class once", Fault.UNREADABLE_FILE)
    if len(plain) > MOST_CLASSES:
        found = f"names {len(plain)} classes"
        remedy = f"Name at most {MOST_CLASSES}: leave out those that no shape has"
        raise DatasetError(where, found, remedy, Fault.UNREADABLE_FILE)
    return Classes(names=plain)


def confusable(classes: Classes) -> str:
    """What to say of classes whose names differ only in case; "" if there are none."""
    first: dict[str, str] = {}
    pairs = [
        f"{first[name.casefold()]!r} and {name!r}"
        for name in classes.names
        if first.setdefault(name.casefold(), name) != name
    ]
    return f"classes differ only in case: {', '.join(pairs)}" if pairs else ""


def make_frame(height: int, width: int, where: object) -> Frame:
    """A frame as a file gives it. Raises MaskError when no picture has that size."""
    return check_frame(Frame(height, width), where)


def check_name(name: str, where: object) -> str:
    """A picture's name as it may be used below a folder. Raises DatasetError for all others."""
    parts = name.split("/")
    if fault_of(name):
        found = f"names the picture {name[:200]!r}, which {fault_of(name)}"
        raise DatasetError(where, found, "Correct the name", Fault.UNSAFE_NAME)
    if (
        any(part in ("", ".", "..") for part in parts)
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
