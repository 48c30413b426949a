"""How long each network of a run was fitted, and what it started with."""

from dataclasses import replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from steelscan.pipeline.context import RunContext
from steelscan.pipeline.forecast.fits import Fit, fits_of
from steelscan.pipeline.verdict_reasons import FittedNetwork


def fitted_networks(context: RunContext) -> list[FittedNetwork]:
    """Return the networks that predict in the round of a context, in the order of fitting.

    A classifier that only gives its encoder to another network is left out.
    """
    found: dict[tuple[str, int, int], FittedNetwork] = {}
    for number in range(context.round + 1):
        for fit in fits_of(replace(context, round=number)):
            task = fit.task
            if fit.folder == context.run.network(task):
                network = _network(fit, fine_tuned=context.start is not None)
                found[task.step, task.number, task.fold] = network
    return list(found.values())


def trained_classes(context: RunContext) -> NDArray[np.bool_]:
    """Return whether a training strip of any fold has each class, bool ``(classes,)``."""
    present = [
        context.dataset.present[context.train_rows(fold)].any(0)
        for fold in context.recipe.folds.validation
    ]
    return np.asarray(np.any(present, axis=0))


def _network(fit: Fit, *, fine_tuned: bool) -> FittedNetwork:
    steps = 0
    for training, crops in fit.passes:
        batches = ceil(crops.used(training.batch) / training.batch)
        per_step = max(1, (training.accumulate_to or 0) // training.batch)
        steps += training.epochs * ceil(batches / per_step)
    source = fit.folder / "first_weights.txt"
    text = source.read_text(encoding="utf-8") if source.exists() else ""
    return FittedNetwork(
        step=fit.task.step,
        label=fit.task.label,
        epochs=fit.epochs,
        steps=steps,
        random_weights=text.startswith("random"),
        fine_tuned=fine_tuned,
    )
