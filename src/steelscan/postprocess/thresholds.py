"""Probabilities to masks: a threshold for the class, another for its pixels."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from steelscan.strip import Masks, PerClass, Spec, per_class

Probabilities = NDArray[np.float32] | NDArray[np.uint8]
"""float32 from 0 to 1, or uint8 levels where 255 stands for 1: ``(classes, height, width)``."""

Share = Annotated[float, Field(ge=0, le=1)]
PixelCount = Annotated[int, Field(ge=0)]

_PROBABILITY_OF_LEVEL = np.arange(256) / 255


class Threshold(Spec):
    """Pixels whose probability is above ``pixel``, in classes that reach above ``label``.

    A class is predicted at all only when the highest probability of its map is above ``label``
    (the one-stage gate of the public starter pipeline; 3rd, K:117377).
    """

    kind: Literal["threshold"] = "threshold"
    label: PerClass[Share] = 0.5
    pixel: PerClass[Share] = 0.5


class Triplet(Spec):
    """Pixels above ``bottom``, in classes of which at least ``area`` pixels are above ``top``.

    With an area of 1 this is ``Threshold(label=top, pixel=bottom)``; with an area of 0 every class
    passes, whatever ``top`` is. (The public "triplet" thresholds; 7th, K:114215.)
    """

    kind: Literal["triplet"] = "triplet"
    top: PerClass[Share]
    area: PerClass[PixelCount]
    bottom: PerClass[Share]


def threshold(probabilities: Probabilities, rule: Threshold) -> Masks:
    """Binarize probabilities ``(classes, height, width)``; returns masks of that shape."""
    classes = len(probabilities)
    masks = np.zeros(probabilities.shape, np.bool_)
    labels = per_class(rule.label, classes, "Threshold.label")
    pixels = per_class(rule.pixel, classes, "Threshold.pixel")
    for index, (label, pixel) in enumerate(zip(labels, pixels, strict=True)):
        if _above(probabilities[index].max(keepdims=True), label).any():
            masks[index] = _above(probabilities[index], pixel)
    return masks


def triplet(probabilities: Probabilities, rule: Triplet) -> Masks:
    """Binarize probabilities ``(classes, height, width)``; returns masks of that shape."""
    classes = len(probabilities)
    masks = np.zeros(probabilities.shape, np.bool_)
    tops = per_class(rule.top, classes, "Triplet.top")
    areas = per_class(rule.area, classes, "Triplet.area")
    bottoms = per_class(rule.bottom, classes, "Triplet.bottom")
    for index, (top, area, bottom) in enumerate(zip(tops, areas, bottoms, strict=True)):
        if np.count_nonzero(_above(probabilities[index], top)) >= area:
            masks[index] = _above(probabilities[index], bottom)
    return masks


def lowest_level(threshold: float) -> int:
    """The first of the levels 0 to 255 that stands for more than a threshold; 256 if none does."""
    return int(np.searchsorted(_PROBABILITY_OF_LEVEL, threshold, side="right"))


def _above(probabilities: Probabilities, value: float) -> NDArray[np.bool_]:
    if probabilities.dtype == np.uint8:
        return np.asarray(probabilities >= lowest_level(value))
    return np.asarray(probabilities > value)
