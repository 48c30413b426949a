"""Pixel counts from two tables of run lengths, without decoding masks."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.metrics.pairs import Pairs
from steelscan.strip import Frame, MaskTable, TableError, parse_runs

Runs = NDArray[np.int64]
"""int64 ``(runs, 2)``: first pixel counted from 0, and length; sorted, with gaps."""


def pairs_of_tables(
    truth: MaskTable,
    predicted: MaskTable,
    frames: Frame | Mapping[str, Frame],
    names: Sequence[str] | None = None,
    *,
    classes: int | None = None,
) -> Pairs:
    """Count the pixels of every (image, class) pair of two tables, in the order of ``names``.

    Only the images in ``names`` count; one that a table of positive rows does not list is empty
    there. Without ``names``, all images that either table lists count, in sorted order; clean
    images that neither lists are then missing from the score. ``frames`` is one frame for all
    images, or one each. ``classes`` is the highest class id if not given.

    Raises MaskError, with table, image and class, for wrong run lengths; TableError if there is
    no image, if an image has no frame, if a table has class ids beyond ``classes``, or if a table
    with one row per pair lacks an image.
    """
    names = sorted({*truth.rows, *predicted.rows}) if names is None else names
    count = max(truth.classes, predicted.classes, 1) if classes is None else classes
    tables = {"truth": truth, "prediction": predicted}
    for where, table in tables.items():
        _check(where, table, names, count)
    counts = np.zeros((3, len(names), count), np.int64)
    for row, name in enumerate(names):
        frame = frames if isinstance(frames, Frame) else frames.get(name)
        if frame is None:
            problem = f"image {name} has no known size"
            raise TableError("frames", problem, "Give the folder with its picture")
        texts = predicted.texts(name, count), truth.texts(name, count)
        counts[:, row] = pixel_counts(*texts, frame, name)
    return Pairs(*counts)


def pixel_counts(
    predicted: Sequence[str], truth: Sequence[str], frame: Frame, image: str
) -> NDArray[np.int64]:
    """Count predicted, true and shared pixels of one image, int64 ``(3, classes)``.

    ``predicted`` and ``truth`` are run lengths, one text per class. Raises MaskError, with table,
    image and class, for wrong run lengths.
    """
    counts = np.zeros((3, len(truth)), np.int64)
    for column, texts in enumerate(zip(predicted, truth, strict=True)):
        guess, true = (
            parse_runs(text, frame, f"{where}, image {image}, class {column + 1}")
            if text
            else _NO_RUNS
            for where, text in zip(("prediction", "truth"), texts, strict=True)
        )
        counts[:, column] = guess[:, 1].sum(), true[:, 1].sum(), shared_pixels(guess, true)
    return counts


_NO_RUNS: Runs = np.empty((0, 2), np.int64)


def shared_pixels(one: Runs, other: Runs) -> int:
    """Return the number of pixels that are in both run lengths."""
    if not len(one) or not len(other):
        return 0
    starts, lengths = one[:, 0], one[:, 1]
    covered = _pixels_before(other, starts + lengths) - _pixels_before(other, starts)
    return int(covered.sum())


def _pixels_before(runs: Runs, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many pixels of the runs are before each place."""
    starts, lengths = runs[:, 0], runs[:, 1]
    ended = np.concatenate([[0], lengths.cumsum()])
    last = np.searchsorted(starts, places, side="right") - 1  # the last run that has started
    started = np.minimum(places - starts[last], lengths[last])
    return np.where(last < 0, 0, ended[last] + started)


def _check(where: str, table: MaskTable, names: Sequence[str], classes: int) -> None:
    if not names:
        raise TableError(where, "lists no image", "Give a table with rows, or name the images")
    if table.classes > classes:
        problem = f"has class {table.classes}, the data set has {classes}"
        raise TableError(where, problem, "Give the tables of one data set")
    absent = [name for name in names if name not in table.rows]
    if table.layout == "joined" and absent:
        problem = f"has no rows for {len(absent)} of {len(names)} images, such as {absent[0]}"
        raise TableError(where, problem, "Give it a row for every image and class, empty or not")
