"""Scores of the held-out strips, on which nothing is searched. No torch here."""

from collections.abc import Callable, Sequence
from typing import Any

from steelscan.analysis.tune.histograms import PartHistograms, PartReader
from steelscan.analysis.tune.start import Start
from steelscan.evaluation.metrics import Pairs, Scores, score
from steelscan.evaluation.tuning import (
    ClassSearch,
    ClassThresholds,
    MeanDice,
    RuleKind,
    Tuning,
    TuningChoice,
    apply_image_gate,
)
from steelscan.pipeline import ChosenGates, Evaluated, with_gates
from steelscan.recipes import Recipe


def held_out_scores(
    tuning: Tuning,
    start: Start,
    recipe: Recipe,
    reader: PartReader,
    evaluated: Evaluated,
    chosen: ChosenGates | None,
) -> tuple[Scores, Scores, Scores]:
    """Score strips that were never searched, with the default, the best and the used thresholds."""
    own = tuned = reader.histograms(evaluated, start.gate)
    if chosen is not None:
        decision = with_gates(recipe, chosen.gates).decision
        tuned = reader.histograms(evaluated, None, [decision] * len(evaluated.images))

    def scored(held_out: PartHistograms, choice_of: Callable[[TuningChoice[Any]], Any]) -> Scores:
        image_gate = start.image_gate
        if tuning.image_gate is not None:
            image_gate = choice_of(tuning.image_gate)
        thresholds = [choice_of(choice) for choice in tuning.classes]
        pairs = _pairs(held_out, thresholds, start.kind, image_gate)
        return score(pairs, held_out.evaluated.groups)

    return (
        scored(own, lambda choice: choice.default),
        scored(tuned, lambda choice: choice.best),
        scored(tuned, lambda choice: choice.used),
    )


def _pairs(
    part: PartHistograms,
    thresholds: Sequence[ClassThresholds],
    kind: RuleKind,
    image_gate: float | None,
) -> Pairs:
    """Count the pixels that thresholds predict on the strips of a part."""
    counts, probabilities = part.histograms, part.class_probabilities
    if image_gate is not None and probabilities is not None:
        counts = apply_image_gate(counts, probabilities, image_gate)
    columns = []
    for at, each in enumerate(thresholds):
        of_class = None if probabilities is None else probabilities[:, at]
        search = ClassSearch(counts[:, :, at], of_class, each, MeanDice(), kind)
        columns.append(search.pairs(each))
    return Pairs.of_classes(columns)
