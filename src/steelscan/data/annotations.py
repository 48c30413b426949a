"""The masks of a data set, kept as run lengths or as index pictures, asked alike."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from steelscan.data.files import Files, is_picture
from steelscan.data.listing import read_classes, read_ignored
from steelscan.data.names import ByStem, matched, plain
from steelscan.data.palettes import Palettes
from steelscan.data.picture import open_index_picture, read_palette
from steelscan.strip import (
    STRICT,
    Classes,
    DatasetError,
    Fault,
    Frame,
    Layout,
    MaskError,
    Masks,
    Noting,
    PictureError,
    Watch,
    blank_masks,
    decode,
    parse,
    read_mask_table,
)


class Checked(NamedTuple):
    """What opening a data set learns of the masks of one strip."""

    present: NDArray[np.bool_]
    """bool ``(classes,)``: which classes have pixels."""

    digest: bytes
    """A hash of the masks' whole content."""

    ignored: int = 0
    """How many pixels are called neither sound nor defective; they are read as sound."""

    odd_palette: bool = False
    """Whether the mask was read by its colours, or has sound steel in another colour than black."""


class Found(NamedTuple):
    """The masks of one strip."""

    masks: Masks
    """bool ``(classes, height, width)``."""

    ignored: int = 0
    """As in `Checked`."""

    incomplete: bool = False
    """Whether masks were left out: those that are there may not pass for all."""


class Annotations(Protocol):
    """The masks of all strips, by the names of their pictures."""

    folder: str
    """Where the pictures lie."""

    classes: Classes
    layout: Layout

    def check(self, name: str, frame: Frame) -> Checked:
        """Look at the masks of a strip. Raises MaskError when they do not fit the frame."""

    def find(self, name: str, frame: Frame, watch: Watch = STRICT) -> Found:
        """Masks of a strip. Raises MaskError, or leaves out what the watch takes."""

    def strays(self, names: Iterable[str]) -> list[MaskError]:
        """One error for each annotation whose picture is not among ``names``."""


class RunLengths:
    """A competition folder: ``train_images/`` and ``train.csv``; no row means a clean strip."""

    folder = "train_images"

    def __init__(self, files: Files, inside: Files | None = None) -> None:
        """Take the pictures that lie ``inside`` a folder, if not in that beside the table."""
        self._where = files.where("train.csv")
        table = read_mask_table(files.read("train.csv"), self._where)
        self.layout: Layout = table.layout
        self.classes = _table_classes(files, table.classes, self._where)
        pictures = list(filter(is_picture, (inside or files.under(self.folder)).names()))
        self._rows, self._listed = table.rows, matched(table.rows, pictures, self._where)
        clean = any(not any(map(str.strip, row.values())) for row in table.rows.values())
        self._most = max(map(len, table.rows.values()), default=0) if clean else 0

    def check(self, name: str, frame: Frame) -> Checked:
        """Look at the masks of a strip; see `Annotations`."""
        texts = self._texts(name)
        present = np.zeros(len(self.classes), np.bool_)
        for class_id, text in texts.items():
            where = self._checked_class(name, class_id)
            present[class_id - 1] = parse(text, frame, where).size > 0
        content = "\n".join(f"{at} {' '.join(texts[at].split())}" for at in sorted(texts))
        return Checked(present, hashlib.sha256(content.encode()).digest())

    def find(self, name: str, frame: Frame, watch: Watch = STRICT) -> Found:
        """Masks of a strip; see `Annotations`."""
        masks = blank_masks(len(self.classes), frame, f"{self._where}, {name}")
        incomplete = False
        for class_id, text in self._texts(name).items():
            try:
                where = self._checked_class(name, class_id)
                masks[class_id - 1] = decode(text, frame, where)
            except MaskError as error:
                incomplete = True
                watch.left_out(error)
        if self.layout == "joined" and len(self._row(name)) < self._most:
            rows, most = len(self._row(name)), self._most
            found = f"has {rows} rows in {self._where}, others {most}: was it cut off?"
            watch.note(Fault.NO_ANNOTATION, name, found)
        # In the other layout every strip has a row for each class, empty or not.
        for class_id, text in self._row(name).items() if self.layout == "columns" else ():
            if not text.strip():
                where = f"{self._where}, {name}, class {class_id}"
                watch.note(Fault.EMPTY, where, "a row holds no run, though clean strips need none")
        return Found(masks, incomplete=incomplete)

    def strays(self, names: Iterable[str]) -> list[MaskError]:
        """One error for each annotation without a picture; see `Annotations`."""
        missing = self._rows.keys() - {self._listed.get(name) for name in names}
        found = f"is named in {self._where}, but there is no such picture"
        remedy = f"Add it to {self.folder}/, or remove its rows"
        return [MaskError(image, found, remedy, Fault.NO_PICTURE) for image in sorted(missing)]

    def _row(self, name: str) -> dict[int, str]:
        return self._rows.get(self._listed.get(name, name), {})

    def _texts(self, name: str) -> dict[int, str]:
        return {class_id: text for class_id, text in self._row(name).items() if text.strip()}

    def _checked_class(self, name: str, class_id: int) -> str:
        where = f"{self._where}, {name}, class {class_id}"
        if class_id > len(self.classes):
            found = f"classes.csv ends at class {len(self.classes)}"
            remedy = "Name the class there, or remove the row"
            raise MaskError(where, found, remedy, Fault.UNKNOWN_CLASS)
        return where


