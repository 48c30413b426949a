"""Fit one network of a run, with what it needs of the networks before it."""

from collections.abc import Callable
from contextlib import nullcontext

from steelscan.models import encoder_of
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_log import logged
from steelscan.pipeline.fit_messages import Fitted, Leased, Result
from steelscan.pipeline.fit_queue import CoreShare, Prediction, Work
from steelscan.pipeline.fit_tasks import Task
from steelscan.pipeline.forecast.known_speeds import speed_recorded
from steelscan.pipeline.lease import Lease, LeasedError
from steelscan.pipeline.networks import fit_task, training_data
from steelscan.pipeline.out_of_fold import first_classifier, step_outputs
from steelscan.pipeline.pseudo_labels import training_strips
from steelscan.pipeline.validation_strips import validation_strips


def is_fitted(context: RunContext, task: Task) -> bool:
    """Return whether the network of a task is fitted."""
    return (context.run.network(task) / "checkpoint.safetensors").exists()


def do_work(context: RunContext, work: Work, share: CoreShare) -> Result:
    """Fit a network or predict a step unless that is done. Raises what either raises.

    Does not wait for another process that fits the network: returns `Leased`.
    """
    if isinstance(work, Prediction):
        step_outputs(context, work.step)
        return Fitted(None)
    try:
        return Fitted(fit_one(context, work, share, wait=False))
    except LeasedError:
        return Leased()


def fit_one(context: RunContext, task: Task, share: CoreShare, *, wait: bool = True) -> str:
    """Fit the network of a task unless it is fitted; return a sentence on its first weights.

    ``share`` is what it has of the cores; speeds are remembered by it. The lease of its folder is
    held meanwhile; without ``wait`` raises LeasedError if another process holds it.
    """
    folder, accelerator = context.run.network(task), context.accelerator
    lease, first = Lease(folder), accelerator.is_main_process
    with lease.held(wait=wait) if first else nullcontext():
        accelerator.wait_for_everyone()
        if is_fitted(context, task) or not first:
            return _fit(context, task, share, lambda: None)
        for each in (folder, context.run.encoder(task)):
            for unfinished in each.rglob(".*.part"):
                unfinished.unlink(missing_ok=True)
        with logged(folder, task.label, f"{accelerator.device}, {share.threads} threads"):
            return _fit(context, task, share, lease.check)


def _fit(context: RunContext, task: Task, share: CoreShare, check: Callable[[], None]) -> str:
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
        source = fit_task(context, task, data, validated, check)
    return f"First weights of {encoder_of(task.member.network).encoder}: {source}."
