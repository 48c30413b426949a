"""CSV files as rows of text: read strictly, a row at a time, and written whole or not at all.

What pandas, spreadsheets and editors leave is read: gzip, UTF-8 or UTF-16 with a byte-order mark,
``,`` ``;`` or tabs, quotes, any line ends, spaces behind separators, empty rows, and empty cells
behind the last column. A row with fewer cells than the head, or more, is refused by its line:
files that break off must not pass for files that say less.
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
from pathlib import Path
from typing import Any, TextIO

from steelscan.strip.errors import TableError
from steelscan.strip.output import replacing

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