class IndexPictures:
    """``images/`` and, of the same stems, ``masks/`` whose pixel values are the classes.

    Value 0 is sound steel, the other values are those of ``classes.csv``; class ids count them
    up in order. What is to be ignored there (see `read_ignored`) is read as sound, and counted.
    Every picture has a mask picture: that of a clean strip is all 0. A missing one is refused,
    because it would turn a forgotten defect into sound steel.
    """

    folder = "images"
    layout: Layout = "joined"

    def __init__(self, files: Files, deep: bool = False) -> None:
        """Take the masks right in ``masks/``; ``deep`` those below its folders."""
        found = read_classes(files)
        if found is None:
            remedy = "Add it with the columns value,name: pixel value in masks/ and class name"
            raise DatasetError(files.where("classes.csv"), "is missing", remedy)
        self._values, self.classes = found
        self._known = np.zeros(256, np.bool_)
        self._known[[0, *self._values]] = True
        self._ignored = read_ignored(files)
        if self._ignored is not None:
            self._known[self._ignored] = True
        self._files = files.under("masks")
        meant = [0, *self._values, *([self._ignored] if self._ignored is not None else [])]
        self._palettes = Palettes(meant, self._values, self._all_palettes)
        found_files = self._files.walk(links=True) if deep else self._files.names()
        self._names = tuple(filter(is_picture, found_files))
        stems: dict[str, str] = {}
        for name in self._names:
            other = stems.setdefault(plain(name), name)
            if other != name:
                found_twice = f"has the same stem as {other}"
                where, remedy = self._files.where(name), "Keep one of the two"
                raise DatasetError(where, found_twice, remedy, Fault.SAME_NAME)
        self._masks = ByStem(self._names)

    def check(self, name: str, frame: Frame) -> Checked:
        """Look at the masks of a strip; see `Annotations`."""
        told = Noting()
        index, counts = self._index(name, frame, told)
        content = repr((*frame, self._values)).encode() + index.tobytes()
        present = counts[list(self._values)] > 0
        digest = hashlib.sha256(content).digest()
        return Checked(present, digest, self._ignored_in(counts), Fault.BY_COLOUR in told.counts)

    def find(self, name: str, frame: Frame, watch: Watch = STRICT) -> Found:
        """Masks of a strip; see `Annotations`."""
        index, counts = self._index(name, frame, watch)
        masks = blank_masks(len(self._values), frame, self._files.where(name))
        for value, mask in zip(self._values, masks, strict=True):
            np.equal(index, value, out=mask)
        return Found(masks, self._ignored_in(counts))

    def strays(self, names: Iterable[str]) -> list[MaskError]:
        """One error for each annotation without a picture; see `Annotations`."""
        pictures = ByStem(names)
        remedy = f"Add it to {self.folder}/, or remove the mask"
        missing = sorted(name for name in self._names if pictures.find(name) is None)
        lost = [self._files.where(stray) for stray in missing]
        found = "is a mask without a picture"
        return [MaskError(where, found, remedy, Fault.NO_PICTURE) for where in lost]

    def _ignored_in(self, counts: NDArray[np.int64]) -> int:
        return int(counts[self._ignored]) if self._ignored is not None else 0

    def _index(
        self, name: str, frame: Frame, watch: Watch
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Pixel values of a strip's mask, all of them known, and how many pixels have each."""
        file = self._masks.find(name)
        if file is None:
            where = self._files.where(plain(name) + ".png")
            remedy = "Add it; the mask of a clean strip is all 0"
            raise MaskError(where, "is missing", remedy, Fault.NO_MASK)
        where = self._files.where(file)
        try:
            content = self._files.read(file)
        except DatasetError as error:
            raise error.as_(MaskError, Fault.UNREADABLE) from error
        picture = open_index_picture(content, where)
        index, told = self._palettes.read(picture, where)
        if told:
            watch.note(Fault.BY_COLOUR, where, told)
        if picture.one_bit and not self._known[1] and self._known[255]:
            index = index * np.uint8(255)  # white, which programs write with one bit to save space
        if index.shape != frame:
            found = f"is {Frame(*index.shape)}, its picture {name} is {frame}"
            raise MaskError(where, found, "Save both with the same height and width", Fault.SIZE)
        counts = np.bincount(index.reshape(-1), minlength=256)
        strange = np.flatnonzero((counts > 0) & ~self._known)
        if strange.size:
            shown = ", ".join(map(str, strange[:5].tolist()))
            found = f"holds the pixel values {shown}, which classes.csv does not name"
            remedy = (
                f"Write '{strange[0]},NAME' there if it is a class. Store 0 for sound steel and a "
                "value of classes.csv for each class, losslessly; a row '255,ignore' there has "
                "pixels of 255 read as sound"
            )
            raise MaskError(where, found, remedy, Fault.UNKNOWN_CLASS)
        return index, counts

    def _all_palettes(self) -> Iterator[bytes]:
        for name in self._names:
            with suppress(PictureError, DatasetError), self._files.open(name) as file:
                palette = read_palette(file)
                if palette is not None:
                    yield palette


def _table_classes(files: Files, highest: int, table: str) -> Classes:
    found = read_classes(files)
    if found is None:
        if not highest:
            remedy = "Add classes.csv (value,name) if all strips are clean"
            raise DatasetError(table, "names no class", remedy)
        return Classes(names=tuple(map(str, range(1, highest + 1))))
    values, classes = found
    if values != tuple(classes.ids):
        remedy = f"Number them from 1, as ClassId in {table}"
        raise DatasetError(files.where("classes.csv"), f"numbers the classes {values}", remedy)
    return classes
