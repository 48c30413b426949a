"""Missed defects by size; a defect is a connected piece of a true mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isinf

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.statistics import Estimate, estimate_shares, sums_by
from steelscan.strip import Frame, Masks, check_masks, label_components
from steelscan.strip.errors import InputError

Defects = NDArray[np.int64]
"""int64 ``(defects, 3)``: class counted from 0, pixels, and how many of them were predicted."""

_HALF_DECADES = (1, 3)


@dataclass(frozen=True)
class SizeRow:
    """The defects in one range of sizes, and the strips whose largest defect is in that range.

    The range is from ``low`` to below ``high``, in pixels or in mm2.
    """

    low: float
    high: float
    defects: int
    missed: Estimate
    """Share of these defects in which not a single pixel was predicted as their class."""
    uncovered: Estimate
    """Share of these defects of which less than half the pixels were predicted as their class."""
    strips: int
    escapes: Estimate
    """Share of these strips on which nothing at all was predicted."""

    def title(self, unit: str) -> str:
        """Return the range as text."""
        if isinf(self.high):
            return f"{self.low:g} {unit} and more"
        if not self.low:
            return f"below {self.high:g} {unit}"
        return f"{self.low:g} to {self.high:g} {unit}"


def measure_defects(predicted: Masks, truth: Masks) -> Defects:
    """Measure every 8-connected piece of the true masks of one strip.

    Both are bool ``(classes, height, width)``. Only predictions of the defect's own class count.
    Raises MaskError for other types and for shapes that differ.
    """
    frame = Frame(*truth.shape[1:])
    for where, masks in (("truth", truth), ("prediction", predicted)):
        check_masks(masks, len(truth), frame, where)
    measured = [np.empty((0, 3), np.int64)]
    for index, (guess, true) in enumerate(zip(predicted, truth, strict=True)):
        if not true.any():
            continue
        labels, count = label_components(true)
        pixels = np.bincount(labels[true], minlength=count + 1)[1:]
        covered = np.bincount(labels[true & guess], minlength=count + 1)[1:]
        measured.append(np.column_stack([np.full(count, index), pixels, covered]))
    return np.concatenate(measured)


def by_size(
    defects: Sequence[Defects],
    escaped: NDArray[np.bool_],
    groups: NDArray[np.int64],
    *,
    mm_per_pixel: float | None = None,
) -> list[SizeRow]:
    """Return misses and escapes per defect size, with bootstrap intervals by group.

    ``defects`` has those of each strip; ``escaped`` (bool) are the strips on which nothing is
    predicted, ``groups`` (int64) their groups, both ``(strips,)``. Sizes are pixels, or mm2 if the
    side of a pixel is given. Ranges end at 1, 3, 10, 30, ...; only those between the smallest and
    the largest defect are returned, [] if there are no defects. Raises InputError for a pixel
    size that is not positive, or for lengths that differ.
    """
    if mm_per_pixel is not None and not 0 < mm_per_pixel < inf:
        raise InputError("mm per pixel", f"is {mm_per_pixel}", "Give the side of a pixel in mm")
    if not len(defects) == len(escaped) == len(groups):
        problem = f"are of {len(defects)}, {len(escaped)} and {len(groups)} strips"
        raise InputError("defects", problem, "Give all for the same strips")
    scale = 1.0 if mm_per_pixel is None else mm_per_pixel**2
    counts = [len(of_strip) for of_strip in defects]
    if not sum(counts):
        return []
    _, pixels, covered = np.concatenate(defects).T
    strip = np.repeat(np.arange(len(defects)), counts)
    sizes = np.asarray(pixels * scale, np.float64)
    largest: NDArray[np.float64] = np.zeros(len(defects))
    np.maximum.at(largest, strip, sizes)
    edges = _edges(float(sizes.min()), float(sizes.max()))
    _, group = np.unique(groups, return_inverse=True)
    count, of_defect = int(group.max()) + 1, group[strip]
    rows = zip(
        pairwise(edges),
        _shares(covered == 0, sizes, edges, of_defect, count),
        _shares(2 * covered < pixels, sizes, edges, of_defect, count),
        _shares(escaped, largest, edges, group, count),
        strict=True,
    )
    return [
        SizeRow(
            low=low,
            high=high,
            defects=int(((sizes >= low) & (sizes < high)).sum()),
            missed=missed,
            uncovered=uncovered,
            strips=int(((largest >= low) & (largest < high) & (largest > 0)).sum()),
            escapes=escapes,
        )
        for (low, high), missed, uncovered, escapes in rows
    ]


def _shares(
    wrong: NDArray[np.bool_],
    sizes: NDArray[np.float64],
    edges: Sequence[float],
    group: NDArray[np.int64],
    groups: int,
) -> list[Estimate]:
    """Return the share that is ``wrong`` in each range of sizes; a size of 0 is in none.

    All arrays are ``(defects,)``, or ``(strips,)``; ``groups`` is the number of groups, of which
    some may have no defect.
    """
    size = sizes[:, None]
    within = (size >= edges[:-1]) & (size < edges[1:]) & (size > 0)
    under = sums_by(group, within.astype(np.float64), groups)
    over = sums_by(group, (within & wrong[:, None]).astype(np.float64), groups)
    return estimate_shares(over, under)


def _edges(smallest: float, largest: float) -> list[float]:
    """Return the ends of the ranges: 1, 3, 10, 30, ... around the sizes, open at both ends."""
    first = int(np.floor(np.log10(smallest)))
    last = int(np.ceil(np.log10(largest))) + 1
    steps = [step * 10.0**power for power in range(first, last) for step in _HALF_DECADES]
    inner = [edge for edge in steps if smallest < edge <= largest]
    return [0.0, *inner, inf]
