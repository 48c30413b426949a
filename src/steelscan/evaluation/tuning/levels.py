"""Histograms of probabilities: all that a threshold search needs of a strip's maps.

A probability is stored as a level from 0 to 255, which stands for level / 255.
"""

import numpy as np
from numpy.typing import NDArray

from steelscan.strip import Frame, MaskError, Masks, check_masks

LEVELS = 256


def count_levels(probabilities: NDArray[np.uint8], truth: Masks) -> NDArray[np.int32]:
    """Count the pixels, and the true pixels, at each level of one strip.

    ``probabilities`` is uint8 and ``truth`` bool, both ``(classes, height, width)``. Returns
    int32 ``(2, classes, 256)``. Raises MaskError for other types and for shapes that differ.
    """
    if probabilities.dtype != np.uint8 or probabilities.ndim != 3:
        raise MaskError(
            "probabilities",
            f"are {probabilities.dtype} with {probabilities.ndim} axes",
            "Give uint8 (classes, height, width), 255 for certain",
        )
    classes, height, width = probabilities.shape
    check_masks(truth, classes, Frame(height, width), "truth")
    counts = np.zeros((2, classes, LEVELS), np.int32)
    for index, (plane, true) in enumerate(zip(probabilities, truth, strict=True)):
        counts[0, index] = np.bincount(plane.ravel(), minlength=LEVELS)
        if true.any():
            counts[1, index] = np.bincount(plane[true], minlength=LEVELS)
    return counts
