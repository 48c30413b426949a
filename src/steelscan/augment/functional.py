"""Augmentations that albumentations lacks, or that it has changed since 2019."""

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


def add_normal_noise(
    picture: Picture, rng: np.random.Generator, *, strengths: tuple[float, float], squared: bool
) -> Picture:
    """Return a copy of uint8 ``(height, width)`` with normal noise of mean 0, rounded and cut.

    The standard deviation in grey levels is drawn uniformly from ``strengths``; with ``squared``
    its square is.
    """
    strength = rng.uniform(*strengths)
    deviation = np.float32(np.sqrt(strength) if squared else strength)
    noisy = picture + deviation * rng.standard_normal(picture.shape, np.float32)
    return np.rint(noisy).clip(0, 255).astype(np.uint8)


def distort_like_lens(
    picture: Picture, masks: Masks, rng: np.random.Generator, *, limit: float
) -> tuple[Picture, Masks]:
    """Distort like a lens with a strength k drawn uniformly between ``-limit`` and ``limit``.

    ``picture`` is uint8 ``(height, width)``, ``masks`` bool ``(classes, height, width)``. A pixel
    at the distance r from the middle, in widths of the picture, gets the value at the distance
    r (1 + k r^2 + k r^4), in the same direction. That is OpticalDistortion of albumentations 0.3.3
    (September 2019), whose camera has the width as focal length in both directions; later versions
    have the height vertically, which bends wide crops more. Two things are left out: a shift by
    half a pixel, and ``shift_limit``, which was rounded to whole pixels: with 0.5, the value of
    the 14th, nothing was shifted.
    """
    height, width = picture.shape
    k = rng.uniform(-limit, limit)
    camera = np.array([[width, 0, (width - 1) / 2], [0, width, (height - 1) / 2], [0, 0, 1]])
    columns, rows = cv2.initUndistortRectifyMap(
        camera, np.array([k, k, 0, 0, 0]), None, camera, (width, height), cv2.CV_32FC1
    )

    def warped(plane: NDArray[np.uint8], interpolation: int) -> NDArray[np.uint8]:
        moved = cv2.remap(plane, columns, rows, interpolation, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(moved, np.uint8)

    bent = masks.copy()
    for index in np.flatnonzero(masks.any((1, 2))):
        bent[index] = warped(masks[index].astype(np.uint8), cv2.INTER_NEAREST)
    return warped(picture, cv2.INTER_LINEAR), bent


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
