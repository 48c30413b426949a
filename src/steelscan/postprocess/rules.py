"""The cleaning rules: settings first, then what they do to probabilities and masks.

Every rule keeps the shape ``(classes, height, width)``. A threshold turns probabilities into
masks, every other rule turns masks into masks; the order is the recipe's.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from steelscan.strip import Masks, PerClass, RecipeError, Spec, not_built, per_class

Probabilities = NDArray[np.float32] | NDArray[np.uint8]
"""float32 from 0 to 1, or uint8 levels where 255 stands for 1: ``(classes, height, width)``."""

_PROBABILITY_OF_LEVEL = np.arange(256) / 255

Share = Annotated[float, Field(ge=0, le=1)]
PixelCount = Annotated[int, Field(ge=0)]


class Threshold(Spec):
    """Pixels whose probability is above ``pixel``, in classes that reach above ``label``.

    A class is predicted at all only when the highest probability of its map is above ``label``
    (the one-stage gate of the public starter pipeline; 3rd, K:117377).
    """

    kind: Literal["threshold"] = "threshold"
    label: PerClass[Share] = 0.5
    pixel: PerClass[Share] = 0.5


class MinArea(Spec):
    """Classes whose mask has fewer than ``pixels`` pixels in all become empty (1st, K:114254)."""

    kind: Literal["min_area"] = "min_area"
    pixels: PerClass[PixelCount] = 0


class RemoveSmallComponents(Spec):
    """8-connected components of fewer than ``pixels`` pixels are removed (1st, K:114254)."""

    kind: Literal["remove_small_components"] = "remove_small_components"
    pixels: PerClass[PixelCount] = 0


class Triplet(Spec):
    """Pixels above ``bottom``, in classes of which at least ``area`` pixels are above ``top``.

    (The public "triplet" thresholds; 7th, K:114215.)
    """

    built: ClassVar[bool] = False
    kind: Literal["triplet"] = "triplet"
    top: PerClass[Share]
    area: PerClass[PixelCount]
    bottom: PerClass[Share]


class FillHoles(Spec):
    """Holes of fewer than ``pixels`` pixels are filled; None: all holes (12th, K:114309)."""

    built: ClassVar[bool] = False
    kind: Literal["fill_holes"] = "fill_holes"
    pixels: PixelCount | None = None


class FillEdges(Spec):
    """What the edges of a mask enclose is filled, specks under ``pixels`` go (14th, K:114367).

    Edges are closed at the picture's border first, where half of all masks end.
    """

    built: ClassVar[bool] = False
    kind: Literal["fill_edges"] = "fill_edges"
    pixels: PixelCount = 20


Binarizer = Threshold | Triplet
"""What turns probabilities into masks."""

Cleaner = MinArea | RemoveSmallComponents | FillHoles | FillEdges
"""What turns masks into masks."""

Rule = Annotated[Binarizer | Cleaner, Field(discriminator="kind")]


def clean(probabilities: Probabilities, rules: Sequence[Rule]) -> Masks:
    """Apply rules in order to the probabilities of one strip; returns its masks.

    Raises RecipeError when the first rule is not a threshold, or a later one is.
    """
    match rules:
        case [Threshold() as first, *rest]:
            masks = threshold(probabilities, first)
        case [Triplet() as first, *_]:
            raise not_built(first)
        case _:
            raise RecipeError("rules", "do not begin with a threshold", "Put Threshold first")
    for rule in rest:
        masks = _apply(masks, rule)
    return masks


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


def lowest_level(threshold: float) -> int:
    """The first of the levels 0 to 255 that stands for more than a threshold; 256 if none does."""
    return int(np.searchsorted(_PROBABILITY_OF_LEVEL, threshold, side="right"))


def min_area(masks: Masks, rule: MinArea) -> Masks:
    """Empty the classes whose mask is smaller than the rule's area."""
    least = per_class(rule.pixels, len(masks), "MinArea.pixels")
    enough = masks.reshape(len(masks), -1).sum(1) >= np.array(least)
    return np.asarray(masks & enough[:, None, None])


def remove_small_components(masks: Masks, rule: RemoveSmallComponents) -> Masks:
    """Remove the 8-connected components that are smaller than the rule's area."""
    least = per_class(rule.pixels, len(masks), "RemoveSmallComponents.pixels")
    cleaned = masks.copy()
    for mask, pixels in zip(cleaned, least, strict=True):
        if pixels > 1 and mask.any():
            _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8))
            keep = stats[:, cv2.CC_STAT_AREA] >= pixels
            keep[0] = False
            mask[:] = keep[labels]
    return cleaned


def _above(probabilities: Probabilities, value: float) -> NDArray[np.bool_]:
    if probabilities.dtype == np.uint8:
        return np.asarray(probabilities >= lowest_level(value))
    return np.asarray(probabilities > value)


def _apply(masks: Masks, rule: Rule) -> Masks:
    match rule:
        case MinArea():
            return min_area(masks, rule)
        case RemoveSmallComponents():
            return remove_small_components(masks, rule)
        case Threshold() | Triplet():
            raise RecipeError("rules", "hold a second threshold", "Keep one Threshold, the first")
        case _:
            raise not_built(rule)
