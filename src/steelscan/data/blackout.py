"""Defects painted black (1st place, K:114254): the label says what is left to be seen."""

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.strip import Mask, Masks, Picture


def black_out(
    picture: Picture, masks: Masks, rng: np.random.Generator, *, component: float, margin: int
) -> tuple[Picture, Masks]:
    """Paint components of the masks black and take them out of the masks.

    ``picture`` is uint8 ``(height, width)``, ``masks`` bool ``(classes, height, width)``; both are
    returned anew. Each 8-connected component of each class goes with probability ``component``.
    What is painted is grown by ``margin`` pixels to all sides and corners, but never over a pixel
    of a component that stays, of whichever class.
    """
    gone = np.zeros(masks.shape, np.bool_)
    for index in np.flatnonzero(masks.any((1, 2))):
        gone[index] = _some_components(masks[index], rng, component)
    kept = masks & ~gone
    painted = _grown(np.logical_or.reduce(gone), margin) & ~np.logical_or.reduce(kept)
    return np.where(painted, np.uint8(0), picture), kept


def _some_components(mask: Mask, rng: np.random.Generator, share: float) -> Mask:
    plane = np.ascontiguousarray(mask).view(np.uint8)
    count, labels = cv2.connectedComponents(plane, connectivity=8)
    drawn = np.zeros(count, np.bool_)
    drawn[1:] = rng.random(count - 1) < share
    return drawn[np.asarray(labels)]


def _grown(mask: Mask, margin: int) -> NDArray[np.bool_]:
    square = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.view(np.uint8), square), np.uint8).view(np.bool_)
