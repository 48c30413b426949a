"""Fit all networks of a run: once, and again in each round of pseudo-labels."""

from dataclasses import replace

import torch

from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_queue import CoreShare, waves
from steelscan.pipeline.fit_workers import fit_side_by_side
from steelscan.pipeline.one_fit import fit_one
from steelscan.pipeline.processes import leave
from steelscan.pipeline.pseudo_labels import pseudo_label


def fit_rounds(context: RunContext) -> tuple[RunContext, list[str]]:
    """Fit every network, then again in each round of pseudo-labels.

    Returns the context of the last round, and a sentence on each source of first weights and on
    each round.
    """
    sources, notes = _fit(context), []
    spec = context.recipe.pseudo_labels
    if spec is not None and not context.dataset.test_names:
        notes = ["No test strips to pseudo-label: every network was fitted once."]
        spec = None
    for number in range(1, 1 + (spec.rounds if spec else 0)):
        with context.accelerator.main_process_first():
            labelled, remarks = pseudo_label(context, number)
        notes += remarks
        if not labelled:
            break
        context = replace(context, round=number)
        sources |= _fit(context)
    leave(context.accelerator)
    return context, sorted(sources) + notes


def _fit(context: RunContext) -> set[str]:
    """Fit the networks of a round; returns a sentence on each source of first weights."""
    tasks, jobs = context.new_tasks, context.options.jobs
    if all(len(wave) == 1 for wave in waves(context.recipe, tasks, jobs)):
        share = CoreShare(torch.get_num_threads())
        return {fit_one(context, task, share) for task in tasks}
    return fit_side_by_side(context)
