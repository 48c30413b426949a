"""Folds dealt for a data set, or brought by others: written, and laid out for people."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelscan.data import FOLDS_KIND, Dataset, make_folds, origin, read_brought, write_folds
from steelscan.data.duplicates import Groups, Leak, find_groups, leak, random_leak
from steelscan.pages import plain_table
from steelscan.pipeline.folds import _of_parted, _percent
from steelscan.strip import check_output, json_kind, write_json

_LARGEST = 5
"""Groups that are named, the largest ones."""


@dataclass(frozen=True, eq=False)
class FoldsReport:
    """How strips, classes and near-duplicates lie over folds."""

    dataset: Dataset
    groups: Groups
    folds: NDArray[np.int64]
    """int64 ``(strips,)``."""

    parted: Leak
    """What these folds part."""

    random: Leak
    """What as many folds that are dealt without groups are expected to part."""

    seed: int | None = None
    """What the folds were dealt with; None for those that were brought."""

    @property
    def counts(self) -> Mapping[str, NDArray[np.int64]]:
        """Strips of each fold, int64 ``(folds,)``: all, clean ones, those of each class."""
        present = self.dataset.present
        columns = {"strips": np.ones(len(present), np.bool_), "clean": ~present.any(axis=1)}
        columns |= zip(self.dataset.classes.names, present.T, strict=True)
        count = int(self.folds.max()) + 1
        return {
            name: np.bincount(self.folds[held], minlength=count) for name, held in columns.items()
        }

    @property
    def largest(self) -> list[tuple[str, int, list[int]]]:
        """The largest groups of two strips and more: first strip, size, folds."""
        sizes = np.bincount(self.groups.numbers)
        found = [
            int(number)
            for number in np.argsort(-sizes, kind="stable")[:_LARGEST]
            if sizes[number] > 1
        ]
        members = [np.flatnonzero(self.groups.numbers == number) for number in found]
        return [
            (self.dataset.names[each[0]], len(each), sorted(set(self.folds[each].tolist())))
            for each in members
        ]

    def text(self) -> str:
        """A table of the folds, then sentences on near-duplicates."""
        return "\n".join([self._table(), "", *self._sentences()])

    def to_dict(self) -> dict[str, object]:
        """The same for JSON."""
        return {
            "fingerprint": self.dataset.fingerprint,
            "seed": self.seed,
            "folds": int(self.folds.max()) + 1,
            "counts": {name: found.tolist() for name, found in self.counts.items()},
            "deviation": {name: _apart(found) for name, found in self.counts.items()},
            "groups_named": self.groups.named,
            "groups": int(self.groups.numbers.max()) + 1,
            "largest_groups": [
                {"first": first, "strips": size, "folds": folds}
                for first, size, folds in self.largest
            ],
            "parted": self.parted.to_dict(),
            "random_folds_part": self.random.to_dict(),
            "notes": self.groups.notes(self.dataset.names),
        }

    def json(self) -> str:
        """The same as text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def _table(self) -> str:
        counts = self.counts
        rows = [("fold", *counts)]
        rows += [
            (str(fold), *(str(found[fold]) for found in counts.values()))
            for fold in range(int(self.folds.max()) + 1)
        ]
        apart = (f"{off:.1f} ({_percent(off, found.mean())})" for off, found in self._deviations())
        return plain_table([*rows, ("farthest from even", *apart)])

    def _deviations(self) -> list[tuple[float, NDArray[np.int64]]]:
        return [(_apart(found), found) for found in self.counts.values()]

    def _sentences(self) -> list[str]:
        strips, random, parted = len(self.folds), self.random, self.parted
        told = [f"{strips} strips in {int(self.groups.numbers.max()) + 1} groups."]
        if self.largest:
            named = (f"{first} {size}" for first, size, _ in self.largest)
            told[0] += f" Largest, by a strip of each: {', '.join(named)}."
        if self.groups.named:
            told.append("Groups are those of groups.csv; --look finds near-duplicates by sight.")
        told += self.groups.notes(self.dataset.names)
        if not random.all_pairs:
            return [*told, "No near-duplicates: any folds will do."]
        told.append(
            f"Near-duplicates: {random.all_strips} strips "
            f"({_percent(random.all_strips, strips)}) in {random.all_pairs} pairs, "
            f"{random.all_differing} of them with other classes."
        )
        told.append(
            f"RANDOM folds would part {random.pairs:.1f} pairs, {random.differing:.1f} of them "
            f"with other classes: {random.strips:.1f} strips ({_percent(random.strips, strips)}) "
            "would be judged by networks that learned a near-duplicate."
        )
        if not parted.pairs:
            return [*told, "THESE folds part none."]
        found = f"THESE folds part {parted.pairs:.0f} of {parted.all_pairs}"
        return [*told, found + _of_parted(parted, strips)]


def deal_folds(dataset: Dataset, count: int, seed: int, *, look: bool = False) -> FoldsReport:
    """Deal a data set into folds: near-duplicates together, classes and sizes even.

    With ``look`` groups are found although the data set names some. Raises DatasetError when
    there are fewer groups than folds, PictureError.
    """
    groups = find_groups(dataset, look=look)
    return _report(dataset, groups, make_folds(dataset.present, groups.numbers, count, seed), seed)


def check_folds(dataset: Dataset, path: Path, *, look: bool = False) -> FoldsReport:
    """Say what folds that others dealt part, and how even they are.

    Raises TableError and DatasetError for a table that is not of this data, PictureError.
    """
    brought = read_brought(path, dataset)
    return _report(dataset, find_groups(dataset, look=look), brought.numbers)


def check_place(path: Path) -> None:
    """Raise OutputError where `save_folds` would replace what is no table of folds."""
    check_output(path, FOLDS_KIND)
    check_output(origin(path), json_kind("report of steelscan folds", "fingerprint", "deviation"))


def save_folds(report: FoldsReport, path: Path) -> None:
    """Write ``image,group,fold`` as CSV and, beside it, the report as JSON. Raises OutputError."""
    check_place(path)
    write_json(origin(path), report.to_dict())
    write_folds(path, report.dataset.names, report.groups.numbers, report.folds)


def _report(
    dataset: Dataset, groups: Groups, folds: NDArray[np.int64], seed: int | None = None
) -> FoldsReport:
    count = int(folds.max()) + 1
    return FoldsReport(
        dataset,
        groups,
        folds,
        parted=leak(folds, groups.numbers, dataset.present),
        random=random_leak(groups.numbers, dataset.present, count),
        seed=seed,
    )


def _apart(found: NDArray[np.int64]) -> float:
    """How far the fold that is farthest lies from an even share."""
    return float(np.abs(found - found.mean()).max())
