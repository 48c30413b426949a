"""Connected components of a mask."""

from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.strip.frame import Mask


class Components(NamedTuple):
    """The connected components of a mask, numbered from 1."""

    labels: NDArray[np.int32]
    """int32 ``(height, width)``: the number of each pixel's component, 0 outside the mask."""

    boxes: NDArray[np.int64]
    """int64 ``(components, 4)``: top, left, height and width of each component, in pixels."""

    areas: NDArray[np.int64]
    """int64 ``(components,)``: pixels of each component."""


def label_components(mask: Mask) -> tuple[NDArray[np.int32], int]:
    """Return the ``labels`` of `connected_components` and how many components there are.

    It does not measure the components, which takes several times as long.
    """
    plane = np.ascontiguousarray(mask).view(np.uint8)
    count, labels = cv2.connectedComponents(plane, connectivity=8)
    return np.asarray(labels, np.int32), count - 1


def connected_components(mask: Mask, neighbours: Literal[4, 8] = 8) -> Components:
    """Label the connected components of a mask, bool ``(height, width)``.

    With 8 neighbours, pixels that touch only at a corner are connected; with 4 they are not.
    """
    plane = np.ascontiguousarray(mask).view(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(plane, connectivity=neighbours)
    left, top, width, height, areas = np.asarray(stats[1:], np.int64).T
    boxes = np.stack([top, left, height, width], axis=1)
    return Components(np.asarray(labels, np.int32), boxes, areas)
