"""Up to which level of the first network a strip need not be shown to the others.

The networks left out so could still change something, and a defect may escape. How many do is
measured on strips that the networks asked were not fitted on, and stands in the bundle.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from steelscan.bundle import EarlyExit
from steelscan.data import Dataset
from steelscan.decision import weighed
from steelscan.evaluation.statistics import upper_bound
from steelscan.pipeline import Predictor, RunFolder, StoredOutputs, ask
from steelscan.strip import track


def find_early(
    run: RunFolder, predictor: Predictor, dataset: Dataset, budget: float
) -> EarlyExit | None:
    """The highest level that loses no more than this share of the defective strips.

    None where no level does, none of these strips leaves with it, or a fold has one segmenter only.
    Raises RunError for a run without its answers.
    """
    stored = StoredOutputs(run, dataset)
    truth = np.asarray(dataset.present[stored.rows].any(1))
    found = np.array([bool(stored.masks(row).any()) for row in stored.rows.tolist()])
    highest = _first_levels(run, predictor, dataset, stored)
    if highest is None:
        return None
    return early_exit(highest, truth, found, budget)


def early_exit(
    highest: NDArray[np.int64], truth: NDArray[np.bool_], found: NDArray[np.bool_], budget: float
) -> EarlyExit | None:
    """The same of numbers: a strip each, ``(strips,)``.

    ``highest`` is the highest level of the first network, -1 for strips that it is not shown.
    """
    lost = np.sort(highest[truth & found])
    allowed = int(budget * truth.sum() + 1e-9)
    level = 254 if allowed >= len(lost) else int(lost[allowed]) - 1
    if level < 0:
        return None
    shown = highest >= 0
    left = shown & (highest <= level)
    if not left.any():
        return None
    escapes = int((left & truth & found).sum())
    defective = int(truth.sum())
    return EarlyExit(
        level=level,
        shown=int(shown.sum()),
        left=int(left.sum()),
        defective=defective,
        escapes=escapes,
        at_most=upper_bound(escapes, defective) if defective else 1.0,
    )


def _first_levels(
    run: RunFolder, predictor: Predictor, dataset: Dataset, stored: StoredOutputs
) -> NDArray[np.int64] | None:
    """The highest level that the first network of a fold gives a class that is open."""
    recipe, classes = predictor.recipe, len(dataset.classes)
    name, segment = recipe.rounds[-1].segment
    folds = run.load_folds(dataset.names)[stored.rows]
    validation = recipe.folds.validation
    highest = np.full(len(stored.rows), -1, np.int64)
    for fold in validation:
        judged = folds == fold
        if fold == validation[0]:
            judged |= ~np.isin(folds, validation)  # held out: no network was fitted on them
        rows = np.flatnonzero(judged).tolist()
        own = Predictor.of_round(
            run, recipe, (), run.load_tuned().round, (fold,), torch.device("cpu")
        )
        if len(own.models[name]) < 2:
            return None
        for at in track(rows, f"Asking the first segmenter, fold {fold}", len(rows)):
            row = int(stored.rows[at])
            opened = stored.opened(row).levels.any((1, 2))
            if opened.any():
                said = ask(segment, own.models[name][:1], dataset.picture(row), classes)
                highest[at] = int(weighed(segment, said)[opened].max())
    return highest
