"""Predictions against truth, both from files. No torch here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Dataset, group_strips, open_dataset, read_index_picture
from steelscan.evaluation import (
    ClassRow,
    Pairs,
    Scores,
    count_pixels,
    pairs_of_tables,
    per_class,
    score,
)
from steelscan.strip import (
    Classes,
    Frame,
    InputError,
    MaskError,
    Masks,
    MaskTable,
    TableError,
    decode,
    read_mask_table,
    track,
)

_NO_FRAME = Frame(2**31, 2**31)
"""Stands for a picture of unknown size: run lengths are then not checked against it."""


@dataclass(frozen=True)
class Judgement:
    """The scores of predictions, those of the all-empty answer, rows a class, and remarks."""

    scores: Scores
    empty: Scores
    classes: list[ClassRow]
    notes: tuple[str, ...]

    def class_table(self) -> str:
        """The rows of the classes as plain text."""
        width = max(len("class"), *(len(row.name) for row in self.classes))
        head = f"{'class':<{width}}  strips with it  missed  false alarms  Dice where defect"
        lines = [
            f"{row.name:<{width}}  {row.positives:>14}  {row.missed:>6}  {row.false_alarms:>12}"
            f"  {row.defect_dice:>17.4f}"
            for row in self.classes
        ]
        return "\n".join([head, *lines])


def score_files(truth: Path, predicted: Path) -> Judgement:
    """Score predictions: a CSV file, or a folder with index PNG masks.

    The truth is a CSV file of run lengths or a data set. A folder of predictions may be what
    `predict` wrote: its ``submission.csv`` is then read. Raises InputError's kin when the two do
    not fit each other.
    """
    if truth.is_file() and truth.suffix != ".zip":
        return _score_tables(read_mask_table(truth), _table(predicted))
    dataset = open_dataset(truth)
    if predicted.is_dir() and not (predicted / "submission.csv").exists():
        names, masks = _pictures(dataset, predicted)
    else:
        names, masks = _texts(dataset, _table(predicted))
    rows = [dataset.names.index(name) for name in names]
    counted = (
        count_pixels(guess, dataset.masks(row)) for row, guess in zip(rows, masks, strict=True)
    )
    pairs = Pairs.of(list(track(counted, "Scoring", len(rows))))
    notes = []
    if len(rows) < len(dataset):
        notes.append(f"{len(dataset) - len(rows)} strips of the data set are not predicted.")
    return _judged(pairs, dataset.classes, group_strips(dataset)[rows], notes)


def _score_tables(truth: MaskTable, predicted: MaskTable) -> Judgement:
    pairs = pairs_of_tables(truth, predicted, _NO_FRAME)
    notes = ["Picture sizes are unknown: run lengths were not checked against them."]
    if "joined" not in (truth.layout, predicted.layout):
        notes.append("Neither file lists clean strips: those that both leave out do not count.")
    return _judged(pairs, Classes(names=tuple(map(str, range(1, pairs.classes + 1)))), None, notes)


def _judged(
    pairs: Pairs, classes: Classes, groups: NDArray[np.int64] | None, notes: Sequence[str]
) -> Judgement:
    return Judgement(
        score(pairs, groups),
        score(pairs.emptied(), groups),
        per_class(pairs, classes),
        tuple(notes),
    )


def _table(predicted: Path) -> MaskTable:
    return read_mask_table(predicted / "submission.csv" if predicted.is_dir() else predicted)


def _texts(dataset: Dataset, table: MaskTable) -> tuple[list[str], Iterator[Masks]]:
    """The strips that a table answers for, and their masks."""
    strange = table.rows.keys() - set(dataset.names)
    if strange:
        found = f"predicts {len(strange)} strips that are not there, such as {min(strange)}"
        raise TableError("prediction", found, f"Predict the strips of {dataset.root}")
    count = len(dataset.classes)
    if table.classes > count:
        found = f"has class {table.classes}, the data set has {count}"
        raise TableError("prediction", found, f"Predict the classes of {dataset.root}")
    named = table.layout == "columns"
    names = [name for name in dataset.names if named or name in table.rows]
    frames = dict(zip(dataset.names, dataset.frames, strict=True))

    def masks() -> Iterator[Masks]:
        for name in names:
            texts = table.texts(name, count)
            yield np.stack([decode(text, frames[name], f"prediction, {name}") for text in texts])

    return names, masks()


def _pictures(dataset: Dataset, folder: Path) -> tuple[list[str], Iterator[Masks]]:
    """The strips that a folder of index PNGs answers for, and their masks."""
    inner = folder / "masks" if (folder / "masks").is_dir() else folder
    paths = {name: inner / f"{Path(name).stem}.png" for name in dataset.names}
    names = [name for name, path in paths.items() if path.exists()]
    if not names:
        found = f"holds no mask of a strip of {dataset.root}"
        raise InputError(inner, found, "Name a folder with a PNG for each strip, of its name")
    ids = np.array(dataset.classes.ids)[:, None, None]

    def masks() -> Iterator[Masks]:
        for name in names:
            index = read_index_picture(paths[name], paths[name])
            if index.max() > len(ids):
                found = f"holds the value {index.max()}, the data set has {len(ids)} classes"
                raise MaskError(paths[name], found, "Store class ids as pixel values")
            yield index == ids

    return names, masks()
