"""Apply the rules of a recipe in order.

A binarizer turns probabilities into masks, every other rule turns masks into masks, all of shape
``(classes, height, width)``.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from steelscan.postprocess.areas import (
    MinArea,
    OneClassPerPixel,
    ScaledMinArea,
    min_area,
    one_class_per_pixel,
    scaled_min_area,
)
from steelscan.postprocess.components import (
    FillHoles,
    RemoveSmallComponents,
    box_of,
    fill_holes,
    remove_small_components,
)
from steelscan.postprocess.outlines import FillEdges, Polygons, fill_edges, polygons
from steelscan.postprocess.thresholds import Probabilities, Threshold, Triplet, threshold, triplet
from steelscan.strip import Masks
from steelscan.strip.errors import InputError, RecipeError

Binarizer = Threshold | Triplet
"""A rule that turns probabilities into masks."""

Cleaner = (
    MinArea
    | ScaledMinArea
    | RemoveSmallComponents
    | FillHoles
    | FillEdges
    | Polygons
    | OneClassPerPixel
)
"""A rule that turns masks into masks."""

Rule = Annotated[Binarizer | Cleaner, Field(discriminator="kind")]


def clean(
    probabilities: Probabilities,
    rules: Sequence[Rule],
    classes: NDArray[np.float32] | None = None,
) -> Masks:
    """Apply rules in order to the probabilities of one strip and return its masks.

    ``classes``, float32 ``(classes,)`` from 0 to 1, are a classifier's probabilities for the whole
    strip; only `ScaledMinArea` needs them.

    Raises RecipeError unless the first rule and no other is a binarizer, and if a rule needs
    ``classes`` but there are none; InputError if ``classes`` has another length.
    """
    if classes is not None and classes.shape != probabilities.shape[:1]:
        problem = f"have shape {classes.shape}, with maps of shape {probabilities.shape}"
        raise InputError("class probabilities", problem, "Give one probability per class")
    match rules:
        case [Threshold() as first, *rest]:
            masks = threshold(probabilities, first)
        case [Triplet() as first, *rest]:
            masks = triplet(probabilities, first)
        case _:
            problem = "do not begin with a threshold"
            raise RecipeError("rules", problem, "Put Threshold first, or Triplet")
    box = (slice(None), *box_of(masks))
    cleaned = masks[box]
    for rule in rest:
        cleaned = _apply(cleaned, rule, probabilities[box], classes)
    masks[box] = cleaned
    return masks


def _apply(  # noqa: PLR0911
    masks: Masks, rule: Rule, probabilities: Probabilities, classes: NDArray[np.float32] | None
) -> Masks:
    match rule:
        case MinArea():
            return min_area(masks, rule)
        case ScaledMinArea():
            if classes is None:
                problem = "needs the probabilities of a classifier, and there are none"
                raise RecipeError("ScaledMinArea", problem, "Classify first, or use MinArea")
            return scaled_min_area(masks, rule, classes)
        case RemoveSmallComponents():
            return remove_small_components(masks, rule)
        case FillHoles():
            return fill_holes(masks, rule)
        case FillEdges():
            return fill_edges(masks, rule)
        case Polygons():
            return polygons(masks, rule)
        case OneClassPerPixel():
            return one_class_per_pixel(masks, probabilities)
        case Threshold() | Triplet():
            raise RecipeError("rules", "have a second threshold", "Keep only the first")
