"""Folds that others dealt, brought as a table: published lists, or those of another program."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelscan.data.dataset import Dataset
from steelscan.data.folds import folds_of, read_folds, table_bytes
from steelscan.data.listing import read_table
from steelscan.data.names import key
from steelscan.strip import DatasetError, read_rows

_COLUMNS = ("image", "fold")


@dataclass(frozen=True, eq=False)
class BroughtFolds:
    """The fold of every strip as a table has it; near-duplicates may stand in several."""

    path: Path
    numbers: NDArray[np.int64]
    """int64 ``(strips,)``, each from 0 to one less than there are folds."""

    digest: str
    """SHA-256 over the strips' names and folds: it changes only when a strip's fold does."""

    @property
    def count(self) -> int:
        """How many folds there are."""
        return int(self.numbers.max()) + 1


def read_brought(path: Path, dataset: Dataset) -> BroughtFolds:
    """Read the folds of a data set's strips from a CSV of ``image,fold``, maybe ``group`` too.

    Images may be named as `matched` finds them; those of other strips are passed over.
    Folds are numbered from 0. A table with groups, as steelscan writes, must keep each in one
    fold, and be of this data where ``folds.json`` beside ``folds.csv`` says what it is of.

    Raises TableError for what is no such table, DatasetError when a strip has no fold or two, a
    number between the folds has no strip, or the table is of other data.
    """
    content = table_bytes(path)
    names = [key(name) for name in dataset.names]
    if "group" in read_rows(content, path, f"Expected the columns {','.join(_COLUMNS)}").columns:
        _check_origin(path, dataset)
        numbers = read_folds(path, dataset.names)
    else:
        rows = read_table(content, _COLUMNS, path)
        numbers = folds_of(path, [(image, fold) for image, fold in rows], dataset.names)
    used = np.unique(numbers)
    gaps = np.flatnonzero(used != np.arange(len(used)))
    if gaps.size:
        found = f"puts strips into fold {numbers.max()} and none into fold {gaps[0]}"
        raise DatasetError(path, found, "Number folds from 0, without gaps")
    rows_of_folds = zip(names, numbers.tolist(), strict=True)
    digest = hashlib.sha256("\n".join(f"{fold} {name}" for name, fold in rows_of_folds).encode())
    return BroughtFolds(path, numbers, digest.hexdigest())


def origin(path: Path) -> Path:
    """Where it stands of what data a table of folds is: ``folds.json`` beside ``folds.csv``."""
    return path.with_suffix(".json")


def _check_origin(path: Path, dataset: Dataset) -> None:
    try:
        fingerprint = json.loads(origin(path).read_bytes())["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # a table that travels alone is judged by the names in it
    if fingerprint != dataset.fingerprint:
        found = f"was dealt for data {str(fingerprint)[:8]}, this is {dataset.fingerprint[:8]}"
        raise DatasetError(
            path, found, "Deal this data's own: steelscan folds DATA --out folds.csv"
        )
