"""Defects of a coil side: at random, in a band along an edge, and at each turn of a roll.

They have lanes of their own, so that no two of them touch: the band lies next to an edge, the roll
marks in an eighth of the width, the others anywhere else.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from math import exp
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.mill.coil_spec import CoilMill, CoilStream, Piece, piece_of
from steelscan.mill.damage import add_damage
from steelscan.mill.field import Field, noise
from steelscan.mill.outline import Outline, draw_masks, draw_outlines
from steelscan.strip import Masks

_SLOT, _MARK = 800, 160  # lengths in pixels of the reference frame
_EDGE = 60  # breadth of the lane of the band


class CoilDefect(NamedTuple):
    """A connected region of one class, in pixels of the surface; ``pixels`` is its area."""

    class_id: int
    start: int
    stop: int
    left: int
    right: int
    pixels: int


@dataclass(frozen=True)
class Patch:
    """Defects drawn together.

    Attributes:
        start: first column of the coil.
        left: first row of all cameras.
        factor: float32 ``(along, across)``; the surface is multiplied by it.
        masks: bool ``(4, along, across)``.
        regions: the defects, with ``start`` and ``stop`` counted from the start of the patch.
    """

    start: int
    left: int
    factor: Field
    masks: Masks
    regions: tuple[CoilDefect, ...]

    @property
    def stop(self) -> int:
        """One past the last column of the coil."""
        return self.start + len(self.factor)

    def defects(self) -> Iterator[CoilDefect]:
        """Yield the defects in coordinates of the coil."""
        for region in self.regions:
            start, stop = region.start + self.start, region.stop + self.start
            yield region._replace(start=start, stop=stop)


@dataclass(frozen=True)
class RollMark:
    """A mark that a roll leaves at each of its turns; ``period`` is its circumference in pixels.

    ``repeats`` counts the turns at which a whole mark fits on the coil, ``missing`` those of them
    without a mark.
    """

    region: CoilDefect
    period: float
    repeats: int
    missing: int
    patches: tuple[Patch, ...]


class CoilDefects:
    """The defects of one side of a coil."""

    def __init__(self, mill: CoilMill, coil: int, side: int) -> None:
        self._mill, self._coil, self._side = mill, coil, side
        rng = mill.stream(CoilStream.MARK, coil)
        edge = mill.margin + max(6, round(_EDGE * mill.unit))
        steel = range(edge, mill.across - edge)
        start = int(rng.integers(steel.start, steel.stop - mill.across // 8))
        lane = range(start, start + mill.across // 8)
        self.mark = self._draw_mark(rng, lane) if side == rng.integers(2) else None
        # A lane is skipped on both sides: a mark may press through.
        parts = [range(steel.start, lane.start), range(lane.stop, steel.stop)]
        # Surfaces of very few rows have room for the band and the mark only.
        self._parts = [part for part in parts if len(part) > 20]
        self._slot_length = max(64, round(_SLOT * mill.unit))
        self._slot = lru_cache(maxsize=8)(self._draw_slot)
        self._band = self._draw_band()

    def patches(self, start: int, stop: int) -> Iterator[Patch]:
        """Yield the patches with a part in the columns from ``start`` to before ``stop``."""
        for slot in range(start // self._slot_length, (stop - 1) // self._slot_length + 1):
            yield from self._slot(slot)
        for patch in (self._band, *(self.mark.patches if self.mark else ())):
            if patch.start < stop and start < patch.stop:
                yield patch

    def _draw_slot(self, slot: int) -> tuple[Patch, ...]:
        """Draw the defects of some columns; they are more frequent near head and tail."""
        mill, length = self._mill, self._slot_length
        start = slot * length
        rng = mill.stream(CoilStream.DEFECTS, self._coil, self._side, slot)
        end = min(start, max(0, mill.length - start - length)) / mill.length
        if (
            not self._parts
            or start + length > mill.length
            or rng.random() > 0.15 + 0.75 * exp(-end / 0.06)
        ):
            return ()
        piece = piece_of(mill, length)
        weights = np.array([weight for _, weight in piece.combinations])
        classes = piece.combinations[rng.choice(weights.size, p=weights / weights.sum())][0]
        sizes = np.array([len(part) for part in self._parts])
        part = self._parts[rng.choice(sizes.size, p=sizes / sizes.sum())]
        outlines = draw_outlines(rng, piece, classes, part)
        return (_patch(rng, start, outlines, piece),) if outlines else ()

    def _draw_mark(self, rng: np.random.Generator, lane: range) -> RollMark | None:
        mill = self._mill
        piece = piece_of(mill, round(_MARK * mill.unit))
        class_id = int(rng.choice([1, 4]))
        area = {"area": 5000.0, "area_log_std": 0.2, "components": 1.0, "elongation": 1.0}
        statistics = tuple(stats.but(**area) for stats in piece.statistics)
        piece = piece.but(statistics=statistics, faint_share=0.0)
        outlines = draw_outlines(rng, piece, [class_id], lane)
        if not outlines:
            return None
        drawn = _patch(rng, 0, outlines, piece)
        # circumferences of 0.9 m to 2.2 m at 1 mm per pixel
        period = float(rng.uniform(900, 2200) * max(mill.unit, 0.2))
        first, last = float(rng.uniform(0, period)), mill.length - drawn.factor.shape[0]
        starts = np.round(np.arange(first, max(last, 0), period)).astype(int)
        missing = int(mill.missing_share * starts.size) if self._coil % 2 else 0
        kept = np.sort(rng.permutation(starts)[missing:])
        patches = tuple(replace(drawn, start=int(start)) for start in kept)
        return RollMark(drawn.regions[0], period, starts.size, missing, patches)

    def _draw_band(self) -> Patch:
        """Draw one long scratch along an edge, which crosses from strip to strip."""
        mill = self._mill
        rng = mill.stream(CoilStream.BAND, self._coil, self._side)
        length = max(64, round(min(2.3 * mill.width, 0.7 * mill.length)))
        start = int(rng.integers(0, max(1, mill.length - length)))
        piece = piece_of(mill, length)
        rows = np.linspace(2, min(length, mill.length) - 3, 24)
        breadth = max(6.0, _EDGE * mill.unit) - 4
        wave = np.clip(noise(rng, (2, 24), (1, 2)), -2, 2) * breadth / 12
        inner, outer = (
            mill.margin + 2 + breadth / 6 + wave[0],
            mill.margin + breadth / 1.4 + wave[1],
        )
        polygon = np.concatenate(
            [np.stack([inner, rows], 1), np.stack([outer[::-1], rows[::-1]], 1)]
        )
        if rng.random() < 0.5:
            polygon[:, 0] = mill.across - 1 - polygon[:, 0]
        outline = Outline(3, np.round(polygon).astype(np.int32))
        return _patch(rng, start, [outline], piece.but(faint_share=0.0))


def _patch(rng: np.random.Generator, start: int, outlines: list[Outline], piece: Piece) -> Patch:
    factor = add_damage(rng, np.ones(piece.frame, np.float32), outlines, piece)
    masks = draw_masks(outlines, piece)
    rows, columns = (_extent(masks.any((0, axis))) for axis in (2, 1))
    regions = (_region(outline, piece) for outline in outlines)
    moved = tuple(
        region._replace(start=region.start - rows.start, stop=region.stop - rows.start)
        for region in regions
    )
    return Patch(
        start + rows.start,
        columns.start,
        factor[rows, columns].copy(),
        masks[:, rows, columns].copy(),
        moved,
    )


def _region(outline: Outline, piece: Piece) -> CoilDefect:
    drawn: NDArray[np.uint8] = np.zeros(piece.frame, np.uint8)
    cv2.fillPoly(drawn, [outline.polygon], 1)
    rows, columns = _extent(drawn.any(1)), _extent(drawn.any(0))
    pixels = int(drawn.sum(dtype=np.int64))
    return CoilDefect(outline.class_id, rows.start, rows.stop, columns.start, columns.stop, pixels)


def _extent(flags: NDArray[np.bool_] | np.bool_) -> slice:
    places = np.flatnonzero(flags)
    return slice(int(places[0]), int(places[-1]) + 1)
