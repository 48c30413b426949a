"""From what the networks say of a strip to its masks: the same code in training and in use."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation import Thresholds
from steelscan.pipeline.recipe import Classify
from steelscan.postprocess import MinArea, Rule, Threshold, clean
from steelscan.strip import Masks, RecipeError, per_class


def passing(step: Classify | None, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The classes that may be outlined on a strip, bool ``(classes,)``.

    ``probabilities`` is what the classifier says, ``(classes,)``; without such a step all pass.
    """
    classes = len(probabilities)
    if step is None:
        return np.ones(classes, np.bool_)
    above = probabilities > np.array(per_class(step.threshold, classes, "Classify.threshold"))
    return above if step.gate == "class" else np.full(classes, above.any())


def gated(levels: NDArray[np.uint8], passes: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Mask probabilities with those of classes that may not be outlined set to 0."""
    return levels * passes[:, None, None]


def decide(levels: NDArray[np.uint8], passes: NDArray[np.bool_], rules: Sequence[Rule]) -> Masks:
    """The masks of a strip, bool ``(classes, height, width)``, from its mask probabilities."""
    return clean(gated(levels, passes), rules)


def numbers(rules: Sequence[Rule], classes: int) -> Thresholds:
    """The numbers that can be tuned, as the recipe has them.

    Raises RecipeError when the rules are not a threshold and at most one minimum area, which is
    all that the search knows.
    """
    match rules:
        case [Threshold() as threshold]:
            least: MinArea = MinArea()
        case [Threshold() as threshold, MinArea() as least]:
            pass
        case _:
            found = f"has the rules {', '.join(rule.kind for rule in rules)}"
            raise RecipeError("tune", found, "Tune threshold and min_area, or set tune to null")
    return Thresholds(
        label=per_class(threshold.label, classes, "Threshold.label"),
        pixel=per_class(threshold.pixel, classes, "Threshold.pixel"),
        area=per_class(least.pixels, classes, "MinArea.pixels"),
    )


def with_numbers(found: Thresholds) -> tuple[Rule, ...]:
    """The rules that apply tuned numbers."""
    return Threshold(label=found.label, pixel=found.pixel), MinArea(pixels=found.area)
