"""Histograms of the stored probabilities of a run's validation strips. No torch here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.decision import HardGate, StepOutput, run_steps
from steelscan.evaluation.tuning import ClassThresholds, strip_histograms
from steelscan.pipeline import Evaluated, RunFolder, StepStores, check_stored, open_stores
from steelscan.postprocess import MinArea, Rule, Threshold, Triplet
from steelscan.recipes import Recipe
from steelscan.strip import PerClass, per_class, track
from steelscan.strip.errors import RecipeError

if TYPE_CHECKING:
    from steelscan.data import Dataset


class SearchedGate(NamedTuple):
    """A gate of a recipe's last stage that can be searched."""

    step: str
    of: Literal["class", "image"]
    thresholds: tuple[float, ...]
    """One per class."""

    @property
    def image_threshold(self) -> float | None:
        """The one threshold of a gate of the image; None for a gate per class."""
        return self.thresholds[0] if self.of == "image" else None


@dataclass(frozen=True, eq=False)
class PartHistograms:
    """The strips of one part: histograms before the gate that is searched, and its inputs."""

    histograms: NDArray[np.int32]
    """``(strips, 2, classes, 256)``."""
    class_probabilities: NDArray[np.float32] | None
    """``(strips, classes)``."""
    evaluated: Evaluated


def last_gate(recipe: Recipe, classes: int) -> SearchedGate | None:
    """Return the gate that a recipe applies last; None if there is none to search.

    That is the hard gate of aux heads, or else the last classifier. A gate that opens whole strips
    by several thresholds has no single threshold to search.
    """
    last = recipe.decision.last
    gate = last.segmenter.gate
    if isinstance(gate, HardGate):
        thresholds = per_class(gate.threshold, classes, "HardGate.threshold")
        return SearchedGate(last.segmenter.name, "class", thresholds)
    if not last.classifiers:
        return None
    step = last.classifiers[-1]
    thresholds = per_class(step.threshold, classes, "Classify.threshold")
    if step.gate == "image" and len(set(thresholds)) > 1:
        return None
    return SearchedGate(step.name, step.gate, thresholds)


def default_thresholds(
    rules: Sequence[Rule], classes: int, gate: SearchedGate | None
) -> tuple[ClassThresholds, ...]:
    """Return the thresholds of each class in a recipe. Raises RecipeError for other rules."""
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
            remedy = "Only threshold, threshold and min_area, or triplet can be tuned exactly"
            raise RecipeError("tune", f"has the rules {kinds}", remedy)
    gates: tuple[float | None, ...] = (None,) * classes
    if gate is not None and gate.of == "class":
        gates = gate.thresholds
    columns = [per_class(each, classes, "rules") for each in three]
    return tuple(ClassThresholds(*of_class) for of_class in zip(gates, *columns, strict=True))


def read_histograms(
    run: RunFolder, recipe: Recipe, round_: int, dataset: "Dataset", evaluated: Evaluated
) -> PartHistograms:
    """Count the stored probabilities of the strips of a part, in one pass over the run's stores.

    Raises RunError if no output is stored for a strip.
    """
    gate = last_gate(recipe, len(dataset.classes))
    stores = open_stores(run, recipe, round_, dataset)
    row_of = {name: row for row, name in enumerate(dataset.names)}
    counts, probabilities = [], []
    for image in track(evaluated.images, "Reading probabilities", len(evaluated.images)):
        row = row_of[image]
        check_stored(run, stores, row, image)
        outputs = _WithOpenGate(stores, row, gate)
        frame, classes = dataset.frames[row], len(dataset.classes)
        rule_input = run_steps(recipe.decision, outputs, classes, frame)
        counts.append(strip_histograms(rule_input.pixels, dataset.masks(row)))
        if gate is not None:
            probabilities.append(outputs.of_classes(gate.step))
    stacked = np.stack(probabilities) if probabilities else None
    return PartHistograms(np.stack(counts), stacked, evaluated)


class _WithOpenGate:
    """The stored outputs of one strip, as if the searched gate let everything pass."""

    def __init__(
        self, stores: Mapping[str, StepStores], row: int, gate: SearchedGate | None
    ) -> None:
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
