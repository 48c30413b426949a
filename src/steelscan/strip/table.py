"""Tables of run lengths: the competition's CSV files, in both of their layouts.

``joined``: ``ImageId_ClassId,EncodedPixels``, one row for every image and class, empty or not.
``columns``: ``ImageId,ClassId,EncodedPixels``, rows only where there is a defect.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl

from steelscan.strip.errors import TableError
from steelscan.strip.overwriting import table_kind
from steelscan.strip.rows import read_rows, write_rows
from steelscan.strip.runlength import UNREAD

Layout = Literal["joined", "columns"]

_COLUMNS: dict[Layout, list[str]] = {
    "joined": ["ImageId_ClassId", "EncodedPixels"],
    "columns": ["ImageId", "ClassId", "EncodedPixels"],
}


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
        return max((max(row) for row in self.rows.values()), default=0)

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

    Raises TableError, naming the file and the row, for missing columns, class ids that are no
    positive whole number, and rows that stand twice. The run lengths are not looked into.
    """
    name = name or (source if isinstance(source, Path) else "table")
    try:
        content = source.read_bytes() if isinstance(source, Path) else source
    except OSError as error:
        raise TableError(name, f"cannot be read ({error.strerror})", _remedy()) from None
    frame = read_rows(content, name, _remedy())
    for layout, columns in _COLUMNS.items():
        if set(columns) <= set(frame.columns):
            return MaskTable(_rows(frame, layout, name), layout)
    raise TableError(name, f"has the columns {', '.join(frame.columns)}", _remedy())


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


def _rows(frame: "pl.DataFrame", layout: Layout, name: object) -> dict[str, dict[int, str]]:
    if layout == "joined":
        keys = [key.rpartition("_")[::2] for key in frame["ImageId_ClassId"]]
    else:
        keys = list(zip(frame["ImageId"], frame["ClassId"], strict=True))
    rows: dict[str, dict[int, str]] = {}
    for number, ((image, class_text), text) in enumerate(
        zip(keys, frame["EncodedPixels"], strict=True), start=2
    ):
        if not image or not class_text.isdecimal() or int(class_text) < 1:
            found = f"row {number} names image {image!r} and class {class_text!r}"
            raise TableError(name, found, "Give an image name and a class id from 1 up")
        row = rows.setdefault(image, {})
        if int(class_text) in row:
            found = f"row {number} repeats image {image}, class {int(class_text)}"
            raise TableError(name, found, "Keep one row for each image and class")
        row[int(class_text)] = text
    return rows


def _remedy() -> str:
    return "Expected " + " or ".join(",".join(columns) for columns in _COLUMNS.values())
