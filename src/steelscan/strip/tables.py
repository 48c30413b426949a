"""Tables of run lengths: the competition's CSV files, in both of their layouts.

``joined``: ``ImageId_ClassId,EncodedPixels``, one row for every image and class, empty or not.
``columns``: ``ImageId,ClassId,EncodedPixels``, rows only where there is a defect; a row of an
image alone, as pandas writes it, says that the image is clean.

A row that is cut off is refused. Three cuts cannot be seen: one between two rows, and, where the
last line has no line break, one behind a pair of run lengths and one within its last number.
"""

import csv
import gzip
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, TextIO

from steelscan.strip.errors import TableError
from steelscan.strip.frame import MOST_CLASSES
from steelscan.strip.output import replacing
from steelscan.strip.overwriting import table_kind
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
    rows = MaskRows(source, name)
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


_LONGEST = 1 << 30
"""Characters of a line: a mask of a long strip has many runs."""

_SMALL = 1 << 28
_DENSEST = 100
"""Gzipped files may grow so many times, small ones further: tables grow three to twenty times."""

_HEAD = 1 << 20
"""Characters within which the head stands."""

_SEPARATORS = ",;\t"
_NAMED_SEPARATOR = re.compile(r'"?sep=([,;\t|])"?\s*')
"""A line by which Excel names the separator."""

_SHOWN = 10


class Rows:
    """The rows of a CSV file, from a path or from its content; iterated as often as asked."""

    columns: tuple[str, ...]
    """Names in the head, without spaces around them."""

    def __init__(self, source: Path | bytes, where: object, remedy: str) -> None:
        """Look at the head. Raises TableError, naming ``where``, for what is empty or no CSV."""
        self.where, self._source, self._remedy = where, source, remedy
        self.ended = True
        """Whether the last line that was read ends in a line break."""
        self._separator, self._spaced, self._before = "", False, 0
        self.columns = self._head()

    def places(self, names: Sequence[str]) -> list[int] | None:
        """Where columns stand, by their names in any case; None where the head lacks one."""
        folded = [column.casefold() for column in self.columns]
        wanted = [name.casefold() for name in names]
        if not set(wanted) <= set(folded):
            return None
        twice = [name for name in names if folded.count(name.casefold()) > 1]
        if twice:
            found = f"has the column {twice[0]} twice"
            raise TableError(self.where, found, "Keep one of them")
        return [folded.index(name) for name in wanted]

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Line (of the file, from 1) and cells of each row that is not empty, one a column.

        Raises TableError, naming the line, for rows of another length and for what is no CSV.
        """
        width = len(self.columns)
        with self._opened() as lines:
            reader = csv.reader(
                lines, delimiter=self._separator, strict=True, skipinitialspace=self._spaced
            )
            try:
                for row in islice(reader, self._before, None):
                    if len(row) != width:
                        row = self._fitted(row, reader.line_num)  # noqa: PLW2901
                        if not row:
                            continue
                    elif not row[0] and not any(map(str.strip, row)):
                        continue
                    yield reader.line_num, row
            except csv.Error as error:
                raise csv.Error(f"line {reader.line_num}: {error}") from None

    def count(self) -> int:
        """Lines below the head; the file is read once for it."""
        with self._opened() as lines:
            return max(sum(1 for _ in lines) - self._before, 0)

    def other_columns(self) -> TableError:
        """What to raise where the head lacks a column."""
        shown = ", ".join(self.columns[:_SHOWN]) + (", ..." if len(self.columns) > _SHOWN else "")
        return TableError(self.where, f"has the columns {shown}", self._remedy)

    def _head(self) -> tuple[str, ...]:
        with self._text() as file:
            while line := file.readline(_HEAD):
                if len(line) == _HEAD:
                    raise csv.Error("its head has no end")
                self._before += 1
                named = _NAMED_SEPARATOR.fullmatch(line)
                if named:
                    self._separator = named[1]
                elif line.strip().strip(_SEPARATORS).strip():
                    break
            else:
                raise TableError(self.where, "is empty", self._remedy)
            separators = self._separator or _SEPARATORS
            heads = {each: next(csv.reader([line], delimiter=each)) for each in separators}
        self._separator = max(heads, key=lambda each: len(heads[each]))
        head = heads[self._separator]
        self._spaced = any(cell.startswith(" ") for cell in head[1:])
        names = [cell.strip().strip('"') for cell in head]
        while len(names) > 1 and not names[-1]:
            names.pop()
        return tuple(names)

    def _fitted(self, row: list[str], line: int) -> list[str]:
        """A row of another length than the head; [] for an empty one. Raises TableError."""
        width = len(self.columns)
        if not any(map(str.strip, row)):
            return []
        if len(row) > width and not any(map(str.strip, row[width:])):
            return row[:width]
        found = f"row {line} has {len(row)} cells, the head has {width}"
        remedy = "Copy or export the file again: it may be cut off"
        if len(row) > width:
            remedy = "Put cells that hold separators in quotes"
        raise TableError(self.where, found, f"{remedy}. {self._remedy}")

    @contextmanager
    def _opened(self) -> Iterator[Iterator[str]]:
        with self._text() as file:
            yield self._lines(file)

    def _lines(self, file: TextIO) -> Iterator[str]:
        """All lines, none of them endless."""
        line, total = "\n", 0
        while more := file.readline(min(_LONGEST, self._most + 1 - total)):
            line = more
            total += len(line)
            if len(line) == _LONGEST or total > self._most:
                raise csv.Error("it holds more text than a table of its size can")
            yield line
        self.ended = line[-1] in "\r\n"

    @contextmanager
    def _text(self) -> Iterator[TextIO]:
        """The file as text; all that reading raises in the block becomes a TableError."""
        csv.field_size_limit(_LONGEST)
        source = self._source
        if isinstance(source, Path) and source.exists() and not source.is_file():
            found = "cannot be read (it is a folder, a pipe or a device)"
            raise TableError(self.where, found, self._remedy)  # reading it might never end
        try:
            with source.open("rb") if isinstance(source, Path) else BytesIO(source) as raw:
                start = raw.read(2)
                size = raw.seek(0, 2)
                raw.seek(0)
                zipped = start == b"\x1f\x8b"
                self._most = max(_SMALL, _DENSEST * size) if zipped else size + 1
                content: Any = gzip.GzipFile(fileobj=raw) if zipped else raw
                start = content.read(2)
                content.seek(0)
                wide = start in (b"\xff\xfe", b"\xfe\xff")
                encoding = "utf-16" if wide else "utf-8-sig"
                yield TextIOWrapper(content, encoding=encoding, newline="")
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise TableError(self.where, f"cannot be read ({reason})", self._remedy) from None
        except UnicodeError as error:
            found, remedy = f"is no CSV ({error})", "Save it as CSV in UTF-8"
            raise TableError(self.where, found, remedy) from None
        except csv.Error as error:
            raise TableError(self.where, f"is no CSV ({error})", self._remedy) from None


@dataclass(frozen=True)
class Table:
    """A CSV file read whole."""

    source: Rows
    rows: list[list[str]]
    """One cell a column each."""

    lines: list[int]
    """In which line of the file each row ends."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names in the head."""
        return self.source.columns

    @property
    def whole(self) -> bool:
        """Whether the last line ends in a line break, as in all files that we write."""
        return self.source.ended

    def select(self, names: Sequence[str]) -> list[list[str]]:
        """The rows with some of the columns, by their names in any case.

        Raises TableError when the head lacks one of them.
        """
        places = self.source.places(names)
        if places is None:
            raise self.source.other_columns()
        return [[row[place] for place in places] for row in self.rows]


