"""Rules that turn probabilities into masks."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from steelscan.strip import Masks, PerClass, Share, Spec, per_class

Probabilities = NDArray[np.float32] | NDArray[np.uint8]
"""float32 from 0 to 1, or uint8 in steps of 1/255: ``(classes, height, width)``."""

PixelCount = Annotated[int, Field(ge=0)]

_PROBABILITIES = np.arange(256) / 255


class Threshold(Spec):
    """Select pixels above ``pixel``, in classes whose highest pixel is above ``label``.

    (The one-stage gate of the public starter pipeline; 3rd, K:117377.)
    """

    kind: Literal["threshold"] = "threshold"
    label: PerClass[Share] = 0.5
    pixel: PerClass[Share] = 0.5


class Triplet(Spec):
    """Select pixels above ``bottom``, in classes with at least ``area`` pixels above ``top``.

    With an area of 1 this is ``Threshold(label=top, pixel=bottom)``; with an area of 0 every class
    passes. (The public "triplet" thresholds; 7th, K:114215.)
    """

    kind: Literal["triplet"] = "triplet"
    top: PerClass[Share]
    area: PerClass[PixelCount]
    bottom: PerClass[Share]


def threshold(probabilities: Probabilities, rule: Threshold) -> Masks:
    """Binarize probabilities ``(classes, height, width)`` to masks of that shape."""
    classes = len(probabilities)
    masks = np.zeros(probabilities.shape, np.bool_)
    labels = per_class(rule.label, classes, "Threshold.label")
    pixels = per_class(rule.pixel, classes, "Threshold.pixel")
    for index, (label, pixel) in enumerate(zip(labels, pixels, strict=True)):
        if _above(probabilities[index].max(keepdims=True), label).any():
            masks[index] = _above(probabilities[index], pixel)
    return masks


def triplet(probabilities: Probabilities, rule: Triplet) -> Masks:
    """Binarize probabilities ``(classes, height, width)`` to masks of that shape."""
    classes = len(probabilities)
    masks = np.zeros(probabilities.shape, np.bool_)
    tops = per_class(rule.top, classes, "Triplet.top")
    areas = per_class(rule.area, classes, "Triplet.area")
    bottoms = per_class(rule.bottom, classes, "Triplet.bottom")
    for index, (top, area, bottom) in enumerate(zip(tops, areas, bottoms, strict=True)):
        if np.count_nonzero(_above(probabilities[index], top)) >= area:
            masks[index] = _above(probabilities[index], bottom)
    return masks


def lowest_u8_above(threshold: float) -> int:
    """Return the lowest uint8 probability above a threshold; 256 if there is none."""
    return int(np.searchsorted(_PROBABILITIES, threshold, side="right"))


def _above(probabilities: Probabilities, value: float) -> NDArray[np.bool_]:
    if probabilities.dtype == np.uint8:
        return np.asarray(probabilities >= lowest_u8_above(value))
    return np.asarray(probabilities > value)
