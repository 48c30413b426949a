"""Binary focal loss (Lin et al. 2017, arXiv:1708.02002, without the weight alpha)."""

import torch
from torch import Tensor
from torch.nn import functional

from steelscan.losses.composite import StripLossModule
from steelscan.losses.shapes import as_floats, over_pixels


def focal_loss(logits: Tensor, target: Tensor, *, gamma: float) -> Tensor:
    """Return the mean of ``-(y (1 - p)^g log p + (1 - y) p^g log(1 - p))``, a float32 scalar.

    ``logits`` and ``target`` are ``(strips, classes, ...)``; the target may lie between 0 and 1.
    float64 logits give a float64 loss.
    An empty mask costs ``p^g log(1 + exp(logit))`` per pixel: every false alarm has a gradient,
    a larger one the more confident it is. Raises RecipeError if the shapes of logits and target
    differ.
    """
    return _pixels(logits, target, gamma).mean()


def _pixels(logits: Tensor, target: Tensor, gamma: float) -> Tensor:
    logits, truth = as_floats(logits, target, "focal")
    minus_log_p, minus_log_q = functional.softplus(-logits), functional.softplus(logits)
    # a power of p itself would have an infinite slope at p = 0 for gamma below 1
    if_present = torch.exp(-gamma * minus_log_q) * minus_log_p
    if_absent = torch.exp(-gamma * minus_log_p) * minus_log_q
    return truth * if_present + (1 - truth) * if_absent


class FocalLoss(StripLossModule):
    """`focal_loss` with its exponent."""

    def __init__(self, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return focal_loss(logits, target, gamma=self.gamma)

    def each(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss per strip and class, ``(strips, classes)``."""
        return over_pixels(_pixels(logits, target, self.gamma))
