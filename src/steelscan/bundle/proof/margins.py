"""How near the outputs for a strip come to the thresholds that decide it. No torch here."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from steelscan.decision import (
    ClassifyStep,
    Decision,
    HardGate,
    SegmentStep,
    SoftGate,
    StepOutput,
    StripOutputs,
    gated,
    run_steps,
)
from steelscan.postprocess import Rule, Threshold, Triplet
from steelscan.strip import Frame, PerClass, per_class


def margin_of(decision: Decision, outputs: StripOutputs, classes: int, frame: Frame) -> float:
    """Return how far a strip is from the threshold that decides it, from the outputs of all steps.

    Each class counts with the threshold that it passes by least, and the strip with the class that
    is nearest to its own. Steps that gates skip do not count.
    """
    measured = _MeasuredOutputs(decision, outputs, classes)
    run_steps(decision, measured, classes, frame)
    return float(np.abs(measured.excess).min())


class _MeasuredOutputs:
    """Returns outputs, and measures by how much they exceed the thresholds; `StripOutputs`."""

    def __init__(self, decision: Decision, outputs: StripOutputs, classes: int) -> None:
        self._outputs, self._classes = outputs, classes
        self._steps = decision.steps
        self._rules = {stage.segmenter.name: stage.rules for stage in decision.stages}
        self.excess = np.full(classes, 1.0)
        """By how much each class exceeds the threshold that it exceeds by least."""

    def output(self, step: str, open_classes: NDArray[np.bool_]) -> StepOutput:
        """Return the output of a step, and measure it."""
        output, settings = self._outputs.output(step, open_classes), self._steps[step]
        if isinstance(settings, ClassifyStep):
            excesses = [self._of_classifier(settings, output)]
        else:
            excesses = list(self._of_segmenter(settings, self._rules[step], output))
        for excess in excesses:
            self.excess = np.fmin(self.excess, excess)
        return output

    def _of_classifier(self, step: ClassifyStep, output: StepOutput) -> NDArray[np.float64]:
        """Return the excess over a classifier's threshold; NaN for a class that always passes."""
        assert output.classes is not None
        excess = output.classes - self._per_class(step.threshold)
        return excess if step.gate == "class" else np.full(self._classes, excess.max())

    def _of_segmenter(
        self, step: SegmentStep, rules: Sequence[Rule], output: StepOutput
    ) -> Iterator[NDArray[np.float64]]:
        assert output.pixels is not None
        soft = isinstance(step.gate, SoftGate)
        pixels = gated(step.gate, output) if soft else output.pixels
        match rules[0]:
            case Threshold(label=label, pixel=pixel):
                yield self._above(pixels, label, 1)
                yield self._above(pixels, pixel, 1)
            case Triplet(top=top, area=area, bottom=bottom):
                yield self._above(pixels, top, area)
                yield self._above(pixels, bottom, 1)
        if isinstance(step.gate, HardGate) and output.classes is not None:
            yield output.classes - self._per_class(step.gate.threshold)

    def _above(
        self, pixels: NDArray[np.uint8], threshold: PerClass[float], area: PerClass[int]
    ) -> NDArray[np.float64]:
        """Return by how much the ``area`` highest pixels of each class exceed a threshold."""
        counts = per_class(area, self._classes, "area")
        kth = [
            np.nan if count == 0 else _kth_highest(plane, count)
            for plane, count in zip(pixels, counts, strict=True)
        ]
        return np.asarray(np.array(kth) / 255 - self._per_class(threshold))

    def _per_class(self, threshold: PerClass[float]) -> NDArray[np.float64]:
        return np.array(per_class(threshold, self._classes, "threshold"))


def _kth_highest(pixels: NDArray[np.uint8], count: int) -> float:
    """Return the value that so many pixels reach; 0 if there are fewer pixels."""
    if count == 1:
        return float(pixels.max())
    return float(np.partition(pixels, -count, None)[-count]) if count <= pixels.size else 0.0
