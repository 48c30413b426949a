"""Focal loss of classes that exclude each other, as the public starter pipeline has it."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from steelscan.losses.shapes import with_sound_steel


def softmax_focal_loss(logits: Tensor, target: Tensor, *, gamma: float) -> Tensor:
    """Mean over pixels of cross entropy times ``(1 - p of the truth)^g``; a float32 scalar.

    Lin et al. 2017, arXiv:1708.02002, over the softmax of the logits; the weights are scaled to a
    mean of 1 in each strip and have no gradient of their own (3rd, K:117377), so what is followed
    down is the cross entropy of the weights as they stand, not the slope of this number.
    ``logits`` are ``(strips, 1 + classes, height, width)``, sound steel first; ``target`` is
    ``(strips, classes, height, width)`` and may lie between 0 and 1: p of the truth is
    ``sum(y p)`` then. What is left of 1 is sound steel's. float64 logits give a float64 loss.
    An empty mask is sound steel, pixel by pixel, so false alarms have a gradient, also in a batch
    without any defect; the fewer they are in a strip, the more each weighs. Raises RecipeError
    unless there is one map of logits for each class and one for sound steel.
    """
    logits, truth = with_sound_steel(logits, target, "softmax_focal")
    entropy = functional.cross_entropy(logits, truth, reduction="none")
    # The probability of all but the truth, summed: 1 - p would round to 0 where p is almost 1
    weight = ((1 - truth) * logits.detach().softmax(1)).sum(1) ** gamma
    mean = weight.mean((1, 2), keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)
    return (weight / mean * entropy).mean()


class SoftmaxFocalLoss(nn.Module):
    """`softmax_focal_loss` with its exponent."""

    def __init__(self, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""
        return softmax_focal_loss(logits, target, gamma=self.gamma)


def cross_entropy_loss(logits: Tensor, target: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Mean over pixels of ``-sum(y log p)`` with p the softmax of the logits; a float32 scalar.

    ``logits`` are ``(strips, 1 + classes, height, width)``, sound steel first; ``target`` is
    ``(strips, classes, height, width)`` and may lie between 0 and 1. What is left of 1 is sound
    steel's; a pixel that two masks hold counts for both. ``smoothing`` s makes y into
    ``y (1 - s) + s / (1 + classes)`` (Szegedy et al. 2016, arXiv:1512.00567). float64 logits give
    a float64 loss.
    An empty mask is sound steel, pixel by pixel, so false alarms have a gradient, also in a batch
    without any defect. Raises RecipeError unless there is one map of logits for each class and
    one for sound steel.
    """
    logits, truth = with_sound_steel(logits, target, "cross_entropy")
    return functional.cross_entropy(logits, truth, label_smoothing=smoothing)


class CrossEntropyLoss(nn.Module):
    """`cross_entropy_loss` with its smoothing."""

    def __init__(self, smoothing: float) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""
        return cross_entropy_loss(logits, target, smoothing=self.smoothing)
