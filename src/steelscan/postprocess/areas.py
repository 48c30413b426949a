"""Classes of which there is too little on a strip."""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from steelscan.postprocess.thresholds import PixelCount, Probabilities
from steelscan.strip import Masks, PerClass, Spec, per_class

Factor = Annotated[float, Field(ge=1, allow_inf_nan=False)]


class MinArea(Spec):
    """Classes whose mask has fewer than ``pixels`` pixels in all become empty (1st, K:114254)."""

    kind: Literal["min_area"] = "min_area"
    pixels: PerClass[PixelCount] = 0


class ScaledMinArea(Spec):
    """Classes smaller than an area become empty; the classifier's doubt makes the area larger.

    It is ``pixels`` for a class that the classifier is sure of, ``factor`` times as much for one
    that it rules out, and in between by the line through these two (55th; see `scaled_area`).
    """

    kind: Literal["scaled_min_area"] = "scaled_min_area"
    pixels: PerClass[PixelCount]
    factor: PerClass[Factor] = 5.0


def min_area(masks: Masks, rule: MinArea) -> Masks:
    """Empty the classes whose mask is smaller than the rule's area."""
    return _without_small(masks, per_class(rule.pixels, len(masks), "MinArea.pixels"))


def scaled_min_area(masks: Masks, rule: ScaledMinArea, classes: NDArray[np.float32]) -> Masks:
    """Empty the classes whose mask is smaller than the rule's area, scaled.

    ``classes`` is what the classifier says of the strip: ``(classes,)``, from 0 to 1. Where that
    is not a number, as of a class that the classifier does not know, the area is not scaled.
    """
    least = per_class(rule.pixels, len(masks), "ScaledMinArea.pixels")
    factors = per_class(rule.factor, len(masks), "ScaledMinArea.factor")
    sure = np.nan_to_num(classes, nan=1.0).tolist()
    triples = zip(least, sure, factors, strict=True)
    return _without_small(masks, [scaled_area(*triple) for triple in triples])


def scaled_area(least: float, probability: float, factor: float = 5.0) -> float:
    """The least area of a class in pixels: ``t = t0*f - t0*(f-1)*p`` (code of the 55th).

    It ends at ``least`` for a probability of 1 and at ``factor * least`` for 0.
    """
    return least * factor - least * (factor - 1) * probability


def _without_small(masks: Masks, least: Sequence[float]) -> Masks:
    cleaned = masks.copy()
    for mask, pixels in zip(cleaned, least, strict=True):
        if np.count_nonzero(mask) < pixels:
            mask[:] = False
    return cleaned


class OneClassAPixel(Spec):
    """Of several classes predicted at one pixel, only the most probable stays (55th).

    Among equals the one of the lowest id stays. True masks never overlap, and rules that add
    pixels can make overlaps: this rule belongs behind them.
    """

    kind: Literal["one_class_a_pixel"] = "one_class_a_pixel"


def one_class_a_pixel(masks: Masks, probabilities: Probabilities) -> Masks:
    """Leave at most one class set at each pixel; both arrays are ``(classes, height, width)``."""
    cleaned = masks.copy()
    set_classes = [index for index, mask in enumerate(masks) if mask.any()]
    if len(set_classes) < 2:
        return cleaned
    rows, columns = np.nonzero(masks[set_classes].sum(0, np.uint16) > 1)
    predicted = masks[:, rows, columns]
    competing = np.where(predicted, probabilities[:, rows, columns].astype(np.float32), -1)
    winner = competing.argmax(0)
    cleaned[:, rows, columns] = np.arange(len(masks))[:, None] == winner
    return cleaned
