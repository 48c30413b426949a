"""The gates of a finished run, chosen before the thresholds of masks. No torch here."""

from collections.abc import Callable, Collection, Sequence
from functools import cache, partial
from typing import Literal, TypeAlias

from steelscan.analysis.tune.histograms import PartReader
from steelscan.analysis.tune.start import Start
from steelscan.decision import Decision
from steelscan.evaluation.tuning import ClassSearch, CrossFitOptions, Objective, Tune
from steelscan.pipeline import (
    ChosenGates,
    Evaluated,
    TunedGate,
    gates_by_cost,
    tune_gates,
    with_gates,
)
from steelscan.pipeline.gates import gate_thresholds
from steelscan.recipes import Recipe
from steelscan.strip.errors import RecipeError

GateTarget: TypeAlias = Literal["objective", "f1", "cost"]
"""Search the last gate by the objective, together with the rules; or choose all gates before them,
by F1 or by their cost."""


def chosen_first(recipe: Recipe, gates: GateTarget | None) -> Literal["f1", "cost"] | None:
    """Return how all gates are chosen before the rules; None: they are not.

    ``gates`` None: as the recipe tunes its gates.
    """
    if gates is None:
        own = "keep" if recipe.tune is None else recipe.tune.gates
        return None if own == "keep" or not gate_thresholds(recipe) else own
    return None if gates == "objective" else gates


def choose_gates(
    by: Literal["f1", "cost"],
    recipe: Recipe,
    start: Start,
    reader: PartReader,
    evaluated: Evaluated,
    objectives: Sequence[Objective],
    options: CrossFitOptions,
) -> ChosenGates:
    """Choose all gates of a recipe. Raises RecipeError if it has none.

    The cost is measured by the objectives, with the masks of the thresholds to start from.
    """
    if not gate_thresholds(recipe):
        remedy = f"Tune without --gate {by}"
        raise RecipeError("steps", "have no gate with a threshold", remedy)
    probabilities = cache(partial(reader.class_probabilities, reader.rows(evaluated.images)))
    if by == "cost":
        searches = _searches(start, reader, evaluated, objectives)
        return gates_by_cost(recipe, searches, probabilities, evaluated.groups, options)
    positives = (recipe.tune or Tune()).positives
    present = evaluated.pairs.truth > 0
    return tune_gates(recipe, probabilities, present, evaluated.groups, options, positives)


def _searches(
    start: Start, reader: PartReader, evaluated: Evaluated, objectives: Sequence[Objective]
) -> Callable[[Decision, Collection[str]], list[ClassSearch]]:
    def searches_of(decision: Decision, ungated: Collection[str]) -> list[ClassSearch]:
        decisions = [decision] * len(evaluated.images)
        counts = reader.counts(evaluated, decisions, ungated)
        return [
            ClassSearch(counts[:, :, at], None, thresholds, objective, start.kind)
            for at, (thresholds, objective) in enumerate(
                zip(start.thresholds, objectives, strict=True)
            )
        ]

    return searches_of


def decisions_behind(recipe: Recipe, gates: Sequence[tuple[TunedGate, ...]]) -> list[Decision]:
    """Return the decision for each strip, with its own gates."""
    decision_with = cache(lambda each: with_gates(recipe, each).decision)
    return [decision_with(each) for each in gates]
