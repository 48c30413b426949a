"""The list of defects of a strip."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelscan.postprocess.components import box_of
from steelscan.strip import Masks, connected_components


@dataclass(frozen=True)
class Defect:
    """One 8-connected region of one class.

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


def defects_of(masks: Masks, probabilities_u8: NDArray[np.uint8]) -> tuple[Defect, ...]:
    """Return the defects of a strip by class, the largest first.

    ``masks`` is bool ``(classes, height, width)``, ``probabilities_u8`` uint8 of that shape.
    """
    if not masks.any():
        return ()
    rows, columns = box_of(masks)
    pairs = zip(masks[:, rows, columns], probabilities_u8[:, rows, columns], strict=True)
    defects = (
        defect
        for class_id, (mask, plane) in enumerate(pairs, start=1)
        if mask.any()
        for defect in _of_class(class_id, mask, plane, rows.start, columns.start)
    )
    return tuple(sorted(defects, key=lambda each: (each.class_id, -each.area, each.left, each.top)))


def _of_class(
    class_id: int, mask: NDArray[np.bool_], plane: NDArray[np.uint8], top: int, left: int
) -> Iterator[Defect]:
    labels, boxes, areas = connected_components(mask)
    for label, (box, area) in enumerate(zip(boxes, areas, strict=True), start=1):
        y, x, height, width = box.tolist()
        own = np.s_[y : y + height, x : x + width]
        highest = int(plane[own][labels[own] == label].max())
        yield Defect(class_id, int(area), top + y, left + x, height, width, highest / 255)
