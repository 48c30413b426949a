"""A table of which picture has which classes, without masks.

The columns are ``ImageId,has1,has2,...`` with 0 or 1 per class; maybe ``area_pct1,...``, the mask's
share of the picture in per cent, and ``instances1,...``, its number of pieces. Names of classes may
replace the numbers: ``has_scratch``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelscan.strip import Classes
from steelscan.strip.errors import TableError
from steelscan.strip.tables import Table, read_rows

_EXPECTED = "Expected ImageId,has1,has2,... with 0 or 1, and maybe area_pct1,... and instances1,..."
_CLASS = re.compile(r"has([0-9]{1,9}|_.+)")


@dataclass(frozen=True, eq=False)
class LabelTable:
    """The rows of a table of labels."""

    names: tuple[str, ...]
    classes: Classes

    present: NDArray[np.bool_]
    """bool ``(pictures, classes)``."""

    shares: NDArray[np.float64] | None
    """Mask as a share of the picture, float64 ``(pictures, classes)``; None if not listed."""

    pieces: NDArray[np.int64] | None
    """Components of each mask, int64 ``(pictures, classes)``; None if not listed."""


def is_label_table(path: Path) -> bool:
    """Return whether a CSV file has the columns of such a table. Raises TableError."""
    return bool(_class_columns(_read(path).columns))


def read_label_table(path: Path) -> LabelTable:
    """Read a table, plain or gzipped.

    Raises TableError with the file and the row if columns are missing, a cell is not a number, a
    picture is listed twice, or an absent class has an area or pieces.
    """
    table = _read(path)
    keys = _class_columns(table.columns)
    if not keys:
        raise table.source.missing_columns()
    if len(keys) > Classes.MOST:
        problem = f"has columns for {len(keys)} classes"
        raise TableError(path, problem, f"Keep at most {Classes.MOST}")
    names = tuple(name for (name,) in table.select(["ImageId"]))
    _check_names(names, table.lines, path)

    def numbers(stem: str) -> NDArray[np.float64] | None:
        columns = [stem + key for key in keys]
        if not set(columns) <= set(table.columns):
            return None
        rows = zip(table.lines, table.select(columns), strict=True)
        return np.array([_numbers(row, columns, line, path) for line, row in rows])

    has, percent, pieces = numbers("has"), numbers("area_pct"), numbers("instances")
    assert has is not None  # the classes are those of these columns
    _check(has, (has == 0) | (has == 1), "is neither 0 nor 1", table)
    if percent is not None:
        fits = (percent <= 100) & ((has == 1) | (percent == 0))
        _check(percent, fits, "is not an area of that class in per cent", table)
    if pieces is not None:
        whole = pieces == np.round(pieces)
        _check(pieces, whole & ((pieces > 0) == (has == 1)), "is not its number of pieces", table)
    return LabelTable(
        names,
        Classes(names=tuple(key.lstrip("_") for key in keys)),
        has == 1,
        None if percent is None else percent / 100,
        None if pieces is None else pieces.astype(np.int64),
    )


def _read(path: Path) -> Table:
    try:
        return read_rows(path.read_bytes(), path, _EXPECTED)
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise TableError(path, problem, "Choose a readable CSV file") from None


def _class_columns(columns: Sequence[str]) -> list[str]:
    """Return the text after ``has`` in the columns' names, in the order of the classes."""
    keys = [name.removeprefix("has") for name in columns if _CLASS.fullmatch(name)]
    numbered = all(key.isdecimal() for key in keys)
    return sorted(keys, key=int) if numbered else keys


def _check_names(names: tuple[str, ...], lines: Sequence[int], path: Path) -> None:
    earlier: set[str] = set()
    for line, name in zip(lines, names, strict=True):
        if not name or name in earlier:
            problem = f"row {line} has {'no picture' if not name else f'{name} again'}"
            raise TableError(path, problem, "Keep one row per picture")
        earlier.add(name)
    if not names:
        raise TableError(path, "has no rows", "Add one row per picture")


def _numbers(cells: Sequence[str], columns: Sequence[str], line: int, path: Path) -> list[float]:
    values = []
    for cell, column in zip(cells, columns, strict=True):
        try:
            values.append(float(cell))
        except ValueError:
            values.append(np.nan)
        if not (np.isfinite(values[-1]) and values[-1] >= 0):
            problem = f"row {line} has {cell[:40]!r} in the column {column}"
            raise TableError(path, problem, "Write a number of at least 0")
    return values


def _check(values: NDArray[np.float64], fine: NDArray[np.bool_], why: str, table: Table) -> None:
    if not fine.all():
        row, column = (int(at) for at in np.argwhere(~fine)[0])
        problem = f"row {table.lines[row]}, class {column + 1}: {values[row, column]:g} {why}"
        raise TableError(table.source.where, problem, _EXPECTED)
