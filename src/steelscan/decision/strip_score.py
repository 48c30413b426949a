"""One number per class for the confidence of a decision that there is a defect.

A decision has several thresholds: of classifiers, of aux heads, of the highest pixel. A class is
found only if all of them are passed, so the lowest probability decides, and one threshold on it
moves all of them together. Areas and cleaning are left out: they would make strips that no
threshold can stop.
"""

import numpy as np
from numpy.typing import NDArray

from steelscan.decision.spec import ClassifyStep, Decision, HardGate, SegmentStep
from steelscan.decision.steps import StepOutput, StripOutputs, gated
from steelscan.strip.errors import RecipeError


def class_scores(decision: Decision, outputs: StripOutputs, classes: int) -> NDArray[np.float64]:
    """Return the score of each class on a strip, float64 ``(classes,)`` from 0 to 1.

    It is the lowest probability of the class over classifiers, aux heads and highest pixels, of all
    stages. A classifier with the gate "image" counts with its highest class; a class that a
    classifier does not predict is not limited by it. The strip's score is the highest of these.
    """
    every, lowest = np.ones(classes, np.bool_), np.ones(classes)
    for step in decision.steps.values():
        output = outputs.output(step.name, every)
        if isinstance(step, ClassifyStep):
            lowest = np.fmin(lowest, _classifier(step, output))
        else:
            lowest = np.fmin(lowest, _segmenter(step, output))
    return lowest


def class_probabilities(
    decision: Decision, outputs: StripOutputs, classes: int
) -> NDArray[np.float64]:
    """Return the probability of each class on the whole strip, float64, to be calibrated.

    That of the last classifier or aux heads; without these, that of the highest pixel. NaN for a
    class that no network predicts.
    """
    every, last = np.ones(classes, np.bool_), None
    highest = np.full(classes, np.nan)
    for step in decision.steps.values():
        output = outputs.output(step.name, every)
        last = last if output.classes is None else output.classes
        if isinstance(step, SegmentStep):
            highest = _highest(output.pixels)
    return highest if last is None else last.astype(np.float64)


def _classifier(step: ClassifyStep, output: StepOutput) -> NDArray[np.float64]:
    if output.classes is None:
        raise RecipeError(step.name, "has no output", "Let each step of the recipe predict")
    probabilities = output.classes.astype(np.float64)
    if step.gate == "class":
        return probabilities
    missing = np.isnan(probabilities).any()
    return np.full(len(probabilities), np.nan if missing else probabilities.max())


def _segmenter(step: SegmentStep, output: StepOutput) -> NDArray[np.float64]:
    if isinstance(step.gate, HardGate) and output.classes is not None:
        return np.fmin(_highest(output.pixels), output.classes)
    return _highest(gated(step.gate, output))


def _highest(pixels: NDArray[np.uint8] | None) -> NDArray[np.float64]:
    if pixels is None:
        raise RecipeError("segment", "has no output", "Let each step of the recipe predict")
    return np.asarray(pixels.max(axis=(1, 2)) / 255, np.float64)
