"""The one pass over all masks and pictures: each is read once, and only measurements are kept."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.data.duplicates import Fingerprint, fingerprint, group_prints
from steelscan.explore.explored_data import ExploredData
from steelscan.explore.exposure import Exposure, exposure_of
from steelscan.explore.near_pairs import NearPair, near_pairs
from steelscan.explore.shape import MaskShape, coverage, heat_frame, shape_of, shared_by
from steelscan.strip import Frame, map_ahead, show_progress
from steelscan.strip.errors import MaskError, OnError, PictureError

_READERS = 2


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

    @property
    def classes(self) -> tuple[int, ...]:
        """Indices of the classes that the strip has, rising."""
        return tuple(index for index, shape in enumerate(self.shapes) if shape is not None)


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
        rows, readers = range(len(data.names)), min(_READERS, os.cpu_count() or 1)
        results = map_ahead(lambda row: _measure(data, row, cells), rows, readers)
        for row, result in zip(rows, results, strict=True):
            bar.advance()
            try:
                facts, covered, print_ = result()
            except (PictureError, MaskError) as error:
                if on_error == "stop":
                    raise
                skipped.append((data.names[row], str(error)))
                continue
            strips.append(facts)
            prints += [] if print_ is None else [print_]
            for index, cover in covered.items():
                heat[index] += cover
    counts = classes_present(strips, len(data.classes)).sum(axis=0)
    heat /= np.maximum(counts, 1)[:, None, None]
    numbers, pairs = None, []
    if data.picture is not None:
        groups = group_prints(prints)
        labels = None if data.groups is None else [data.groups[each.row] for each in strips]
        numbers = groups.numbers
        pairs = near_pairs(prints, [each.frame for each in strips], groups.links, labels)
    return Measurements(tuple(strips), heat, numbers, tuple(pairs), (*data.skipped, *skipped))


def classes_present(strips: Sequence[StripFacts], classes: int) -> NDArray[np.bool_]:
    """Return which classes each strip has, bool ``(strips, classes)``."""
    present = np.zeros((len(strips), classes), np.bool_)
    for row, strip in zip(present, strips, strict=True):
        row[list(strip.classes)] = True
    return present


def masks_of_class(strips: Sequence[StripFacts], index: int) -> list[tuple[int, MaskShape]]:
    """Return the masks of a class: the index in ``strips`` and the shape of each."""
    shapes = ((at, strip.shapes[index]) for at, strip in enumerate(strips))
    return [(at, shape) for at, shape in shapes if shape is not None]


def _measure(
    data: ExploredData, row: int, cells: Frame
) -> tuple[StripFacts, dict[int, NDArray[np.float32]], Fingerprint | None]:
    masks = data.masks(row)
    picture = None if data.picture is None else data.picture(row)
    facts = StripFacts(
        row,
        data.names[row],
        data.frames[row],
        tuple(shape_of(mask) for mask in masks),
        shared_by(masks),
        None if picture is None else exposure_of(picture),
    )
    covered = {index: coverage(masks[index], cells) for index in facts.classes}
    return facts, covered, None if picture is None else fingerprint(picture)
