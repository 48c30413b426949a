"""What a run's networks said of the strips that judge, counted for a search. No torch here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.decision import HardGate, StepOutput, consult
from steelscan.evaluation.tuning import Numbers, count_levels
from steelscan.pipeline import Evaluated, RunFolder, Stores, check_stored, stores_to_read
from steelscan.postprocess import MinArea, Rule, Threshold, Triplet
from steelscan.recipes import Recipe
from steelscan.strip import PerClass, RecipeError, per_class, track

if TYPE_CHECKING:
    from steelscan.data import Dataset


class Gate(NamedTuple):
    """A gate of the last round of a recipe, which can be searched."""

    step: str
    of: Literal["class", "image"]
    thresholds: tuple[float, ...]
    """One a class."""


@dataclass(frozen=True, eq=False)
class Counted:
    """The strips of one part: levels before the gate that is searched, and what that gate asks."""

    levels: NDArray[np.int32]
    """``(strips, 2, classes, 256)``."""
    words: NDArray[np.float32] | None
    """``(strips, classes)``."""
    judged: Evaluated


def gate_of(recipe: Recipe, classes: int) -> Gate | None:
    """The gate that is asked last in a recipe; None where there is none to search.

    That is the hard gate of second heads, or else the last classifier. One that opens whole
    strips by several thresholds is none: it has no single number to search.
    """
    last = recipe.rounds[-1]
    name, segment = last.segment
    if isinstance(segment.gate, HardGate):
        least = per_class(segment.gate.threshold, classes, "HardGate.threshold")
        return Gate(name, "class", least)
    if not last.classifies:
        return None
    name, step = last.classifies[-1]
    least = per_class(step.threshold, classes, "Classify.threshold")
    if step.gate == "image" and len(set(least)) > 1:
        return None
    return Gate(name, step.gate, least)


def numbers_of(rules: Sequence[Rule], classes: int, gate: Gate | None) -> tuple[Numbers, ...]:
    """The numbers of each class, as a recipe has them. Raises RecipeError for other rules."""
    three: tuple[PerClass[float], PerClass[float], PerClass[int]]
    match rules:
        case [Threshold() as rule]:
            three = rule.label, rule.pixel, 0
        case [Threshold() as rule, MinArea() as least]:
            three = rule.label, rule.pixel, least.pixels
        case [Triplet() as triplet]:
            three = triplet.top, triplet.bottom, triplet.area
        case _:
            kinds = ", ".join(rule.kind for rule in rules)
            remedy = "Tune threshold, threshold and min_area, or triplet: only those are exact"
            raise RecipeError("tune", f"has the rules {kinds}", remedy)
    gates: tuple[float | None, ...] = (None,) * classes
    if gate is not None and gate.of == "class":
        gates = gate.thresholds
    columns = [per_class(each, classes, "rules") for each in three]
    return tuple(Numbers(*of_class) for of_class in zip(gates, *columns, strict=True))


def count_part(
    run: RunFolder, recipe: Recipe, round_: int, dataset: "Dataset", judged: Evaluated
) -> Counted:
    """Count what was said of the strips of a part, in one pass over the run's stores.

    Raises RunError where a strip has no stored answer.
    """
    gate = gate_of(recipe, len(dataset.classes))
    stores = stores_to_read(run, recipe, round_, dataset)
    row_of = {name: row for row, name in enumerate(dataset.names)}
    levels, words = [], []
    for image in track(judged.images, "Reading probabilities", len(judged.images)):
        row = row_of[image]
        check_stored(run, stores, row, image)
        said = _Asked(stores, row, gate)
        opened = consult(recipe, said, len(dataset.classes), dataset.frames[row])
        levels.append(count_levels(opened.levels, dataset.masks(row)))
        if gate is not None:
            words.append(said.word(gate.step))
    return Counted(np.stack(levels), np.stack(words) if words else None, judged)


class _Asked:
    """What is stored of one strip, where the gate that is searched lets all pass."""

    def __init__(self, stores: Mapping[str, Stores], row: int, gate: Gate | None) -> None:
        self._stores, self._row, self._gate = stores, row, gate

    def __call__(self, name: str, _: object = None) -> StepOutput:
        masks = self._stores[name][0]
        levels = None if masks is None else masks[self._row].astype(np.uint8, copy=False)
        if self._stores[name][1] is None:
            return StepOutput(levels, None)
        words = self.word(name)
        if self._gate is not None and name == self._gate.step:
            words = np.full_like(words, np.inf)
        return StepOutput(levels, words)

    def word(self, name: str) -> NDArray[np.float32]:
        """What the step says of each class of the strip, ``(classes,)``."""
        classes = self._stores[name][1]
        assert classes is not None
        return classes[self._row].astype(np.float32, copy=False)
