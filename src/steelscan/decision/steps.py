"""From the outputs of all steps for one strip to its masks: the same for a run and a bundle.

A run stores outputs as they are before any gate, those of aux heads too, so that a strip can be
decided again with other thresholds.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from steelscan.decision.spec import (
    ClassifyStep,
    Decision,
    HardGate,
    OwnGate,
    SoftGate,
    Stage,
)
from steelscan.evaluation.tuning import Thresholds
from steelscan.postprocess import MinArea, Rule, Threshold, clean
from steelscan.strip import Frame, Masks, per_class
from steelscan.strip.errors import RecipeError


class StepOutput(NamedTuple):
    """The output of a step for one strip; NaN for a class that no network predicts."""

    pixels: NDArray[np.uint8] | None
    """Probabilities of pixels as 255ths, uint8 ``(classes, height, width)``; None: a classifier."""
    classes: NDArray[np.float32] | None
    """Probabilities of classes, float32 ``(classes,)``; None: a segmenter without a gate."""


class RuleInput(NamedTuple):
    """What the rules of a stage get for one strip."""

    pixels: NDArray[np.uint8]
    """Probabilities of pixels as 255ths, ``(classes, height, width)``; 0 for closed classes."""
    classes: NDArray[np.float32] | None
    """Probabilities of classes ``(classes,)``, by the last classifier or aux heads that predicted;
    None: there is none."""


class OpenClasses(NamedTuple):
    """What the steps before the last segmenter determine for one strip."""

    open: NDArray[np.bool_]
    """The classes that may still be found, ``(classes,)``."""
    classes: NDArray[np.float32] | None
    """Probabilities of classes as in `RuleInput`."""


class StripOutputs(Protocol):
    """The outputs of all steps for one strip: stored, or predicted when they are needed."""

    def output(self, step: str, open_classes: NDArray[np.bool_]) -> StepOutput:
        """Return the output of a step; for classes that are not open it may hold anything."""
        ...


@dataclass(frozen=True)
class GivenOutputs:
    """Outputs that are there already, by the names of the steps; `StripOutputs`."""

    outputs: Mapping[str, StepOutput]

    def output(self, step: str, open_classes: NDArray[np.bool_]) -> StepOutput:
        """Return the output of a step."""
        del open_classes
        return self.outputs[step]


def run_steps(
    decision: Decision,
    outputs: StripOutputs,
    classes: int,
    frame: Frame,
    ungated: Collection[str] = (),
) -> RuleInput:
    """Go through all stages of a decision, up to the rules of the last one.

    In each stage the classifiers predict, then the segmenter; classes that its rules leave empty
    are closed for the next stage. A step predicts only while a class is open. The steps named in
    ``ungated`` (`gate_steps`) close nothing.
    """
    before = open_classes(decision, outputs, classes, ungated)
    if not before.open.any():
        return RuleInput(np.zeros((classes, *frame), np.uint8), before.classes)
    segmenter = decision.last.segmenter
    gate = None if segmenter.name in ungated else segmenter.gate
    return rule_input(gate, outputs.output(segmenter.name, before.open), before)


def gate_steps(decision: Decision) -> tuple[str, ...]:
    """Return the names of the steps that may close a class, in order.

    These are all classifiers, the segmenters before the last one, and the last one if it has a
    gate.
    """
    last = decision.last.segmenter
    open_always = {last.name} if last.gate is None else set()
    return tuple(name for name in decision.steps if name not in open_always)


def open_classes(
    decision: Decision, outputs: StripOutputs, classes: int, ungated: Collection[str] = ()
) -> OpenClasses:
    """Return the classes that all steps before the last segmenter leave open.

    The steps named in ``ungated`` close nothing.
    """
    state = OpenClasses(np.ones(classes, np.bool_), None)
    for stage in decision.stages[:-1]:
        state = _classify(stage, outputs, state, ungated)
        if not state.open.any():
            return state
        segmenter = stage.segmenter
        given = rule_input(segmenter.gate, outputs.output(segmenter.name, state.open), state)
        opened = state.open
        if segmenter.name not in ungated:
            opened = opened & masks_of(given, stage.rules).any((1, 2))
        state = OpenClasses(opened, given.classes)
    return _classify(decision.last, outputs, state, ungated)


def _classify(
    stage: Stage, outputs: StripOutputs, state: OpenClasses, ungated: Collection[str]
) -> OpenClasses:
    """Close the classes that the classifiers of a stage do not let pass."""
    for step in stage.classifiers:
        if state.open.any():
            probabilities = outputs.output(step.name, state.open).classes
            assert probabilities is not None
            opened = state.open
            if step.name not in ungated:
                opened = opened & passing(step, probabilities)
            state = OpenClasses(opened, probabilities)
    return state


def passing(step: ClassifyStep, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the classes that a classifier lets pass, bool ``(classes,)``.

    ``probabilities`` are its output, ``(classes,)``; a class that it does not predict, NaN, passes.
    """
    classes = len(probabilities)
    above = probabilities > np.array(per_class(step.threshold, classes, "Classify.threshold"))
    above |= np.isnan(probabilities)
    return above if step.gate == "class" else np.full(classes, above.any())


