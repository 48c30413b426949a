"""Tables of run lengths: the competition's CSV files, in both of their layouts.

``joined``: ``ImageId_ClassId,EncodedPixels``, one row for every image and class, empty or not.
``columns``: ``ImageId,ClassId,EncodedPixels``, rows only where there is a defect; a row of an
image alone, as pandas writes it, says that the image is clean.

A row that is cut off is refused. Three cuts cannot be seen: one between two rows, and, where the
last line has no line break, one behind a pair of run lengths and one within its last number.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Literal

from steelscan.strip.errors import TableError
from steelscan.strip.frame import MOST_CLASSES
from steelscan.strip.overwriting import table_kind
from steelscan.strip.rows import Rows, write_rows
from steelscan.strip.runlength import UNREAD

Layout = Literal["joined", "columns"]

_COLUMNS: dict[Layout, list[str]] = {
    "joined": ["ImageId_ClassId", "EncodedPixels"],
    "columns": ["ImageId", "ClassId", "EncodedPixels"],
}

_CLASS_ID = re.compile(r"0*([1-9][0-9]*)(?:\.0*)?")
"""A class id; pandas writes 1.0 where other rows name none."""


TABLE_KIND = table_kind("table of run lengths", *_COLUMNS.values())
"""A CSV file in either layout."""


@dataclass(frozen=True)
class MaskTable:
    """Run lengths of many images: ``rows[image][class id]``, in the order of the file.

    Class ids count from 1. An image or class that is absent has no row in the file.
    """

    rows: dict[str, dict[int, str]]
    layout: Layout

    @property
    def classes(self) -> int:
        """The highest class id that has a row; 0 for an empty table."""
        return max((max(row, default=0) for row in self.rows.values()), default=0)

    @property
    def unread(self) -> frozenset[str]:
        """The images that could not be read by what predicted them."""
        return frozenset(image for image, row in self.rows.items() if UNREAD in row.values())

    def without_unread(self) -> "MaskTable":
        """The same table without the images that could not be read."""
        unread = self.unread
        kept = {image: row for image, row in self.rows.items() if image not in unread}
        return MaskTable(kept, self.layout)

    def texts(self, image: str, classes: int) -> tuple[str, ...]:
        """The run lengths of one image, one a class; empty where the table has no row."""
        row = self.rows.get(image, {})
        return tuple(row.get(class_id, "") for class_id in range(1, classes + 1))


def read_mask_table(source: Path | bytes, name: object = None) -> MaskTable:
    """Read a CSV file in either layout, plain or gzipped, from a path or from its bytes.

    Raises TableError, naming the file and the line, for all that `MaskRows` refuses, and for rows
    that stand twice. The run lengths are not looked into.
    """
    name = name or (source if isinstance(source, Path) else "table")
    try:
        content = source.read_bytes() if isinstance(source, Path) else source
    except OSError as error:
        raise TableError(name, f"cannot be read ({error.strerror})", _remedy()) from None
    rows = MaskRows(content, name)
    of_image: dict[str, dict[int, str]] = {}
    for line, image, class_id, text in rows:
        add_row(of_image.setdefault(image, {}), name, line, image, class_id, text)
    for row in of_image.values():
        row.pop(0, None)
    return MaskTable(of_image, rows.layout)


class MaskRows:
    """The rows of a CSV file of run lengths in either layout, plain or gzipped, one at a time."""

    def __init__(self, source: Path | bytes, name: object) -> None:
        """Look at the head of the file. Raises TableError for missing columns."""
        self._name = name
        self._rows = Rows(source, name, _remedy())
        for layout, columns in _COLUMNS.items():
            places = self._rows.places(columns)
            if places is not None:
                self.layout: Layout = layout
                self._places = places
                return
        raise self._rows.other_columns()

    def __iter__(self) -> Iterator[tuple[int, str, int, str]]:
        """Line, image, class id and run lengths; class 0 is a row that calls an image clean.

        Raises TableError, naming the line, for rows that are cut off or too long, for class ids
        that are no whole number from 1 to `MOST_CLASSES`, and for a last row that ends before its
        run lengths: in a line without a line break it may have lost them.
        """
        cells = itemgetter(*self._places)
        joined = self.layout == "joined"
        ids: dict[str, int] = {}
        line, text = 0, "-"
        for line, row in self._rows:
            *keys, text = cells(row)
            image, class_text = keys[0].rpartition("_")[::2] if joined else keys
            class_id = ids.get(class_text)
            if class_id is None:
                class_id = 0 if not class_text.strip() else self._class_id(line, image, class_text)
                ids[class_text] = class_id
            if not image or (not class_id and (joined or text.strip())):
                found = f"row {line} names image {image[:80]!r} and class {class_text!r}"
                remedy = "Give an image name and a class id from 1 up"
                raise TableError(self._name, found, remedy)
            yield line, image, class_id, text
        if not text.strip() and not self._rows.ended:
            found = f"row {line} may be cut off: it holds no run lengths and has no line break"
            remedy = "Export the file again; or end its last line with a line break if it is whole"
            raise TableError(self._name, found, remedy)

    def count(self) -> int:
        """Lines below the head; the file is read once for it."""
        return self._rows.count()

    def _class_id(self, line: int, image: str, text: str) -> int:
        number = _CLASS_ID.fullmatch(text.strip())
        if number and len(number[1]) <= len(str(MOST_CLASSES)) and int(number[1]) <= MOST_CLASSES:
            return int(number[1])
        named = f"row {line} names image {image[:80]!r} and class {text[:20]!r}"
        found = f"{named}, which is none from 1 to {MOST_CLASSES}"
        raise TableError(self._name, found, "Give an image name and a class id")


def add_row(
    row: dict[int, str], name: object, line: int, image: str, class_id: int, text: str
) -> None:
    """Add the run lengths of one class to those of its image; class 0 calls it clean.

    Raises TableError for a class that stands there already, and for a clean image with classes.
    """
    if class_id in row or (row and (not class_id or 0 in row)):
        found = f"row {line} repeats image {image}, class {class_id or 'none'}"
        raise TableError(name, found, "Keep one row for each image and class")
    row[class_id] = text


def write_mask_table(
    path: Path, strips: Iterable[tuple[str, Sequence[str]]], layout: Layout = "joined"
) -> None:
    """Write ``(image, run lengths of each class)`` as CSV, whole or not at all.

    Raises OutputError when the file cannot be written.
    """
    write_rows(path, _COLUMNS[layout], _laid_out(strips, layout))


def _laid_out(
    strips: Iterable[tuple[str, Sequence[str]]], layout: Layout
) -> Iterator[tuple[object, ...]]:
    for image, texts in strips:
        for class_id, text in enumerate(texts, start=1):
            if layout == "joined":
                yield f"{image}_{class_id}", text
            elif text:
                yield image, class_id, text


def _remedy() -> str:
    return "Expected " + " or ".join(",".join(columns) for columns in _COLUMNS.values())
