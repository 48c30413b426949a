"""Fitting one network: the loop over stages, epochs and batches, and what survives a crash."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shutil import rmtree

import numpy as np
import polars as pl
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from steelscan.data import Dataset, Shrink
from steelscan.losses import build_loss
from steelscan.models import StripNetwork
from steelscan.strip import Progress, RunError, progress, replacing
from steelscan.training.checkpoint import load_network, load_state, save_network, save_state
from steelscan.training.crops import EpochCrops, loader
from steelscan.training.optimizers import build_optimizer, rate
from steelscan.training.specs import Training

Metrics = Mapping[str, float]
"""What a validation says; ``score`` is higher for a better network, the rest is for the record."""


@dataclass(frozen=True)
class Material:
    """What a network is fitted on: strips, which of them, at which size, with which seed."""

    strips: Dataset
    rows: NDArray[np.int64]
    resize: Shrink | None
    seed: int


@dataclass
class _Standing:
    """How far a fit has come: the stage, its epochs done, its best score, the metrics so far."""

    stage: int = 0
    epoch: int = 0
    best: float = -math.inf
    metrics: list[dict[str, float]] = field(default_factory=list)


def fit(
    network: StripNetwork,
    stages: tuple[Training, ...],
    material: Material,
    validate: Callable[[StripNetwork], Metrics],
    folder: Path,
    *,
    accelerator: Accelerator,
    workers: int = 0,
    label: str = "training",
) -> None:
    """Fit a network and leave ``checkpoint.safetensors`` and ``metrics.csv`` in ``folder``.

    A fit that was interrupted goes on after its last whole epoch and ends with the same numbers;
    one that is complete is left alone. ``validate`` scores the network, in eval mode.
    Raises RunError when the best network is to be kept and no score is a number.
    """
    checkpoint = folder / "checkpoint.safetensors"
    if checkpoint.exists():
        rmtree(folder / "last", ignore_errors=True)
        return
    network.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    saved = folder / "last" / "state.safetensors"
    standing, optimizer_state = _Standing(), None
    if saved.exists():
        document, optimizer_state = load_state(saved, network)
        standing = _Standing(**document)
    for number in range(standing.stage, len(stages)):
        stage = _Stage(network, stages[number], number, material, accelerator, workers)
        if optimizer_state is not None:
            stage.optimizer.load_state_dict(optimizer_state)
        with progress(label, len(stage)) as shown:
            shown.advance(len(stage) * standing.epoch // stages[number].epochs)
            for epoch in range(standing.epoch, stages[number].epochs):
                loss = stage.epoch(epoch, shown)
                _record(stage, standing, epoch, loss, validate, folder)
        if stages[number].keep == "best":
            best = _best(folder, number)
            if not best.exists():
                found = "holds no score that is a number: the fit has diverged"
                raise RunError(folder / "metrics.csv", found, "Fit it anew with a lower rate")
            load_network(best, network)
        standing = _Standing(stage=number + 1, metrics=standing.metrics)
        optimizer_state = None
    save_network(checkpoint, network)
    rmtree(folder / "last")


def _best(folder: Path, stage: int) -> Path:
    """Where the best network of a stage waits; a crash may leave the next stage's beside it."""
    return folder / "last" / f"best-{stage}.safetensors"


class _Stage:
    """One stage of a fit: a network with its optimizer, loss and crops."""

    def __init__(
        self,
        network: StripNetwork,
        training: Training,
        number: int,
        material: Material,
        accelerator: Accelerator,
        workers: int,
    ) -> None:
        self.network, self.training, self.number = network, training, number
        self.optimizer = build_optimizer(training.optimizer, network)
        self._material, self._accelerator, self._workers = material, accelerator, workers
        self._loss = build_loss(training.loss, len(material.strips.classes))
        self._loss.to(accelerator.device)
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self._batches_a_step = max(1, (training.accumulate_to or 0) // training.batch)
        self._batches = len(self._loader(0))

    def __len__(self) -> int:
        """Batches in the whole stage."""
        return self._batches * self.training.epochs

    def epoch(self, epoch: int, shown: Progress) -> float:
        """Fit one epoch; returns the mean loss of its batches."""
        torch.manual_seed(np.random.SeedSequence(self._seed(epoch)).generate_state(1)[0].item())
        self.network.train()
        steps_an_epoch = math.ceil(self._batches / self._batches_a_step)
        losses = []
        for number, batch in enumerate(self._loader(epoch)):
            loss = self._forward(batch)
            first = number - number % self._batches_a_step
            together = min(self._batches_a_step, self._batches - first)
            self._accelerator.backward(loss / together)
            losses.append(loss.detach())
            if number == first + together - 1:
                step = epoch * steps_an_epoch + first // self._batches_a_step
                self._step(step, steps_an_epoch * self.training.epochs)
            shown.advance(note=f"loss {float(losses[-1]):.4f}")
        return float(torch.stack(losses).mean())

    def _forward(self, batch: list[Tensor]) -> Tensor:
        pictures, masks = (tensor.to(self._accelerator.device) for tensor in batch)
        with self._accelerator.autocast():
            outputs = self.network(pictures)
        if self.network.head == "classes":
            loss = self._loss(outputs.classes, masks.amax((2, 3)))
        else:
            loss = self._loss(outputs.masks, masks)
        assert isinstance(loss, Tensor)
        return loss

    def _step(self, step: int, steps: int) -> None:
        factor = rate(self.training.schedule, step, steps)
        for group, lr in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = lr * factor
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _loader(self, epoch: int) -> DataLoader[tuple[Tensor, Tensor]]:
        material = self._material
        crops = EpochCrops(
            material.strips, material.rows, self.training, material.resize, self._seed(epoch)
        )
        return loader(crops, self.training.batch, self._workers)

    def _seed(self, epoch: int) -> tuple[int, ...]:
        return self._material.seed, self.number, epoch


def _record(
    stage: _Stage,
    standing: _Standing,
    epoch: int,
    loss: float,
    validate: Callable[[StripNetwork], Metrics],
    folder: Path,
) -> None:
    """Validate if it is time to, and write down how far the fit has come."""
    row = {"stage": float(stage.number), "epoch": float(len(standing.metrics) + 1), "loss": loss}
    training = stage.training
    if (epoch + 1) % training.validate_every == 0 or epoch + 1 == training.epochs:
        stage.network.eval()
        row |= validate(stage.network)
        if row["score"] > standing.best:
            standing.best = row["score"]
            save_network(_best(folder, stage.number), stage.network)
    standing.stage, standing.epoch = stage.number, epoch + 1
    standing.metrics.append(row)
    with replacing(folder / "metrics.csv") as temporary:
        pl.DataFrame(standing.metrics, infer_schema_length=None).write_csv(temporary)
    save_state(
        folder / "last" / "state.safetensors", stage.network, stage.optimizer, asdict(standing)
    )
