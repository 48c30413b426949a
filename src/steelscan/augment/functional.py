"""Augmentations that albumentations lacks: blackout, camera noise and the shift of steel."""

import cv2
import numpy as np
from numpy.typing import NDArray

from steelscan.strip import Mask, Masks, Picture, label_components


def black_out(
    picture: Picture, masks: Masks, rng: np.random.Generator, *, component: float, margin: int
) -> tuple[Picture, Masks]:
    """Paint components of the masks black and remove them from the masks (1st, K:114254).

    ``picture`` is uint8 ``(height, width)``, ``masks`` bool ``(classes, height, width)``; both are
    copied. Each 8-connected component of each class is removed with probability ``component``. The
    painted area is dilated by ``margin`` pixels in all directions, but never covers a pixel of a
    component that stays, of any class.
    """
    removed = np.zeros(masks.shape, np.bool_)
    for index in np.flatnonzero(masks.any((1, 2))):
        removed[index] = _some_components(masks[index], rng, component)
    kept = masks & ~removed
    painted = _dilated(np.logical_or.reduce(removed), margin) & ~np.logical_or.reduce(kept)
    return np.where(painted, np.uint8(0), picture), kept


def _some_components(mask: Mask, rng: np.random.Generator, share: float) -> Mask:
    labels, count = label_components(mask)
    drawn = np.append(False, rng.random(count) < share)
    return np.asarray(drawn[labels])


def _dilated(mask: Mask, margin: int) -> NDArray[np.bool_]:
    square = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.view(np.uint8), square), np.uint8).view(np.bool_)


def add_camera_noise(picture: Picture, rng: np.random.Generator, *, intensity: float) -> Picture:
    """Return a copy of uint8 ``(height, width)`` with each pixel brightened by a Poisson draw.

    The mean of the draws is ``intensity`` times the standard deviation of the picture. The darker a
    pixel, the larger the share of its draw that is added; white stays white. This is the effect
    that ISONoise of albumentations had on grey pictures in 2019. ISONoise of albumentations 2.0.8
    needs three channels, and makes a few pixels much brighter instead.
    """
    draws = rng.poisson(intensity * float(picture.std()), picture.shape)
    brighter = picture + draws * (1 - picture / 255)
    return np.rint(brighter).clip(0, 255).astype(np.uint8)


def shift_steel(
    picture: Picture, masks: Masks, rng: np.random.Generator, *, dark: float
) -> tuple[Picture, Masks]:
    """Roll the columns of steel in picture and masks by a uniformly drawn distance.

    ``picture`` is uint8 ``(height, width)``, ``masks`` bool ``(classes, height, width)``. A column
    of steel has a mean of at least ``dark``. A strip is not changed if it has fewer than two of
    them, or black columns between them.
    """
    steel = np.flatnonzero(picture.mean(0) >= dark)
    if steel.size < 2 or steel[-1] - steel[0] + 1 != steel.size:
        return picture, masks
    columns = np.arange(picture.shape[1])
    columns[steel] = np.roll(steel, rng.integers(1, steel.size))
    return picture[:, columns], masks[:, :, columns]
