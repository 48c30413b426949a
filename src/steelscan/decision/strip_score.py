"""The one number that says how sure the networks of a recipe are of a defect on a strip.

A recipe decides by several thresholds: those of its classifiers, of second heads, of the highest
pixel. A class is found where all of these are passed. So the weakest of them decides, and one
threshold on the weakest moves all of them together. Areas and cleaning are left out: they would
make strips that no threshold can stop.
"""

import numpy as np
from numpy.typing import NDArray

from steelscan.decision.decide import Ask, StepOutput, weighed
from steelscan.decision.spec import Deciding, HardGate, Judging, Outlining
from steelscan.strip import RecipeError


def class_scores(recipe: Deciding, ask: Ask, classes: int) -> NDArray[np.float64]:
    """The score of each class on a strip, float64 ``(classes,)`` from 0 to 1.

    Of all that classifiers, second heads and the highest pixels of a class say, in all rounds, the
    lowest; a classifier that opens whole strips says the highest of its classes, and one that does
    not know a class says nothing of it. The score of the strip is the highest of its classes.
    """
    lowest = np.ones(classes)
    for classifies, (name, segment), _ in recipe.rounds:
        for judge, step in classifies:
            lowest = np.fmin(lowest, _word(step, ask(judge).classes))
        lowest = np.fmin(lowest, _outlined(segment, ask(name)))
    return lowest


def class_words(recipe: Deciding, ask: Ask, classes: int) -> NDArray[np.float64]:
    """What is said of each class on the whole strip, float64 ``(classes,)``, to be calibrated.

    By the last classifier or second heads; where a recipe has none, by the highest pixels. Not a
    number where nobody knows the class.
    """
    word: NDArray[np.float32] | None = None
    highest = np.full(classes, np.nan)
    for classifies, (name, _), _ in recipe.rounds:
        for judge, _ in classifies:
            word = ask(judge).classes
        said = ask(name)
        word = word if said.classes is None else said.classes
        highest = _highest(said)
    return highest if word is None else word.astype(np.float64)


def _word(step: Judging, said: NDArray[np.float32] | None) -> NDArray[np.float64]:
    if said is None:
        raise RecipeError("classify", "was not asked", "Ask each step of the recipe")
    word = said.astype(np.float64)
    if step.gate == "class":
        return word
    return np.full(len(word), np.nan if np.isnan(word).any() else word.max())


def _outlined(step: Outlining, said: StepOutput) -> NDArray[np.float64]:
    if isinstance(step.gate, HardGate) and said.classes is not None:
        return np.fmin(_highest(said), said.classes)
    return _highest(said._replace(levels=weighed(step, said)))


def _highest(said: StepOutput) -> NDArray[np.float64]:
    if said.levels is None:
        raise RecipeError("segment", "was not asked", "Ask each step of the recipe")
    return np.asarray(said.levels.max(axis=(1, 2)) / 255, np.float64)
