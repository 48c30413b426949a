"""Thresholds tuned out of fold, for a recipe whose own are not for these networks. No torch here.

Published thresholds are for certain classes, and for networks with millions of crops behind them.
"""

from steelscan.decision import HardGate, thresholds_of
from steelscan.evaluation.tuning import Tune
from steelscan.recipes.spec import Classify, Recipe
from steelscan.strip.errors import RecipeError

_GATES = {
    "f1": "all gates, by F1",
    "cost": "lower gates for classes that they cost more than they save",
    "keep": "nothing else",
}


def with_tuning(recipe: Recipe) -> tuple[Recipe, list[str]]:
    """Return the recipe with a search of its gates and last rules, and sentences on it.

    Rules that cannot be searched keep their values; gates are then tuned by F1, for which the masks
    do not count.
    """
    tune, notes, gated = recipe.tune or Tune(), list[str](), _has_thresholded_gate(recipe)
    if not _can_be_searched(recipe):
        kinds = ", ".join(rule.kind for rule in recipe.rules)
        notes.append(f"The rules {kinds} cannot be tuned: their values are those given here.")
        if not gated:
            return recipe, notes
        tune = Tune(gates="f1", label=False, pixel=False, area=False)
    else:
        if not tune.masks:
            tune = Tune(gates=tune.gates)
        if tune.gates == "keep" and gated:
            tune = tune.but(gates="cost")
        tune = tune.but(neutral=True)
    searched = {"label": tune.label, "pixel": tune.pixel, "area": tune.area}
    tuned = ", ".join(name for name, wanted in searched.items() if wanted) or "nothing"
    notes.append(
        f"Tuned out-of-fold from these values: {tuned} of the last rules, {_GATES[tune.gates]}."
    )
    labels = recipe.pseudo_labels
    if labels is not None and labels.predicted_by == "all":
        labels = labels.but(predicted_by="fold")
        notes.append(
            "Pseudo-labels of each fold come from the networks of that fold, not of all, since "
            "thresholds are tuned on its strips."
        )
    return recipe.but(tune=tune, pseudo_labels=labels), notes


def _has_thresholded_gate(recipe: Recipe) -> bool:
    return any(
        isinstance(step, Classify) or isinstance(step.gate, HardGate)
        for step in recipe.network_steps
    )


def _can_be_searched(recipe: Recipe) -> bool:
    """Return whether the search supports the last rules, with one value or one per class."""
    try:
        thresholds_of(recipe.rules, len(recipe.written_for or ("any",)))
    except RecipeError:
        return False
    return True