def rule_input(gate: OwnGate | None, output: StepOutput, before: OpenClasses) -> RuleInput:
    """Return what the rules behind a segmenter get, from its output and its gate."""
    classes = before.classes if output.classes is None else output.classes
    return RuleInput(_only(gated(gate, output), before.open), classes)


def gated(gate: OwnGate | None, output: StepOutput) -> NDArray[np.uint8]:
    """Return the pixel probabilities of a segmenter after its gate, uint8 ``(classes, h, w)``."""
    pixels, classes = output
    assert pixels is not None
    if gate is None:
        return pixels
    assert classes is not None
    match gate:
        case SoftGate():
            factors = np.nan_to_num(classes).astype(np.float32)
            products: NDArray[np.float32] = pixels * factors[:, None, None]
            return np.rint(products).astype(np.uint8)
        case HardGate(threshold=threshold):
            least = per_class(threshold, len(classes), "HardGate.threshold")
            return _only(pixels, classes > np.array(least))


def _only(pixels: NDArray[np.uint8], kept: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Set the probabilities of all other classes to 0."""
    return pixels if kept.all() else pixels * kept[:, None, None]


def masks_of(given: RuleInput, rules: Sequence[Rule]) -> Masks:
    """Return the masks that rules make, bool ``(classes, height, width)``."""
    if not given.pixels.any():  # most strips are clean, and rules are slow
        return np.zeros(given.pixels.shape, np.bool_)
    return clean(given.pixels, rules, given.classes)


def thresholds_of(rules: Sequence[Rule], classes: int) -> Thresholds:
    """Return the numbers of some rules that can be tuned.

    Raises RecipeError unless the rules are a threshold and at most one minimum area, the only
    numbers that the search tunes.
    """
    match rules:
        case [Threshold() as threshold]:
            least: MinArea = MinArea()
        case [Threshold() as threshold, MinArea() as least]:
            pass
        case _:
            problem = f"has the rules {', '.join(rule.kind for rule in rules)}"
            raise RecipeError("tune", problem, "Tune threshold and min_area, or set tune to null")
    return Thresholds(
        label=per_class(threshold.label, classes, "Threshold.label"),
        pixel=per_class(threshold.pixel, classes, "Threshold.pixel"),
        area=per_class(least.pixels, classes, "MinArea.pixels"),
    )


def rules_with(tuned: Thresholds) -> tuple[Rule, ...]:
    """Return the rules that apply tuned numbers."""
    return Threshold(label=tuned.label, pixel=tuned.pixel), MinArea(pixels=tuned.area)
