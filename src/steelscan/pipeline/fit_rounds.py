"""Fit all networks of a run: once, and again in each round of pseudo-labels."""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace

import torch

from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_on_ray import RayTasks, ray_of
from steelscan.pipeline.fit_queue import CoreShare, FitQueue, waves
from steelscan.pipeline.fit_schedule import Engine, ThisProcess, fit_all
from steelscan.pipeline.fit_workers import LocalProcesses
from steelscan.pipeline.one_fit import fit_one, is_fitted
from steelscan.pipeline.out_of_fold import steps_to_tune
from steelscan.pipeline.processes import leave
from steelscan.pipeline.pseudo_labels import pseudo_label


def fit_rounds(context: RunContext) -> tuple[RunContext, list[str]]:
    """Fit every network, then again in each round of pseudo-labels.

    Returns the context of the last round, and a sentence on each source of first weights and on
    each round. Raises MissingPartError, InputError and RunError if Ray cannot be used.
    """
    spec, notes = context.recipe.pseudo_labels, list[str]()
    if spec is not None and not context.dataset.test_names:
        notes = ["No test strips to pseudo-label: every network was fitted once."]
        spec = None
    rounds = spec.rounds if spec else 0
    with ray_of(context.options) as ray:
        sources = _fit(context, ray, last=rounds == 0)
        for number in range(1, 1 + rounds):
            first = context.accelerator.is_main_process
            with (
                context.accelerator.main_process_first(),
                context.run.held() if first else nullcontext(),
            ):
                labelled, remarks = pseudo_label(context, number)
            notes += remarks
            if not labelled:
                break
            context = replace(context, round=number)
            sources |= _fit(context, ray, last=number == rounds)
    leave(context.accelerator)
    return context, sorted(sources) + notes


def _fit(context: RunContext, ray: RayTasks | None, *, last: bool) -> set[str]:
    """Fit the networks of a round; returns a sentence on each source of first weights.

    On Ray, the steps that are read after the round are predicted, too.
    """
    recipe, tasks, jobs = context.recipe, context.new_tasks, context.options.jobs
    cores = torch.get_num_threads()
    if context.accelerator.num_processes > 1:  # all of them in the same order
        return {fit_one(context, task, CoreShare(cores)) for task in tasks}
    if ray is not None:
        steps: Iterable[str] = recipe.named if last else steps_to_tune(recipe)
        queue = FitQueue(recipe, tasks, None, ray.cores, steps)
        return fit_all(context, queue, ray.of(context))
    engine: Engine = ThisProcess(context)
    if any(len(wave) > 1 for wave in waves(recipe, tasks, jobs)):
        left = sum(not is_fitted(context, task) for task in tasks)
        engine = LocalProcesses(context, min(jobs, left))
    return fit_all(context, FitQueue(recipe, tasks, jobs, cores), engine)
