"""Tables of run lengths: the competition's CSV files, in both of their layouts.

``joined``: ``ImageId_ClassId,EncodedPixels``, one row for every image and class, empty or not.
``columns``: ``ImageId,ClassId,EncodedPixels``, one row per defective class; a row with an image
alone, as pandas writes it, marks a clean image.

A row that is cut off is refused. Three cuts cannot be noticed: one between two rows and, if the
last line has no line break, one after a pair of run lengths and one within its last number.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import ClassVar, Literal

from steelscan.strip.errors import TableError
from steelscan.strip.files import FileKind
from steelscan.strip.frame import Classes
from steelscan.strip.runlength import UNREAD
from steelscan.strip.tables.csv_rows import CsvRows, write_rows

Layout = Literal["joined", "columns"]

_COLUMNS: dict[Layout, list[str]] = {
    "joined": ["ImageId_ClassId", "EncodedPixels"],
    "columns": ["ImageId", "ClassId", "EncodedPixels"],
}

_CLASS_ID = re.compile(r"0*([1-9][0-9]*)(?:\.0*)?")
"""A class id; pandas writes 1.0 if another row has no class."""


@dataclass(frozen=True)
class MaskTable:
    """Run lengths of many images: ``rows[image][class id]``, in the order of the file.

    Class ids count from 1. An absent image or class has no row in the file.
    """

    FILE_KIND: ClassVar = FileKind.table("table of run lengths", *_COLUMNS.values())

    rows: dict[str, dict[int, str]]
    layout: Layout

    @property
    def classes(self) -> int:
        """The highest class id that has a row; 0 for an empty table."""
        return max((max(row, default=0) for row in self.rows.values()), default=0)

    @property
    def unread(self) -> frozenset[str]:
        """The images that could not be read when the table was predicted."""
        return frozenset(image for image, row in self.rows.items() if UNREAD in row.values())

    def texts(self, image: str, classes: int) -> tuple[str, ...]:
        """The run lengths of one image, one text per class; empty if the table has no row."""
        row = self.rows.get(image, {})
        return tuple(row.get(class_id, "") for class_id in range(1, classes + 1))


class StreamedMaskTable:
    """A CSV file in either layout, plain or gzipped, read row by row; it can be read repeatedly.

    Iterating requires rows sorted by image; `read_mask_table` takes them in any order.
    """

    def __init__(self, source: Path | bytes, name: object = None) -> None:
        """Read the header. Raises TableError for missing columns."""
        self._name = name or (source if isinstance(source, Path) else "table")
        expected = "Expected " + " or ".join(",".join(columns) for columns in _COLUMNS.values())
        self._rows = CsvRows(source, self._name, expected)
        for layout, columns in _COLUMNS.items():
            positions = self._rows.positions(columns)
            if positions is not None:
                self.layout: Layout = layout
                self._cells = itemgetter(*positions)
                return
        raise self._rows.missing_columns()

    def __iter__(self) -> Iterator[tuple[str, dict[int, str]]]:
        """Yield each image and its run lengths by class id, in ascending order of the images.

        Raises TableError, naming the line, for images that are not sorted, for duplicate rows,
        and for whatever `rows` refuses. Run lengths are not checked.
        """
        last = ""
        of_image: dict[int, str] = {}
        for line, image, class_id, text in self.rows():
            if image != last:
                if of_image:
                    of_image.pop(0, None)
                    yield last, of_image
                    of_image = {}
                if image < last:
                    problem = f"has image {image!r} in row {line} after {last!r}"
                    remedy = "LC_ALL=C sort, or score without --stream"
                    raise TableError(self._name, problem, f"Sort rows by image, as bytes: {remedy}")
                last = image
            self.add(of_image, line, image, class_id, text)
        if last:
            of_image.pop(0, None)
            yield last, of_image

    def rows(self) -> Iterator[tuple[int, str, int, str]]:
        """Yield line, image, class id and run lengths; class 0 marks a clean image.

        Raises TableError, naming the line, for rows that are cut off or too long, for class ids
        that are not whole numbers from 1 to `Classes.MOST`, and for a last row that ends before its
        run lengths: in a line without a line break they may be lost.
        """
        joined = self.layout == "joined"
        ids: dict[str, int] = {}
        line, text = 0, "-"
        for line, row in self._rows:
            *keys, text = self._cells(row)
            image, class_text = keys[0].rpartition("_")[::2] if joined else keys
            class_id = ids.get(class_text)
            if class_id is None:
                class_id = 0 if not class_text.strip() else self._class_id(line, image, class_text)
                ids[class_text] = class_id
            if not image or (not class_id and (joined or text.strip())):
                problem = f"row {line} names image {image[:80]!r} and class {class_text!r}"
                remedy = "Give an image name and a class id of at least 1"
                raise TableError(self._name, problem, remedy)
            yield line, image, class_id, text
        if not text.strip() and not self._rows.ended:
            problem = f"row {line} may be cut off: it has no run lengths and no line break"
            remedy = "Export the file again, or end its last line with a line break if it is whole"
            raise TableError(self._name, problem, remedy)

    def add(self, row: dict[int, str], line: int, image: str, class_id: int, text: str) -> None:
        """Add the run lengths of one class to those of its image.

        Raises TableError for a duplicate row, and for a clean image with classes.
        """
        if class_id in row or (row and (not class_id or 0 in row)):
            problem = f"row {line} repeats image {image}, class {class_id or 'none'}"
            raise TableError(self._name, problem, "Keep one row for each image and class")
        row[class_id] = text

    def count_rows(self) -> int:
        """Count the lines below the header; reads the file once."""
        return self._rows.count()

    def _class_id(self, line: int, image: str, text: str) -> int:
        number = _CLASS_ID.fullmatch(text.strip())
        if number and len(number[1]) <= len(str(Classes.MOST)) and int(number[1]) <= Classes.MOST:
            return int(number[1])
        problem = f"row {line} names image {image[:80]!r} and class {text[:20]!r}"
        remedy = f"Give an image name and a class id from 1 to {Classes.MOST}"
        raise TableError(self._name, problem, remedy)


def read_mask_table(source: Path | bytes, name: object = None) -> MaskTable:
    """Read a CSV file in either layout, plain or gzipped, from a path or from its bytes.

    Raises TableError, naming the file and the line, for duplicate rows and for whatever
    `StreamedMaskTable.rows` refuses. Run lengths are not checked.
    """
    table = StreamedMaskTable(source, name)
    of_image: dict[str, dict[int, str]] = {}
    for line, image, class_id, text in table.rows():
        table.add(of_image.setdefault(image, {}), line, image, class_id, text)
    for row in of_image.values():
        row.pop(0, None)
    return MaskTable(of_image, table.layout)


def write_mask_table(
    path: Path, strips: Iterable[tuple[str, Sequence[str]]], layout: Layout = "joined"
) -> None:
    """Write ``(image, run lengths of each class)`` as CSV, whole or not at all.

    Raises OutputError if the file cannot be written.
    """
    write_rows(path, _COLUMNS[layout], _table_rows(strips, layout))


def _table_rows(
    strips: Iterable[tuple[str, Sequence[str]]], layout: Layout
) -> Iterator[tuple[object, ...]]:
    for image, texts in strips:
        for class_id, text in enumerate(texts, start=1):
            if layout == "joined":
                yield f"{image}_{class_id}", text
            elif text:
                yield image, class_id, text
