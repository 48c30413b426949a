"""How bright a strip is, and how much of its ends shows no steel."""

from typing import NamedTuple

import numpy as np

from steelscan.strip import Picture

_DARK = 10
"""Grey levels below this are black (14th, K:114367)."""

_BLACK = 0.85
"""A column is black if more than this share of its pixels is (14th: of a crop's pixels)."""


class Exposure(NamedTuple):
    """Brightness and black ends of one picture."""

    brightness: float
    """Mean grey level, 0 to 255, of the columns that show steel; of all columns if none does."""

    contrast: float
    """Standard deviation of the grey levels there."""

    black_left: float
    """Black share of the width, from the left end on; 1 for a black picture."""

    black_right: float
    """Black share of the width at the right end; 0 for a black picture."""


def exposure_of(picture: Picture) -> Exposure:
    """Measure a picture, uint8 ``(height, width)``."""
    black = np.mean(picture < _DARK, axis=0) > _BLACK
    steel = np.flatnonzero(~black)
    if not steel.size:
        return Exposure(float(picture.mean()), float(picture.std()), 1.0, 0.0)
    first, last = int(steel[0]), int(steel[-1]) + 1
    lit = picture[:, first:last]
    width = picture.shape[1]
    return Exposure(float(lit.mean()), float(lit.std()), first / width, (width - last) / width)
