"""The strips that evaluate a run: the outputs of its networks, and the rules tuned on them."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelscan.decision import Decision, Detector, masks_of, rules_with, thresholds_of
from steelscan.evaluation.tuning import (
    ClassSearch,
    CrossFitOptions,
    MeanDice,
    search_thresholds,
    strip_histograms,
)
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.gates import (
    TunedGate,
    gate_thresholds,
    gates_by_cost,
    tune_gates,
    with_gates,
)
from steelscan.pipeline.lease import Lease
from steelscan.pipeline.networks import load_models
from steelscan.pipeline.run_record import Tuned
from steelscan.pipeline.stored import RunOutputs, StepStores, store_folders
from steelscan.postprocess import Rule
from steelscan.prediction import ProbabilityStore
from steelscan.recipes import Recipe
from steelscan.strip import Masks, track


class OutOfFold(RunOutputs):
    """The outputs of the networks for every evaluated strip, kept in the run's stores."""

    def __init__(self, context: RunContext, steps: Iterable[str] | None = None) -> None:
        """Predict each strip whose outputs are not stored yet, by these ``steps`` or by all."""
        named = context.recipe.named if steps is None else steps
        stores = {name: step_outputs(context, name) for name in named}
        super().__init__(context.recipe, context.dataset, stores)

    def masks(self, row: int, rules: Sequence[Rule]) -> Masks:
        """Return the masks that rules make for a strip."""
        return masks_of(self.rule_input(row), rules)


def first_classifier(context: RunContext, strips: int) -> NDArray[np.float32]:
    """Return the first classifier's out-of-fold probabilities, float32 ``(strips, classes)``.

    The rows are those of the data set, then pseudo-labelled ones up to ``strips`` rows in all. A
    row is 0 if no network evaluates the strip, as for all pseudo-labelled ones.
    """
    _, stored = step_outputs(context, "classify")
    assert stored is not None
    probabilities = np.zeros((strips, context.classes), np.float32)
    for _, rows in context.evaluated_by:
        for row in rows.tolist():
            probabilities[row] = stored[row]
    return probabilities


def step_outputs(context: RunContext, name: str) -> StepStores:
    """Return the stores of a step, after predicting each strip that is not in them.

    Waits while another process predicts this step.
    """
    recipe = context.recipe
    folders = store_folders(context.run, recipe, name, recipe.named[name], context.round)
    with Lease(next(filter(None, folders))).held():
        return _predicted(context, name, folders)


def _predicted(context: RunContext, name: str, folders: Sequence[Path | None]) -> StepStores:
    recipe, dataset, classes = context.recipe, context.dataset, context.classes
    pixels, of_classes = (
        None if folder is None else ProbabilityStore(folder, len(dataset), classes, frames)
        for folder, frames in zip(folders, (dataset.frames, ()), strict=True)
    )
    stores, every = StepStores(pixels, of_classes), np.ones(classes, np.bool_)
    for folds, rows in context.evaluated_by:
        missing = [int(row) for row in rows if not stores.has(int(row))]
        if not missing:
            continue
        fitted = context.tasks(name, folds)
        models = load_models(context.run, fitted, classes, context.accelerator.device)
        detector = Detector(recipe.decision, {name: models}, classes)
        for row in track(missing, f"Predicting step {name}", len(missing)):
            output = detector.outputs(dataset.picture(row)).output(name, every)
            if pixels is not None and output.pixels is not None:
                pixels[row] = output.pixels
            if of_classes is not None and output.classes is not None:
                of_classes[row] = output.classes
    return stores


def steps_to_tune(recipe: Recipe) -> Sequence[str]:
    """Return the steps whose out-of-fold outputs `tune` needs."""
    if recipe.tune is None:
        return []
    masks = recipe.tune.masks or recipe.tune.gates == "cost"
    return list(recipe.named if masks else gate_thresholds(recipe))


def tune(context: RunContext, outputs: OutOfFold) -> Tuned:
    """Return the last rules of the recipe and its gates, with tuned numbers if it tunes them.

    Gates are tuned first; the rules are tuned behind all gates. Both use the validation strips,
    which no network was fitted on. Rules before `KeepPresent` are not tuned.
    """
    rules, wanted = context.recipe.rules, context.recipe.tune
    if wanted is None:
        return Tuned(rules=rules, round=context.round)
    rows = context.rows(*context.recipe.folds.validation).tolist()
    gates = () if wanted.gates == "keep" else _tuned_gates(context, outputs, rows)
    if not wanted.masks:
        return Tuned(rules=rules, gates=gates, round=context.round)
    outputs = outputs.decided_by(with_gates(context.recipe, gates).decision)
    histograms = _histograms(context, outputs, rows, "Searching thresholds")
    found = search_thresholds(histograms, thresholds_of(rules, context.classes), wanted)
    return Tuned(rules=rules_with(found), gates=gates, search=found, round=context.round)


def _tuned_gates(
    context: RunContext, outputs: OutOfFold, rows: Sequence[int]
) -> tuple[TunedGate, ...]:
    """Tune the gates of the recipe by F1 or by cost, without intervals."""
    every, wanted = np.ones(context.classes, np.bool_), context.recipe.tune
    assert wanted is not None

    def probabilities_of(step: str) -> NDArray[np.float32]:
        found = [outputs.outputs(row).output(step, every).classes for row in rows]
        return np.array(found, np.float32)

    present, groups = context.dataset.present[rows], context.groups[rows]

    def searches_of(decision: Decision, ungated: Collection[str]) -> list[ClassSearch]:
        opened = outputs.decided_by(decision)
        histograms = _histograms(context, opened, rows, "Measuring gates", ungated)
        start, fixed = thresholds_of(context.recipe.rules, context.classes), wanted.fixed
        return [
            ClassSearch(histograms[:, :, at], None, start.of_class(at), MeanDice(), fixed=fixed)
            for at in range(context.classes)
        ]

    recipe, options = context.recipe, CrossFitOptions(resamples=0, seed=context.options.seed)
    if wanted.gates == "cost":
        return gates_by_cost(recipe, searches_of, probabilities_of, groups, options).gates
    return tune_gates(recipe, probabilities_of, present, groups, options, wanted.positives).gates


def _histograms(
    context: RunContext,
    outputs: OutOfFold,
    rows: Sequence[int],
    title: str,
    ungated: Collection[str] = (),
) -> NDArray[np.int32]:
    """Return the histograms of some strips, int32 ``(strips, 2, classes, 256)``."""
    return np.stack(
        [
            strip_histograms(outputs.rule_input(row, ungated).pixels, context.dataset.masks(row))
            for row in track(rows, title, len(rows))
        ]
    )
