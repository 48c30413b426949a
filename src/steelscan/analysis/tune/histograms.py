"""Histograms of the stored probabilities of a run's validation strips. No torch here."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.decision import Decision, HardGate, StepOutput, run_steps
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


class PartReader:
    """Reads the stored outputs of a run, for the strips of one part after another."""

    def __init__(self, run: RunFolder, recipe: Recipe, round_: int, dataset: "Dataset") -> None:
        """Open the stores of a finished run. Raises RunError if one is missing."""
        self._run, self._recipe, self._dataset = run, recipe, dataset
        self._stores = open_stores(run, recipe, round_, dataset)
        self._row_of = {name: row for row, name in enumerate(dataset.names)}

    def rows(self, images: Sequence[str]) -> list[int]:
        """Return the rows of strips. Raises RunError if an output of one is not stored."""
        rows = [self._row_of[image] for image in images]
        for row, image in zip(rows, images, strict=True):
            check_stored(self._run, self._stores, row, image)
        return rows

    def class_probabilities(self, rows: Sequence[int], step: str) -> NDArray[np.float32]:
        """Return the class probabilities of a step, float32 ``(strips, classes)``."""
        found = [self._stores[step].output(row).classes for row in rows]
        return np.array(found, np.float32)

    def histograms(
        self,
        evaluated: Evaluated,
        gate: SearchedGate | None,
        decisions: Sequence[Decision] | None = None,
    ) -> PartHistograms:
        """Count the probabilities of the strips of a part, as if ``gate`` let everything pass.

        ``decisions`` are those of each strip; None: that of the recipe. Raises RunError if an
        output of a strip is not stored.
        """
        if decisions is None:
            decisions = [self._recipe.decision] * len(evaluated.images)
        if gate is None:
            return PartHistograms(self.counts(evaluated, decisions), None, evaluated)
        counts = self.counts(evaluated, decisions, (gate.step,))
        probabilities = self.class_probabilities(self.rows(evaluated.images), gate.step)
        return PartHistograms(counts, probabilities, evaluated)

    def counts(
        self, evaluated: Evaluated, decisions: Sequence[Decision], ungated: Collection[str] = ()
    ) -> NDArray[np.int32]:
        """Count the probabilities of strips, each behind its own decision.

        The steps named in ``ungated`` close nothing. Returns int32 ``(strips, 2, classes, 256)``.
        Raises RunError if an output of a strip is not stored.
        """
        rows, classes, counts = self.rows(evaluated.images), len(self._dataset.classes), []
        tracked = track(rows, "Reading probabilities", len(rows))
        for row, decision in zip(tracked, decisions, strict=True):
            outputs, frame = _Outputs(self._stores, row), self._dataset.frames[row]
            rule_input = run_steps(decision, outputs, classes, frame, ungated)
            counts.append(strip_histograms(rule_input.pixels, self._dataset.masks(row)))
        return np.stack(counts)


class _Outputs(NamedTuple):
    """The stored outputs of one strip; `StripOutputs`."""

    stores: Mapping[str, StepStores]
    row: int

    def output(self, step: str, open_classes: NDArray[np.bool_]) -> StepOutput:
        """Return the output of a step."""
        del open_classes
        return self.stores[step].output(self.row)
