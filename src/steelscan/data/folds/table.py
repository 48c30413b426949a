"""Tables of folds: written by steelscan, or given by the user."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelscan.data.annotations.tables import one_each, read_table
from steelscan.data.dataset import Dataset
from steelscan.data.files.names import key
from steelscan.strip.errors import DatasetError, TableError
from steelscan.strip.files import FileKind
from steelscan.strip.tables import read_rows, write_rows

_COLUMNS = ("image", "group", "fold")
_GIVEN_COLUMNS = ("image", "fold")
_DIGITS = 9

FOLDS_KIND = FileKind.table("table of folds", _COLUMNS)


@dataclass(frozen=True, eq=False)
class GivenFolds:
    """The fold of every strip in a table of the user; it may separate near-duplicates."""

    path: Path
    numbers: NDArray[np.int64]
    """int64 ``(strips,)``, from 0 without gaps."""

    digest: str
    """SHA-256 over the strips' names and folds: it changes only if a strip's fold does."""

    @property
    def count(self) -> int:
        """The number of folds."""
        return int(self.numbers.max()) + 1


def write_folds(
    path: Path, names: Sequence[str], groups: NDArray[np.int64], folds: NDArray[np.int64]
) -> None:
    """Write ``image,group,fold`` as CSV, whole or not at all. Raises OutputError."""
    write_rows(path, _COLUMNS, zip(names, groups.tolist(), folds.tolist(), strict=True))


def read_folds(path: Path, names: Sequence[str], *, separated: bool = False) -> NDArray[np.int64]:
    """Read the fold of each strip, int64 ``(strips,)`` in the order of ``names``.

    Rows of other images are ignored. With ``separated`` a group may be in several folds, as in
    given folds. Raises TableError if the file cannot be read or parsed, and DatasetError if a strip
    has no fold or a group is in two folds.
    """
    rows = read_table(_content(path), _COLUMNS, path)
    fold_of_group: dict[str, str] = {}
    for _, group, fold in rows if not separated else ():
        if fold_of_group.setdefault(group, fold) != fold:
            remedy = "Keep near-duplicates in one fold, or scores will be too high"
            raise DatasetError(path, f"splits group {group} over two folds", remedy)
    return _folds_of(path, [(image, fold) for image, _, fold in rows], names)


def read_given_folds(path: Path, dataset: Dataset) -> GivenFolds:
    """Read the folds of a data set's strips from a CSV of ``image,fold``, maybe with ``group``.

    Images may be named as `matched` allows; rows of other images are ignored. Folds are numbered
    from 0. A table with groups, as steelscan writes it, must keep each group in one fold, and if
    there is a ``folds.json`` next to ``folds.csv``, it must belong to this data.

    Raises TableError if the file is no such table, and DatasetError if a strip has no fold or two,
    a number between the folds has no strip, or the table belongs to other data.
    """
    content = _content(path)
    names = [key(name) for name in dataset.names]
    expected = f"Expected the columns {','.join(_GIVEN_COLUMNS)}"
    if "group" in read_rows(content, path, expected).columns:
        _check_fingerprint(path, dataset)
        numbers = read_folds(path, dataset.names)
    else:
        rows = read_table(content, _GIVEN_COLUMNS, path)
        numbers = _folds_of(path, [(image, fold) for image, fold in rows], dataset.names)
    used = np.unique(numbers)
    gaps = np.flatnonzero(used != np.arange(len(used)))
    if gaps.size:
        problem = f"has strips in fold {numbers.max()} and none in fold {gaps[0]}"
        raise DatasetError(path, problem, "Number folds from 0, without gaps")
    rows_of_folds = zip(names, numbers.tolist(), strict=True)
    digest = hashlib.sha256("\n".join(f"{fold} {name}" for name, fold in rows_of_folds).encode())
    return GivenFolds(path, numbers, digest.hexdigest())


def report_path(path: Path) -> Path:
    """Return the path of the report on a table of folds: ``folds.json`` next to ``folds.csv``."""
    return path.with_suffix(".json")


def _check_fingerprint(path: Path, dataset: Dataset) -> None:
    try:
        fingerprint = json.loads(report_path(path).read_bytes())["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # without a report, only the names in the table can be checked
    if fingerprint != dataset.fingerprint:
        problem = f"was made for data {str(fingerprint)[:8]}, this is {dataset.fingerprint[:8]}"
        remedy = "Make folds of this data: steelscan folds DATA --out folds.csv"
        raise DatasetError(path, problem, remedy)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TableError(path, f"cannot be read ({error.strerror})", "Check the path") from error


def _folds_of(
    path: Path, rows: Iterable[tuple[str, str]], names: Sequence[str]
) -> NDArray[np.int64]:
    """Return the fold of each strip, int64 ``(strips,)``, from rows of image and fold as text.

    Raises TableError if a fold is not a number, DatasetError if an image is in two folds or a strip
    is missing.
    """
    numbers: list[tuple[str, int]] = []
    for image, text in rows:
        if not text.isdecimal() or len(text) > _DIGITS:
            raise TableError(path, f"has the fold {text[:20]!r} for {image}", "Number folds from 0")
        numbers.append((image, int(text)))
    folds = one_each(numbers, names, path, "fold", "Use the folds of this data set")
    return np.array(folds, np.int64)
