"""Fit one network of a run, with what it needs of the networks before it."""

from contextlib import nullcontext

from steelscan.models import encoder_of
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_queue import CoreShare
from steelscan.pipeline.fit_tasks import Task, steps_needed
from steelscan.pipeline.forecast.known_speeds import speed_recorded
from steelscan.pipeline.networks import fit_task, training_data
from steelscan.pipeline.out_of_fold import first_classifier, step_outputs
from steelscan.pipeline.pseudo_labels import training_strips
from steelscan.pipeline.validation_strips import validation_strips


def is_fitted(context: RunContext, task: Task) -> bool:
    """Return whether the network of a task is fitted."""
    return (context.run.network(task) / "checkpoint.safetensors").exists()


def predict_needed(context: RunContext, task: Task) -> None:
    """Predict and store the outputs of other steps that `fit_one` then only reads."""
    for step in steps_needed(context.recipe, task):
        step_outputs(context, step)


def fit_one(context: RunContext, task: Task, share: CoreShare) -> str:
    """Fit the network of a task unless it is fitted; return a sentence on its first weights.

    ``share`` is what it has of the cores; speeds are remembered by it.
    """
    strips, pseudo = training_strips(context, task.fold, task.member.classes)
    probabilities = None
    if task.member.needs_class_probabilities:
        with context.accelerator.main_process_first():
            probabilities = first_classifier(context, len(strips.frames))
    data = training_data(context, task, strips, pseudo, probabilities)
    validated = validation_strips(context, task)
    first = context.accelerator.is_main_process
    count = len(validated.rows)
    timed = speed_recorded(context, task, data, count, share) if first else nullcontext()
    with timed:
        source = fit_task(context, task, data, validated)
    return f"First weights of {encoder_of(task.member.network).encoder}: {source}."
