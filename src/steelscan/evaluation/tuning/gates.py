"""The classifier's threshold among the others, exactly: by sorting, and sums from above.

A gate lets a strip pass when what a classifier says of it is above the gate's threshold; what does
not pass has an empty mask. So a gate is one more way to lose what a kept mask gains over an empty
one: gains are sorted by what was said, and the sum from above is the score at every threshold.

A gate of a class asks what was said of that class. A gate of the image asks the highest of all
classes, and opens them together: its score is the sum of theirs.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.tuning.levels import LEVELS
from steelscan.evaluation.tuning.surfaces import (
    _ROUNDING,
    Grid,
    Objective,
    Setting,
    _from_above,
    _kept_for_gain,
)
from steelscan.strip import InputError

Kind: TypeAlias = Literal["threshold", "triplet"]
"""How a setting is read: see `surface` and `triplet_surface`."""


class Gated(NamedTuple):
    """The thresholds of one class behind a gate."""

    gate: float
    setting: Setting


def gated_surface(
    levels: NDArray[np.int32],
    said: NDArray[np.floating],
    gates: NDArray[np.float64],
    grid: Grid,
    objective: Objective | None = None,
    kind: Kind = "threshold",
) -> NDArray[np.float64]:
    """Score a gate of a class together with its thresholds: ``(gates, labels, pixels, areas)``.

    ``levels`` is one class of `count_levels`, int32 ``(strips, 2, 256)``; ``said`` what a
    classifier says of it, ``(strips,)``, where not a number passes; ``gates`` float64 ``(n,)``,
    rising. Float64; 20 gates over the full grid of 64 areas take 0.7 GB: `gated_best` keeps less.
    Raises as `surface`, and InputError for gates that fall or words of other strips.
    """
    scores = np.empty((len(gates), *grid.shape), np.float64)
    for index, sums in enumerate(_slabs(levels, said, gates, grid, objective, kind)):
        scores[:, :, index] = sums
    return scores


def gated_best(
    levels: NDArray[np.int32],
    said: NDArray[np.floating],
    gates: NDArray[np.float64],
    grid: Grid,
    objective: Objective | None = None,
    kind: Kind = "threshold",
) -> tuple[Gated, float]:
    """The best setting of `gated_surface`, and its score, without keeping all scores.

    Of settings that differ by no more than the rounding of sums, the first is taken: the lowest
    pixel threshold, then the lowest gate, label threshold and area.
    """
    found, highest = (0, 0, 0, 0), -np.inf
    for index, sums in enumerate(_slabs(levels, said, gates, grid, objective, kind)):
        if sums.max() > highest + _ROUNDING:
            first = int((sums >= sums.max() - _ROUNDING).argmax())
            gate, label, area = (int(place) for place in np.unravel_index(first, sums.shape))
            found, highest = (gate, label, index, area), float(sums[gate, label, area])
    return Gated(float(gates[found[0]]), grid.setting(*found[1:])), highest


def gate_scores(
    gains: NDArray[np.float64], said: NDArray[np.floating], gates: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What all strips that pass gain over empty masks, at each gate: float64 ``(gates,)``.

    ``gains`` is float64 ``(strips,)``, ``said`` ``(strips,)``. Any gates, in any order. Raises
    InputError for words of other strips.
    """
    _check_said(said, len(gains))
    order = np.argsort(or_sure(said), kind="stable")
    sums = _from_above(np.append(gains[order], 0.0), 0)
    return np.asarray(sums[np.searchsorted(or_sure(said)[order], gates, side="right")])


def every_gate(said: NDArray[np.floating]) -> NDArray[np.float64]:
    """Gates that decide in all the ways that there are: float64, rising.

    The lowest lets pass whatever is above 0; each other one stops one more of the values said.
    """
    known = np.asarray(said, np.float64)
    return np.union1d(known[~np.isnan(known)], 0.0)


def _slabs(
    levels: NDArray[np.int32],
    said: NDArray[np.floating],
    gates: NDArray[np.float64],
    grid: Grid,
    objective: Objective | None,
    kind: Kind,
) -> Iterator[NDArray[np.float64]]:
    """The scores at each pixel threshold of a grid, float64 ``(gates, labels, areas)``."""
    _check_said(said, len(levels))
    if not len(gates) or (np.diff(gates) < 0).any():
        raise InputError("gates", "are none, or fall", "Give thresholds in rising order")
    predicted, gains, empty = _kept_for_gain(levels, grid.pixel, objective)
    passes = np.searchsorted(gates, or_sure(said), side="left")
    if kind == "threshold":  # a mask that is large enough stays under every label below its peak
        peak = np.count_nonzero(predicted, axis=1)[:, None]
    else:
        above = [np.count_nonzero(predicted >= least, axis=1) for least in grid.area]
        peak = np.stack(above, axis=1)
    for index, lowest in enumerate(grid.pixel):
        rows = np.flatnonzero(gains[:, index])
        kept_by = np.broadcast_to(peak[rows], (len(rows), len(grid.area)))
        if kind == "threshold":
            kept_by = kept_by * (predicted[rows, lowest, None] >= grid.area)
        sums = _summed(passes[rows], kept_by, gains[rows, index], len(gates))
        yield empty + sums[:, grid.label]


def _summed(
    passes: NDArray[np.int64],
    kept_by: NDArray[np.int64],
    gains: NDArray[np.float64],
    gates: int,
) -> NDArray[np.float64]:
    """Sums of gains at each gate, label threshold and area: float64 ``(gates, 257, areas)``.

    ``passes`` is int64 ``(strips,)``: how many gates let a strip pass; ``kept_by`` int64
    ``(strips, areas)``: how many label thresholds keep it, of the lowest levels 0 to 256.
    """
    areas, labels = kept_by.shape[1], LEVELS + 2
    cells = (passes[:, None] * labels + kept_by) * areas + np.arange(areas)
    shape = (gates + 1, labels, areas)
    summed = np.bincount(cells.ravel(), np.repeat(gains, areas), int(np.prod(shape)))
    by_label = _from_above(np.asarray(summed.reshape(shape), np.float64), 1)[:, 1:]
    return _from_above(by_label, 0)[1:]


def or_sure(said: NDArray[np.floating]) -> NDArray[np.float64]:
    """What was said, in float64; infinite, so that it passes every gate, where that is nothing."""
    return np.where(np.isnan(said), np.inf, np.asarray(said, np.float64))


def _check_said(said: NDArray[np.floating], strips: int) -> None:
    if said.shape != (strips,):
        found = f"have shape {said.shape}, there are {strips} strips"
        raise InputError("words of a classifier", found, "Give one number a strip")
