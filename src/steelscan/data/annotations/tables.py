"""The small tables of a data set: ``classes.csv`` and ``groups.csv``."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from steelscan.data.files import Files, matched
from steelscan.strip import Classes
from steelscan.strip.errors import DatasetError, TableError
from steelscan.strip.tables import read_rows, write_rows

T = TypeVar("T")

_IGNORE = "ignore"


def read_table(content: bytes, columns: Sequence[str], where: object) -> list[tuple[str, ...]]:
    """Read columns of a CSV file as stripped text, one tuple per row.

    Raises TableError if a column is missing, a cell is empty, a row is cut off or the file is no
    CSV.
    """
    table = read_rows(content, where, f"Expected the columns {','.join(columns)}")
    rows = [tuple(map(str.strip, row)) for row in table.select(columns)]
    for line, row in zip(table.lines, rows, strict=True):
        if not all(row):
            raise TableError(where, f"has an empty cell in row {line}", "Fill it")
    return rows


def read_classes(files: Files) -> tuple[tuple[int, ...], Classes] | None:
    """Return pixel values, rising, and classes of ``classes.csv`` (value,name); None without it.

    Rows with value 0 (the background) and with the name ``ignore`` are no classes. Raises
    TableError and DatasetError.
    """
    if not files.exists("classes.csv"):
        return None
    where = files.where("classes.csv")
    names = {value: name for value, name in _values(files).items() if value and name != _IGNORE}
    if not names or len(set(names.values())) != len(names):
        raise TableError(where, "has no class, or one twice", "List each class once")
    values = tuple(sorted(names))
    return values, Classes(names=tuple(names[value] for value in values))


def read_ignored(files: Files) -> int | None:
    """Return the value named ``ignore`` in ``classes.csv``: neither defective nor defect-free."""
    ignored = [value for value, name in _values(files).items() if value and name == _IGNORE]
    return ignored[0] if ignored else None


def write_classes(folder: Path, classes: Classes) -> None:
    """Write ``classes.csv`` for `read_classes`.

    Raises DatasetError if a name has a special meaning there, and OutputError.
    """
    path = folder / "classes.csv"
    for name in classes.names:
        if name != name.strip() or name == _IGNORE:
            problem = f"cannot contain the class {name!r}"
            raise DatasetError(path, problem, "Rename the class, or choose another format")
    write_rows(path, ("value", "name"), zip(classes.ids, classes.names, strict=True))


def _values(files: Files) -> dict[int, str]:
    where = files.where("classes.csv")
    names: dict[int, str] = {}
    for value, name in read_table(files.read("classes.csv"), ("value", "name"), where):
        if not value.isdecimal() or int(value) > 255 or int(value) in names:
            remedy = "Use a different value from 1 to 255 for each class"
            raise TableError(where, f"has the value {value!r} for class {name!r}", remedy)
        names[int(value)] = name
    if list(names.values()).count(_IGNORE) > 1:
        raise TableError(where, f"has two values named {_IGNORE}", "Keep one of them")
    return names


def read_groups(files: Files, names: Sequence[str]) -> tuple[str, ...] | None:
    """Return the group of each picture from ``groups.csv`` (image,group); None without it.

    Images may be named as `matched` allows; those not among ``names`` are ignored. Raises
    TableError, and DatasetError if a picture has no group or two.
    """
    if not files.exists("groups.csv"):
        return None
    where = files.where("groups.csv")
    rows = read_table(files.read("groups.csv"), ("image", "group"), where)
    pairs = [(image, group) for image, group in rows]
    return tuple(one_each(pairs, names, where, "group", "List every picture, or remove the file"))


def one_each(
    rows: Iterable[tuple[str, T]], names: Sequence[str], where: object, what: str, remedy: str
) -> list[T]:
    """Return the value of each picture from rows of image and value, in the order of ``names``.

    Images may be named as `matched` allows; those not among ``names`` are ignored. Raises
    DatasetError, with ``what`` a value is, if a picture has none (and ``remedy``) or two.
    """
    values: dict[str, T] = {}
    for image, value in rows:
        if values.setdefault(image, value) != value:
            raise DatasetError(where, f"puts {image} into two {what}s", "Keep one row per image")
    listed = matched(values, names, where)
    missing = [name for name in names if name not in listed]
    if missing:
        problem = f"has no {what} for {len(missing)} of {len(names)} pictures, as {missing[0]}"
        raise DatasetError(where, problem, remedy)
    return [values[listed[name]] for name in names]
