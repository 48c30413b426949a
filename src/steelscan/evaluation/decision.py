"""When to predict: the threshold that follows from how good a mask would be.

A mask that is right in saying that there is a defect scores d, its Dice; an empty one scores 1
where there is none. So predicting pays where P * d > 1 - P, that is P > 1 / (1 + d).
"""

import numpy as np
from numpy.typing import NDArray

from steelscan.strip import InputError


def decision_threshold(dice: float) -> float:
    """The chance above which a mask pays whose Dice would be ``dice`` if the defect is there.

    From 0.5 for a perfect mask to 1 for a worthless one. Raises InputError outside 0 to 1.
    """
    if not 0 <= dice <= 1:
        raise InputError("expected Dice", f"is {dice}", "Give a share from 0 to 1")
    return 1 / (1 + dice)


def dice_if_predicted(values: NDArray[np.float64], times: NDArray[np.float64]) -> float | None:
    """The mean Dice of masks on strips that hold the class; None where there are none.

    ``values`` is the Dice of the mask, float64 ``(strips,)``, made as if every strip were
    predicted; ``times`` how often each strip that holds the class counts, 0 for all others.
    """
    return float(times @ values / times.sum()) if times.any() else None
