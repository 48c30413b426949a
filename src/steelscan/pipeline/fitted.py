"""The networks of a run: fitting them, loading them, and asking them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from steelscan.data import Dataset
from steelscan.evaluation import Pairs, count_pixels, dice
from steelscan.models import StripNetwork, build_network, copy_encoder, without_weights
from steelscan.pipeline.plan import Plan
from steelscan.pipeline.recipe import Classify, Segment
from steelscan.pipeline.run import RunFolder, Task, tasks
from steelscan.postprocess import Threshold, threshold
from steelscan.prediction import EncoderFittedFor, EncoderOf, Voter, predict_classes, predict_masks
from steelscan.training import Material, Metrics, Training, fit, load_network


def fit_task(plan: Plan, task: Task) -> str:
    """Fit one network, unless that is done; returns a sentence on where its weights began."""
    own = (plan.options.seed, task.step.kind == "segment", task.number, task.fold)
    seed = int(np.random.SeedSequence(own).generate_state(1)[0])
    torch.manual_seed(seed)
    network, source = build_network(task.member.network, plan.classes)
    match task.member.start:
        case EncoderOf() as start:
            source = _start_from(plan, start, task.fold, network)
        case EncoderFittedFor() as start:
            source = _start_fitted(plan, start, task, seed, network)
    _fit(plan, task, task.member.stages, seed, network, plan.run.network(*task.place), task.label)
    return source


def _fit(
    plan: Plan,
    task: Task,
    stages: tuple[Training, ...],
    seed: int,
    network: StripNetwork,
    folder: Path,
    label: str,
) -> None:
    """Fit a network on the strips of a task, judged by those of its fold."""
    resize = task.member.resize
    judging = plan.rows(task.fold)[: stages[-1].validate_on]
    fit(
        network,
        stages,
        Material(plan.dataset, plan.teaching(task.fold), resize, seed),
        lambda candidate: _judge(Voter(candidate, resize), plan.dataset, judging),
        folder,
        accelerator=plan.accelerator,
        workers=plan.options.workers,
        label=f"Fitting {label}",
    )


def _start_fitted(
    plan: Plan, start: EncoderFittedFor, task: Task, seed: int, network: StripNetwork
) -> str:
    """Fit a classifier and give its encoder to a network; returns a sentence on it."""
    other, source = build_network(start.network, plan.classes)
    kind, number, fold = task.place
    folder = plan.run.network(f"{kind}-encoder", number, fold)
    _fit(plan, task, start.stages, seed, other, folder, f"an encoder for {task.label}")
    load_network(folder / "checkpoint.safetensors", other)
    copy_encoder(other, network)
    return f"{source}; then the encoder of a classifier fitted for it"


def _start_from(plan: Plan, start: EncoderOf, fold: int, network: StripNetwork) -> str:
    """Give a network the encoder of one that is fitted; returns a sentence on it."""
    step = plan.recipe.segment if start.step == "segment" else plan.recipe.classify
    assert step is not None, "the recipe has checked this"
    other, _ = build_network(step.ensemble.members[start.member].network, plan.classes)
    checkpoint = plan.run.network(start.step, start.member, fold) / "checkpoint.safetensors"
    load_network(checkpoint, other)
    copy_encoder(other, network)
    return f"the encoder of {start.step} {start.member + 1}"


def load_voters(
    run: RunFolder,
    step: Classify | Segment,
    folds: Sequence[int],
    classes: int,
    device: torch.device,
) -> list[Voter]:
    """The fitted networks of a step, from these folds, ready to be asked."""
    voters = []
    for task in tasks([step], folds):
        network, _ = build_network(without_weights(task.member.network), classes)
        load_network(run.network(*task.place) / "checkpoint.safetensors", network)
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        voters.append(Voter(network.eval(), task.member.resize))
    return voters


def _judge(voter: Voter, dataset: Dataset, rows: NDArray[np.int64]) -> Metrics:
    if voter.network.head == "classes":
        return _judge_classes(voter, dataset, rows)
    return _judge_masks(voter, dataset, rows)


def _judge_classes(voter: Voter, dataset: Dataset, rows: NDArray[np.int64]) -> Metrics:
    """Cross entropy of the classes, and how often 'clean or not' is right at one half."""
    answers = [predict_classes([voter], ("identity",), dataset.picture(row)) for row in rows]
    probabilities = np.clip(np.stack(answers).astype(np.float64), 1e-7, 1 - 1e-7)
    truth = dataset.present[rows]
    entropy = -np.log(np.where(truth, probabilities, 1 - probabilities)).mean()
    right = ((probabilities > 0.5).any(1) == truth.any(1)).mean()
    return {"score": float(-entropy), "clean_or_not": float(right)}


def _judge_masks(voter: Voter, dataset: Dataset, rows: NDArray[np.int64]) -> Metrics:
    """Mean Dice, and Dice on pairs with a defect, at thresholds of one half."""
    counts = []
    for row in rows:
        answer = predict_masks([voter], ("identity",), dataset.picture(row))
        counts.append(count_pixels(threshold(answer, Threshold()), dataset.masks(row)))
    pairs = Pairs.of(counts)
    values = dice(pairs)
    defect = values[pairs.truth > 0]
    return {
        "score": float(values.mean()),
        "defect_dice": float(defect.mean()) if defect.size else 0.0,
    }
