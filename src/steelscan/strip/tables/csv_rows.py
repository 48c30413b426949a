"""CSV files as rows of text: read strictly, written whole or not at all."""

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
from steelscan.strip.files import replacing

_LONGEST = 1 << 30
"""Most characters of a line: a mask of a long strip has many runs."""

_SMALL = 1 << 28
_DENSEST = 100
"""A gzipped file may unpack to `_SMALL` bytes, or to `_DENSEST` times its size if that is more:
tables shrink to a third or a twentieth."""

_HEADER = 1 << 20
"""Most characters of the header."""

_SEPARATORS = ",;\t"
_NAMED_SEPARATOR = re.compile(r'"?sep=([,;\t|])"?\s*')
"""A line by which Excel names the separator."""

_SHOWN = 10


class CsvRows:
    """The rows of a CSV file, from a path or from its bytes; it can be iterated repeatedly."""

    columns: tuple[str, ...]
    """Names in the header, without spaces around them."""

    def __init__(self, source: Path | bytes, where: object, remedy: str) -> None:
        """Read the header. Raises TableError, naming ``where``, if the file is empty or not CSV."""
        self.where, self._source, self._remedy = where, source, remedy
        self.ended = True
        """Whether the last line that was read ends in a line break."""
        self._separator, self._spaced, self._before = "", False, 0
        self.columns = self._header()

    def positions(self, names: Sequence[str]) -> list[int] | None:
        """The positions of columns, by their names in any case; None if one is missing.

        Raises TableError if a column occurs twice.
        """
        folded = [column.casefold() for column in self.columns]
        wanted = [name.casefold() for name in names]
        if not set(wanted) <= set(folded):
            return None
        twice = [name for name in names if folded.count(name.casefold()) > 1]
        if twice:
            raise TableError(self.where, f"has the column {twice[0]} twice", "Keep one of them")
        return [folded.index(name) for name in wanted]

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the line (of the file, from 1) and the cells of each row that is not empty.

        Raises TableError, naming the line, for rows of another length and if the file is not CSV.
        """
        width = len(self.columns)
        with self._opened() as file:
            reader = csv.reader(
                self._lines(file),
                delimiter=self._separator,
                strict=True,
                skipinitialspace=self._spaced,
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
        """Count the lines below the header; reads the file once."""
        with self._opened() as file:
            return max(sum(1 for _ in self._lines(file)) - self._before, 0)

    def missing_columns(self) -> TableError:
        """Return the error for a header that lacks a column."""
        shown = ", ".join(self.columns[:_SHOWN]) + (", ..." if len(self.columns) > _SHOWN else "")
        return TableError(self.where, f"has the columns {shown}", self._remedy)

    def _header(self) -> tuple[str, ...]:
        with self._opened() as file:
            while line := file.readline(_HEADER):
                if len(line) == _HEADER:
                    raise csv.Error("its header does not end")
                self._before += 1
                named = _NAMED_SEPARATOR.fullmatch(line)
                if named:
                    self._separator = named[1]
                elif line.strip().strip(_SEPARATORS).strip():
                    break
            else:
                raise TableError(self.where, "is empty", self._remedy)
            separators = self._separator or _SEPARATORS
            headers = {each: next(csv.reader([line], delimiter=each)) for each in separators}
        self._separator = max(headers, key=lambda each: len(headers[each]))
        header = headers[self._separator]
        self._spaced = any(cell.startswith(" ") for cell in header[1:])
        names = [cell.strip().strip('"') for cell in header]
        while len(names) > 1 and not names[-1]:
            names.pop()
        return tuple(names)

    def _fitted(self, row: list[str], line: int) -> list[str]:
        """Fit a row of another length than the header; [] if it is empty. Raises TableError."""
        width = len(self.columns)
        if not any(map(str.strip, row)):
            return []
        if len(row) > width and not any(map(str.strip, row[width:])):
            return row[:width]
        problem = f"row {line} has {len(row)} cells, the header has {width}"
        remedy = "Copy or export the file again: it may be cut off"
        if len(row) > width:
            remedy = "Put cells that contain separators in quotes"
        raise TableError(self.where, problem, f"{remedy}. {self._remedy}")

    def _lines(self, file: TextIO) -> Iterator[str]:
        """Yield all lines; raise csv.Error if one is too long, or all of them together."""
        line, total = "\n", 0
        while more := file.readline(min(_LONGEST, self._most + 1 - total)):
            line = more
            total += len(line)
            if len(line) == _LONGEST or total > self._most:
                raise csv.Error("it contains more text than a table of its size can")
            yield line
        self.ended = line[-1] in "\r\n"

    @contextmanager
    def _opened(self) -> Iterator[TextIO]:
        """Open the file as text; errors of reading in the block become TableErrors."""
        csv.field_size_limit(_LONGEST)
        source = self._source
        if isinstance(source, Path) and source.exists() and not source.is_file():
            problem = "cannot be read (it is a folder, a pipe or a device)"
            raise TableError(self.where, problem, self._remedy)  # reading it might never end
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
            problem = f"is not a CSV file ({error})"
            raise TableError(self.where, problem, "Save it in UTF-8") from None
        except csv.Error as error:
            raise TableError(self.where, f"is not a CSV file ({error})", self._remedy) from None


@dataclass(frozen=True)
class Table:
    """A CSV file read whole."""

    source: CsvRows
    rows: list[list[str]]
    """One cell per column."""

    lines: list[int]
    """The line of the file in which each row ends."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names in the header."""
        return self.source.columns

    @property
    def whole(self) -> bool:
        """Whether the last line ends in a line break, as in all files that `write_rows` writes."""
        return self.source.ended

    def select(self, names: Sequence[str]) -> list[list[str]]:
        """The rows with some of the columns, by their names in any case.

        Raises TableError if the header lacks one of them.
        """
        positions = self.source.positions(names)
        if positions is None:
            raise self.source.missing_columns()
        return [[row[position] for position in positions] for row in self.rows]


def read_rows(content: bytes, where: object, remedy: str) -> Table:
    """Read a CSV file, plain or gzipped, as a table of text.

    Raises TableError, naming ``where`` and the line, if it is empty, cut off or not CSV.
    """
    source = CsvRows(content, where, remedy)
    numbered = list(source)
    return Table(source, [row for _, row in numbered], [line for line, _ in numbered])


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file whole or not at all. Raises OutputError."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        quoting = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        for row in rows:
            bare = any("\r" in cell for cell in row if isinstance(cell, str))
            (quoting if bare else writer).writerow(row)  # the writer quotes no carriage return
