"""The gates of a finished run, chosen by F1 before the thresholds of masks. No torch here."""

from collections.abc import Sequence
from functools import cache, partial
from typing import Literal, TypeAlias

from steelscan.analysis.tune.histograms import PartReader
from steelscan.decision import Decision
from steelscan.evaluation.tuning import CrossFitOptions, Tune
from steelscan.pipeline import (
    Evaluated,
    F1Gates,
    TunedGate,
    gate_thresholds,
    tune_gates,
    with_gates,
)
from steelscan.recipes import Recipe
from steelscan.strip.errors import RecipeError

GateTarget: TypeAlias = Literal["objective", "f1"]
"""Search the last gate by the objective, together with the rules, or choose all gates by F1."""


def wants_f1(recipe: Recipe, gates: GateTarget | None) -> bool:
    """Return whether gates are chosen by F1; None: as the recipe tunes them."""
    if gates is None:
        return recipe.tune is not None and recipe.tune.gates == "f1"
    return gates == "f1"


def gates_by_f1(
    recipe: Recipe, reader: PartReader, evaluated: Evaluated, options: CrossFitOptions
) -> F1Gates:
    """Choose all gates of a recipe by F1. Raises RecipeError if it has none."""
    if not gate_thresholds(recipe):
        remedy = "Tune without --gate f1"
        raise RecipeError("steps", "have no gate with a threshold", remedy)
    return tune_gates(
        recipe,
        partial(reader.class_probabilities, reader.rows(evaluated.images)),
        evaluated.pairs.truth > 0,
        evaluated.groups,
        options,
        (recipe.tune or Tune()).positives,
    )


def decisions_behind(recipe: Recipe, gates: Sequence[tuple[TunedGate, ...]]) -> list[Decision]:
    """Return the decision for each strip, with its own gates."""
    decision_with = cache(lambda each: with_gates(recipe, each).decision)
    return [decision_with(each) for each in gates]
