"""Masks as run lengths in ``train.csv``."""

import hashlib
from collections.abc import Iterable

import numpy as np

from steelscan.data.annotations.annotations import Checked, StripMasks
from steelscan.data.annotations.tables import read_classes
from steelscan.data.files import Files, is_picture, matched
from steelscan.strip import Classes, Frame, decode, parse_runs
from steelscan.strip.errors import STRICT, DatasetError, Fault, FaultPolicy, MaskError
from steelscan.strip.tables import Layout, read_mask_table


class RunLengths:
    """Masks in ``train.csv`` of pictures in ``train_images/``; a strip without a row is clean."""

    folder = "train_images"

    def __init__(self, files: Files, pictures: Files | None = None) -> None:
        """Read the table; ``pictures`` replaces the folder next to it."""
        self._where = files.where("train.csv")
        table = read_mask_table(files.read("train.csv"), self._where)
        self.layout: Layout = table.layout
        self.classes = _table_classes(files, table.classes, self._where)
        names = list(filter(is_picture, (pictures or files.under(self.folder)).names()))
        self._rows, self._listed = table.rows, matched(table.rows, names, self._where)
        clean = any(not any(map(str.strip, row.values())) for row in table.rows.values())
        self._most = max(map(len, table.rows.values()), default=0) if clean else 0

    def check(self, name: str, frame: Frame) -> Checked:
        """Check the masks of a strip; see `Annotations`."""
        texts = self._texts(name)
        present = np.zeros(len(self.classes), np.bool_)
        for class_id, text in texts.items():
            where = self._checked_class(name, class_id)
            present[class_id - 1] = parse_runs(text, frame, where).size > 0
        content = "\n".join(f"{at} {' '.join(texts[at].split())}" for at in sorted(texts))
        return Checked(present, hashlib.sha256(content.encode()).digest())

    def find(self, name: str, frame: Frame, policy: FaultPolicy = STRICT) -> StripMasks:
        """Read the masks of a strip; see `Annotations`."""
        masks = frame.empty_masks(len(self.classes), f"{self._where}, {name}")
        incomplete = False
        for class_id, text in self._texts(name).items():
            try:
                where = self._checked_class(name, class_id)
                masks[class_id - 1] = decode(text, frame, where)
            except MaskError as error:
                incomplete = True
                policy.skip(error)
        if self.layout == "joined" and len(self._row(name)) < self._most:
            rows, most = len(self._row(name)), self._most
            problem = f"has {rows} rows in {self._where}, others {most}: is the file cut off?"
            policy.note(Fault.NO_ANNOTATION, name, problem)
        # In the other layout every strip has a row per class, maybe an empty one.
        for class_id, text in self._row(name).items() if self.layout == "columns" else ():
            if not text.strip():
                where = f"{self._where}, {name}, class {class_id}"
                policy.note(
                    Fault.EMPTY, where, "has a row without runs; a clean strip needs no row"
                )
        return StripMasks(masks, incomplete=incomplete)

    def strays(self, names: Iterable[str]) -> list[MaskError]:
        """Return one error per annotation without a picture; see `Annotations`."""
        missing = self._rows.keys() - {self._listed.get(name) for name in names}
        problem = f"is listed in {self._where}, but there is no such picture"
        remedy = f"Add it to {self.folder}/, or remove its rows"
        return [MaskError(image, problem, remedy, Fault.NO_PICTURE) for image in sorted(missing)]

    def _row(self, name: str) -> dict[int, str]:
        return self._rows.get(self._listed.get(name, name), {})

    def _texts(self, name: str) -> dict[int, str]:
        return {class_id: text for class_id, text in self._row(name).items() if text.strip()}

    def _checked_class(self, name: str, class_id: int) -> str:
        where = f"{self._where}, {name}, class {class_id}"
        if class_id > len(self.classes):
            problem = f"is not in classes.csv, which ends at class {len(self.classes)}"
            remedy = "Add the class there, or remove the row"
            raise MaskError(where, problem, remedy, Fault.UNKNOWN_CLASS)
        return where


def _table_classes(files: Files, highest: int, table: str) -> Classes:
    named = read_classes(files)
    if named is None:
        if not highest:
            remedy = "Add classes.csv (value,name) if all strips are clean"
            raise DatasetError(table, "has no class", remedy)
        return Classes(names=tuple(map(str, range(1, highest + 1))))
    values, classes = named
    if values != tuple(classes.ids):
        remedy = f"Number them from 1, as ClassId in {table}"
        raise DatasetError(files.where("classes.csv"), f"has the values {values}", remedy)
    return classes
