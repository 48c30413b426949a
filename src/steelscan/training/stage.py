"""One stage of a fit: a network with its optimizer, loss and crops."""

import math
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from itertools import chain, islice
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.amp.grad_scaler import GradScaler
from torch.nn.utils import get_total_norm
from torch.optim.swa_utils import update_bn

from steelscan.augment import Mixup
from steelscan.losses import build_loss, loss_of_classes
from steelscan.models import StripNetwork
from steelscan.strip import Progress
from steelscan.training.averaging import State, WeightAverage
from steelscan.training.crops import Batch, Part
from steelscan.training.divergence import EpochLosses, diverged
from steelscan.training.loading import CropLoader, StageCrops
from steelscan.training.optimizers import build_optimizer, freeze
from steelscan.training.resized import ResizedStrips
from steelscan.training.schedules import plateau, rate
from steelscan.training.specs import Plateau, Training
from steelscan.training.together import average_norms, linked
from steelscan.training.training_data import TrainingData

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def _mixed(spec: Mixup, rng: np.random.Generator, *batch: Tensor) -> list[Tensor]:
    """Blend every crop of a batch with another one (mixup, Zhang et al. 2017, arXiv:1710.09412).

    Takes and returns tensors ``(crops, ...)``, all with the same shares; the results are float32.
    The share of a crop itself is at least one half.
    """
    drawn = float(rng.beta(spec.alpha, spec.alpha))
    share = max(drawn, 1 - drawn)
    other = torch.from_numpy(rng.permutation(len(batch[0]))).to(batch[0].device)
    return [share * each.float() + (1 - share) * each[other].float() for each in batch]


