"""How bright a strip is, and how much of its ends shows no steel. Pure functions of a picture."""

from typing import NamedTuple

import numpy as np

from steelscan.strip import Picture

_DARK = 10
"""Grey levels below this are black (14th, K:114367)."""

_BLACK = 0.85
"""A column is black when more than this share of its pixels is (14th: of a crop's pixels)."""


class Light(NamedTuple):
    """What a picture shows of its light."""

    brightness: float
    """Mean grey level, 0 to 255, of the columns that show steel; of all where none does."""

    contrast: float
    """Standard deviation of the grey levels there."""

    left: float
    """Share of the width that is black, from the left end on; 1 for a black picture."""

    right: float
    """Share of the width that is black at the right end; 0 for a black picture."""


def light_of(picture: Picture) -> Light:
    """Measure a picture, uint8 ``(height, width)``."""
    black = np.mean(picture < _DARK, axis=0) > _BLACK
    steel = np.flatnonzero(~black)
    if not steel.size:
        return Light(float(picture.mean()), float(picture.std()), 1.0, 0.0)
    first, last = int(steel[0]), int(steel[-1]) + 1
    seen = picture[:, first:last]
    width = picture.shape[1]
    return Light(float(seen.mean()), float(seen.std()), first / width, (width - last) / width)
