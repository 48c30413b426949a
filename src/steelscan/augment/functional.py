"""Defects painted black (1st place, K:114254): the label says what is left to be seen."""

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.strip import Mask, Masks, Picture, label_components


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
    labels, count = label_components(mask)
    drawn = np.append(False, rng.random(count) < share)
    return np.asarray(drawn[labels])


def _grown(mask: Mask, margin: int) -> NDArray[np.bool_]:
    square = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.view(np.uint8), square), np.uint8).view(np.bool_)


def add_camera_noise(picture: Picture, rng: np.random.Generator, *, intensity: float) -> Picture:
    """Brighten each pixel of uint8 ``(height, width)`` by a Poisson draw; returned anew.

    The mean of the draws is ``intensity`` times the deviation of the picture's greys; a pixel takes
    the more of its draw the darker it is, and white takes none. This is what ISONoise of
    albumentations did to grey in 2019: its noise in hue has no effect there. ISONoise of
    albumentations 2.0.8 wants three channels, and makes a few pixels much brighter instead.
    """
    draws = rng.poisson(intensity * float(picture.std()), picture.shape)
    brighter = picture + draws * (1 - picture / 255)
    return np.rint(brighter).clip(0, 255).astype(np.uint8)


def shift_steel(
    picture: Picture, masks: Masks, rng: np.random.Generator, *, dark: float
) -> tuple[Picture, Masks]:
    """Roll the columns of steel, in picture and masks alike, by a distance drawn evenly.

    ``picture`` is uint8 ``(height, width)``, ``masks`` bool ``(classes, height, width)``. Steel are
    the columns whose mean is at least ``dark``. A strip is left alone when it has no steel, a
    single column of it, or black between two pieces of steel, which are no ring that could turn.
    """
    steel = np.flatnonzero(picture.mean(0) >= dark)
    if steel.size < 2 or steel[-1] - steel[0] + 1 != steel.size:
        return picture, masks
    columns = np.arange(picture.shape[1])
    columns[steel] = np.roll(steel, rng.integers(1, steel.size))
    return picture[:, columns], masks[:, :, columns]
