"""Masks as index pictures: pixel values are classes."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from steelscan.data.annotations.annotations import Checked, StripMasks, check_mask_size
from steelscan.data.annotations.palettes import Palettes
from steelscan.data.annotations.tables import read_classes, read_ignored
from steelscan.data.files import ByStem, Files, is_picture, plain
from steelscan.data.picture import open_index_picture, read_palette
from steelscan.strip import Frame
from steelscan.strip.errors import (
    STRICT,
    DatasetError,
    Fault,
    FaultLog,
    FaultPolicy,
    MaskError,
    PictureError,
)
from steelscan.strip.tables import Layout


class IndexPictures:
    """Pictures in ``images/``, and masks of the same stems in ``masks/`` with classes as values.

    Value 0 is defect-free steel, the others are those of ``classes.csv``; class ids number them in
    order. Pixels to be ignored (see `read_ignored`) are read as defect-free, and counted. Every
    picture has a mask; that of a clean strip is all 0. A missing one raises an error, because a
    forgotten defect would be read as defect-free steel.
    """

    folder = "images"
    layout: Layout = "joined"

    def __init__(self, files: Files, deep: bool = False) -> None:
        """List the masks directly in ``masks/``; with ``deep`` also those in its folders."""
        named = read_classes(files)
        if named is None:
            remedy = "Add it with the columns value,name: pixel value in masks/ and class name"
            raise DatasetError(files.where("classes.csv"), "is missing", remedy)
        self._values, self.classes = named
        self._known = np.zeros(256, np.bool_)
        self._known[[0, *self._values]] = True
        self._ignored = read_ignored(files)
        if self._ignored is not None:
            self._known[self._ignored] = True
        self._files = files.under("masks")
        values = [0, *self._values, *([self._ignored] if self._ignored is not None else [])]
        self._palettes = Palettes(values, self._values, self._all_palettes)
        names = self._files.walk(links=True) if deep else self._files.names()
        self._names = tuple(filter(is_picture, names))
        stems: dict[str, str] = {}
        for name in self._names:
            other = stems.setdefault(plain(name), name)
            if other != name:
                problem = f"has the same stem as {other}"
                where, remedy = self._files.where(name), "Keep one of the two"
                raise DatasetError(where, problem, remedy, Fault.SAME_NAME)
        self._masks = ByStem(self._names)

    def check(self, name: str, frame: Frame) -> Checked:
        """Check the masks of a strip; see `Annotations`."""
        faults = FaultLog()
        index, counts = self._index(name, frame, faults)
        content = repr((*frame, self._values)).encode() + index.tobytes()
        present = counts[list(self._values)] > 0
        digest = hashlib.sha256(content).digest()
        return Checked(present, digest, self._ignored_in(counts), Fault.BY_COLOUR in faults.counts)

    def find(self, name: str, frame: Frame, policy: FaultPolicy = STRICT) -> StripMasks:
        """Read the masks of a strip; see `Annotations`."""
        index, counts = self._index(name, frame, policy)
        masks = frame.empty_masks(len(self._values), self._files.where(name))
        for value, mask in zip(self._values, masks, strict=True):
            np.equal(index, value, out=mask)
        return StripMasks(masks, self._ignored_in(counts))

    def strays(self, names: Iterable[str]) -> list[MaskError]:
        """Return one error per annotation without a picture; see `Annotations`."""
        pictures = ByStem(names)
        remedy = f"Add it to {self.folder}/, or remove the mask"
        missing = sorted(name for name in self._names if pictures.find(name) is None)
        problem = "is a mask without a picture"
        where = map(self._files.where, missing)
        return [MaskError(each, problem, remedy, Fault.NO_PICTURE) for each in where]

    def _ignored_in(self, counts: NDArray[np.int64]) -> int:
        return int(counts[self._ignored]) if self._ignored is not None else 0

    def _index(
        self, name: str, frame: Frame, policy: FaultPolicy
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the pixel values of a strip's mask, and how many pixels have each value."""
        file = self._masks.find(name)
        if file is None:
            where = self._files.where(plain(name) + ".png")
            remedy = "Add it; the mask of a clean strip is all 0"
            raise MaskError(where, "is missing", remedy, Fault.NO_MASK)
        where = self._files.where(file)
        picture = open_index_picture(self._files.picture_bytes(file, MaskError), where)
        index, note = self._palettes.read(picture, where)
        if note:
            policy.note(Fault.BY_COLOUR, where, note)
        if picture.one_bit and not self._known[1] and self._known[255]:
            index = index * np.uint8(255)  # programs save white with one bit per pixel
        check_mask_size(where, index.shape, name, frame)
        counts = np.bincount(index.reshape(-1), minlength=256)
        strange = np.flatnonzero((counts > 0) & ~self._known)
        if strange.size:
            shown = ", ".join(map(str, strange[:5].tolist()))
            problem = f"has the pixel values {shown}, which are not in classes.csv"
            remedy = (
                f"Add '{strange[0]},NAME' there if it is a class. Save 0 for defect-free steel and "
                "a value of classes.csv for each class, without loss; with a row '255,ignore' "
                "pixels of 255 are read as defect-free"
            )
            raise MaskError(where, problem, remedy, Fault.UNKNOWN_CLASS)
        return index, counts

    def _all_palettes(self) -> Iterator[bytes]:
        for name in self._names:
            with suppress(PictureError, DatasetError), self._files.open(name) as file:
                palette = read_palette(file)
                if palette is not None:
                    yield palette
