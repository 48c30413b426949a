"""How many networks of a run are fitted at the same time if the user leaves that open."""

from dataclasses import replace

import torch

from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_queue import waves
from steelscan.pipeline.forecast.fits import Fit, fits_of, round_contexts
from steelscan.pipeline.forecast.memory import PROCESS, fit_memory, free_memory
from steelscan.pipeline.forecast.speed import measure_size, read_facts
from steelscan.strip.errors import InputError
from steelscan.strip.files import write_text
from steelscan.training.launch import launch

_WORTH_A_PROCESS = 50_000_000
"""Pixels to train on in all from which it pays to start processes, which takes some seconds."""


def check_jobs(jobs: int, engine: str = "local") -> None:
    """Raise InputError if a launcher started processes and several networks are to be fitted."""
    launched = launch()
    if launched is not None and (jobs > 1 or engine == "ray"):
        option, value = ("--engine", engine) if engine == "ray" else ("--jobs", str(jobs))
        found = f"is {value}, and {launched.processes} processes fit each network together"
        raise InputError(option, found, "Leave it out, or start one process")


def jobs_for(context: RunContext) -> int:
    """Return how many networks are fitted at the same time: as the options set it, or chosen.

    A run keeps the number that was chosen when it began: its networks end with the same numbers. On
    a GPU, for small fits, and on Ray, which decides itself, it is 1. On CPU cores one network for
    each core is faster, as far as the recipe has networks that do not need each other, and memory
    for them is free.
    """
    if context.options.engine == "ray":
        return 1
    if context.options.jobs:
        return context.options.jobs
    widest, device = _widest(context), context.accelerator.device
    if widest == 1 or device.type != "cpu" or launch() is not None:
        return 1
    if context.run.jobs.exists():
        chosen = context.run.jobs.read_bytes().strip()
        return max(1, int(chosen)) if chosen.isdigit() and len(chosen) < 4 else 1
    fits = [fit for each in round_contexts(context) for fit in fits_of(each)]
    if sum(fit.pixels for fit in fits) < _WORTH_A_PROCESS:
        return 1
    free = free_memory(device)
    return widest if free is None else max(1, min(widest, free // _memory(fits, device)))


def with_jobs(context: RunContext) -> RunContext:
    """Return the context with the number of jobs in its options; record it if it was chosen here.

    Raises OutputError.
    """
    if context.options.jobs or context.options.engine == "ray":
        return context
    jobs = jobs_for(context)
    if not context.run.jobs.exists():
        write_text(context.run.jobs, f"{jobs}\n")
    return replace(context, options=replace(context.options, jobs=jobs))


def widest_wave(context: RunContext, jobs: int) -> int:
    """Return how many networks are fitted at the same time at most, if ``jobs`` may be."""
    return max(len(wave) for wave in waves(context.recipe, context.new_tasks, jobs))


def _widest(context: RunContext) -> int:
    return widest_wave(context, torch.get_num_threads())


def _memory(fits: list[Fit], device: torch.device) -> int:
    """Return the bytes of a process that fits the largest network."""
    facts = read_facts(device)
    largest = max(fit_memory(fit, facts.get(fit.key) or measure_size(fit)) for fit in fits)
    return largest + PROCESS
