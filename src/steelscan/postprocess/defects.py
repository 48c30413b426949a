"""Masks as a list of defects, as an inspection engineer counts them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelscan.postprocess.components import box_of
from steelscan.strip import Masks, connected_components


@dataclass(frozen=True)
class Defect:
    """One connected region of one class; pixels with a common corner are connected.

    ``area`` is in pixels; ``top``, ``left``, ``height`` and ``width`` are those of its box;
    ``score`` is the highest probability in it, from 0 to 1.
    """

    class_id: int
    area: int
    top: int
    left: int
    height: int
    width: int
    score: float


def defects_of(masks: Masks, levels: NDArray[np.uint8]) -> tuple[Defect, ...]:
    """The defects of a strip, class by class, the largest first.

    ``masks`` is bool ``(classes, height, width)``, ``levels`` uint8 of that shape.
    """
    if not masks.any():
        return ()
    rows, columns = box_of(masks)
    inside = zip(masks[:, rows, columns], levels[:, rows, columns], strict=True)
    found = (
        defect
        for class_id, (mask, plane) in enumerate(inside, start=1)
        if mask.any()
        for defect in _of_class(class_id, mask, plane, rows.start, columns.start)
    )
    return tuple(sorted(found, key=lambda each: (each.class_id, -each.area, each.left, each.top)))


def _of_class(
    class_id: int, mask: NDArray[np.bool_], levels: NDArray[np.uint8], top: int, left: int
) -> Iterator[Defect]:
    labels, boxes, areas = connected_components(mask)
    for label, (box, area) in enumerate(zip(boxes, areas, strict=True), start=1):
        y, x, height, width = box.tolist()
        own = np.s_[y : y + height, x : x + width]
        highest = int(levels[own][labels[own] == label].max())
        yield Defect(class_id, int(area), top + y, left + x, height, width, highest / 255)
