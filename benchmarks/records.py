"""What a finished run predicts on held-out strips, and its cost: one small JSON file per run.

Reports are made from these files, which are kept when the runs are removed. They hold the pixel
counts of each strip, from which all numbers follow, and the predicted masks of the strips that
pictures show.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from measured_runs import cost_of
from steelscan.data import Dataset
from steelscan.data.duplicates import find_groups
from steelscan.evaluation.metrics import Pairs
from steelscan.pipeline import EVALUATED_PARTS, RunFolder, read_evaluated
from steelscan.strip import Masks, decode, encode, label_components
from steelscan.strip.files import write_text
from steelscan.strip.tables import read_mask_table

SHOWN = 2
"""Strips whose masks are kept: enough for the pictures."""


class Result(NamedTuple):
    """What a recipe or the plain U-Net predicts on the held-out strips of a data set."""

    images: tuple[str, ...]
    groups: NDArray[np.int64]
    """int64 ``(strips,)``: near-duplicates have the same number."""
    pairs: Pairs
    strips: int
    """Of the whole data set."""


@dataclass(frozen=True)
class Record:
    """A finished run."""

    cost: Mapping[str, Any]
    """As `measured_runs.cost_of` returns it."""
    networks: int
    changes: Sequence[str] = ()
    """What the budget changed in the recipe."""
    crops: int = 0
    """On which the plain U-Net was fitted."""
    strips: int = 0
    """Of the data set."""
    part: str = "held out"
    """The strips that are evaluated: "out of fold" if none are held out, "" for none at all."""
    images: Sequence[str] = ()
    groups: Sequence[int] = ()
    predicted: Sequence[Sequence[int]] = ()
    """Pixels by strip and class, as `truth` and `shared`, those of both."""
    truth: Sequence[Sequence[int]] = ()
    shared: Sequence[Sequence[int]] = ()
    masks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Name of a strip -> run lengths by class, of the strips that `shown` chooses."""

    @property
    def minutes(self) -> float:
        """The processor time of all cores together, in minutes."""
        return float(self.cost["cpu_seconds"]) / 60

    @property
    def result(self) -> Result:
        """What is predicted. Raises MaskError if there are no strips."""
        counts = (np.array(each, np.int64) for each in (self.predicted, self.truth, self.shared))
        return Result(
            tuple(self.images), np.array(self.groups, np.int64), Pairs(*counts), self.strips
        )


def read_record(path: Path) -> Record | None:
    """Return a record; None if there is no such file."""
    return Record(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def write_record(path: Path, record: Record) -> None:
    """Write a record, a line per field."""
    lines = (f" {json.dumps(key)}: {json.dumps(value)}" for key, value in asdict(record).items())
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def record_of(run: Path, dataset: Dataset) -> Record | None:
    """Return the record of a run of `steelscan train` or of the plain U-Net; None if unfinished.

    Raises RunError if a run keeps no probabilities.
    """
    cost, plain, strips = cost_of(run), run / "pairs.json", len(dataset)
    if plain.exists():
        stored = json.loads(plain.read_text(encoding="utf-8"))
        numbers = dict(zip(dataset.names, find_groups(dataset).numbers.tolist(), strict=True))
        stored["groups"] = [numbers[image] for image in stored["images"]]
        masks = kept_masks(dataset, stored["images"], _of_table(run / "masks.csv", dataset))
        return Record(cost, networks=1, strips=strips, masks=masks, **stored)
    if not (run / "scores.json").exists():
        return None
    folder = RunFolder(run)
    parts, kept = read_evaluated(folder, len(dataset.classes)), dict[str, Any]()
    part = next((each for each in EVALUATED_PARTS if each in parts), None)
    if part is not None:
        evaluated = parts[part]
        kept = {"images": evaluated.images, "groups": evaluated.groups.tolist()}
        for key in ("predicted", "truth", "shared"):
            kept[key] = getattr(evaluated.pairs, key).tolist()
        if part == "held out":
            from steelscan.pipeline import StoredOutputs

            masks_at = StoredOutputs(folder, dataset).masks
            kept["masks"] = kept_masks(dataset, evaluated.images, masks_at)
    networks = len(list(run.rglob("checkpoint.safetensors")))
    changes = folder.load_recipe().changes
    return Record(cost, networks, changes, strips=strips, part=part or "", **kept)


def shown(dataset: Dataset, images: Sequence[str], count: int = SHOWN) -> list[int]:
    """Return the rows of the strips to draw: most classes first, then most pieces, then names.

    The choice depends on the true masks alone.
    """
    rows = [dataset.names.index(image) for image in images]
    pieces = {row: sum(label_components(mask)[1] for mask in dataset.masks(row)) for row in rows}
    rows.sort(key=lambda row: (-dataset.present[row].sum(), -pieces[row], dataset.names[row]))
    return rows[:count]


def kept_masks(
    dataset: Dataset, images: Sequence[str], masks_at: Callable[[int], Masks]
) -> dict[str, list[str]]:
    """Return the run lengths by class of the strips that pictures show, by name."""
    return {
        dataset.names[row]: [encode(mask) for mask in masks_at(row)]
        for row in shown(dataset, images)
    }


def _of_table(table: Path, dataset: Dataset) -> Callable[[int], Masks]:
    """Return what gives the masks of a strip, by its row, from a table of run lengths."""
    rows = read_mask_table(table)

    def of_row(row: int) -> Masks:
        texts = rows.texts(dataset.names[row], len(dataset.classes))
        return np.stack([decode(text, dataset.frames[row]) for text in texts])

    return of_row
