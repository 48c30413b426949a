"""Outlines of defects as annotators draw them: loose polygons with a few vertices."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import erf, exp, log, pi, sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.mill.spec import DefectStatistics, Mill
from steelscan.strip import Masks

Polygon = NDArray[np.float64]
"""float64 ``(vertices, 2)``: x and y, in pixels."""

_SMALLEST = 12.0  # least area of a polygon in pixels
_TRIES = 60


@dataclass(frozen=True)
class Outline:
    """One connected component of a mask: class id and vertices, int32 ``(n, 2)``."""

    class_id: int
    polygon: NDArray[np.int32]


def draw_outlines(
    rng: np.random.Generator, mill: Mill, class_ids: Sequence[int], steel: range
) -> list[Outline]:
    """Place the defects of the classes on the columns ``steel`` so that no two of them touch."""
    occupied = np.zeros(mill.frame, np.uint8)
    outlines = []
    for class_id in class_ids:
        stats = mill.statistics[class_id - 1]
        touches = rng.random() < stats.border
        center = _center(rng, class_id, mill, steel)
        for number, area in enumerate(_areas(rng, stats, mill, steel)):
            touch = touches and (number == 0 or rng.random() < 0.8 * stats.border)
            polygon = _place(
                rng, mill, stats, area, touch=touch, center=center, steel=steel, occupied=occupied
            )
            if polygon is not None:
                outlines.append(Outline(class_id, polygon))
    return outlines


def draw_masks(outlines: Sequence[Outline], mill: Mill) -> Masks:
    """Return the masks, bool ``(4, height, width)``, inside the outlines."""
    planes = np.zeros((len(mill.statistics), *mill.frame), np.uint8)
    for outline in outlines:
        cv2.fillPoly(planes[outline.class_id - 1], [outline.polygon], 1)
    return planes.view(np.bool_)


def _areas(
    rng: np.random.Generator, stats: DefectStatistics, mill: Mill, steel: range
) -> list[float]:
    """Return the areas of the components of one mask in pixels, largest first."""
    size, number = rng.standard_normal(2)
    area = stats.area * exp(stats.area_log_std * size)
    area = min(max(area, stats.area_limits[0]), stats.area_limits[1]) * mill.unit**2
    area = min(area, 0.4 * mill.height * len(steel))
    # Large masks have more components: their number is correlated with the area.
    rank = 0.5 * (1 + erf((0.4 * size + 0.92 * number) / sqrt(2)))
    again = 1 - 1 / stats.components
    count = 1 + (int(log(max(1 - rank, 1e-6)) / log(again)) if again > 0 else 0)
    count = min(count, 14, 1 + int(area / _SMALLEST / 2))
    shares = rng.dirichlet([4.0] * count)
    return sorted((float(area * share) for share in shares), reverse=True)


def _center(rng: np.random.Generator, class_id: int, mill: Mill, steel: range) -> float:
    """Return the column around which the components of one mask are placed."""
    if class_id != 2:
        return float(rng.uniform(steel.start, steel.stop))
    inwards = rng.exponential(100) * mill.unit + 0.02 * mill.width
    ends = [steel.start + inwards, steel.stop - inwards]
    if steel.start > 0 or steel.stop < mill.width:  # only one end is in the picture
        return ends[0] if steel.start > 0 else ends[1]
    return ends[int(rng.integers(2))]


def _place(
    rng: np.random.Generator,
    mill: Mill,
    stats: DefectStatistics,
    area: float,
    *,
    touch: bool,
    center: float,
    steel: range,
    occupied: NDArray[np.uint8],
) -> NDArray[np.int32] | None:
    """Place a polygon of this area and mark it as occupied; return None if there is no room."""
    gap = max(3, round(6 * mill.unit)) | 1
    for attempt in range(_TRIES):
        shape = _shape(rng, stats, max(area, _SMALLEST), touch, mill)
        half = float(np.ptp(shape[:, 0])) / 2
        low, high = steel.start + half + 2, steel.stop - half - 2
        near = attempt < _TRIES / 4
        reach = stats.reach * mill.unit
        x = rng.normal(center, reach) if near else rng.uniform(low, max(low, high))
        if low <= x <= high:
            polygon = np.round(shape + np.array([x, 0])).astype(np.int32)
            drawn = np.zeros(mill.frame, np.uint8)
            cv2.fillPoly(drawn, [polygon], 1)
            if drawn.any() and not np.any(occupied & drawn):
                occupied |= cv2.dilate(drawn, np.ones((gap, gap), np.uint8)).astype(np.uint8)
                return np.asarray(polygon, np.int32)
        area *= 0.99**attempt  # slowly at first: most defects fit at their size
    return None


def _shape(
    rng: np.random.Generator, stats: DefectStatistics, area: float, touch: bool, mill: Mill
) -> Polygon:
    """Return a polygon of this area around column 0 that touches the picture's edge or not."""
    elongation = exp(rng.normal(log(stats.elongation), stats.elongation_log_std))
    most = mill.height + 2.0 if touch else mill.height - 6.0
    elongation = min(elongation, most**2 / area)
    slim = elongation > 1.5
    polygon = _slim(rng, elongation) if slim else _blob(rng, elongation)
    beyond = 0.0 if slim or not touch else float(rng.uniform(0.08, 0.35))
    area = area / (1 - 0.8 * beyond)  # the part beyond the edge is not visible
    box = sqrt(area / 0.8 / elongation)  # filling includes the outline, half of which is outside
    area = max(area - 0.9 * box * (1 + elongation), 0.3 * area)
    enclosed = cv2.contourArea(polygon.astype(np.float32))
    if slim:
        tall = sqrt(area / enclosed * elongation)
    else:
        tall = sqrt(area / enclosed) * float(np.ptp(polygon[:, 1]))
    tall = min(tall, most)
    polygon *= [area / enclosed / tall, tall] if slim else [1, tall / np.ptp(polygon[:, 1])]
    if not slim:
        polygon *= [area / cv2.contourArea(polygon.astype(np.float32)), 1]
    polygon[:, 1] *= min(1.0, most / np.ptp(polygon[:, 1]))
    polygon[:, 0] -= polygon[:, 0].min() + np.ptp(polygon[:, 0]) / 2
    low, high = polygon[:, 1].min(), polygon[:, 1].max()
    if not touch:
        top = float(rng.uniform(2, max(mill.height - 3 - (high - low), 2.5)))
    elif rng.random() < 0.5:
        top = -1 - beyond * (high - low)
    else:
        top = mill.height + beyond * (high - low) - (high - low)
    polygon[:, 1] += top - low
    return polygon


