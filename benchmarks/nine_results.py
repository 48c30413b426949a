"""What the runs of `scripts/nine` predict on held-out strips, read from their folders."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Dataset, open_dataset
from steelscan.data.duplicates import find_groups
from steelscan.evaluation.metrics import Pairs
from steelscan.pipeline import RunFolder, read_evaluated
from steelscan.strip import Masks, decode
from steelscan.strip.errors import InputError, RunError
from steelscan.strip.tables import read_mask_table

PLACES = {
    "first": 1, "third": 3, "fourth": 4, "seventh": 7, "ninth": 9,
    "tenth": 10, "twelfth": 12, "fourteenth": 14, "seventieth": 70,
}  # fmt: skip
NINE = tuple(f"{place}_place" for place in PLACES)
ALL = (*NINE, "quick", "plain_unet")
"""The order of all tables and pictures."""

MasksOf = Callable[[int], Masks]
"""Returns the masks of a strip of the data set, by its row."""


class Result(NamedTuple):
    """What a recipe or the plain U-Net predicts on the held-out strips of a data set."""

    images: tuple[str, ...]
    groups: NDArray[np.int64]
    """int64 ``(strips,)``: near-duplicates have the same number."""
    pairs: Pairs


def results_of(place: Path, data: Path) -> dict[str, Result]:
    """Return the results of all that is done on a data set, in the order of the report.

    Raises RunError if their held-out strips differ.
    """
    found = {name: result for name in ALL if (result := _result(place / name, data))}
    for name, each in found.items():
        if each.images != next(iter(found.values())).images:
            problem = f"has other held-out strips than {next(iter(found))}"
            raise RunError(place / name, problem, "Remove one of them, and run it again")
    return found


def repeats_of(place: Path, data: Path) -> list[dict[str, Result]]:
    """Return the results of each repeat of a cross-validation, with all strips of the data set.

    The folds of a repeat are its folders ``repeatR-foldK``. A recipe of which some strips are not
    predicted yet is left out of the repeat.
    """
    repeats: dict[str, list[dict[str, Result]]] = {}
    for folder in sorted(place.glob("repeat*-fold*")):
        repeats.setdefault(folder.name.partition("-")[0], []).append(results_of(folder, data))
    return [_pooled(folds, opened(data).names) for folds in repeats.values()]


def folders_of(place: Path, name: str) -> list[Path]:
    """Return the run folders of a recipe on a data set: one, or one per fold and repeat."""
    folds = [folder / name for folder in sorted(place.glob("repeat*-fold*"))]
    return folds or [place / name]


@cache
def opened(data: Path) -> Dataset:
    """Open a data set once."""
    return open_dataset(data)


@cache
def groups_of(data: Path) -> Mapping[str, int]:
    """Return the group of near-duplicates of each strip."""
    dataset = opened(data)
    return dict(zip(dataset.names, find_groups(dataset).numbers.tolist(), strict=True))


def masks_of(run: Path, dataset: Dataset) -> MasksOf | None:
    """Return what gives the predicted masks of a finished run; None if it is not finished.

    Raises RunError if a run keeps no probabilities.
    """
    table = run / "masks.csv"
    if table.exists():
        rows = read_mask_table(table)

        def of_table(row: int) -> Masks:
            texts = rows.texts(dataset.names[row], len(dataset.classes))
            return np.stack([decode(text, dataset.frames[row]) for text in texts])

        return of_table
    if not (run / "scores.json").exists():
        return None
    from steelscan.pipeline import StoredOutputs

    return StoredOutputs(RunFolder(run), dataset).masks


def label_of(name: str) -> str:
    """Return how a table and a picture name a recipe, the plain U-Net or no prediction."""
    return {"plain_unet": "plain U-Net", "all empty": name}.get(name, f"`{name}`")


def _result(run: Path, data: Path) -> Result | None:
    """Return the result of a run; None if it is not finished or holds no strips out."""
    plain = run / "pairs.json"
    if plain.exists():
        stored = json.loads(plain.read_text(encoding="utf-8"))
        groups = [groups_of(data)[image] for image in stored["images"]]
        counts = (np.array(stored[key], np.int64) for key in ("predicted", "truth", "shared"))
        return Result(tuple(stored["images"]), np.array(groups, np.int64), Pairs(*counts))
    if not (run / "scores.json").exists():
        return None
    folder = RunFolder(run)
    part = read_evaluated(folder, len(folder.load_record().classes)).get("held out")
    return part and Result(part.images, part.groups, part.pairs)


def _pooled(folds: Sequence[Mapping[str, Result]], names: Sequence[str]) -> dict[str, Result]:
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
        if sorted(images) == sorted(names):
            order = np.argsort(images)
            whole = Pairs(*(np.concatenate(list(each))[order] for each in _columns(parts)))
            groups = np.concatenate([part.groups for part in parts])[order]
            pooled[name] = Result(tuple(sorted(images)), groups, whole)
    return pooled


def _columns(parts: Sequence[Result]) -> Iterator[list[NDArray[np.int64]]]:
    """Yield predicted, true and shared pixels of the parts."""
    for key in ("predicted", "truth", "shared"):
        yield [getattr(part.pairs, key) for part in parts]
