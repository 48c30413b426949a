"""The strips that evaluate a run: the outputs of its networks, and the rules tuned on them."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from steelscan.decision import Detector, masks_of, rules_with, thresholds_of
from steelscan.evaluation.metrics import Pairs, count_pixels
from steelscan.evaluation.tuning import search_thresholds, strip_histograms
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.networks import load_models
from steelscan.pipeline.run_record import Tuned
from steelscan.pipeline.stored import RunOutputs, StepStores, store_folders
from steelscan.postprocess import Rule
from steelscan.prediction import ProbabilityStore
from steelscan.strip import Masks, track


class OutOfFold(RunOutputs):
    """The outputs of the networks for every evaluated strip, kept in the run's stores."""

    def __init__(self, context: RunContext) -> None:
        """Predict each strip whose outputs are not stored yet."""
        stores = {name: step_outputs(context, name) for name in context.recipe.named}
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
    """Return the stores of a step, after predicting each strip that is not in them."""
    recipe, dataset, classes = context.recipe, context.dataset, context.classes
    folders = store_folders(context.run, recipe, name, recipe.named[name], context.round)
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


def tune(context: RunContext, outputs: OutOfFold) -> Tuned:
    """Return the last rules of the recipe, with tuned numbers if it tunes them.

    They are tuned out-of-fold, behind all gates. Rules before `KeepPresent` are not tuned.
    """
    rules, wanted = context.recipe.rules, context.recipe.tune
    if wanted is None:
        return Tuned(rules=rules, round=context.round)
    rows = context.rows(*context.recipe.folds.validation).tolist()
    histograms = [
        strip_histograms(outputs.rule_input(row).pixels, context.dataset.masks(row))
        for row in track(rows, "Searching thresholds", len(rows))
    ]
    found = search_thresholds(np.stack(histograms), thresholds_of(rules, context.classes), wanted)
    return Tuned(rules=rules_with(found), search=found, round=context.round)


def pairs_of(
    context: RunContext, outputs: OutOfFold, rules: Sequence[Rule], rows: NDArray[np.int64]
) -> Pairs:
    """Count predicted, true and shared pixels of some strips."""
    return Pairs.of(list(_counted(context, outputs, rules, rows.tolist())))


def _counted(
    context: RunContext, outputs: OutOfFold, rules: Sequence[Rule], rows: Sequence[int]
) -> Iterator[NDArray[np.int64]]:
    for row in track(rows, "Scoring", len(rows)):
        yield count_pixels(outputs.masks(row, rules), context.dataset.masks(row))
