"""The masks of each class in numbers: areas, pieces, holes, edges. Pure functions of shapes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelscan.explore.shape import MaskShape, Touches

LEVELS = (0, 1, 5, 25, 50, 75, 95, 99, 100)
"""Per cent of the masks that are at most as large as each quantile."""


@dataclass(frozen=True)
class AreaFacts:
    """Sizes of the masks of one class; quantiles are at `LEVELS`, () where there is no mask."""

    masks: int

    pixels: tuple[float, ...] | None
    """Quantiles in pixels; None where the size of the pictures is not known."""

    shares: tuple[float, ...]
    """Quantiles as a share of the picture."""

    mean_share: float | None
    """None where there is no mask."""


@dataclass(frozen=True)
class PieceFacts:
    """What the masks of one class are made of."""

    masks: int
    pieces: int

    by_pieces: tuple[int, ...]
    """Masks of 1, 2, 3, 4 to 5, 6 to 10 and of more pieces."""

    most_pieces: int
    specks: int
    """Pieces smaller than the limit, in pixels, of their picture."""

    with_specks: int
    """Masks that have one."""

    slivers: int
    holes: int
    hole_pixels: int
    with_holes: int
    at_edge: int
    """Masks that touch an edge of their picture."""

    at_edges: tuple[int, int, int, int]
    """Masks that touch the top, bottom, left and right one."""


def area_facts(pixels: NDArray[np.int64] | None, shares: NDArray[np.float64]) -> AreaFacts:
    """Sum up areas: pixels, int64 ``(masks,)``, and shares of the picture, float64."""
    if not len(shares):
        return AreaFacts(0, None if pixels is None else (), (), None)
    return AreaFacts(
        len(shares),
        None if pixels is None else tuple(np.percentile(pixels, LEVELS).tolist()),
        tuple(np.percentile(shares, LEVELS).tolist()),
        float(shares.mean()),
    )


def share_below(pixels: NDArray[np.int64], area: int) -> float:
    """Share of the masks of fewer than ``area`` pixels: what such a minimum area would drop."""
    return float(np.mean(pixels < area)) if len(pixels) else float("nan")


def piece_facts(shapes: Sequence[MaskShape], limits: Sequence[int]) -> PieceFacts:
    """Sum up shapes; ``limits`` are the pixels, one a shape, below which a piece is a speck."""
    specks = [int((shape.pieces < most).sum()) for shape, most in zip(shapes, limits, strict=True)]
    counts = np.array([len(shape.pieces) for shape in shapes], np.int64)
    edges = [sum(side) for side in zip(*(shape.touches for shape in shapes), strict=True)]
    top, bottom, left, right = edges or (0, 0, 0, 0)
    return PieceFacts(
        masks=len(shapes),
        pieces=int(counts.sum()),
        by_pieces=by_pieces(counts),
        most_pieces=int(counts.max(initial=0)),
        specks=sum(specks),
        with_specks=sum(count > 0 for count in specks),
        slivers=sum(shape.slivers for shape in shapes),
        holes=sum(len(shape.holes) for shape in shapes),
        hole_pixels=sum(int(shape.holes.sum()) for shape in shapes),
        with_holes=sum(len(shape.holes) > 0 for shape in shapes),
        at_edge=sum(any(shape.touches) for shape in shapes),
        at_edges=(top, bottom, left, right),
    )


PIECES = ("1", "2", "3", "4 to 5", "6 to 10", "more")
"""Names of the groups of `by_pieces`."""


def by_pieces(counts: NDArray[np.int64]) -> tuple[int, ...]:
    """Masks of 1, 2, 3, 4 to 5, 6 to 10 and of more pieces, from the pieces of each mask."""
    group = np.searchsorted([2, 3, 4, 6, 11], counts, side="right")
    return tuple(np.bincount(group, minlength=len(PIECES)).tolist())


EDGES = Touches._fields
