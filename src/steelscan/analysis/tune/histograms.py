"""What a run's networks said of the strips that judge, counted for a search. No torch here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.decision import HardGate, StepOutput, run_steps
from steelscan.evaluation.tuning import Numbers, count_levels
from steelscan.pipeline import Evaluated, RunFolder, StepStores, check_stored, open_stores
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
    last = recipe.decision.last
    gate = last.segmenter.gate
    if isinstance(gate, HardGate):
        least = per_class(gate.threshold, classes, "HardGate.threshold")
        return Gate(last.segmenter.name, "class", least)
    if not last.classifiers:
        return None
    step = last.classifiers[-1]
    least = per_class(step.threshold, classes, "Classify.threshold")
    if step.gate == "image" and len(set(least)) > 1:
        return None
    return Gate(step.name, step.gate, least)


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
    stores = open_stores(run, recipe, round_, dataset)
    row_of = {name: row for row, name in enumerate(dataset.names)}
    levels, words = [], []
    for image in track(judged.images, "Reading probabilities", len(judged.images)):
        row = row_of[image]
        check_stored(run, stores, row, image)
        outputs = _WithOpenGate(stores, row, gate)
        frame, classes = dataset.frames[row], len(dataset.classes)
        found = run_steps(recipe.decision, outputs, classes, frame)
        levels.append(count_levels(found.pixels, dataset.masks(row)))
        if gate is not None:
            words.append(outputs.of_classes(gate.step))
    return Counted(np.stack(levels), np.stack(words) if words else None, judged)


class _WithOpenGate:
    """The stored outputs of one strip, as if the searched gate let everything pass."""

    def __init__(self, stores: Mapping[str, StepStores], row: int, gate: Gate | None) -> None:
        self._stores, self._row, self._gate = stores, row, gate

    def output(self, step: str, open_classes: NDArray[np.bool_]) -> StepOutput:
        """Return the output of a step."""
        del open_classes
        output = self._stores[step].output(self._row)
        if output.classes is None or self._gate is None or step != self._gate.step:
            return output
        return output._replace(classes=np.full_like(output.classes, np.inf))

    def of_classes(self, step: str) -> NDArray[np.float32]:
        """Return the class probabilities of a step, ``(classes,)``."""
        classes = self._stores[step].output(self._row).classes
        assert classes is not None
        return classes
