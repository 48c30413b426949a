"""Tables of run lengths read row by row, for files that are larger than the memory."""

import csv
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import IO

from steelscan.strip.errors import TableError
from steelscan.strip.table import _COLUMNS, Layout, _remedy

_LONGEST = 1 << 30
"""Characters of a cell: a mask of a long strip has many runs."""


class StreamedMaskTable:
    """A CSV file in either layout, plain or gzipped, whose rows are sorted by image.

    Iterating gives image and run lengths by class id, an image at a time, as often as asked.
    """

    def __init__(self, path: Path) -> None:
        """Look at the head of the file. Raises TableError for missing columns."""
        self._path = path
        with _opened(path) as file:
            head = next(csv.reader(file), [])
        for layout, columns in _COLUMNS.items():
            if set(columns) <= set(head):
                self.layout: Layout = layout
                self._places = [head.index(column) for column in columns]
                return
        found = f"has the columns {', '.join(head)}" if head else "is empty"
        raise TableError(path, found, _remedy())

    def __iter__(self) -> Iterator[tuple[str, dict[int, str]]]:
        """Image and run lengths, in rising order of the images.

        Raises TableError, naming the row, for images that are not sorted, for class ids that are
        no positive whole number, and for rows that stand twice. Run lengths are not looked into.
        """
        last = ""
        of_image: dict[int, str] = {}
        for number, (image, class_id, text) in enumerate(self._rows(), start=2):
            if image != last and of_image:
                yield last, of_image
                of_image = {}
            if image < last:
                found = f"has image {image!r} in row {number} after {last!r}"
                remedy = (
                    "Sort its rows by image, as bytes: LC_ALL=C sort, or score without --stream"
                )
                raise TableError(self._path, found, remedy)
            if class_id in of_image:
                found = f"row {number} repeats image {image}, class {class_id}"
                raise TableError(self._path, found, "Keep one row for each image and class")
            last, of_image[class_id] = image, text
        if of_image:
            yield last, of_image

    def count_rows(self) -> int:
        """Lines below the head; the file is read once for it."""
        with _opened(self._path) as file:
            return sum(1 for _ in file) - 1

    def _rows(self) -> Iterator[tuple[str, int, str]]:
        with _opened(self._path) as file:
            reader = csv.reader(file)
            next(reader, None)
            for number, row in enumerate(reader, start=2):
                if not row:
                    continue
                try:
                    cells = [row[place] for place in self._places]
                except IndexError:
                    raise TableError(self._path, f"row {number} is cut short", _remedy()) from None
                image, class_text = cells[:2]
                if self.layout == "joined":
                    image, _, class_text = cells[0].rpartition("_")
                if not image or not class_text.isdecimal() or int(class_text) < 1:
                    found = f"row {number} names image {image!r} and class {class_text!r}"
                    raise TableError(self._path, found, "Give an image name and a class id")
                yield image, int(class_text), cells[-1]


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    csv.field_size_limit(_LONGEST)
    try:
        with path.open("rb") as raw:
            zipped = raw.peek(2)[:2] == b"\x1f\x8b"
            content = gzip.GzipFile(fileobj=raw) if zipped else raw
            yield TextIOWrapper(content, encoding="utf-8-sig", newline="")
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TableError(path, f"cannot be read ({reason})", _remedy()) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(path, f"is no CSV ({error})", _remedy()) from None
