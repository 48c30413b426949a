"""Pixel counts from two tables of run lengths, without decoding masks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.metrics.pairs import Pairs
from steelscan.strip import Frame, parse_runs
from steelscan.strip.errors import TableError
from steelscan.strip.tables import MaskTable

Runs = NDArray[np.int64]
"""int64 ``(runs, 2)``: first pixel counted from 0, and length; sorted, with gaps."""


def pairs_of_tables(truth: MaskTable, predicted: MaskTable, frame: Frame) -> Pairs:
    """Count the pixels of every (image, class) pair of two tables, in sorted order of the images.

    All images that either table lists count, and all classes up to the highest id; an image that a
    table of positive rows does not list is empty there. Clean images that neither lists are missing
    from the score. ``frame`` is that of all images.

    Raises MaskError, with table, image and class, for wrong run lengths; TableError if there is
    no image, or if a table with one row per pair lacks an image.
    """
    names = sorted({*truth.rows, *predicted.rows})
    if not names:
        raise TableError("truth", "lists no image", "Give a table with rows")
    for where, table in (("truth", truth), ("prediction", predicted)):
        absent = [name for name in names if name not in table.rows]
        if table.layout == "joined" and absent:
            problem = f"has no rows for {len(absent)} of {len(names)} images, such as {absent[0]}"
            remedy = "Give it a row for every image and class, empty or not"
            raise TableError(where, problem, remedy)
    classes = max(truth.classes, predicted.classes, 1)
    counts = [
        pixel_counts(predicted.texts(name, classes), truth.texts(name, classes), frame, name)
        for name in names
    ]
    return Pairs.of(counts)


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
