"""Statistics of the masks of one class: areas, pieces, holes, edges."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelscan.explore.shape import MaskShape, Touches

PERCENTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)
"""The percentiles of areas and of brightness."""

PIECES = ("1", "2", "3", "4 to 5", "6 to 10", "more")
"""Names of the groups of `by_pieces`."""

EDGES = Touches._fields


@dataclass(frozen=True)
class AreaFacts:
    """Sizes of the masks of one class, at `PERCENTILES`; () if there is no mask."""

    masks: int

    pixels: tuple[float, ...] | None
    """Percentiles in pixels; None if the size of the pictures is unknown."""

    shares: tuple[float, ...]
    """Percentiles as a share of the picture."""

    mean_share: float | None
    """None if there is no mask."""


@dataclass(frozen=True)
class PieceFacts:
    """The pieces, slivers and holes of the masks of one class."""

    masks: int
    pieces: int

    by_pieces: tuple[int, ...]
    """Masks of 1, 2, 3, 4 to 5, 6 to 10 and of more pieces."""

    most_pieces: int
    specks: int
    """Pieces below the speck limit of their picture."""

    with_specks: int
    """Masks that have specks."""

    slivers: int
    holes: int
    hole_pixels: int
    with_holes: int
    at_edge: int
    """Masks that touch an edge of their picture."""

    at_edges: tuple[int, int, int, int]
    """Masks that touch the top, bottom, left and right edge."""


def area_facts(pixels: NDArray[np.int64] | None, shares: NDArray[np.float64]) -> AreaFacts:
    """Summarise areas: pixels, int64 ``(masks,)``, and shares of the picture, float64."""
    if not len(shares):
        return AreaFacts(0, None if pixels is None else (), (), None)
    return AreaFacts(
        len(shares),
        None if pixels is None else tuple(np.percentile(pixels, PERCENTILES).tolist()),
        tuple(np.percentile(shares, PERCENTILES).tolist()),
        float(shares.mean()),
    )


def share_below(pixels: NDArray[np.int64], area: int) -> float | None:
    """Return the share of masks below a minimum area, which it would drop; None without masks."""
    return float(np.mean(pixels < area)) if len(pixels) else None


def piece_facts(shapes: Sequence[MaskShape], limits: Sequence[int]) -> PieceFacts:
    """Summarise shapes; ``limits`` has the speck limit in pixels of each shape's picture."""
    specks = [
        int((shape.pieces[:, 0] < most).sum()) for shape, most in zip(shapes, limits, strict=True)
    ]
    counts = np.array([len(shape.pieces) for shape in shapes], np.int64)
    edges = [sum(touched) for touched in zip(*(shape.touches for shape in shapes), strict=True)]
    top, bottom, left, right = edges or (0, 0, 0, 0)
    return PieceFacts(
        masks=len(shapes),
        pieces=int(counts.sum()),
        by_pieces=by_pieces(counts),
        most_pieces=int(counts.max(initial=0)),
        specks=sum(specks),
        with_specks=sum(count > 0 for count in specks),
        slivers=sum(len(shape.slivers) for shape in shapes),
        holes=sum(len(shape.holes) for shape in shapes),
        hole_pixels=sum(int(shape.holes[:, 0].sum()) for shape in shapes),
        with_holes=sum(len(shape.holes) > 0 for shape in shapes),
        at_edge=sum(any(shape.touches) for shape in shapes),
        at_edges=(top, bottom, left, right),
    )


def by_pieces(counts: NDArray[np.int64]) -> tuple[int, ...]:
    """Count masks of 1, 2, 3, 4 to 5, 6 to 10 and of more pieces, from the pieces per mask."""
    group = np.searchsorted([2, 3, 4, 6, 11], counts, side="right")
    return tuple(np.bincount(group, minlength=len(PIECES)).tolist())
