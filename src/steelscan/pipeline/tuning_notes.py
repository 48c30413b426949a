"""Sentences on what a run tuned, and on the folds with which it could tune more. No torch here."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steelscan.pipeline.run_record import Tuned
from steelscan.recipes import Recipe, with_overrides
from steelscan.strip.errors import RecipeError

if TYPE_CHECKING:
    from steelscan.pipeline.context import RunContext


def tuning_notes(context: "RunContext", tuned: Tuned) -> list[str]:
    """Return sentences on the gates and thresholds of each class."""
    names, tune = context.dataset.classes.names, context.recipe.tune
    notes = [sentence for gate in tuned.gates for sentence in gate.sentences(names)]
    if tuned.search is None or tune is None:
        return notes
    rows = zip(names, tuned.search.tuned, tuned.search.reasons, strict=True)
    for at, (name, changed, reason) in enumerate(rows):
        more = more_folds(
            context.recipe, context.folds, context.dataset.present[:, at], tune.positives
        )
        state = "tuned" if changed else "as in the recipe"
        notes.append(f"Thresholds of class {name}: {state} ({reason}{more}).")
    return notes


def more_folds(
    recipe: Recipe, folds: NDArray[np.int64], present: NDArray[np.bool_], needed: int
) -> str:
    """Return how many validation folds have enough strips of a class, as the end of a sentence.

    Empty if there are enough now, or if the recipe can have no more folds. ``folds`` and
    ``present``, ``(strips,)``, are the fold of each strip and whether it has the class: the same
    strips are in each fold for any number of validation folds.
    """

    def strips(validation: tuple[int, ...]) -> int:
        return int(present[np.isin(folds, validation)].sum())

    if strips(recipe.folds.validation) >= needed:
        return ""
    more = ""
    for count in range(len(recipe.folds.validation) + 1, recipe.folds.count + 1):
        try:
            validation = with_overrides(recipe, [f"folds={count}"]).folds.validation
        except RecipeError:
            return more
        number = strips(validation)
        if number >= needed:
            return f"; with --set folds={count} there are {number}"
        more = f"; also with --set folds={count}, the most, there are {number}"
    return more
