"""The noise of a camera at high sensitivity, on grey."""

import numpy as np

from steelscan.strip import Picture


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
