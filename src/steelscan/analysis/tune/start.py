"""What the search for the thresholds of a finished run starts from. No torch here."""

from typing import NamedTuple

from steelscan.analysis.tune.histograms import SearchedGate, default_thresholds
from steelscan.evaluation.tuning import ClassThresholds, RuleKind
from steelscan.postprocess import Triplet
from steelscan.recipes import Recipe
from steelscan.strip.errors import RecipeError


class Start(NamedTuple):
    """The rules of a recipe that are tuned, and the thresholds that the search starts from."""

    kind: RuleKind
    gate: SearchedGate | None
    thresholds: tuple[ClassThresholds, ...]

    @property
    def image_gate(self) -> float | None:
        """The threshold of a gate of the image; None without such a gate."""
        return None if self.gate is None else self.gate.image_threshold


def start_of(recipe: Recipe, gate: SearchedGate | None, classes: int, triplet: bool) -> Start:
    """Return what a recipe's search starts from. Raises RecipeError for other rules."""
    thresholds = default_thresholds(recipe.rules, classes, gate)
    if isinstance(recipe.rules[0], Triplet):
        return Start("triplet", gate, thresholds)
    if triplet:
        return Start("triplet", gate, _as_triplets(thresholds))
    return Start("threshold", gate, thresholds)


def _as_triplets(defaults: tuple[ClassThresholds, ...]) -> tuple[ClassThresholds, ...]:
    """Return the triplets that decide as the recipe does. Raises RecipeError if there are none."""
    if any(each.area > 1 for each in defaults):
        problem = "sets a least area of the mask, which no triplet has"
        raise RecipeError("min_area", problem, "Tune without --triplet, or set min_area to 0")
    return tuple(each._replace(area=1) for each in defaults)
