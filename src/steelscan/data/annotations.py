"""The masks of a data set, kept as run lengths or as index pictures, asked alike."""

import hashlib
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from steelscan.data.files import Files
from steelscan.data.listing import read_classes
from steelscan.data.picture import read_index_picture
from steelscan.strip import (
    Classes,
    DatasetError,
    Frame,
    Layout,
    MaskError,
    Masks,
    decode,
    read_mask_table,
)
from steelscan.strip.runlength import parse


class Checked(NamedTuple):
    """What opening a data set learns of the masks of one strip."""

    present: NDArray[np.bool_]
    """bool ``(classes,)``: which classes have pixels."""

    digest: bytes
    """A hash of the masks' whole content."""


class Annotations(Protocol):
    """The masks of all strips, by the names of their pictures."""

    folder: str
    """Where the pictures lie."""

    classes: Classes
    layout: Layout

    def check(self, name: str, frame: Frame) -> Checked:
        """Look at the masks of a strip. Raises MaskError when they do not fit the frame."""

    def masks(self, name: str, frame: Frame) -> Masks:
        """Masks of a strip, bool ``(classes, height, width)``. Raises MaskError."""

    def strays(self, names: Iterable[str]) -> list[MaskError]:
        """One error for each annotation whose picture is not among ``names``."""


class RunLengths:
    """A competition folder: ``train_images/`` and ``train.csv``; no row means a clean strip."""

    folder = "train_images"

    def __init__(self, files: Files) -> None:
        self._where = files.where("train.csv")
        table = read_mask_table(files.read("train.csv"), self._where)
        self.layout: Layout = table.layout
        self.classes = _table_classes(files, table.classes, self._where)
        self._texts = {
            key(image): {class_id: text for class_id, text in row.items() if text.strip()}
            for image, row in table.rows.items()
        }

    def check(self, name: str, frame: Frame) -> Checked:
        """Look at the masks of a strip; see `Annotations`."""
        texts = self._texts.get(key(name), {})
        present = np.zeros(len(self.classes), np.bool_)
        for class_id, text in texts.items():
            where = f"{self._where}, {name}, class {class_id}"
            if class_id > len(self.classes):
                found = f"classes.csv ends at class {len(self.classes)}"
                raise MaskError(where, found, "Name the class there, or remove the row")
            present[class_id - 1] = parse(text, frame, where).size > 0
        content = "\n".join(f"{at} {' '.join(texts[at].split())}" for at in sorted(texts))
        return Checked(present, hashlib.sha256(content.encode()).digest())

    def masks(self, name: str, frame: Frame) -> Masks:
        """Masks of a strip; see `Annotations`."""
        masks = np.zeros((len(self.classes), *frame), np.bool_)
        for class_id, text in self._texts.get(key(name), {}).items():
            masks[class_id - 1] = decode(text, frame, f"{self._where}, {name}, class {class_id}")
        return masks

    def strays(self, names: Iterable[str]) -> list[MaskError]:
        """One error for each annotation without a picture; see `Annotations`."""
        missing = self._texts.keys() - {key(name) for name in names}
        remedy = f"Add it to {self.folder}/, or remove its rows"
        return [
            MaskError(image, f"is named in {self._where}, but there is no such picture", remedy)
            for image in sorted(missing)
        ]


class IndexPictures:
    """``images/`` and, of the same stems, ``masks/`` whose pixel values are the classes.

    Value 0 is sound steel, the other values are those of ``classes.csv``; class ids count them
    up in order. Every picture has a mask picture: that of a clean strip is all 0. A missing one
    is refused, because it would turn a forgotten defect into sound steel.
    """

    folder = "images"
    layout: Layout = "joined"

    def __init__(self, files: Files) -> None:
        found = read_classes(files)
        if found is None:
            remedy = "Add it with the columns value,name: pixel value in masks/ and class name"
            raise DatasetError(files.where("classes.csv"), "is missing", remedy)
        self._values, self.classes = found
        self._known = np.zeros(256, np.bool_)
        self._known[[0, *self._values]] = True
        self._files = files.under("masks")
        self._stems: dict[str, str] = {}
        for name in self._files.names():
            other = self._stems.setdefault(stem(name), name)
            if other != name:
                found_twice = f"has the same stem as {other}"
                raise DatasetError(self._files.where(name), found_twice, "Keep one of the two")

    def check(self, name: str, frame: Frame) -> Checked:
        """Look at the masks of a strip; see `Annotations`."""
        index = self._index(name, frame)
        counts = np.bincount(index.reshape(-1), minlength=256)
        strange = np.flatnonzero((counts > 0) & ~self._known)
        if strange.size:
            shown = ", ".join(map(str, strange[:5].tolist()))
            found = f"holds the pixel values {shown}, which classes.csv does not name"
            remedy = "Store 0 for sound steel and a value of classes.csv for each class, losslessly"
            raise MaskError(self._files.where(self._stems[stem(name)]), found, remedy)
        content = repr((*frame, self._values)).encode() + index.tobytes()
        return Checked(counts[list(self._values)] > 0, hashlib.sha256(content).digest())

    def masks(self, name: str, frame: Frame) -> Masks:
        """Masks of a strip; see `Annotations`."""
        index = self._index(name, frame)
        return np.stack([index == value for value in self._values])

    def strays(self, names: Iterable[str]) -> list[MaskError]:
        """One error for each annotation without a picture; see `Annotations`."""
        missing = self._stems.keys() - {stem(name) for name in names}
        remedy = f"Add it to {self.folder}/, or remove the mask"
        return [
            MaskError(self._files.where(self._stems[lost]), "is a mask without a picture", remedy)
            for lost in sorted(missing)
        ]

    def _index(self, name: str, frame: Frame) -> NDArray[np.uint8]:
        file = self._stems.get(stem(name))
        if file is None:
            where = self._files.where(PurePosixPath(name).stem + ".png")
            raise MaskError(where, "is missing", "Add it; the mask of a clean strip is all 0")
        where = self._files.where(file)
        try:
            content = self._files.read(file)
        except DatasetError as error:
            raise MaskError(error.where, error.found, error.remedy) from error
        index = read_index_picture(content, where)
        if index.shape != frame:
            found = f"is {Frame(*index.shape)}, its picture {name} is {frame}"
            raise MaskError(where, found, "Save both with the same height and width")
        return index


def key(name: str) -> str:
    """A file name as tables may write it: Macs store the same accents in another form."""
    return unicodedata.normalize("NFC", name)


def stem(name: str) -> str:
    """The part that a picture and its mask share."""
    return key(PurePosixPath(name).stem)


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
