"""The networks of a run: fitting, validating and loading them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from steelscan.data import Dataset, JoinedStrips
from steelscan.evaluation.metrics import Pairs, count_pixels, dice
from steelscan.models import StripNetwork, build_network, copy_encoder, without_weights
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_tasks import Task, tasks
from steelscan.pipeline.run_folder import RunFolder
from steelscan.pipeline.tracking import tracked
from steelscan.postprocess import Threshold, threshold
from steelscan.prediction import (
    EncoderFittedFor,
    EncoderOf,
    Member,
    TorchModel,
    predict_classes,
    predict_masks,
)
from steelscan.training import Metrics, Training, TrainingData, load_network
from steelscan.training.fit import fit


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


def fit_task(context: RunContext, task: Task, data: TrainingData) -> str:
    """Fit one network unless it is fitted; return a sentence on the source of its first weights."""
    torch.manual_seed(data.seed)
    member, folder = task.member, context.run.network(task)
    network, source = build_network(member.network, class_count(member, context.classes))
    match member.start:
        case EncoderOf() as start:
            source = _start_from(context, start, task, network)
        case EncoderFittedFor() as start:
            source = _start_fitted(context, start, task, data, network)
    _fit(context, task, member.stages, data, network, folder, task.label)
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
    network: StripNetwork,
    folder: Path,
    label: str,
) -> None:
    """Fit a network on the train strips of a task, and validate it on those of its fold."""
    validation = context.rows(task.fold)[: stages[-1].validate_on]
    with tracked(context, task, stages, network, folder, label) as log:
        fit(
            network,
            stages,
            data,
            lambda network: _validate(_model(task.member, network), context.dataset, validation),
            folder,
            accelerator=context.accelerator,
            workers=context.options.workers,
            label=f"Fitting {label}",
            log=log,
        )


def _start_fitted(
    context: RunContext,
    start: EncoderFittedFor,
    task: Task,
    data: TrainingData,
    network: StripNetwork,
) -> str:
    """Fit a classifier and copy its encoder into a network; return a sentence on its weights."""
    other, source = build_network(start.network, class_count(task.member, context.classes))
    folder = context.run.encoder(task)
    _fit(context, task, start.stages, data, other, folder, f"an encoder for {task.label}")
    load_network(folder / "checkpoint.safetensors", other)
    copy_encoder(other, network)
    return f"{source}; then the encoder of a classifier fitted for it"


def _start_from(context: RunContext, start: EncoderOf, task: Task, network: StripNetwork) -> str:
    """Copy the encoder of a fitted network into a network; return a sentence on its source."""
    (source,) = (
        other
        for other in tasks(context.recipe, (task.fold,), context.round)
        if (other.step, other.member.name) == (start.step, start.member)
    )
    fitted, _ = build_network(source.member.network, class_count(source.member, context.classes))
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


def _validate(model: TorchModel, dataset: Dataset, rows: NDArray[np.int64]) -> Metrics:
    if model.network.head == "classes":
        return _validate_classes(model, dataset, rows)
    return _validate_masks(model, dataset, rows)


def _validate_classes(model: TorchModel, dataset: Dataset, rows: NDArray[np.int64]) -> Metrics:
    """Return the cross entropy over its classes, and the accuracy of 'any or none' at one half."""
    outputs = [predict_classes([model], ("identity",), dataset.picture(row)) for row in rows]
    planes = _planes(model, dataset)
    probabilities = np.clip(np.stack(outputs)[:, planes].astype(np.float64), 1e-7, 1 - 1e-7)
    truth = dataset.present[rows][:, planes]
    entropy = -np.log(np.where(truth, probabilities, 1 - probabilities)).mean()
    right = ((probabilities > 0.5).any(1) == truth.any(1)).mean()
    return {"score": float(-entropy), "clean_or_not": float(right)}


def _validate_masks(model: TorchModel, dataset: Dataset, rows: NDArray[np.int64]) -> Metrics:
    """Return the mean Dice over its classes at one half, and that on pairs with a defect."""
    counts = []
    planes = _planes(model, dataset)
    for row in rows:
        probabilities = predict_masks([model], ("identity",), dataset.picture(row))[planes]
        masks = threshold(probabilities, Threshold())
        counts.append(count_pixels(masks, dataset.masks(row)[planes]))
    pairs = Pairs.of(counts)
    values = dice(pairs)
    defect = values[pairs.truth > 0]
    return {
        "score": float(values.mean()),
        "defect_dice": float(defect.mean()) if defect.size else 0.0,
    }


def _planes(model: TorchModel, dataset: Dataset) -> list[int]:
    """Return the positions of a model's classes among all."""
    return [class_id - 1 for class_id in model.classes or range(1, len(dataset.classes) + 1)]
