"""Sizes and speeds of the networks of a run: remembered, measured, or timed during their fits."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_queue import CoreShare, waves
from steelscan.pipeline.fit_tasks import Task
from steelscan.pipeline.forecast.fits import Fit, fits_of_task
from steelscan.pipeline.forecast.speed import (
    NetworkFacts,
    measure,
    measure_size,
    read_facts,
    remember_facts,
)
from steelscan.training import TrainingData


def facts_of(context: RunContext, fits: Sequence[Fit], *, timed: bool) -> dict[str, NetworkFacts]:
    """Return the facts of the networks of fits, by `Fit.key`; remember those that were measured.

    With ``timed`` all are measured; otherwise sizes that are not known, without speeds.
    """
    device, workers = context.accelerator.device, context.options.workers
    known, new = read_facts(device), {}
    with torch.random.fork_rng():
        for fit in fits:
            if fit.key not in new and (timed or fit.key not in known):
                new[fit.key] = measure(fit, device, workers) if timed else measure_size(fit)
    if new:
        remember_facts(device, new)
    return known | new


def speeds_of(
    contexts: Sequence[RunContext],
    fits: Sequence[Fit],
    facts: Mapping[str, NetworkFacts],
    jobs: int,
) -> dict[Path, NetworkFacts]:
    """Return the facts of each fit, by its folder, with its speeds as parts of the run's time.

    If n fits share the cores, the time of each counts as an n-th. Until such a fit was timed, it
    counts as one that has all cores.
    """
    first = contexts[0]
    device, cores = first.accelerator.device, torch.get_num_threads()
    together = {
        task.label: len(wave)
        for each in contexts
        for wave in waves(first.recipe, each.new_tasks, jobs)
        for task in wave
    }
    remembered = {n: read_facts(device, CoreShare(cores, n)) for n in set(together.values())}

    def of_fit(fit: Fit) -> NetworkFacts:
        count, alone = together[fit.task.label], facts[fit.key]
        shared = remembered[count].get(fit.key)
        if count == 1 or shared is None or not shared.train or not shared.predict:
            return alone
        return alone.but(train=shared.train / count, predict=shared.predict / count)

    return {fit.folder: of_fit(fit) for fit in fits}


@contextmanager
def speed_recorded(
    context: RunContext, task: Task, data: TrainingData, validation: int, share: CoreShare
) -> Iterator[None]:
    """Remember how fast a network was fitted, if the block fits it from beginning to end.

    Each of its validations predicts so many strips. Speeds are remembered by the ``share`` of the
    cores that the fit has.
    """
    device = context.accelerator.device
    *before, fit = fits_of_task(context, task, data)
    fit = replace(fit, validation=validation)
    whole = not before and fit.left == 1
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    known = read_facts(device, share).get(fit.key)
    known = known or read_facts(device, CoreShare(share.cores)).get(fit.key)
    if whole and known is not None:
        measured = known.after_fit(seconds, fit.pixels, fit.validated * fit.strip_pixels)
        remember_facts(device, {fit.key: measured}, share)
