"""The early exit: below which output of the first segmenter the others need not predict a strip.

The skipped networks could still change a mask, so a defect may escape. How many do is measured on
strips that the networks were not fitted on, and is stored in the bundle.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from steelscan.bundle import EarlyExit
from steelscan.data import Dataset
from steelscan.decision import Decision, Detector, gated
from steelscan.evaluation.statistics import upper_bound
from steelscan.pipeline import RunFolder, StoredOutputs, open_folds
from steelscan.strip import track


def find_early_exit(
    run: RunFolder, decision: Decision, dataset: Dataset, budget: float
) -> EarlyExit | None:
    """Return the highest value that loses at most this share of the defective strips.

    None if there is none, if no strip is skipped with it, or if a fold has a single segmenter.
    Masks are those of the ``decision``, which may have other thresholds than the run. Raises
    RunError for a run without its stored outputs.
    """
    stored = StoredOutputs(run, dataset).decided_by(decision)
    truth = np.asarray(dataset.present[stored.rows].any(1))
    detected = np.array([bool(stored.masks(row).any()) for row in stored.rows.tolist()])
    highest = _highest_of_first(run, decision, dataset, stored)
    if highest is None:
        return None
    return early_exit(highest, truth, detected, budget)


def early_exit(
    highest: NDArray[np.int64],
    truth: NDArray[np.bool_],
    detected: NDArray[np.bool_],
    budget: float,
) -> EarlyExit | None:
    """Return the early exit of `find_early_exit` from values per strip, ``(strips,)``.

    ``highest`` is the highest probability of the first network, of 255, or -1 for strips that do
    not reach it; ``truth`` and ``detected`` tell in which strips there is a defect, and in which
    the run finds one.
    """
    lost = np.sort(highest[truth & detected])
    allowed = int(budget * truth.sum() + 1e-9)
    value = 254 if allowed >= len(lost) else int(lost[allowed]) - 1
    if value < 0:
        return None
    shown = highest >= 0
    skipped = shown & (highest <= value)
    if not skipped.any():
        return None
    escapes = int((skipped & truth & detected).sum())
    defective = int(truth.sum())
    return EarlyExit(
        value=value,
        shown=int(shown.sum()),
        skipped=int(skipped.sum()),
        defective=defective,
        escapes=escapes,
        at_most=upper_bound(escapes, defective) if defective else 1.0,
    )


def _highest_of_first(
    run: RunFolder, decision: Decision, dataset: Dataset, stored: StoredOutputs
) -> NDArray[np.int64] | None:
    """Return the highest probability, of open classes, of the first segmenter of a fold."""
    recipe, step = run.load_recipe(), decision.last.segmenter
    every = np.ones(len(dataset.classes), np.bool_)
    validation = recipe.folds.validation
    highest = np.full(len(stored.rows), -1, np.int64)
    for fold in validation:
        evaluated = stored.folds == fold
        if fold == validation[0]:
            # held out: no network was fitted on them
            evaluated |= ~np.isin(stored.folds, validation)
        rows = np.flatnonzero(evaluated).tolist()
        device = torch.device("cpu")
        of_fold = open_folds(run, recipe, recipe.rules, run.load_tuned().round, (fold,), device)
        if len(of_fold.models[step.name]) < 2:
            return None
        first = Detector(decision, {step.name: of_fold.models[step.name][:1]}, len(every))
        for at in track(rows, f"Predicting with the first segmenter, fold {fold}", len(rows)):
            row = int(stored.rows[at])
            open_classes = stored.rule_input(row).pixels.any((1, 2))
            if open_classes.any():
                output = first.outputs(dataset.picture(row)).output(step.name, every)
                highest[at] = int(gated(step.gate, output)[open_classes].max())
    return highest
