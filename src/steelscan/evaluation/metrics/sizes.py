"""Which defects are found, by their size: each connected piece of the true masks by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isinf

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.statistics import Estimate, intervals, ratios_of, sums_by
from steelscan.strip import Frame, InputError, Masks, check_masks, label_components

Defects = NDArray[np.int64]
"""int64 ``(defects, 3)``: class counted from 0, pixels, and how many of them were predicted."""

_HALF_DECADES = (1, 3)


@dataclass(frozen=True)
class SizeRow:
    """The defects of one class of sizes, and the strips whose largest defect is of that size.

    Sizes go from ``low`` up to, but without, ``high``, in pixels or in mm2.
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
        """The class of sizes in words."""
        if isinf(self.high):
            return f"{self.low:g} {unit} and more"
        if not self.low:
            return f"below {self.high:g} {unit}"
        return f"{self.low:g} to {self.high:g} {unit}"


def defects_of(predicted: Masks, truth: Masks) -> Defects:
    """Measure every 8-connected piece of the true masks of one strip.

    Both are bool ``(classes, height, width)``. A prediction counts for a defect only where it is
    of the defect's class. Raises MaskError for other types and for shapes that differ.
    """
    frame = Frame(*truth.shape[1:])
    for where, masks in (("truth", truth), ("prediction", predicted)):
        check_masks(masks, len(truth), frame, where)
    found = [np.empty((0, 3), np.int64)]
    for index, (guess, true) in enumerate(zip(predicted, truth, strict=True)):
        if not true.any():
            continue
        labels, count = label_components(true)
        pixels = np.bincount(labels[true], minlength=count + 1)[1:]
        covered = np.bincount(labels[true & guess], minlength=count + 1)[1:]
        found.append(np.column_stack([np.full(count, index), pixels, covered]))
    return np.concatenate(found)


def by_size(
    defects: Sequence[Defects],
    escaped: NDArray[np.bool_],
    groups: NDArray[np.int64],
    *,
    mm_per_pixel: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> list[SizeRow]:
    """Escapes per defect size, with bootstrap intervals by group.

    ``defects`` has those of each strip, ``escaped`` (bool) says on which strips nothing was
    predicted, and ``groups`` (int64) which belong together, both ``(strips,)``. Sizes are pixels,
    or mm2 where a pixel's side is known; their classes end at 1, 3, 10, 30, ... of these, and only
    those between the smallest and the largest defect are given. [] where there is no defect.
    Raises InputError for a pixel of no size, or for lengths that differ.
    """
    if mm_per_pixel is not None and not 0 < mm_per_pixel < inf:
        raise InputError("mm per pixel", f"is {mm_per_pixel}", "Give the side of a pixel in mm")
    if not len(defects) == len(escaped) == len(groups):
        found = f"are of {len(defects)}, {len(escaped)} and {len(groups)} strips"
        raise InputError("defects", found, "Give all for the same strips")
    scale = 1.0 if mm_per_pixel is None else mm_per_pixel**2
    counts = [len(each) for each in defects]
    if not sum(counts):
        return []
    every = np.concatenate(defects)
    strip = np.repeat(np.arange(len(defects)), counts)
    sizes = np.asarray(every[:, 1] * scale, np.float64)
    largest: NDArray[np.float64] = np.zeros(len(defects))
    np.maximum.at(largest, strip, sizes)
    edges = _edges(float(sizes.min()), float(sizes.max()))
    _, member = np.unique(groups, return_inverse=True)
    shares = _shares(
        over=(every[:, 2] == 0, 2 * every[:, 2] < every[:, 1], escaped),
        sizes=(sizes, sizes, largest),
        members=(member[strip], member[strip], member),
        edges=edges,
        settings=(resamples, seed, level),
    )
    bounds = list(pairwise(edges))
    return [
        SizeRow(
            low=low,
            high=high,
            defects=int(((sizes >= low) & (sizes < high)).sum()),
            missed=shares[0][at],
            uncovered=shares[1][at],
            strips=int(((largest >= low) & (largest < high) & (largest > 0)).sum()),
            escapes=shares[2][at],
        )
        for at, (low, high) in enumerate(bounds)
    ]


def _shares(
    over: tuple[NDArray[np.bool_], ...],
    sizes: tuple[NDArray[np.float64], ...],
    members: tuple[NDArray[np.int64], ...],
    edges: Sequence[float],
    settings: tuple[int, int, float],
) -> list[list[Estimate]]:
    """For each kind of share, one a class of sizes: what errs of what is of that size."""
    groups = max(int(member.max()) for member in members) + 1
    found = []
    for wrong, size, member in zip(over, sizes, members, strict=True):
        place = np.searchsorted(np.asarray(edges), size, side="right") - 1
        within = (place[:, None] == np.arange(len(edges) - 1)) & (size > 0)[:, None]
        under = sums_by(member, within.astype(np.float64), groups)
        errors = sums_by(member, (within & wrong[:, None]).astype(np.float64), groups)
        values = ratios_of(errors.sum(axis=0), under.sum(axis=0))
        bounds = intervals(errors, under, *settings)
        found.append(
            [Estimate(float(value), *each) for value, each in zip(values, bounds, strict=True)]
        )
    return found


def _edges(smallest: float, largest: float) -> list[float]:
    """The ends of the classes: 1, 3, 10, 30, ... around what there is, open at both ends."""
    first = int(np.floor(np.log10(smallest)))
    last = int(np.ceil(np.log10(largest))) + 1
    steps = [step * 10.0**power for power in range(first, last) for step in _HALF_DECADES]
    inner = [edge for edge in steps if smallest < edge <= largest]
    return [0.0, *inner, inf]
