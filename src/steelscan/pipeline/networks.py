"""The networks of a run: fitting and loading them."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from steelscan.data import Dataset, JoinedStrips
from steelscan.models import Network, StripNetwork, build_network, copy_encoder, without_weights
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_log import log_epoch
from steelscan.pipeline.fit_tasks import Task, encoder_source
from steelscan.pipeline.run_folder import RunFolder
from steelscan.pipeline.start_from import FIRST_WEIGHTS, load_start
from steelscan.pipeline.tracking import tracked
from steelscan.pipeline.validation import Validation, ValidationStrips
from steelscan.prediction import (
    EncoderFittedFor,
    EncoderOf,
    Member,
    TorchModel,
)
from steelscan.strip.files import write_text
from steelscan.training import Training, TrainingData, load_network
from steelscan.training.fit import Metrics, fit


def training_data(
    context: RunContext,
    task: Task,
    strips: Dataset | JoinedStrips,
    pseudo: NDArray[np.int64],
    class_probabilities: NDArray[np.float32] | None,
) -> TrainingData:
    """Return the train strips of a task: those of ``strips`` that are not in its fold.

    ``pseudo`` and ``class_probabilities`` are as in `TrainingData`.
    """
    return TrainingData(
        strips,
        context.train_rows(task.fold),
        task.member.resize,
        _seed(context, task),
        task.member.classes,
        pseudo,
        class_probabilities,
    )


def fit_task(
    context: RunContext,
    task: Task,
    data: TrainingData,
    strips: ValidationStrips,
    check: Callable[[], None] = lambda: None,
) -> str:
    """Fit one network unless it is fitted; return a sentence on the source of its first weights.

    ``strips`` validate it; ``check`` is called before anything is written.
    """
    torch.manual_seed(data.seed)
    member, folder = task.member, context.run.network(task)
    network, source = _build(context, member.network, member)
    match member.start:
        case _ if context.start and context.options.start_from:
            origin = context.options.start_from
            source = load_start(context.start, origin, context.run, task, network)
        case EncoderOf() as start:
            source = _start_from(context, start, task, network)
        case EncoderFittedFor() as start:
            source = _start_fitted(context, start, task, data, network, check)
    source = _recorded(folder, source)
    _fit(context, task, member.stages, data, strips, network, folder, task.label, check)
    return source


def _build(context: RunContext, spec: Network, member: Member) -> tuple[StripNetwork, str]:
    """Build a network of a member with its first weights; return it and their source."""
    if context.start is not None:  # the weights of another run replace these
        spec = without_weights(spec)
    return build_network(spec, class_count(member, context.classes), context.options.weights_dir)


def _recorded(folder: Path, source: str) -> str:
    """Return the source of the weights with which a fit began; record it if the fit begins now.

    Weights may have been added or removed since an interrupted fit began.
    """
    path = folder / FIRST_WEIGHTS
    begun = [folder / "checkpoint.safetensors", folder / "last" / "state.safetensors"]
    if any(file.exists() for file in begun):
        return path.read_text(encoding="utf-8").strip() if path.exists() else source
    write_text(path, f"{source}\n")
    return source


def _seed(context: RunContext, task: Task) -> int:
    """Return the seed of a network, from its position in the recipe and its fold."""
    kind = task.step.rstrip("0123456789")
    nth = task.step.removeprefix(kind)
    own = (context.options.seed, kind == "segment", task.number, task.fold)
    sequence = np.random.SeedSequence((*own, int(nth)) if nth else own)
    return int(sequence.generate_state(1)[0])


def class_count(member: Member, classes: int) -> int:
    """Return how many of the data set's ``classes`` a member predicts."""
    return len(member.classes) if member.classes else classes


def _model(member: Member, network: StripNetwork) -> TorchModel:
    return TorchModel(network, member.resize, member.classes, member.tiles)


def _fit(
    context: RunContext,
    task: Task,
    stages: tuple[Training, ...],
    data: TrainingData,
    strips: ValidationStrips,
    network: StripNetwork,
    folder: Path,
    label: str,
    check: Callable[[], None],
) -> None:
    """Fit a network on the train strips of a task, and validate it on strips of its fold."""
    with tracked(context, task, stages, network, folder, label) as track:

        def log(rows: Sequence[Metrics]) -> None:
            log_epoch(context.run.network(task), label, rows[-1])
            if track is not None:
                track(rows)

        fit(
            network,
            stages,
            data,
            Validation(context, task, strips),
            folder,
            accelerator=context.accelerator,
            workers=context.options.workers,
            label=f"Fitting {label}",
            log=log,
            check=check,
        )


def _start_fitted(
    context: RunContext,
    start: EncoderFittedFor,
    task: Task,
    data: TrainingData,
    network: StripNetwork,
    check: Callable[[], None],
) -> str:
    """Fit a classifier and copy its encoder into a network; return a sentence on its weights."""
    other, source = _build(context, start.network, task.member)
    folder = context.run.encoder(task)
    rows = context.rows(task.fold)[: start.stages[-1].validate_on]
    strips = ValidationStrips.ungated(rows, context.classes)
    label = f"an encoder for {task.label}"
    _fit(context, task, start.stages, data, strips, other, folder, label, check)
    load_network(folder / "checkpoint.safetensors", other)
    copy_encoder(other, network)
    return f"{source}; then the encoder of a classifier fitted for it"


def _start_from(context: RunContext, start: EncoderOf, task: Task, network: StripNetwork) -> str:
    """Copy the encoder of a fitted network into a network; return a sentence on its source."""
    source = encoder_source(context.recipe, task, context.round)
    assert source is not None
    spec = without_weights(source.member.network)
    fitted, _ = build_network(spec, class_count(source.member, context.classes))
    load_network(context.run.network(source) / "checkpoint.safetensors", fitted)
    copy_encoder(fitted, network)
    return f"the encoder of {start.step} {start.member}"


def load_models(
    run: RunFolder, fitted: Iterable[Task], classes: int, device: torch.device
) -> list[TorchModel]:
    """Load fitted networks, in eval mode."""
    models = []
    for task in fitted:
        member = task.member
        network, _ = build_network(without_weights(member.network), class_count(member, classes))
        load_network(run.network(task) / "checkpoint.safetensors", network)
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        models.append(_model(member, network.eval()))
    return models
