"""The one pass over all masks and pictures: each is read once, and only measurements are kept."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from steelscan.data.duplicates import Fingerprint, fingerprint, group_prints
from steelscan.explore.explored_data import ExploredData, OnError
from steelscan.explore.exposure import Exposure, exposure_of
from steelscan.explore.near_pairs import NearPair, near_pairs
from steelscan.explore.shape import MaskShape, coverage, heat_frame, shape_of, shared_by
from steelscan.strip import Frame, MaskError, PictureError, show_progress

Item = TypeVar("Item")
Result = TypeVar("Result")

_READERS = 2
_AHEAD = 4
"""Strips per reader that are read ahead."""


class StripFacts(NamedTuple):
    """The measurements of one strip."""

    row: int
    """Its row in the explored data."""

    name: str
    frame: Frame
    shapes: tuple[MaskShape | None, ...]
    """One per class; None if the strip does not have the class."""

    shared: dict[tuple[int, int], int]
    """As `shared_by` returns it."""

    exposure: Exposure | None
    """None if there is no picture."""


@dataclass(frozen=True, eq=False)
class Measurements:
    """The measurements of all strips that could be read."""

    strips: tuple[StripFacts, ...]

    heat: NDArray[np.float64]
    """float64 ``(classes, rows, columns)``: share of the strips with the class on which it covers
    the cell."""

    groups: NDArray[np.int64] | None
    """Group of near-duplicates of each strip, int64 ``(strips,)``; None without pictures."""

    near_pairs: tuple[NearPair, ...]
    """Near-duplicates, by their indices in ``strips``."""

    skipped: tuple[tuple[str, str], ...]
    """Name and reason of each strip that could not be read."""


def measure(data: ExploredData, on_error: OnError = "stop") -> Measurements:
    """Read all masks and pictures once, a few strips ahead.

    With ``on_error="skip"`` strips that cannot be read are listed; otherwise they raise
    PictureError or MaskError.
    """
    cells = heat_frame(data.frames) if data.frames else Frame(1, 1)
    heat = np.zeros((len(data.classes), *cells))
    strips: list[StripFacts] = []
    prints: list[Fingerprint] = []
    skipped: list[tuple[str, str]] = []
    with show_progress("Measuring strips", len(data.names)) as bar:
        for row, future in enumerate(
            ahead(lambda row: _measure(data, row, cells), range(len(data.names)))
        ):
            bar.advance()
            try:
                facts, covered, print_ = future.result()
            except (PictureError, MaskError) as error:
                if on_error == "stop":
                    raise
                skipped.append((data.names[row], str(error)))
                continue
            strips.append(facts)
            prints += [] if print_ is None else [print_]
            for index, cover in covered.items():
                heat[index] += cover
    has_class = [[shape is not None for shape in each.shapes] for each in strips]
    holders = np.array(has_class, np.bool_).reshape(-1, len(data.classes)).sum(axis=0)
    heat /= np.maximum(holders, 1)[:, None, None]
    numbers, pairs = None, []
    if data.picture is not None:
        groups = group_prints(prints)
        labels = None if data.groups is None else [data.groups[each.row] for each in strips]
        numbers = groups.numbers
        pairs = near_pairs(prints, [each.frame for each in strips], groups.links, labels)
    return Measurements(tuple(strips), heat, numbers, tuple(pairs), (*data.skipped, *skipped))


def ahead(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Future[Result]]:
    """Start the work on some items before their results are used; yield the futures in order."""
    readers = min(_READERS, os.cpu_count() or 1)
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(readers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > readers * _AHEAD:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            for future in waiting:
                future.cancel()


def _measure(
    data: ExploredData, row: int, cells: Frame
) -> tuple[StripFacts, dict[int, NDArray[np.float32]], Fingerprint | None]:
    masks = data.masks(row)
    picture = None if data.picture is None else data.picture(row)
    shapes = tuple(shape_of(mask) for mask in masks)
    present = [index for index, shape in enumerate(shapes) if shape is not None]
    facts = StripFacts(
        row,
        data.names[row],
        data.frames[row],
        shapes,
        shared_by(masks) if len(present) > 1 else {},
        None if picture is None else exposure_of(picture),
    )
    covered = {index: coverage(masks[index], cells) for index in present}
    return facts, covered, None if picture is None else fingerprint(picture)
