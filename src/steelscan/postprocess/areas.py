"""Rules on the areas of classes, and on pixels with several classes."""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from steelscan.postprocess.thresholds import PixelCount, Probabilities
from steelscan.strip import Masks, PerClass, Spec, per_class

Factor = Annotated[float, Field(ge=1, allow_inf_nan=False)]


class MinArea(Spec):
    """Empty each class whose mask has fewer than ``pixels`` pixels (1st, K:114254)."""

    kind: Literal["min_area"] = "min_area"
    pixels: PerClass[PixelCount] = 0


class ScaledMinArea(Spec):
    """Empty each class below an area that grows as the classifier's probability falls.

    The area is ``pixels`` for a probability of 1, ``factor`` times as much for 0, and linear in
    between (55th; see `scaled_area`).
    """

    kind: Literal["scaled_min_area"] = "scaled_min_area"
    pixels: PerClass[PixelCount]
    factor: PerClass[Factor] = 5.0


def min_area(masks: Masks, rule: MinArea) -> Masks:
    """Empty the classes whose masks are smaller than the rule's area."""
    return _without_small(masks, per_class(rule.pixels, len(masks), "MinArea.pixels"))


def scaled_min_area(masks: Masks, rule: ScaledMinArea, classes: NDArray[np.float32]) -> Masks:
    """Empty the classes whose masks are smaller than the rule's scaled area.

    ``classes`` are the classifier's probabilities for the strip, float32 ``(classes,)``, with NaN
    for classes that it does not predict; their area is not scaled.
    """
    least = per_class(rule.pixels, len(masks), "ScaledMinArea.pixels")
    factors = per_class(rule.factor, len(masks), "ScaledMinArea.factor")
    probabilities = np.nan_to_num(classes, nan=1.0).tolist()
    triples = zip(least, probabilities, factors, strict=True)
    return _without_small(masks, [scaled_area(*triple) for triple in triples])


def scaled_area(least: float, probability: float, factor: float = 5.0) -> float:
    """Return the least area of a class in pixels, ``t = t0*f - t0*(f-1)*p`` (code of the 55th)."""
    return least * factor - least * (factor - 1) * probability


def _without_small(masks: Masks, least: Sequence[float]) -> Masks:
    cleaned = masks.copy()
    for mask, pixels in zip(cleaned, least, strict=True):
        if np.count_nonzero(mask) < pixels:
            mask[:] = False
    return cleaned


class OneClassPerPixel(Spec):
    """Keep only the most probable of several classes predicted at one pixel (55th).

    Among equals, the class with the lowest id stays. True masks never overlap, but rules that add
    pixels can make masks overlap: put this rule after them.
    """

    kind: Literal["one_class_per_pixel"] = "one_class_per_pixel"


def one_class_per_pixel(masks: Masks, probabilities: Probabilities) -> Masks:
    """Keep at most one class per pixel; both arrays are ``(classes, height, width)``."""
    cleaned = masks.copy()
    present = [index for index, mask in enumerate(masks) if mask.any()]
    if len(present) < 2:
        return cleaned
    rows, columns = np.nonzero(masks[present].sum(0, np.uint16) > 1)
    predicted = masks[:, rows, columns]
    competing = np.where(predicted, probabilities[:, rows, columns].astype(np.float32), -1)
    winner = competing.argmax(0)
    cleaned[:, rows, columns] = np.arange(len(masks))[:, None] == winner
    return cleaned
