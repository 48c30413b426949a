"""Fitting one network: the loop over stages, epochs and batches, and what survives a crash."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import polars as pl
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.amp.grad_scaler import GradScaler
from torch.nn.utils import get_total_norm
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader

from steelscan.losses import build_loss, loss_of_classes
from steelscan.models import StripNetwork
from steelscan.strip import Progress, RecipeError, RunError, write_text
from steelscan.strip.progress import progress
from steelscan.training.averaging import RunningMean, State, best_mean
from steelscan.training.checkpoint import (
    load_network,
    load_state,
    load_weights,
    save_network,
    save_state,
)
from steelscan.training.crops import Batch, EpochCrops, Part, loader
from steelscan.training.freezing import freeze
from steelscan.training.mixing import mix
from steelscan.training.optimizers import build_optimizer
from steelscan.training.schedules import plateau, rate
from steelscan.training.seen import SeenStrips
from steelscan.training.specs import BestAverage, Last, Pass, Plateau, Training
from steelscan.training.training_data import TrainingData

Metrics = Mapping[str, float]
"""What a validation says; the number that a stage watches is higher for a better network."""


@dataclass
class _Standing:
    """How far a fit has come: stage, epochs done in it, metrics so far, what else it carries.

    ``candidates`` are score and epoch of the stage's networks that wait on disk, the best first.
    """

    stage: int = 0
    epoch: int = 0
    candidates: list[tuple[float, int]] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)
    carried: dict[str, Any] = field(default_factory=dict)


def fit(
    network: StripNetwork,
    stages: tuple[Training, ...],
    material: TrainingData,
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
    Raises RunError as soon as a loss, a weight, an output or a score is not a number, and for a
    half-done fit that cannot be read, RecipeError when a stage watches a number that no validation
    gives.
    """
    checkpoint = folder / "checkpoint.safetensors"
    if checkpoint.exists():
        rmtree(folder / "last", ignore_errors=True)
        return
    network.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    saved = folder / "last" / "state.safetensors"
    seen = SeenStrips(material.strips, material.resize, classes=material.classes)
    standing, resumed = _Standing(), None
    if saved.exists():
        document, optimizer, mean = load_state(saved, network)
        standing, resumed = _Standing(**document), (optimizer, mean)
    for number in range(standing.stage, len(stages)):
        stage = _Stage(network, stages[number], number, material, seen, accelerator, workers)
        if resumed is not None:
            stage.resume(*resumed, standing.carried)
        with progress(label, len(stage)) as shown:
            shown.advance(len(stage) * standing.epoch // stages[number].epochs)
            for epoch in range(standing.epoch, stages[number].epochs):
                with _named(label, stage, epoch):
                    loss = stage.epoch(epoch, shown)
                    _record(stage, standing, epoch, loss, validate, folder)
        _keep(stage, standing, validate, folder)
        standing, resumed = _Standing(stage=number + 1, metrics=standing.metrics), None
    save_network(checkpoint, network)
    rmtree(folder / "last")


@contextmanager
def _named(label: str, stage: "_Stage", epoch: int) -> Iterator[None]:
    """Say of which network, stage and epoch it is that a number is none."""
    try:
        yield
    except RunError as error:
        part = f"stage {stage.number + 1}, epoch {epoch + 1}"
        raise RunError(label, f"{part}: {error.where} {error.problem}", error.remedy) from None


def _diverged(where: str, found: str) -> RunError:
    remedy = "Give a recipe with a lower learning rate (steelscan show NAME --json) another --out"
    return RunError(where, f"{found}: the fit has diverged", remedy)


class _Stage:
    """One stage of a fit: a network with its optimizer, loss and crops."""

    def __init__(
        self,
        network: StripNetwork,
        training: Training,
        number: int,
        material: TrainingData,
        seen: SeenStrips,
        accelerator: Accelerator,
        workers: int,
    ) -> None:
        self.network, self.training, self.number = network, training, number
        self.device = accelerator.device
        self._material = material.taught(training)
        self._accelerator, self._workers = accelerator, workers
        self._seen = seen
        freeze(network, training.freeze)
        self.optimizer = build_optimizer(training.optimizer, network)
        self._plateau = (
            plateau(training.schedule, self.optimizer)
            if isinstance(training.schedule, Plateau)
            else None
        )
        self._scaler = GradScaler(self.device.type, enabled=training.precision == "float16")
        self.mean = RunningMean(training.averaging, network) if training.averaging else None
        loss = loss_of_classes(training.loss, material.classes, material.strips.present.shape[1])
        self._loss = build_loss(loss, seen.present.shape[1]).to(self.device)
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        sizes = [(len(self._loader(0, at)), self._together(at)) for at in range(self._passes)]
        self._batches = sum(batches for batches, _ in sizes)
        self._steps = sum(math.ceil(batches / together) for batches, together in sizes)

    def __len__(self) -> int:
        """Batches in the whole stage."""
        return self._batches * self.training.epochs

    def epoch(self, epoch: int, shown: Progress) -> float:
        """Fit one epoch; returns the mean loss of its batches."""
        torch.manual_seed(np.random.SeedSequence(self._seed(epoch)).generate_state(1)[0].item())
        self.network.train()
        freeze(self.network, self.training.freeze)
        losses: list[Tensor] = []
        for step, batches in enumerate(self._grouped(epoch), start=epoch * self._steps):
            for batch in batches:
                losses.append(self._learn(batch, len(batches), step, len(losses), epoch))
                shown.advance(note=f"loss {float(losses[-1]):.4f}")
            self._step(step)
            self._check_weights(self._at(step), dict(self.network.named_parameters()))
        if self.mean is not None:
            self.mean.after_epoch(epoch, self.training.epochs)
            self._check_weights("the mean of the weights", self.mean.state)
        self._check_weights("the last step", self.network.state_dict())
        return float(torch.stack(losses).mean())

    def _at(self, step: int) -> str:
        return f"step {step % self._steps + 1}"

    def _check_weights(self, where: str, tensors: State) -> None:
        """Raise RunError for a weight that is not a number: what it predicts means nothing."""
        floats = {name: each for name, each in tensors.items() if each.is_floating_point()}
        if not math.isfinite(get_total_norm([each.detach() for each in floats.values()])):
            wrong = [name for name, each in floats.items() if not each.isfinite().all()]
            found = f"leaves {wrong[0]} with what is not a number" if wrong else "leaves no bounds"
            raise _diverged(where, found)

    def judged(self, validate: Callable[[StripNetwork], Metrics]) -> Metrics:
        """What a validation says of the network as it would be kept."""
        self.network.eval()
        with self.mean.in_place() if self.mean is not None else nullcontext():
            return validate(self.network)

    def told(self, score: float) -> None:
        """Hear the number that the stage watches."""
        if self._plateau is not None:
            self._plateau.step(score)

    def carried(self) -> dict[str, Any]:
        """What a resumed stage needs beside the tensors."""
        return {
            "plateau": self._plateau.state_dict() if self._plateau is not None else None,
            "scaler": self._scaler.state_dict(),
            "mean": self.mean.taken if self.mean is not None else 0,
        }

    def resume(self, optimizer: dict[str, Any], mean: State, carried: dict[str, Any]) -> None:
        """Go on where a stage was interrupted."""
        self.optimizer.load_state_dict(optimizer)
        self._scaler.load_state_dict(carried["scaler"])
        if self._plateau is not None:
            self._plateau.load_state_dict(carried["plateau"])
        if self.mean is not None:
            self.mean.resume(mean, carried["mean"])

    def refresh(self, batches: int) -> None:
        """Take the statistics of batch norms anew from so many batches of the stage's crops."""
        self.network.train()
        parts = chain.from_iterable(islice(self._loader(0, 0), batches))
        first = (part.pictures for part in parts)
        update_bn(first, self.network, self.device)

    @property
    def _passes(self) -> int:
        return 1 + len(self.training.more_passes)

    def _pass(self, at: int) -> Pass:
        training = self.training
        own = Pass(crop=training.crop, batch=training.batch)
        return (own, *training.more_passes)[at]

    def _together(self, at: int) -> int:
        """Batches that go into one step in a pass."""
        return max(1, (self.training.accumulate_to or 0) // self._pass(at).batch)

    def _grouped(self, epoch: int) -> Iterator[list[Batch]]:
        """The batches of an epoch, those of one step together."""
        for at in range(self._passes):
            batches = iter(self._loader(epoch, at))
            while together := list(islice(batches, self._together(at))):
                yield together

    def _learn(self, batch: Batch, together: int, step: int, number: int, epoch: int) -> Tensor:
        """Add the gradients of a batch, one of so many of a step; returns its loss."""
        total: Tensor | None = None
        for place, part in enumerate(batch):
            seed = (*self._seed(epoch), 0, 0, number, *([place] if place else []))
            loss = self._forward(part, seed)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise _diverged(self._at(step), f"has the loss {value}")
            self._accelerator.backward(self._scaler.scale(loss * part.share / together))
            own = loss.detach() * part.share
            total = own if total is None else total + own
        assert total is not None
        return total

    def _forward(self, part: Part, seed: tuple[int, ...]) -> Tensor:
        pictures, masks = part.pictures.to(self.device), part.masks.to(self.device)
        labels = masks.amax((2, 3))
        if self.training.mixup is not None:
            rng = np.random.default_rng(seed)
            pictures, masks, labels = mix(self.training.mixup, rng, pictures, masks, labels)
        kind = self.training.precision
        precise = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
        with torch.autocast(self.device.type, precise[kind], enabled=kind != "float32"):
            outputs = self.network(pictures)
        if self.network.head == "both":
            loss = self._loss(outputs.masks, outputs.classes, masks, labels)
        elif self.network.head == "classes":
            loss = self._loss(outputs.classes, labels)
        else:
            loss = self._loss(outputs.masks, masks)
        assert isinstance(loss, Tensor)
        return loss

    def _step(self, step: int) -> None:
        if self._plateau is None:
            factor = rate(self.training.schedule, step, self._steps * self.training.epochs)
            for group, lr in zip(self.optimizer.param_groups, self._rates, strict=True):
                group["lr"] = lr * factor
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.optimizer.zero_grad()
        if self.mean is not None:
            self.mean.after_step()

    def _loader(self, epoch: int, at: int) -> DataLoader[Batch]:
        """The crops of one pass of an epoch."""
        own = self._pass(at)
        seed = (*self._seed(epoch), 0, at) if at else self._seed(epoch)
        training = self.training.but(crop=own.crop)
        material = self._material
        crops = EpochCrops(self._seen, material.rows, training, seed, material.pseudo)
        return loader(crops, own.batch, self._workers)

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
    dropped: list[tuple[float, int]] = []
    if (epoch + 1) % training.validate_every == 0 or epoch + 1 == training.epochs:
        row |= stage.judged(validate)
        if training.watch not in row:
            given = ", ".join(name for name in row if name not in {"stage", "epoch", "loss"})
            found = f"is {training.watch}; a validation of this network gives {given}"
            raise RecipeError("watch", found, "Watch one of them")
        wrong = [name for name, value in row.items() if not math.isfinite(value)]
        if wrong:
            raise _diverged("its validation", f"gives {wrong[0]} {row[wrong[0]]}")
        score = row[training.watch]
        stage.told(score)
        dropped = _enlist(stage, standing, score, epoch, folder)
    standing.stage, standing.epoch = stage.number, epoch + 1
    standing.metrics.append(row)
    standing.carried = stage.carried()
    metrics = pl.DataFrame(standing.metrics, infer_schema_length=None).write_csv()
    write_text(folder / "metrics.csv", metrics)
    save_state(
        folder / "last" / "state.safetensors",
        stage.network,
        stage.optimizer,
        stage.mean.state if stage.mean is not None else {},
        asdict(standing),
    )
    for _, gone in dropped:  # only now: until here the fit could have gone on from before
        _candidate(folder, stage.number, gone).unlink(missing_ok=True)


def _enlist(
    stage: _Stage, standing: _Standing, score: float, epoch: int, folder: Path
) -> list[tuple[float, int]]:
    """Save the network if it is among the best of its stage; returns those that no longer are."""
    keep = stage.training.keep
    most = 0 if isinstance(keep, Last) else keep.count if isinstance(keep, BestAverage) else 1
    ranked = sorted([*standing.candidates, (score, epoch)], key=lambda each: (-each[0], each[1]))
    standing.candidates, dropped = ranked[:most], ranked[most:]
    if (score, epoch) in standing.candidates:
        with stage.mean.in_place() if stage.mean is not None else nullcontext():
            save_network(_candidate(folder, stage.number, epoch), stage.network)
    return [each for each in dropped if each[1] != epoch]


def _candidate(folder: Path, stage: int, epoch: int) -> Path:
    """Where a network waits until its stage ends; a crash may leave the next stage's beside it."""
    return folder / "last" / f"stage{stage}-epoch{epoch}.safetensors"


def _keep(
    stage: _Stage,
    standing: _Standing,
    validate: Callable[[StripNetwork], Metrics],
    folder: Path,
) -> None:
    """Give the network the weights that the stage ends with."""
    keep = stage.training.keep
    if isinstance(keep, Last):
        if stage.mean is not None:
            stage.network.load_state_dict(stage.mean.state)
        return
    paths = [_candidate(folder, stage.number, epoch) for _, epoch in standing.candidates]
    if not isinstance(keep, BestAverage):
        load_network(paths[0], stage.network)
        return

    def score(state: State) -> float:
        stage.network.load_state_dict(state)
        if keep.refresh:
            stage.refresh(keep.refresh)
        stage.network.eval()
        shown.advance()
        return validate(stage.network)[stage.training.watch]

    with progress("Averaging checkpoints", 2 ** len(paths) - 1) as shown:
        _, best = best_mean([load_weights(path) for path in paths], score)
    stage.network.load_state_dict(best)
    if keep.refresh:
        stage.refresh(keep.refresh)
