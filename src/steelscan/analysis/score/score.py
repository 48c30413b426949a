"""Predictions against truth, both from files. No torch here."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelscan.data import Dataset, open_dataset, open_index_picture
from steelscan.data.duplicates import group_strips
from steelscan.data.files import called_otherwise
from steelscan.evaluation.metrics import (
    ClassRow,
    Defects,
    Expected,
    Overlap,
    Pairs,
    Reliability,
    Scores,
    SizeRow,
    by_size,
    count_pixels,
    defects_of,
    expected_dice,
    overlaps,
    pairs_of_tables,
    per_class,
    score,
)
from steelscan.evaluation.statistics import Estimate
from steelscan.pages import plain_table
from steelscan.strip import (
    Classes,
    Frame,
    InputError,
    MaskError,
    Masks,
    MaskTable,
    TableError,
    check_frame,
    decode,
    read_mask_table,
    track,
)

NO_FRAME = Frame(2**31, 2**31)
"""Stands for a picture of unknown size: run lengths are then not checked against it."""


@dataclass(frozen=True)
class Asked:
    """What is wanted beside the five numbers."""

    frame: Frame | None = None
    """The size of every picture, where the truth is a table that does not know it."""
    mm_per_pixel: float | None = None
    expected: Expected | None = None
    """How frequent classes are where the answer is to be scored."""


@dataclass(frozen=True)
class Judgement:
    """The scores of predictions, those of the all-empty answer, rows a class, and remarks."""

    scores: Scores
    empty: Scores
    classes: list[ClassRow]
    notes: tuple[str, ...]
    overlaps: Sequence[Overlap] = ()
    """Of each class, and last their mean."""
    parts: Mapping[str, Scores] = field(default_factory=dict)
    """Of a run: the strips held out, and those out of fold."""
    folds: Mapping[int, Scores] = field(default_factory=dict)
    sizes: Sequence[SizeRow] | None = None
    """Defects by size; None where the sizes of pictures are not known."""
    unit: str = "px"
    expected: float | None = None
    """Mean Dice where classes are as frequent as was asked."""
    reliability: Mapping[str, Reliability] = field(default_factory=dict)
    """Of the probabilities of classes on whole strips, where a run has them."""
    unread: Sequence[str] = ()
    """Strips that could not be read by what predicted them: they count nowhere else."""

    def class_table(self) -> str:
        """The rows of the classes as plain text."""
        head = ("class", "strips with it", "missed", "false alarms", "Dice where defect")
        return plain_table(
            [
                head,
                *(
                    (
                        row.name,
                        *map(str, (row.positives, row.missed, row.false_alarms)),
                        Estimate(row.defect_dice).text(),
                    )
                    for row in self.classes
                ),
            ]
        )


class Counted:
    """The pixels and the defects of strips, counted one after another."""

    def __init__(self) -> None:
        self._pixels: list[NDArray[np.int64]] = []
        self.defects: list[Defects] = []

    def add(self, predicted: Masks, truth: Masks) -> None:
        """Count a strip. Raises MaskError when the two do not fit each other."""
        self._pixels.append(count_pixels(predicted, truth))
        self.defects.append(defects_of(predicted, truth))

    @property
    def pairs(self) -> Pairs:
        """The pixels of all strips."""
        return Pairs.of(self._pixels)


def score_files(truth: Path, predicted: Path, asked: Asked | None = None) -> Judgement:
    """Score predictions: a CSV file, a folder with index PNG masks, or a run.

    The truth is a CSV file of run lengths or a data set. A folder of predictions may be what
    `predict` wrote: its ``submission.csv`` is then read. A run whose data the truth is, is judged
    by what it said of strips that its networks were not fitted on. Strips whose rows say that they
    could not be read are listed apart. Raises InputError's kin when the two do not fit each other.
    """
    asked = asked or Asked()
    if truth.is_file() and truth.suffix != ".zip":
        return _score_tables(read_mask_table(truth), _table(predicted), asked)
    if asked.frame is not None:
        found = "is given, though the truth is a data set and knows it"
        raise InputError("frame", found, "Leave it out")
    if any((predicted / name).exists() for name in ("run.json", "recipe.json")):
        from steelscan.analysis.score.run import is_run_of, score_run

        dataset = open_dataset(truth, "skip")  # as it may have been when the run was made
        if is_run_of(predicted, dataset):
            return score_run(predicted, dataset, asked)
    dataset = open_dataset(truth)
    if predicted.is_dir() and not (predicted / "submission.csv").exists():
        names, masks = _pictures(dataset, predicted)
        unread: Sequence[str] = ()
    else:
        table = _table(predicted)
        names, masks = _texts(dataset, table)
        unread = sorted(table.unread)
    row_of = {name: row for row, name in enumerate(dataset.names)}
    rows = [row_of[name] for name in names]
    counted = Counted()
    for row, guess in track(zip(rows, masks, strict=True), "Scoring", len(rows)):
        counted.add(guess, dataset.masks(row))
    notes = []
    left = len(dataset) - len(rows) - len(unread)
    if left:
        notes.append(f"{left} strips of the data set are not predicted.")
    groups = group_strips(dataset)[rows]
    all_found = judged(counted.pairs, dataset.classes, groups, notes, asked, counted.defects)
    return replace(all_found, unread=unread)


def judged(
    pairs: Pairs,
    classes: Classes,
    groups: NDArray[np.int64] | None,
    notes: Sequence[str],
    asked: Asked,
    defects: Sequence[Defects] | None = None,
) -> Judgement:
    """All that follows from the pixels of strips, and from their defects where these are known."""
    sizes = None
    if defects is not None:
        of = np.arange(len(pairs)) if groups is None else groups
        escaped = np.asarray(~(pairs.predicted > 0).any(axis=1))
        sizes = by_size(defects, escaped, of, mm_per_pixel=asked.mm_per_pixel)
    elif asked.mm_per_pixel is not None:
        found = "is given, and the sizes of the pictures are not known"
        raise InputError("mm per pixel", found, "Give --frame HEIGHTxWIDTH, or a data set")
    return Judgement(
        score(pairs, groups),
        score(pairs.emptied(), groups),
        per_class(pairs, classes),
        tuple(notes),
        overlaps(pairs, classes),
        sizes=sizes,
        unit="px" if asked.mm_per_pixel is None else "mm2",
        expected=None if asked.expected is None else expected_dice(pairs, asked.expected),
    )


def numbered(classes: int) -> Classes:
    """Classes of which only their number is known: they go by their ids."""
    return Classes(names=tuple(map(str, range(1, classes + 1))))


def _score_tables(truth: MaskTable, predicted: MaskTable, asked: Asked) -> Judgement:
    frame = asked.frame
    gone = predicted.unread
    unread = sorted(gone)
    known = {image: row for image, row in truth.rows.items() if image not in gone}
    truth, predicted = replace(truth, rows=known), predicted.without_unread()
    check_read([*truth.rows, *predicted.rows], unread)
    check_called_alike(
        (name for name in truth.rows if name not in predicted.rows),
        (name for name in predicted.rows if name not in truth.rows),
    )
    pairs = pairs_of_tables(truth, predicted, frame or NO_FRAME)
    notes, defects = [], None
    if frame is None:
        notes.append(
            "Picture sizes are unknown: run lengths were not checked against them, and defects not "
            "sorted by size. Give --frame HEIGHTxWIDTH if all are of one size."
        )
    else:
        defects = _defects_of_tables(truth, predicted, frame, pairs.classes)
    if "joined" not in (truth.layout, predicted.layout):
        notes += apart_note(len(truth.rows.keys() & predicted.rows.keys()))
    found = judged(pairs, numbered(pairs.classes), None, notes, asked, defects)
    return replace(found, unread=unread)


def check_read(read: Collection[str], unread: Collection[str]) -> None:
    """Raise TableError where every picture of a prediction could not be read."""
    if unread and not read:
        found = f"says of all its {len(unread)} pictures that they could not be read"
        raise TableError("prediction", found, "Predict pictures that can be read")


def check_called_alike(truth: Iterable[str], predicted: Iterable[str]) -> None:
    """Raise TableError where images that one table alone lists are of another name in the other.

    They would count as missed, and again as false alarms.
    """
    names = called_otherwise(truth, predicted)
    if names is not None:
        found = f"lists {names[1]!r}, which the truth calls {names[0]!r}"
        raise TableError("prediction", found, "Give images the same names in both")


def apart_note(shared: int) -> Iterator[str]:
    """What to say of tables of positive rows that share so many images."""
    yield "Neither file lists clean strips: those that both leave out do not count."
    if not shared:
        yield "No image is listed in both files: look whether they are of one data set."


def _defects_of_tables(
    truth: MaskTable, predicted: MaskTable, frame: Frame, classes: int
) -> list[Defects]:
    """The defects of each image that either table lists, in sorted order."""
    names = sorted({*truth.rows, *predicted.rows})
    found = []
    for name in track(names, "Measuring defects", len(names)):
        both = [
            np.stack([decode(text, frame, name) for text in table.texts(name, classes)])
            for table in (predicted, truth)
        ]
        found.append(defects_of(*both))
    return found


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
    named, unread = table.layout == "columns", table.unread
    names = [name for name in dataset.names if named or name in table.rows]
    names = [name for name in names if name not in unread]
    check_read(names, unread)
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
            index = open_index_picture(paths[name], paths[name]).values
            if index.max() > len(ids):
                found = f"holds the value {index.max()}, the data set has {len(ids)} classes"
                raise MaskError(paths[name], found, "Store class ids as pixel values")
            yield index == ids

    return names, masks()


def asked_of(frame: str | None, mm_per_pixel: float | None, expected: str | None) -> Asked:
    """Read a frame "256x1600" and frequencies "128,43,741,120/1801". Raises InputError."""
    return Asked(
        frame=None if frame is None else read_frame(frame),
        mm_per_pixel=mm_per_pixel,
        expected=None if expected is None else read_expected(expected),
    )


def read_frame(text: str) -> Frame:
    """Read HEIGHTxWIDTH. Raises InputError."""
    found = re.fullmatch(r"([1-9]\d{0,6})[xX]([1-9]\d{0,6})", text)
    if not found:
        raise InputError("frame", f"is {text!r}", "Give HEIGHTxWIDTH in pixels, as 256x1600")
    return check_frame(Frame(int(found[1]), int(found[2])), "frame")


def read_expected(text: str) -> Expected:
    """Read a count a class and, after a slash, of how many strips. Raises InputError."""
    found = re.fullmatch(r"(\d{1,9}(?:,\d{1,9})*)/(\d{1,9})", text)
    if not found or not int(found[2]):
        remedy = "Give strips with each class of so many strips, as 128,43,741,120/1801"
        raise InputError("expected", f"is {text!r}", remedy)
    return Expected(tuple(map(int, found[1].split(","))), int(found[2]))
