"""The Lovasz hinge (Berman et al. 2018, arXiv:1705.08790), a strip and class by itself."""

from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from steelscan.losses.composite import StripLossModule
from steelscan.losses.shapes import one_a_class, refuse_classifier
from steelscan.strip import RecipeError

Rectifier: TypeAlias = Literal["relu", "elu"]


def lovasz_hinge_loss(
    logits: Tensor, target: Tensor, *, symmetric: bool = False, rectifier: Rectifier = "relu"
) -> Tensor:
    """Mean over strips and classes of the Lovasz hinge; a float32 scalar.

    A pixel errs by ``1 - logit`` where the truth is 1, by ``1 + logit`` where it is 0, put through
    relu or elu + 1 (14th, K:114367). From the worst error to the least, each is weighted by what
    it adds to the Jaccard loss ``wrong / (truth or wrong)`` when its pixel goes wrong too: the
    Lovasz extension of that loss. ``symmetric`` takes the mean of it and of that with logits and
    truth turned round, ``(-logit, 1 - truth)``. ``logits`` and ``target`` are ``(strips, classes,
    height, width)``, the truth is 0 or 1. float64 logits give a float64 loss.

    One wrong pixel on an empty mask is as wrong as all: the loss of a strip without the class is
    ``relu(1 + highest logit)`` and only that pixel has a gradient, one a strip and class, also in
    a batch without any defect. Turned round, all pixels weigh alike: the symmetric form has a
    gradient on every false alarm. With relu a logit below -1 costs nothing.

    Raises RecipeError for a truth between 0 and 1, for the logits of a classifier, or when the
    shapes differ.
    """
    return _each(logits, target, symmetric, rectifier).mean()


def _each(logits: Tensor, target: Tensor, symmetric: bool, rectifier: Rectifier) -> Tensor:
    refuse_classifier(logits, "lovasz")
    logits, truth = one_a_class(logits, target, "lovasz")
    # Only floats can be blends, and a look at each value makes a GPU wait
    if target.is_floating_point() and ((truth != 0) & (truth != 1)).any():
        found = "is given a truth between 0 and 1: mixup and lovasz do not go together"
        raise RecipeError("loss lovasz", found, "Leave out mixup, or take bce, dice or jaccard")
    errors = (1 - logits * (2 * truth - 1)).flatten(2).flatten(0, 1)
    # Stable: half-precision logits are full of ties, and a tie decides who has the gradient
    errors, order = errors.sort(dim=1, descending=True, stable=True)
    held = (truth > 0).flatten(2).flatten(0, 1).gather(1, order)
    weight = _jaccard_steps(held, logits.dtype)
    if symmetric:  # turned round, each pixel errs by as much: one sort serves both
        weight = (weight + _jaccard_steps(~held, logits.dtype)) / 2
    rectified = functional.relu(errors) if rectifier == "relu" else functional.elu(errors) + 1
    return (rectified * weight).sum(1).reshape(logits.shape[:2])


def _jaccard_steps(held: Tensor, dtype: torch.dtype) -> Tensor:
    """What each pixel adds to the Jaccard loss as it goes wrong after those before it.

    ``held`` tells for each pixel whether the truth holds it, bool ``(rows, pixels)``.
    """
    truth = held.sum(1, keepdim=True, dtype=torch.int32)
    missed = held.cumsum(1, dtype=torch.int32)
    wrong = torch.arange(1, held.shape[1] + 1, dtype=torch.int32, device=held.device)
    union = (truth + wrong - missed).to(dtype)
    # Differences of the losses themselves would be lost in rounding on a strip of many pixels
    false_alarm = (truth - missed) / (union * (union - 1).clamp(min=1))
    steps = torch.where(held, 1 / union, false_alarm)
    steps[:, :1] += truth == 0
    return steps


class LovaszLoss(StripLossModule):
    """`lovasz_hinge_loss` with its settings."""

    def __init__(self, symmetric: bool, rectifier: Rectifier) -> None:
        super().__init__()
        self.symmetric = symmetric
        self.rectifier: Rectifier = rectifier

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""
        return self.each(logits, target).mean()

    def each(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of each strip and class, ``(strips, classes)``."""
        return _each(logits, target, self.symmetric, self.rectifier)
