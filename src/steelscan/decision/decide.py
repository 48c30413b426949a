"""From what the networks say of a strip to its masks: the same code in training and in use.

Gates act here, on what is stored: what the second heads say is kept beside what the first say, so
that a strip can be decided again, and whoever tunes sees what is deployed.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.decision.spec import Deciding, HardGate, Judging, Outlining, SoftGate
from steelscan.evaluation.tuning import Thresholds
from steelscan.postprocess import MinArea, Rule, Threshold, clean
from steelscan.strip import Frame, Masks, RecipeError, per_class


class StepOutput(NamedTuple):
    """What the networks of a step say of a strip; of a class that none knows, not a number."""

    levels: NDArray[np.uint8] | None
    """Probabilities of pixels as 255ths, uint8 ``(classes, height, width)``; None: not asked."""
    classes: NDArray[np.float32] | None
    """Probabilities of classes, float32 ``(classes,)``; None: not asked."""


Ask: TypeAlias = Callable[[str], StepOutput]
"""Gives what the networks of a step say of a strip, by the step's name."""

AskOpen: TypeAlias = Callable[[str, NDArray[np.bool_]], StepOutput]
"""The same; hears too which classes are open, ``(classes,)``. Of others anything may be said."""


class RuleInput(NamedTuple):
    """What the last rules of a recipe get to see of a strip."""

    levels: NDArray[np.uint8]
    """Mask probabilities, ``(classes, height, width)``; 0 for classes that may not be outlined."""

    word: NDArray[np.float32] | None
    """What the classifier or the second heads asked last say of each class, ``(classes,)``."""


class OpenClasses(NamedTuple):
    """What is left to outline when the last segmenters of a recipe are asked about a strip."""

    classes: NDArray[np.bool_]
    """Which classes may be outlined, ``(classes,)``."""

    word: NDArray[np.float32] | None
    """What the classifier or the second heads asked last say of each class, ``(classes,)``."""


def consult(recipe: Deciding, ask: AskOpen, classes: int, frame: Frame) -> RuleInput:
    """What the networks of a recipe say of a strip, up to its last rules.

    Each round asks its classifiers, then its segmenters, and what its rules leave empty is closed
    to the next; networks are asked only while a class is open.
    """
    admitted = admit(recipe, ask, classes)
    if not admitted.classes.any():
        return RuleInput(np.zeros((classes, *frame), np.uint8), admitted.word)
    name, segment = recipe.rounds[-1].segment
    return outlined(segment, ask(name, admitted.classes), admitted)


def admit(recipe: Deciding, ask: AskOpen, classes: int) -> OpenClasses:
    """What all networks of a recipe but the last segmenters leave to be outlined on a strip."""
    opened = np.ones(classes, np.bool_)
    word = None
    for at, (classifies, (name, segment), rules) in enumerate(recipe.rounds, start=1):
        for judge, step in classifies:
            if opened.any():
                word = ask(judge, opened).classes
                assert word is not None
                opened &= passing(step, word)
        if at == len(recipe.rounds) or not opened.any():
            break
        found = outlined(segment, ask(name, opened), OpenClasses(opened, word))
        word = found.word
        opened &= decide(found, rules).any((1, 2))
    return OpenClasses(opened, word)


def outlined(segment: Outlining, said: StepOutput, admitted: OpenClasses) -> RuleInput:
    """What the rules behind a step get to see, of what its networks say."""
    word = admitted.word if said.classes is None else said.classes
    return RuleInput(gated(weighed(segment, said), admitted.classes), word)


def passing(step: Judging, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The classes that may be outlined on a strip, bool ``(classes,)``.

    ``probabilities`` is what the classifier says, ``(classes,)``; what it does not judge, which is
    not a number, passes.
    """
    classes = len(probabilities)
    above = probabilities > np.array(per_class(step.threshold, classes, "Classify.threshold"))
    above |= np.isnan(probabilities)
    return above if step.gate == "class" else np.full(classes, above.any())


def weighed(step: Outlining, said: StepOutput) -> NDArray[np.uint8]:
    """The mask probabilities of a step after its gate, uint8 ``(classes, height, width)``."""
    levels, classes = said
    assert levels is not None
    if step.gate is None:
        return levels
    assert classes is not None
    match step.gate:
        case SoftGate():
            shares = np.nan_to_num(classes).astype(np.float32)
            products: NDArray[np.float32] = levels * shares[:, None, None]
            return np.rint(products).astype(np.uint8)
        case HardGate(threshold=threshold):
            least = per_class(threshold, len(classes), "HardGate.threshold")
            return gated(levels, classes > np.array(least))


def gated(levels: NDArray[np.uint8], passes: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Mask probabilities with those of classes that may not be outlined set to 0."""
    return levels if passes.all() else levels * passes[:, None, None]


def decide(opened: RuleInput, rules: Sequence[Rule]) -> Masks:
    """The masks of a strip, bool ``(classes, height, width)``."""
    if not opened.levels.any():  # most strips are clean, and rules are slow
        return np.zeros(opened.levels.shape, np.bool_)
    return clean(opened.levels, rules, opened.word)


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
