"""A table of run lengths scored against a table of run lengths. No torch here."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

import numpy as np

from steelscan.analysis.score.result import (
    ScoreOptions,
    ScoreResult,
    numbered_classes,
    score_result,
)
from steelscan.data.files import called_otherwise
from steelscan.evaluation.metrics import Defects, measure_defects, pairs_of_tables
from steelscan.strip import Frame, decode, track
from steelscan.strip.errors import TableError
from steelscan.strip.tables import MaskTable

NO_FRAME = Frame(2**31, 2**31)
"""Used for pictures of unknown size: run lengths are then not checked against it."""


def score_tables(truth: MaskTable, predicted: MaskTable, options: ScoreOptions) -> ScoreResult:
    """Score one table against another. Raises InputError if they do not match."""
    frame = options.frame
    gone = predicted.unread
    unread = sorted(gone)
    truth, predicted = (
        replace(table, rows={name: row for name, row in table.rows.items() if name not in gone})
        for table in (truth, predicted)
    )
    check_any_read([*truth.rows, *predicted.rows], unread)
    check_same_names(
        (name for name in truth.rows if name not in predicted.rows),
        (name for name in predicted.rows if name not in truth.rows),
    )
    pairs = pairs_of_tables(truth, predicted, frame or NO_FRAME)
    notes, defects = [], None
    if frame is None:
        notes.append(
            "The sizes of the pictures are not known: run lengths were not checked against them, "
            "and there is no table by size. Give --frame HEIGHTxWIDTH if all have the same size."
        )
    else:
        defects = _defects(truth, predicted, frame, pairs.classes)
    if "joined" not in (truth.layout, predicted.layout):
        notes += positive_rows_notes(len(truth.rows.keys() & predicted.rows.keys()))
    classes = numbered_classes(pairs.classes)
    result = score_result(pairs, classes, None, notes, options, defects)
    return result.model_copy(update={"unread": tuple(unread)})


def check_any_read(read: Collection[str], unread: Collection[str]) -> None:
    """Raise TableError if no picture of a prediction could be read."""
    if unread and not read:
        problem = f"marks all its {len(unread)} pictures as unread"
        raise TableError("prediction", problem, "Predict pictures that can be read")


def check_same_names(truth: Iterable[str], predicted: Iterable[str]) -> None:
    """Raise TableError if images in only one table have another name in the other.

    They would count as missed, and again as false alarms.
    """
    names = called_otherwise(truth, predicted)
    if names is not None:
        problem = f"lists {names[1]!r}, which is {names[0]!r} in the truth"
        raise TableError("prediction", problem, "Give images the same names in both")


def positive_rows_notes(shared: int) -> Iterator[str]:
    """Yield notes on two tables of positive rows with so many images in both."""
    yield "Neither file lists clean strips: strips that both leave out do not count."
    if not shared:
        yield "No image is listed in both files: check that they are of one data set."


def _defects(truth: MaskTable, predicted: MaskTable, frame: Frame, classes: int) -> list[Defects]:
    """Measure the defects of each image that either table lists, in sorted order."""
    names = sorted({*truth.rows, *predicted.rows})
    defects = []
    for name in track(names, "Measuring defects", len(names)):
        both = [
            np.stack([decode(text, frame, name) for text in table.texts(name, classes)])
            for table in (predicted, truth)
        ]
        defects.append(measure_defects(*both))
    return defects
