"""Histograms of probabilities: all that a threshold search needs of a strip's maps.

A probability p is stored as the number round(255 p), from 0 to 255.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.strip import Frame, Masks, check_masks
from steelscan.strip.errors import MaskError

LEVELS = 256
"""Values that a stored probability can have."""


def strip_histograms(probabilities_u8: NDArray[np.uint8], truth: Masks) -> NDArray[np.int32]:
    """Count the pixels, and the true pixels, of one strip at each stored probability.

    ``probabilities_u8`` is uint8 and ``truth`` bool, both ``(classes, height, width)``. Returns
    int32 ``(2, classes, 256)``. Raises MaskError for other types and for shapes that differ.
    """
    if probabilities_u8.dtype != np.uint8 or probabilities_u8.ndim != 3:
        raise MaskError(
            "probabilities",
            f"are {probabilities_u8.dtype} with {probabilities_u8.ndim} axes",
            "Give uint8 (classes, height, width), 255 for certain",
        )
    classes, height, width = probabilities_u8.shape
    check_masks(truth, classes, Frame(height, width), "truth")
    counts = np.zeros((2, classes, LEVELS), np.int32)
    for index, (plane, true) in enumerate(zip(probabilities_u8, truth, strict=True)):
        counts[0, index] = np.bincount(plane.ravel(), minlength=LEVELS)
        if true.any():
            counts[1, index] = np.bincount(plane[true], minlength=LEVELS)
    return counts


class PixelsAbove(NamedTuple):
    """Pixels of one class with each stored probability or a higher one, per strip.

    Both are int64 ``(strips, 257)``; the last column is 0.
    """

    predicted: NDArray[np.int64]
    shared: NDArray[np.int64]
    """Of these, the pixels that are true."""

    @property
    def true(self) -> NDArray[np.int64]:
        """True pixels, int64 ``(strips,)``."""
        return self.shared[:, 0]


def pixels_above(histograms: NDArray[np.int32]) -> PixelsAbove:
    """Sum the histograms of one class, int32 ``(strips, 2, 256)``, from the highest value down.

    Raises MaskError for another shape or type.
    """
    if histograms.dtype != np.int32 or histograms.ndim != 3 or histograms.shape[1:] != (2, LEVELS):
        problem = f"are {histograms.dtype} {histograms.shape}"
        raise MaskError("histograms", problem, "Give int32 (strips, 2, 256), one class")
    sums = np.zeros((2, len(histograms), LEVELS + 1), np.int64)
    for part in range(2):
        counts = histograms[:, part, ::-1]
        sums[part, :, :LEVELS] = counts.cumsum(axis=1, dtype=np.int64)[:, ::-1]
    return PixelsAbove(*sums)


def apply_image_gate(
    histograms: NDArray[np.int32], class_probabilities: NDArray[np.floating], gate: float
) -> NDArray[np.int32]:
    """Set all probabilities to 0 on strips that do not pass a gate of the image.

    A strip passes if the probability of any class is above ``gate``. ``histograms`` is int32
    ``(strips, 2, classes, 256)``, ``class_probabilities`` ``(strips, classes)``.
    """
    closed = histograms.copy()
    rows = np.flatnonzero(~(nan_passes(class_probabilities).max(axis=1) > gate))
    closed[rows] = 0
    closed[rows, ..., 0] = histograms[rows].sum(axis=3)
    return closed


def nan_passes(class_probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Replace NaN (no prediction for that class) by infinity, which passes every gate; float64."""
    values = np.asarray(class_probabilities, np.float64)
    return np.where(np.isnan(values), np.inf, values)
