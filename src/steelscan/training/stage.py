"""One stage of a fit: a network with its optimizer, loss and crops."""

import math
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.amp.grad_scaler import GradScaler
from torch.nn.utils import get_total_norm
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader

from steelscan.augment import Mixup
from steelscan.losses import build_loss, loss_of_classes
from steelscan.models import StripNetwork
from steelscan.strip import Progress
from steelscan.strip.errors import RunError
from steelscan.training.averaging import State, WeightAverage
from steelscan.training.crops import Batch, EpochCrops, Part, loader
from steelscan.training.optimizers import build_optimizer, freeze
from steelscan.training.resized import ResizedStrips
from steelscan.training.schedules import plateau, rate
from steelscan.training.specs import Plateau, Training
from steelscan.training.training_data import TrainingData

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def diverged(where: str, found: str) -> RunError:
    """Return the error for a fit whose numbers are no longer finite."""
    remedy = "Use a lower learning rate (steelscan show NAME --json) and another --out"
    return RunError(where, f"{found}: the fit has diverged", remedy)


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

    ``strips`` are those of ``data``, resized and cached for several stages (None: its own).
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
        self._accelerator, self._workers = accelerator, workers
        self._strips = strips or ResizedStrips(data.strips, data.resize, classes=data.classes)
        freeze(network, training.freeze)
        self.optimizer = build_optimizer(training.optimizer, network)
        self._plateau = (
            plateau(training.schedule, self.optimizer)
            if isinstance(training.schedule, Plateau)
            else None
        )
        self._scaler = GradScaler(self.device.type, enabled=training.precision == "float16")
        self.average = WeightAverage(training.averaging, network) if training.averaging else None
        loss = loss_of_classes(training.loss, data.classes, data.strips.present.shape[1])
        self._loss = build_loss(loss, self._strips.present.shape[1]).to(self.device)
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        numbers = range(len(training.passes))
        sizes = [(len(self._loader(0, at)), self._batches_per_step(at)) for at in numbers]
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
        torch.manual_seed(np.random.SeedSequence(self._seed(epoch)).generate_state(1)[0].item())
        self.network.train()
        freeze(self.network, self.training.freeze)
        losses: list[Tensor] = []
        for step, batches in enumerate(self.batches(epoch), start=epoch * self._steps):
            for batch in batches:
                losses.append(self._backward(batch, len(batches), step, len(losses), epoch))
                shown.advance(note=f"loss {float(losses[-1]):.4f}")
            self._step(step)
            self._check_weights(self._place(step), dict(self.network.named_parameters()))
        if self.average is not None:
            self.average.after_epoch(self.network, epoch, self.training.epochs)
            self._check_weights("the average of the weights", self.average.module.state_dict())
        self._check_weights("the last step", self.network.state_dict())
        return float(torch.stack(losses).mean())

    def batches(self, epoch: int) -> Iterator[list[Batch]]:
        """Yield the batches of an epoch, counted from 0, in lists of one step each."""
        for at in range(len(self.training.passes)):
            batches = iter(self._loader(epoch, at))
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
        self.network.train()
        parts = chain.from_iterable(islice(self._loader(0, 0), batches))
        update_bn((part.pictures for part in parts), self.network, self.device)

    def _place(self, step: int) -> str:
        return f"step {step % self._steps + 1}"

    def _check_weights(self, where: str, tensors: Mapping[str, Tensor]) -> None:
        """Raise RunError if a weight is not finite."""
        floats = {name: each for name, each in tensors.items() if each.is_floating_point()}
        if not math.isfinite(get_total_norm([each.detach() for each in floats.values()])):
            wrong = [name for name, each in floats.items() if not each.isfinite().all()]
            found = f"in {wrong[0]} that are not finite" if wrong else "that overflow"
            raise diverged(where, f"has weights {found}")

    def _batches_per_step(self, at: int) -> int:
        """Return how many batches of a pass go into one step of the optimizer."""
        return max(1, (self.training.accumulate_to or 0) // self.training.passes[at].batch)

    def _backward(self, batch: Batch, per_step: int, step: int, number: int, epoch: int) -> Tensor:
        """Add the gradients of a batch, one of so many per step; return its loss."""
        total: Tensor | None = None
        for at, part in enumerate(batch):
            seed = (*self._seed(epoch), 0, 0, number, *([at] if at else []))
            loss = self._forward(part, seed)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise diverged(self._place(step), f"has the loss {value}")
            self._accelerator.backward(self._scaler.scale(loss * part.share / per_step))
            own = loss.detach() * part.share
            total = own if total is None else total + own
        assert total is not None
        return total

    def _forward(self, part: Part, seed: tuple[int, ...]) -> Tensor:
        pictures, masks = part.pictures.to(self.device), part.masks.to(self.device)
        labels = masks.amax((2, 3))
        if self.training.mixup is not None:
            rng = np.random.default_rng(seed)
            pictures, masks, labels = _mixed(self.training.mixup, rng, pictures, masks, labels)
        dtype = _DTYPES[self.training.precision]
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
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
        if self.average is not None:
            self.average.after_step(self.network)

    def _loader(self, epoch: int, at: int) -> DataLoader[Batch]:
        """Return the crops of one pass of an epoch, in batches."""
        own = self.training.passes[at]
        seed = (*self._seed(epoch), 0, at) if at else self._seed(epoch)
        training = self.training.but(crop=own.crop)
        data = self._data
        crops = EpochCrops(self._strips, data.rows, training, seed, data.pseudo)
        return loader(crops, own.batch, self._workers)

    def _seed(self, epoch: int) -> tuple[int, ...]:
        return self._data.seed, self.number, epoch
