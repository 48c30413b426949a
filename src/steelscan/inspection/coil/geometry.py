"""The table that gives each strip its place: ``image,coil,side,camera,position_m,offset_mm``.

Columns of a picture lie along the coil, rows across it. ``position_m`` is the distance of the first
column from the head in metres, ``offset_mm`` that of the first row from the edge in millimetres;
it is negative for a camera that sees beyond the edge. Optional columns: ``order`` (the number of
the strip, which must ascend with the position), ``mm_per_pixel_along`` and ``mm_per_pixel_across``.
"""

from pathlib import Path

import polars as pl

from steelscan.strip.errors import InputError, TableError
from steelscan.strip.tables import read_rows

_TEXTS = ("image", "coil", "side", "camera")
_NUMBERS = ("position_m", "offset_mm")
_OPTIONAL = ("order", "mm_per_pixel_along", "mm_per_pixel_across")
_REMEDY = f"Give the columns {','.join(_TEXTS + _NUMBERS)}, and if known {', '.join(_OPTIONAL)}"

_FARTHEST = {"position_m": (0.0, 1e6), "offset_mm": (-1e6, 1e6), "order": (0.0, 1e12)}
_SIDES_OF_PIXELS = (1e-3, 1e3)
"""Least and greatest side of a pixel in mm."""


def read_geometry(path: Path) -> pl.DataFrame:
    """Read the places of strips from a CSV file, plain or gzipped, with ``,``, ``;`` or tab.

    Returns image, coil, side, camera (String), position_m, offset_mm, and those of the optional
    columns that the file has (Float64); also ``line``, the line of the file. Backslashes of Windows
    paths become slashes. Rows that repeat another row are kept once.

    Raises TableError, naming the line, for a missing column, an empty image or coil, positions that
    are negative, and for what is not a finite number; and if an image has two different places.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TableError(path, f"cannot be read ({error.strerror})", _REMEDY) from None
    table = read_rows(content, path, _REMEDY)
    there = {column.casefold() for column in table.columns}
    numbers = [*_NUMBERS, *(name for name in _OPTIONAL if name in there)]
    columns = [*_TEXTS, *numbers]
    rows = table.select(columns)
    if not rows:
        raise TableError(path, "has no rows", _REMEDY)
    texts = pl.DataFrame(rows, dict.fromkeys(columns, pl.String), orient="row")
    texts = texts.with_columns(pl.all().str.strip_chars(), line=pl.Series(table.lines))
    _refuse_empty(texts, path)
    places = texts.with_columns(
        pl.col("image").str.replace_all("\\", "/", literal=True),
        *(pl.col(name).cast(pl.Float64, strict=False) for name in numbers),
    )
    for name in numbers:
        _refuse_numbers(texts, places, name, path)
    return _each_once(places, path)


def checked_mm(mm: tuple[float, float]) -> tuple[float, float]:
    """Return the sides of a pixel, along and across, in mm. Raises InputError."""
    low, high = _SIDES_OF_PIXELS
    if not all(low <= side <= high for side in mm):
        problem = f"are {mm[0]:g} and {mm[1]:g} mm"
        raise InputError("sides of a pixel", problem, f"Give values from {low:g} to {high:g} mm")
    return mm


def _refuse_empty(texts: pl.DataFrame, path: Path) -> None:
    for name in ("image", "coil"):
        empty = texts.filter(pl.col(name) == "")
        if not empty.is_empty():
            raise TableError(path, f"row {empty['line'][0]} has no {name}", _REMEDY)


def _refuse_numbers(texts: pl.DataFrame, places: pl.DataFrame, name: str, path: Path) -> None:
    """Raise TableError, naming the first line, for a number out of range or none at all."""
    low, high = _FARTHEST.get(name, _SIDES_OF_PIXELS)
    good = places[name].is_between(low, high).fill_null(value=False)
    if not good.all():
        row = good.to_list().index(False)
        problem = f"row {texts['line'][row]} has the {name} {texts[name][row]!r}"
        remedy = f"Give a number from {low:g} to {high:g}, with a decimal point"
        raise TableError(path, problem, remedy)


def _each_once(places: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Return each image once; raise TableError if one has two different places."""
    distinct = places.unique(pl.exclude("line"), keep="first", maintain_order=True)
    twice = distinct.filter(~pl.col("image").is_first_distinct())
    if not twice.is_empty():
        image, line = twice["image"][0], twice["line"][0]
        first = distinct.filter(pl.col("image") == image)["line"][0]
        problem = f"gives {image} two places, in rows {first} and {line}"
        raise TableError(path, problem, "Keep the row that is right")
    return distinct
