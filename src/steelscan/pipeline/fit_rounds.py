"""Fit all networks of a run: once, and again in each round of pseudo-labels."""

from contextlib import nullcontext
from dataclasses import replace

from steelscan.models import encoder_of
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.forecast.forecast import speed_recorded
from steelscan.pipeline.networks import fit_task, training_data
from steelscan.pipeline.out_of_fold import first_classifier
from steelscan.pipeline.processes import leave
from steelscan.pipeline.pseudo_labels import pseudo_label, training_strips
from steelscan.pipeline.validation_strips import validation_strips


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
    sources = set()
    for task in context.new_tasks:
        strips, pseudo = training_strips(context, task.fold, task.member.classes)
        probabilities = None
        if task.member.needs_class_probabilities:
            with context.accelerator.main_process_first():
                probabilities = first_classifier(context, len(strips.frames))
        data = training_data(context, task, strips, pseudo, probabilities)
        validated = validation_strips(context, task)
        first = context.accelerator.is_main_process
        timed = speed_recorded(context, task, data, len(validated.rows)) if first else nullcontext()
        with timed:
            source = fit_task(context, task, data, validated)
        sources.add(f"First weights of {encoder_of(task.member.network).encoder}: {source}.")
    return sources
