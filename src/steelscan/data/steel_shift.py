"""Steel rolled along the strip, its black ends left where they are (10th place, K:114465)."""

import numpy as np

from steelscan.strip import Masks, Picture


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
