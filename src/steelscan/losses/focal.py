"""Binary focal loss (Lin et al. 2017, arXiv:1708.02002, without the weight alpha)."""

import torch
from torch import Tensor
from torch.nn import functional

from steelscan.losses.composite import StripLossModule
from steelscan.losses.shapes import one_a_class, over_pixels


def focal_loss(logits: Tensor, target: Tensor, *, gamma: float) -> Tensor:
    """Mean of ``-(y (1 - p)^g log p + (1 - y) p^g log(1 - p))`` over all logits; a float32 scalar.

    ``logits`` and ``target`` are ``(strips, classes, ...)``; the truth may lie between 0 and 1.
    float64 logits give a float64 loss.
    An empty mask costs ``p^g log(1 + exp(logit))`` a pixel: every false alarm has a gradient, and
    the surer it is the larger. Raises RecipeError when the shapes of logits and truth differ.
    """
    return _pixels(logits, target, gamma).mean()


def _pixels(logits: Tensor, target: Tensor, gamma: float) -> Tensor:
    logits, truth = one_a_class(logits, target, "focal")
    missed, alarmed = functional.softplus(-logits), functional.softplus(logits)
    # A power of p itself would have no finite slope at p = 0 for gamma below 1
    there = torch.exp(-gamma * alarmed) * missed
    absent = torch.exp(-gamma * missed) * alarmed
    return truth * there + (1 - truth) * absent


class FocalLoss(StripLossModule):
    """`focal_loss` with its exponent."""

    def __init__(self, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""
        return focal_loss(logits, target, gamma=self.gamma)

    def each(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of each strip and class, ``(strips, classes)``."""
        return over_pixels(_pixels(logits, target, self.gamma))
