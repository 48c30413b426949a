"""Detect losses and weights that are no longer finite, and report the step."""

import math

import torch
from accelerate import Accelerator
from torch import Tensor

from steelscan.strip.errors import RunError

_BLOCK = 20
"""Batches between two readings of the losses; a reading waits until the device has finished."""


def diverged(where: str, found: str) -> RunError:
    """Return the error for a fit whose numbers are no longer finite."""
    remedy = "Use a lower learning rate (steelscan show NAME --json) and another --out"
    return RunError(where, f"{found}: the fit has diverged", remedy)


class EpochLosses:
    """The losses of an epoch and the sizes of the weights after its steps.

    They stay on the device and are read every 20 batches. Of several processes, the loss of a batch
    is the mean of theirs.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._unread: list[tuple[int, Tensor]] = []
        self._norms: list[tuple[int, Tensor]] = []
        self._read: list[Tensor] = []
        self.note = ""
        """The last loss that was read, as text."""

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._unread) + sum(map(len, self._read))

    def add(self, step: int, loss: Tensor) -> None:
        """Add the loss of a batch, a tensor without axes, in a step of the epoch from 0."""
        self._unread.append((step, loss))

    def stepped(self, step: int, norm: Tensor, *, last: bool) -> None:
        """Add the norm of all weights after a step, perhaps the ``last`` one of the epoch.

        Raises RunError as `check` does.
        """
        self._norms.append((step, norm))
        if last or len(self._unread) >= _BLOCK:
            self.check()

    def check(self) -> None:
        """Read what was added. Raises RunError if a number is not finite, naming the first step."""
        wrong: list[tuple[int, int, str]] = []
        if self._unread:
            losses = torch.stack([loss for _, loss in self._unread])
            if self._accelerator.num_processes > 1:
                losses = self._accelerator.reduce(losses, "mean")
            values = losses.tolist()
            for (step, _), value in zip(self._unread, values, strict=True):
                if not math.isfinite(value):
                    wrong.append((step, 0, f"has the loss {value}"))
            self._read.append(losses)
            self.note = f"loss {values[-1]:.4f}"
        if self._norms:
            norms = torch.stack([norm for _, norm in self._norms]).tolist()
            for (step, _), value in zip(self._norms, norms, strict=True):
                if not math.isfinite(value):
                    wrong.append((step, 1, "has weights that are not finite or overflow"))
        if wrong:
            step, _, found = min(wrong)
            raise diverged(f"step {step + 1}", found)
        self._unread, self._norms = [], []

    def mean(self) -> float:
        """Return the mean loss of all batches that were read."""
        return float(torch.cat(self._read).mean())
