"""Folds of a data set, new or given by the user, with a report on their balance and leak."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from steelscan.data import Dataset, make_folds
from steelscan.data.duplicates import Groups, Leak, find_groups, leak, random_leak
from steelscan.data.folds import FOLDS_KIND, read_given_folds, report_path, write_folds
from steelscan.strip.files import FileKind, check_output, write_text

_LARGEST = 5
"""Number of largest groups in the report."""


class LargeGroup(BaseModel):
    """One of the largest groups of near-duplicates."""

    first: str
    """Its first strip."""

    strips: int
    folds: tuple[int, ...]


class FoldsReport(BaseModel):
    """The folds of a data set, their balance and the near-duplicates that they separate."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    names: tuple[str, ...] = Field(exclude=True, repr=False)
    group_of: NDArray[np.int64] = Field(exclude=True, repr=False)
    """Group of each strip, int64 ``(strips,)``."""

    fold_of: NDArray[np.int64] = Field(exclude=True, repr=False)
    """Fold of each strip, int64 ``(strips,)``."""

    fingerprint: str
    """Fingerprint of the data set."""

    seed: int | None
    """None for given folds."""

    folds: int
    counts: dict[str, tuple[int, ...]]
    """Strips per fold: all, clean, and with each class."""

    deviation: dict[str, float]
    """Largest difference of a fold from the mean of these counts."""

    groups_named: bool
    """Whether the groups are those of ``groups.csv``."""

    groups: int
    largest_groups: tuple[LargeGroup, ...]
    """The largest groups of two or more strips."""

    separated: Leak
    """Near-duplicates that these folds separate."""

    random_folds_separate: Leak
    """Near-duplicates that as many random folds are expected to separate."""

    notes: tuple[str, ...]


def new_folds(dataset: Dataset, count: int, seed: int, *, search: bool = False) -> FoldsReport:
    """Split a data set into balanced folds that keep near-duplicates together.

    With ``search`` near-duplicates are searched even if there is a ``groups.csv``. Raises
    DatasetError if there are fewer groups than folds, PictureError.
    """
    groups = find_groups(dataset, search=search)
    folds = make_folds(dataset.present, groups.numbers, count, seed)
    return _report(dataset, groups, folds, seed)


def check_folds(dataset: Dataset, path: Path, *, search: bool = False) -> FoldsReport:
    """Report on the folds in a table of the user.

    Raises TableError and DatasetError if the table does not belong to this data, PictureError.
    """
    given = read_given_folds(path, dataset)
    return _report(dataset, find_groups(dataset, search=search), given.numbers, None)


def check_folds_path(path: Path) -> None:
    """Raise OutputError if `save_folds` would replace a file that is no table of folds."""
    check_output(path, FOLDS_KIND)
    kind = FileKind.json("report of steelscan folds", "fingerprint", "deviation")
    check_output(report_path(path), kind)


def save_folds(report: FoldsReport, path: Path) -> None:
    """Write ``image,group,fold`` as CSV and, next to it, the report as JSON. Raises OutputError."""
    check_folds_path(path)
    write_text(report_path(path), report.model_dump_json(indent=2) + "\n")
    write_folds(path, report.names, report.group_of, report.fold_of)


def _report(
    dataset: Dataset, groups: Groups, folds: NDArray[np.int64], seed: int | None
) -> FoldsReport:
    count = int(folds.max()) + 1
    counts = _counts(dataset, folds, count)
    return FoldsReport(
        names=dataset.names,
        group_of=groups.numbers,
        fold_of=folds,
        fingerprint=dataset.fingerprint,
        seed=seed,
        folds=count,
        counts={name: tuple(each.tolist()) for name, each in counts.items()},
        deviation={name: float(np.abs(each - each.mean()).max()) for name, each in counts.items()},
        groups_named=groups.named,
        groups=int(groups.numbers.max()) + 1,
        largest_groups=_largest_groups(dataset, groups, folds),
        separated=leak(folds, groups.numbers, dataset.present),
        random_folds_separate=random_leak(groups.numbers, dataset.present, count),
        notes=tuple(groups.notes(dataset.names)),
    )


def _counts(dataset: Dataset, folds: NDArray[np.int64], count: int) -> dict[str, NDArray[np.int64]]:
    """Count the strips of each fold, int64 ``(folds,)``: all, clean, and with each class."""
    present = dataset.present
    members = {"strips": np.ones(len(present), np.bool_), "clean": ~present.any(axis=1)}
    members |= zip(dataset.classes.names, present.T, strict=True)
    return {name: np.bincount(folds[each], minlength=count) for name, each in members.items()}


def _largest_groups(
    dataset: Dataset, groups: Groups, folds: NDArray[np.int64]
) -> tuple[LargeGroup, ...]:
    sizes = np.bincount(groups.numbers)
    largest = [at for at in np.argsort(-sizes, kind="stable")[:_LARGEST].tolist() if sizes[at] > 1]
    members = [np.flatnonzero(groups.numbers == number) for number in largest]
    return tuple(
        LargeGroup(
            first=dataset.names[each[0]],
            strips=len(each),
            folds=tuple(sorted(set(folds[each].tolist()))),
        )
        for each in members
    )