def read_rows(content: bytes, where: object, remedy: str) -> Table:
    """Read a CSV file, plain or gzipped, as a table of text.

    Raises TableError, naming ``where`` and the line, for what is empty, cut off or no CSV.
    """
    source = Rows(content, where, remedy)
    found = list(source)
    return Table(source, [row for _, row in found], [line for line, _ in found])


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file whole or not at all. Raises OutputError."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        quoting = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for row in rows:
            bare = any("\r" in cell for cell in row if isinstance(cell, str))
            (quoting if bare else writer).writerow(row)  # it takes a carriage return for no break


class StreamedMaskTable:
    """A CSV file in either layout, plain or gzipped, whose rows are sorted by image.

    Iterating gives image and run lengths by class id, an image at a time, as often as asked.
    """

    def __init__(self, path: Path) -> None:
        """Look at the head of the file. Raises TableError for missing columns."""
        self._path = path
        self._rows = MaskRows(path, path)
        self.layout = self._rows.layout

    def __iter__(self) -> Iterator[tuple[str, dict[int, str]]]:
        """Image and run lengths, in rising order of the images.

        Raises TableError, naming the line, for images that are not sorted, for all that
        `MaskRows` refuses, and for rows that stand twice. Run lengths are not looked into.
        """
        last = ""
        of_image: dict[int, str] = {}
        for line, image, class_id, text in self._rows:
            if image != last:
                if of_image:
                    of_image.pop(0, None)
                    yield last, of_image
                    of_image = {}
                if image < last:
                    found = f"has image {image!r} in row {line} after {last!r}"
                    remedy = "LC_ALL=C sort, or score without --stream"
                    remedy = f"Sort its rows by image, as bytes: {remedy}"
                    raise TableError(self._path, found, remedy)
                last = image
            add_row(of_image, self._path, line, image, class_id, text)
        if last:
            of_image.pop(0, None)
            yield last, of_image

    def count_rows(self) -> int:
        """Lines below the head; the file is read once for it."""
        return self._rows.count()
