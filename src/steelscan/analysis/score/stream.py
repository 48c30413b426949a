"""Two sorted tables of run lengths scored in one pass, in memory that does not grow. No torch."""

from collections.abc import Iterator
from pathlib import Path

from steelscan.analysis.score.score import (
    NO_FRAME,
    Asked,
    Judgement,
    apart_note,
    check_called_alike,
    check_read,
    numbered,
)
from steelscan.evaluation.metrics import Pairs, RunningScores, pixel_counts
from steelscan.strip import UNREAD, InputError, StreamedMaskTable, TableError
from steelscan.strip.progress import progress

_BLOCK = 4096
"""Strips that are counted before they are added up, and whose names are compared."""

_Texts = dict[int, str] | None


def score_stream(
    truth: Path,
    predicted: Path,
    asked: Asked | None = None,
    *,
    classes: int | None = None,
    resamples: int = 1000,
) -> Judgement:
    """Score a CSV file against a CSV file, both sorted by image, each read once.

    Intervals are those of a Poisson bootstrap in which each strip is its own group. ``classes`` is
    needed where both files are in the layout of positive rows. Defects are not sorted by size.

    Raises TableError for rows that are not sorted or mean nothing, and where a file of one row a
    pair says nothing about an image; MaskError for wrong run lengths; InputError for what cannot
    be answered in one pass.
    """
    asked = asked or Asked()
    if asked.mm_per_pixel is not None or asked.expected is not None:
        remedy = "Leave them out, or leave out --stream"
        raise InputError("sizes and expected Dice", "cannot be had in one pass", remedy)
    for path in (truth, predicted):
        if not path.is_file():
            raise InputError(path, "is no file", "Only CSV files can be read as a stream")
    tables = StreamedMaskTable(truth), StreamedMaskTable(predicted)
    count = classes or _classes(*tables)
    found = RunningScores(numbered(count), resamples=resamples)
    frame = asked.frame or NO_FRAME
    block, rows, unread = [], 0, []
    shared = 0
    alone: tuple[list[str], list[str]] = ([], [])  # images that one table alone lists
    with progress("Scoring rows", sum(table.count_rows() for table in tables)) as shown:
        for image, true, guess in _together(*tables):
            if guess and UNREAD in guess.values():
                unread.append(image)
                continue
            shared += true is not None and guess is not None
            for names, row, other in zip(alone, (true, guess), (guess, true), strict=True):
                if row is not None and other is None and len(names) < _BLOCK:
                    names.append(image)
            said, there = (_texts(each, count, image) for each in (guess, true))
            block.append(pixel_counts(said, there, frame, image))
            rows += len(true or ()) + len(guess or ())
            if len(block) == _BLOCK:
                found.add(Pairs.of(block))
                shown.advance(rows, note=f"{len(found)} strips")
                block, rows = [], 0
    check_called_alike(*alone)
    if block:
        found.add(Pairs.of(block))
    if not len(found):
        check_read((), unread)
        raise TableError(truth, "lists no image", "Give a table with rows")
    notes = ["Read in one pass: each strip is its own group, intervals are of a Poisson bootstrap."]
    if asked.frame is None:
        notes.append("Picture sizes are unknown: run lengths were not checked against them.")
    if "joined" not in {table.layout for table in tables}:
        notes += apart_note(shared)
    return Judgement(
        found.scores(),
        found.empty(),
        found.per_class(),
        tuple(notes),
        found.overlaps(),
        unread=unread,
    )


def _classes(*tables: StreamedMaskTable) -> int:
    """The classes that the first image of a table of one row a pair has."""
    for table in tables:
        if table.layout == "joined":
            for _, texts in table:
                return max(texts)
    remedy = "Give --classes: files of positive rows do not say how many there are"
    raise InputError("classes", "are not known", remedy)


def _together(
    truth: StreamedMaskTable, predicted: StreamedMaskTable
) -> Iterator[tuple[str, _Texts, _Texts]]:
    """Every image that either table lists, with the run lengths of both; None where it has none.

    Raises TableError where a table of one row a pair lacks an image.
    """
    streams = iter(truth), iter(predicted)
    heads = [next(stream, None) for stream in streams]
    while heads != [None, None]:
        image = min(head[0] for head in heads if head is not None)
        found: list[_Texts] = [None, None]
        for at, (head, stream, table) in enumerate(
            zip(heads, streams, (truth, predicted), strict=True)
        ):
            if head is not None and head[0] == image:
                found[at] = head[1]
                heads[at] = next(stream, None)
            elif table.layout == "joined":
                said = f"says nothing about image {image}"
                remedy = "Give it a row for every image and class, empty or not"
                raise TableError(("truth", "prediction")[at], said, remedy)
        yield image, found[0], found[1]


def _texts(of_image: _Texts, classes: int, image: str) -> list[str]:
    if not of_image:
        return [""] * classes
    if max(of_image) > classes:
        found = f"has class {max(of_image)}, there are {classes}"
        raise TableError(image, found, "Give files of one data set, or the right --classes")
    return [of_image.get(class_id, "") for class_id in range(1, classes + 1)]
