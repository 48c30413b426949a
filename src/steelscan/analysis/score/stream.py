"""Two sorted tables of run lengths scored in one pass, in constant memory. No torch here."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from steelscan.analysis.score.result import ScoreOptions, ScoreResult, numbered_classes
from steelscan.analysis.score.tables import (
    NO_FRAME,
    check_any_read,
    check_same_names,
    positive_rows_notes,
)
from steelscan.evaluation.metrics import Pairs, PixelCounts, RunningScores, pixel_counts
from steelscan.strip import UNREAD, Frame, show_progress
from steelscan.strip.errors import InputError, TableError
from steelscan.strip.tables import StreamedMaskTable

_BLOCK = 4096
"""Strips that are counted before they are added, and most names that are compared."""

_Texts = dict[int, str] | None


def score_stream(
    truth: Path,
    predicted: Path,
    options: ScoreOptions | None = None,
    *,
    classes: int | None = None,
    resamples: int = 1000,
) -> ScoreResult:
    """Score a CSV file against a CSV file, both sorted by image, each read once.

    Intervals are those of a Poisson bootstrap in which each strip is its own group. ``classes`` is
    needed if both files have only positive rows. There is no table by size.

    Raises TableError for rows that are not sorted or not valid, and if a file with one row per
    pair lacks an image; MaskError for wrong run lengths; InputError for options that need more
    than one pass.
    """
    options = options or ScoreOptions()
    if options.mm_per_pixel is not None or options.expected is not None:
        remedy = "Leave them out, or leave out --stream"
        raise InputError("sizes and expected Dice", "need more than one pass", remedy)
    for path in (truth, predicted):
        if not path.is_file():
            raise InputError(path, "is no file", "Give two CSV files with --stream")
    tables = _TwoTables(truth, predicted, classes)
    running = RunningScores(numbered_classes(tables.classes), resamples=resamples)
    counted = tables.count_pixels(options.frame or NO_FRAME)
    with show_progress("Scoring rows", tables.rows) as shown:
        while block := list(islice(counted, _BLOCK)):
            running.add(Pairs.of([image.pixels for image in block]))
            shown.advance(sum(image.rows for image in block), note=f"{len(running)} strips")
    tables.check()
    return ScoreResult(
        scores=running.scores(),
        empty=running.empty(),
        classes=tuple(running.class_rows()),
        overlaps=tuple(running.overlaps()),
        unread=tuple(tables.unread),
        notes=tuple(_notes(tables, sizes_known=options.frame is not None)),
    )


class _CountedImage(NamedTuple):
    pixels: PixelCounts
    rows: int
    """Its rows in both tables."""


class _TwoTables:
    """Two tables that are read side by side, and which of their images belong together."""

    def __init__(self, truth: Path, predicted: Path, classes: int | None) -> None:
        self._tables = StreamedMaskTable(truth), StreamedMaskTable(predicted)
        self._truth = truth
        self.classes = classes or _classes(*self._tables)
        self.rows = sum(table.count_rows() for table in self._tables)
        self.lists_clean_strips = "joined" in {table.layout for table in self._tables}
        self.unread: list[str] = []
        """Images that could not be read when they were predicted."""
        self.shared = 0
        """Images that both tables list."""
        self._in_one: tuple[list[str], list[str]] = ([], [])
        """The first images that only the truth, or only the prediction, lists."""

    def count_pixels(self, frame: Frame) -> Iterator[_CountedImage]:
        """Yield the pixels of each image that was read. Raises TableError, MaskError."""
        for image, true, guess in _together(*self._tables):
            if guess and UNREAD in guess.values():
                self.unread.append(image)
                continue
            self.shared += true is not None and guess is not None
            for names, texts, other in zip(self._in_one, (true, guess), (guess, true), strict=True):
                if texts is not None and other is None and len(names) < _BLOCK:
                    names.append(image)
            predicted_texts, true_texts = (
                _texts(texts, self.classes, image) for texts in (guess, true)
            )
            pixels = pixel_counts(predicted_texts, true_texts, frame, image)
            yield _CountedImage(pixels, len(true or ()) + len(guess or ()))

    def check(self) -> None:
        """Raise TableError, after all images, if names differ or no image was read."""
        check_same_names(*self._in_one)
        if not self.shared and not any(self._in_one):
            check_any_read((), self.unread)
            raise TableError(self._truth, "lists no image", "Give a table with rows")


def _notes(tables: _TwoTables, *, sizes_known: bool) -> Iterator[str]:
    """Yield remarks on the numbers."""
    yield "Read in one pass: intervals are of a Poisson bootstrap, and each strip is its own group."
    if not sizes_known:
        unknown = "The sizes of the pictures are not known"
        yield f"{unknown}: run lengths were not checked against them."
    if not tables.lists_clean_strips:
        yield from positive_rows_notes(tables.shared)


def _classes(*tables: StreamedMaskTable) -> int:
    """Return the number of classes of the first image in a table with one row per pair."""
    for table in tables:
        if table.layout == "joined":
            for _, texts in table:
                return max(texts)
    remedy = "Give --classes"
    raise InputError("classes", "cannot be counted in files of positive rows", remedy)


def _together(
    truth: StreamedMaskTable, predicted: StreamedMaskTable
) -> Iterator[tuple[str, _Texts, _Texts]]:
    """Yield every image that either table lists, with the run lengths of both, None if it has none.

    Raises TableError if a table with one row per pair lacks an image.
    """
    streams = iter(truth), iter(predicted)
    heads = [next(stream, None) for stream in streams]
    while heads != [None, None]:
        image = min(head[0] for head in heads if head is not None)
        both: list[_Texts] = [None, None]
        for at, (head, stream, table) in enumerate(
            zip(heads, streams, (truth, predicted), strict=True)
        ):
            if head is not None and head[0] == image:
                both[at] = head[1]
                heads[at] = next(stream, None)
            elif table.layout == "joined":
                problem = f"has no rows for image {image}"
                remedy = "Give it a row for every image and class, empty or not"
                raise TableError(("truth", "prediction")[at], problem, remedy)
        yield image, both[0], both[1]


def _texts(of_image: _Texts, classes: int, image: str) -> list[str]:
    if not of_image:
        return [""] * classes
    if max(of_image) > classes:
        problem = f"has class {max(of_image)}, there are {classes}"
        raise TableError(image, problem, "Give files of one data set, or the right --classes")
    return [of_image.get(class_id, "") for class_id in range(1, classes + 1)]
