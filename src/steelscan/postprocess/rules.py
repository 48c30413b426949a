"""The cleaning rules in their order.

Every rule keeps the shape ``(classes, height, width)``. A binarizer turns probabilities into
masks, every other rule turns masks into masks; the order is the recipe's.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from steelscan.postprocess.areas import (
    MinArea,
    OneClassAPixel,
    ScaledMinArea,
    min_area,
    one_class_a_pixel,
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
from steelscan.strip import InputError, Masks, RecipeError

Binarizer = Threshold | Triplet
"""What turns probabilities into masks."""

Cleaner = (
    MinArea
    | ScaledMinArea
    | RemoveSmallComponents
    | FillHoles
    | FillEdges
    | Polygons
    | OneClassAPixel
)
"""What turns masks into masks."""

Rule = Annotated[Binarizer | Cleaner, Field(discriminator="kind")]


def clean(
    probabilities: Probabilities,
    rules: Sequence[Rule],
    classes: NDArray[np.float32] | None = None,
) -> Masks:
    """Apply rules in order to the probabilities of one strip; returns its masks.

    ``classes``, float32 ``(classes,)`` from 0 to 1, is what a classifier says of the whole strip;
    only `ScaledMinArea` asks for it.

    Raises RecipeError when the first rule is no threshold, a later one is, or a rule asks for a
    classifier's word and there is none; InputError when that is of other classes.
    """
    if classes is not None and classes.shape != probabilities.shape[:1]:
        found = f"have shape {classes.shape}, beside maps of shape {probabilities.shape}"
        raise InputError("probabilities of classes", found, "Give one probability a class")
    match rules:
        case [Threshold() as first, *rest]:
            masks = threshold(probabilities, first)
        case [Triplet() as first, *rest]:
            masks = triplet(probabilities, first)
        case _:
            found = "do not begin with a threshold"
            raise RecipeError("rules", found, "Put Threshold first, or Triplet")
    box = (slice(None), *box_of(masks))
    inside = masks[box]
    for rule in rest:
        inside = _apply(inside, rule, probabilities[box], classes)
    masks[box] = inside
    return masks


def _apply(  # noqa: PLR0911
    masks: Masks, rule: Rule, probabilities: Probabilities, classes: NDArray[np.float32] | None
) -> Masks:
    match rule:
        case MinArea():
            return min_area(masks, rule)
        case ScaledMinArea():
            if classes is None:
                found = "asks for a classifier's word, and there is none"
                raise RecipeError("ScaledMinArea", found, "Classify first, or take MinArea")
            return scaled_min_area(masks, rule, classes)
        case RemoveSmallComponents():
            return remove_small_components(masks, rule)
        case FillHoles():
            return fill_holes(masks, rule)
        case FillEdges():
            return fill_edges(masks, rule)
        case Polygons():
            return polygons(masks, rule)
        case OneClassAPixel():
            return one_class_a_pixel(masks, probabilities)
        case Threshold() | Triplet():
            raise RecipeError("rules", "hold a second threshold", "Keep one, the first")
