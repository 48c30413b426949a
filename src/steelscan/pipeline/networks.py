"""The networks of a run: fitting them, loading them, and asking them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from steelscan.data import Dataset, JoinedStrips
from steelscan.decision import StepOutput
from steelscan.evaluation.metrics import Pairs, count_pixels, dice
from steelscan.models import StripNetwork, build_network, copy_encoder, without_weights
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.run_folder import RunFolder, Task, tasks
from steelscan.postprocess import Threshold, threshold
from steelscan.prediction import (
    EncoderFittedFor,
    EncoderOf,
    Member,
    TorchModel,
    predict_both,
    predict_classes,
    predict_masks,
    to_uint8,
)
from steelscan.recipes import Classify, Segment
from steelscan.strip import Picture
from steelscan.training import Metrics, Training, TrainingData, load_network
from steelscan.training.fit import fit


@dataclass(frozen=True)
class PseudoLabelled:
    """What teaches beside the strips with masks: see `steelscan.training.TrainingData`."""

    strips: Dataset | JoinedStrips
    pseudo: NDArray[np.int64]
    suspicion: NDArray[np.float32] | None


def fit_task(context: RunContext, task: Task, lessons: PseudoLabelled) -> str:
    """Fit one network, unless that is done; returns a sentence on where its weights began."""
    seed = _seed(context, task)
    torch.manual_seed(seed)
    member, folder = task.member, context.run.network(task)
    network, source = build_network(member.network, _known(member, context.classes))
    match member.start:
        case EncoderOf() as start:
            source = _start_from(context, start, task, network)
        case EncoderFittedFor() as start:
            source = _start_fitted(context, start, task, lessons, network)
    _fit(context, task, member.stages, lessons, network, folder, task.label)
    return source


def _seed(context: RunContext, task: Task) -> int:
    """The seed of a network, by its place; that of a further step of its kind has a part more."""
    kind = task.step.rstrip("0123456789")
    nth = task.step.removeprefix(kind)
    own = (context.options.seed, kind == "segment", task.number, task.fold)
    sequence = np.random.SeedSequence((*own, int(nth)) if nth else own)
    return int(sequence.generate_state(1)[0])


def _known(member: Member, classes: int) -> int:
    """How many classes a network answers for, of so many."""
    return len(member.classes) if member.classes else classes


def _voter(member: Member, network: StripNetwork) -> TorchModel:
    return TorchModel(network, member.resize, member.classes, member.tiles)


def _fit(
    context: RunContext,
    task: Task,
    stages: tuple[Training, ...],
    lessons: PseudoLabelled,
    network: StripNetwork,
    folder: Path,
    label: str,
) -> None:
    """Fit a network on the strips of a task, judged by those of its fold."""
    member = task.member
    judging = context.rows(task.fold)[: stages[-1].validate_on]
    material = TrainingData(
        lessons.strips,
        context.teaching(task.fold),
        member.resize,
        _seed(context, task),
        member.classes,
        lessons.pseudo,
        lessons.suspicion,
    )
    fit(
        network,
        stages,
        material,
        lambda candidate: _judge(_voter(member, candidate), context.dataset, judging),
        folder,
        accelerator=context.accelerator,
        workers=context.options.workers,
        label=f"Fitting {label}",
    )


def _start_fitted(
    context: RunContext,
    start: EncoderFittedFor,
    task: Task,
    lessons: PseudoLabelled,
    network: StripNetwork,
) -> str:
    """Fit a classifier and give its encoder to a network; returns a sentence on it."""
    other, source = build_network(start.network, _known(task.member, context.classes))
    folder = context.run.encoder(task)
    _fit(context, task, start.stages, lessons, other, folder, f"an encoder for {task.label}")
    load_network(folder / "checkpoint.safetensors", other)
    copy_encoder(other, network)
    return f"{source}; then the encoder of a classifier fitted for it"


def _start_from(context: RunContext, start: EncoderOf, task: Task, network: StripNetwork) -> str:
    """Copy the encoder of a fitted network into another one; return a sentence on it."""
    (source,) = (
        other
        for other in tasks(context.recipe, (task.fold,), context.round)
        if (other.step, other.member.name) == (start.step, start.member)
    )
    fitted, _ = build_network(source.member.network, _known(source.member, context.classes))
    load_network(context.run.network(source) / "checkpoint.safetensors", fitted)
    copy_encoder(fitted, network)
    return f"the encoder of {start.step} {start.member}"


def load_models(
    run: RunFolder, fitted: Iterable[Task], classes: int, device: torch.device
) -> list[TorchModel]:
    """Fitted networks, ready to be asked."""
    models = []
    for task in fitted:
        member = task.member
        network, _ = build_network(without_weights(member.network), _known(member, classes))
        load_network(run.network(task) / "checkpoint.safetensors", network)
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        models.append(_voter(member, network.eval()))
    return models


def ask(
    step: Classify | Segment, models: Sequence[TorchModel], picture: Picture, classes: int
) -> StepOutput:
    """What the networks of a step say of a strip; both heads are asked at once."""
    ensemble = step.ensemble
    how = (models, ensemble.views, picture, ensemble.average, classes)
    if isinstance(step, Classify):
        return StepOutput(None, predict_classes(*how))
    masks, said = (predict_masks(*how), None) if step.gate is None else predict_both(*how)
    return StepOutput(to_uint8(masks), said)


def _judge(voter: TorchModel, dataset: Dataset, rows: NDArray[np.int64]) -> Metrics:
    if voter.network.head == "classes":
        return _judge_classes(voter, dataset, rows)
    return _judge_masks(voter, dataset, rows)


def _judge_classes(voter: TorchModel, dataset: Dataset, rows: NDArray[np.int64]) -> Metrics:
    """Cross entropy of the classes that it knows; how often 'any or none' is right at one half."""
    answers = [predict_classes([voter], ("identity",), dataset.picture(row)) for row in rows]
    known = _planes(voter, dataset)
    said = np.stack(answers)[:, known].astype(np.float64)
    probabilities = np.clip(said, 1e-7, 1 - 1e-7)
    truth = dataset.present[rows][:, known]
    entropy = -np.log(np.where(truth, probabilities, 1 - probabilities)).mean()
    right = ((probabilities > 0.5).any(1) == truth.any(1)).mean()
    return {"score": float(-entropy), "clean_or_not": float(right)}


def _judge_masks(voter: TorchModel, dataset: Dataset, rows: NDArray[np.int64]) -> Metrics:
    """Mean Dice of the classes that it knows, and on pairs with a defect, at one half."""
    counts = []
    known = _planes(voter, dataset)
    for row in rows:
        answer = predict_masks([voter], ("identity",), dataset.picture(row))[known]
        counts.append(count_pixels(threshold(answer, Threshold()), dataset.masks(row)[known]))
    pairs = Pairs.of(counts)
    values = dice(pairs)
    defect = values[pairs.truth > 0]
    return {
        "score": float(values.mean()),
        "defect_dice": float(defect.mean()) if defect.size else 0.0,
    }


def _planes(voter: TorchModel, dataset: Dataset) -> list[int]:
    """Where the classes that a voter knows stand among all."""
    return [known - 1 for known in voter.classes or range(1, len(dataset.classes) + 1)]