class Stage:
    """One stage of a fit; ``number`` counts from 0 and is part of all random seeds.

    ``strips`` are those of ``data``, resized and cached for several stages (None: its own). Several
    processes of an accelerator share each batch, and their gradients are averaged. Close a stage
    before the next one.
    """

    def __init__(
        self,
        network: StripNetwork,
        training: Training,
        number: int,
        data: TrainingData,
        accelerator: Accelerator,
        workers: int = 0,
        strips: ResizedStrips | None = None,
    ) -> None:
        self.network, self.training, self.number = network, training, number
        self.device = accelerator.device
        self._data = data.for_stage(training)
        self.accelerator = accelerator
        strips = strips or ResizedStrips(data.strips, data.resize, classes=data.classes)
        self._loader = CropLoader(
            StageCrops(strips, self._data, training, number),
            workers,
            rank=accelerator.process_index,
            processes=accelerator.num_processes,
            pinned=self.device.type == "cuda",
        )
        freeze(network, training.freeze)
        self.optimizer = build_optimizer(training.optimizer, network)
        self._plateau = (
            plateau(training.schedule, self.optimizer)
            if isinstance(training.schedule, Plateau)
            else None
        )
        self._scaler = GradScaler(self.device.type, enabled=training.precision == "float16")
        self._parallel = linked(accelerator, network)
        self.average = WeightAverage(training.averaging, network) if training.averaging else None
        loss = loss_of_classes(training.loss, data.classes, data.strips.present.shape[1])
        self._loss = build_loss(loss, strips.present.shape[1]).to(self.device)
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        numbers = range(len(training.passes))
        sizes = [(self._loader.count(at), self._batches_per_step(at)) for at in numbers]
        self._batches = sum(batches for batches, _ in sizes)
        self._steps = sum(math.ceil(batches / per_step) for batches, per_step in sizes)

    def __len__(self) -> int:
        """Return the number of batches in the whole stage."""
        return self._batches * self.training.epochs

    @property
    def result(self) -> StripNetwork:
        """The network as it is validated and kept: with averaged weights if the stage has them."""
        return self.network if self.average is None else cast(StripNetwork, self.average.module)

    def epoch(self, epoch: int, shown: Progress) -> float:
        """Fit one epoch, counted from 0; return the mean loss of its batches.

        Raises RunError if a loss or a weight is not finite.
        """
        self._seed_torch(epoch)
        self.network.train()
        freeze(self.network, self.training.freeze)
        losses = EpochLosses(self.accelerator)
        for step, batches in enumerate(self.batches(epoch)):
            for batch in batches:
                losses.add(step, self._backward(batch, batches, len(losses), epoch))
            self._step(epoch * self._steps + step)
            norm = _norm(dict(self.network.named_parameters()))
            losses.stepped(step, norm, last=step + 1 == self._steps)
            shown.advance(len(batches), losses.note)
        mean = losses.mean()
        average_norms(self.accelerator, self.network)
        if self.average is not None:
            self.average.after_epoch(self.network, epoch, self.training.epochs)
            average_norms(self.accelerator, self.average.module)
            _check_weights("the average of the weights", self.average.module.state_dict())
        _check_weights("the last step", self.network.state_dict())
        return mean

    def batches(self, epoch: int) -> Iterator[list[Batch]]:
        """Yield the batches of an epoch, counted from 0, in lists of one step each."""
        for at in range(len(self.training.passes)):
            batches = self._loader.batches(epoch, at)
            while together := list(islice(batches, self._batches_per_step(at))):
                yield together

    def step_plateau(self, score: float) -> None:
        """Step the plateau scheduler, if the stage has one."""
        if self._plateau is not None:
            self._plateau.step(score)

    def state(self) -> dict[str, Any]:
        """Return what a resumed stage needs besides its tensors, as JSON values."""
        return {
            "plateau": self._plateau.state_dict() if self._plateau is not None else None,
            "scaler": self._scaler.state_dict(),
            "averaged": int(self.average.n_averaged) if self.average is not None else 0,
        }

    def resume(self, optimizer: dict[str, Any], average: State, state: dict[str, Any]) -> None:
        """Continue an interrupted stage."""
        self.optimizer.load_state_dict(optimizer)
        self._scaler.load_state_dict(state["scaler"])
        if self._plateau is not None:
            self._plateau.load_state_dict(state["plateau"])
        if self.average is not None:
            self.average.resume(average, state["averaged"])

    def refresh_norms(self, batches: int) -> None:
        """Recompute the statistics of batch norms from so many batches of the stage's crops."""
        self._seed_torch(0)
        self.network.train()
        parts = chain.from_iterable(islice(self._loader.batches(0, 0), batches))
        update_bn((part.pictures for part in parts), self.network, self.device)
        average_norms(self.accelerator, self.network)

    def close(self) -> None:
        """End worker processes and the link to the other processes; only `network` is left."""
        del self._loader, self._parallel
        if self.accelerator.num_processes > 1:
            self.accelerator.free_memory()

    def _seed_torch(self, epoch: int) -> None:
        """Seed dropout: by the epoch, and differently in each process."""
        rank = self.accelerator.process_index
        seed = (*self._seed(epoch), rank) if rank else self._seed(epoch)
        torch.manual_seed(np.random.SeedSequence(seed).generate_state(1)[0].item())

    def _batches_per_step(self, at: int) -> int:
        """Return how many batches of a pass go into one step of the optimizer."""
        return max(1, (self.training.accumulate_to or 0) // self.training.passes[at].batch)

    def _backward(self, batch: Batch, step: list[Batch], number: int, epoch: int) -> Tensor:
        """Add the gradients of a batch, one of those of a step; return its loss.

        ``number`` counts the batches of the epoch from 0.
        """
        total: Tensor | None = None
        for at, part in enumerate(batch):
            seed = (*self._seed(epoch), 0, 0, number, *([at] if at else ()))
            last = batch is step[-1] and at + 1 == len(batch)  # only now gradients are exchanged
            with nullcontext() if last else self.accelerator.no_sync(self._parallel):
                loss = self._forward(part, seed)
                self.accelerator.backward(self._scaler.scale(loss * part.share / len(step)))
            own = loss.detach() * part.share
            total = own if total is None else total + own
        assert total is not None
        return total

    def _forward(self, part: Part, seed: tuple[int, ...]) -> Tensor:
        pictures, masks = (
            each.to(self.device, non_blocking=True) for each in (part.pictures, part.masks)
        )
        labels = masks.amax((2, 3))
        if self.training.mixup is not None:
            rng = np.random.default_rng(seed)
            pictures, masks, labels = _mixed(self.training.mixup, rng, pictures, masks, labels)
        dtype = _DTYPES[self.training.precision]
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            outputs = self._parallel(pictures)
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
        if self.average is not None:
            self.average.after_step(self.network)

    def _seed(self, epoch: int) -> tuple[int, ...]:
        return self._data.seed, self.number, epoch


def _norm(tensors: Mapping[str, Tensor]) -> Tensor:
    """Return the norm of all floating-point tensors, without waiting for the device."""
    return get_total_norm([each.detach() for each in tensors.values() if each.is_floating_point()])


def _check_weights(where: str, tensors: Mapping[str, Tensor]) -> None:
    """Raise RunError if a weight is not finite."""
    if not math.isfinite(_norm(tensors)):
        wrong = [name for name, each in tensors.items() if not each.isfinite().all()]
        found = f"in {wrong[0]} that are not finite" if wrong else "that overflow"
        raise diverged(where, f"has weights {found}")
