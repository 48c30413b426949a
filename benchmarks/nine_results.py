"""The records of `scripts/nine`: what each recipe predicts on the held-out strips, and its cost.

A place is a folder with a record per recipe (``first_place.json``). A cross-validation has such a
folder per repeat and fold: ``repeat0-fold3/first_place.json``.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from records import Record, Result, read_record
from steelscan.evaluation.metrics import Pairs
from steelscan.strip.errors import InputError, RunError

PLACES = {
    "first": 1, "third": 3, "fourth": 4, "seventh": 7, "ninth": 9,
    "tenth": 10, "twelfth": 12, "fourteenth": 14, "seventieth": 70,
}  # fmt: skip
NINE = tuple(f"{place}_place" for place in PLACES)
ALL = (*NINE, "quick", "plain_unet")
"""The order of all tables and pictures."""


def records_of(place: Path, name: str) -> list[Record]:
    """Return the records of a recipe: one, or one per fold and repeat; none if it is not done."""
    files = sorted(place.glob(f"repeat*-fold*/{name}.json")) or [place / f"{name}.json"]
    return [record for path in files if (record := read_record(path)) is not None]


def median_minutes(place: Path) -> float | None:
    """Return the median of the core minutes of all runs of the nine; None if there are none."""
    minutes = [record.minutes for name in NINE for record in records_of(place, name)]
    return statistics.median(minutes) if minutes else None


def results_of(place: Path) -> dict[str, Result]:
    """Return the results of all that is done, in the order of the report.

    Raises RunError if their held-out strips differ, or the true masks of these.
    """
    read = {name: read_record(place / f"{name}.json") for name in ALL}
    found = {name: record.result for name, record in read.items() if record and record.images}
    for name, each in found.items():
        first = next(iter(found.values()))
        if each.images != first.images or not np.array_equal(each.pairs.truth, first.pairs.truth):
            problem = f"has other held-out strips than {next(iter(found))}"
            raise RunError(place / name, problem, "Remove one of them, and run it again")
    return found


def repeats_of(place: Path) -> list[dict[str, Result]]:
    """Return the results of each repeat of a cross-validation, with all strips of the data set.

    A recipe is left out of a repeat in which some strips are not predicted yet.
    """
    repeats: dict[str, list[dict[str, Result]]] = {}
    for folder in sorted(place.glob("repeat*-fold*")):
        repeats.setdefault(folder.name.partition("-")[0], []).append(results_of(folder))
    return [_pooled(folds) for folds in repeats.values()]


def label_of(name: str) -> str:
    """Return how a table and a picture name a recipe, the plain U-Net or no prediction."""
    return {"plain_unet": "plain U-Net", "all empty": name}.get(name, f"`{name}`")


def _pooled(folds: Sequence[Mapping[str, Result]]) -> dict[str, Result]:
    """Join the held-out strips of all folds to one prediction of all strips, by name.

    Raises InputError if a strip is held out from two folds of one repeat.
    """
    pooled = {}
    for name in ALL:
        parts = [fold[name] for fold in folds if name in fold]
        images = [image for part in parts for image in part.images]
        if len(set(images)) < len(images):
            problem = f"predicts {len(images) - len(set(images))} strips in two folds"
            raise InputError(name, problem, "Remove the folders of one repeat, and run it again")
        if parts and len(images) == parts[0].strips:
            order = np.argsort(images)
            whole = Pairs(*(np.concatenate(list(each))[order] for each in _columns(parts)))
            groups = np.concatenate([part.groups for part in parts])[order]
            pooled[name] = Result(tuple(sorted(images)), groups, whole, len(images))
    return pooled


def _columns(parts: Sequence[Result]) -> Iterator[list[NDArray[np.int64]]]:
    """Yield predicted, true and shared pixels of the parts."""
    for key in ("predicted", "truth", "shared"):
        yield [getattr(part.pairs, key) for part in parts]