def _slim(rng: np.random.Generator, elongation: float) -> Polygon:
    """Return a tilted strip of 4 to 8 vertices, of height 1 and width about 1."""
    inner = int(rng.integers(0, 3))
    rows = np.sort(np.concatenate([[0.0, 1.0], rng.uniform(0.15, 0.85, inner)]))
    axis = rng.normal(0, 0.03) * elongation * rows + rng.normal(0, 0.05, rows.size)
    half = 0.5 * rng.uniform(0.8, 1.15, rows.size)
    if rng.random() < 0.3:  # a pointed end
        half[-1 if rng.random() < 0.5 else 0] *= 0.35
    left = np.stack([axis - half, rows], 1)
    right = np.stack([axis + half, rows], 1)
    tilt = rng.uniform(-0.03, 0.03, 2)
    right[[0, -1], 1] += tilt * [rng.random() < 0.5, rng.random() < 0.5]
    return np.concatenate([left, right[::-1]])


def _blob(rng: np.random.Generator, elongation: float) -> Polygon:
    """Return a closed, not convex outline of 6 to 13 vertices around 0 with this elongation."""
    vertices = int(rng.integers(6, 14))
    angles = (np.arange(vertices) + rng.uniform(-0.35, 0.35, vertices)) * 2 * pi / vertices
    ragged = rng.uniform(0.05, 0.28)
    radius = np.clip(1 + rng.normal(0, ragged, vertices), 0.45, 1.6)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles) * elongation], 1)
