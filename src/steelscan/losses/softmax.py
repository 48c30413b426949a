"""Losses of mutually exclusive classes: focal loss as in the starter pipeline, cross entropy."""

import torch
from torch import Tensor
from torch.nn import functional

from steelscan.losses.shapes import with_background


def softmax_focal_loss(logits: Tensor, target: Tensor, *, gamma: float) -> Tensor:
    """Return cross entropy times ``(1 - p_true)^g`` per pixel, float32.

    Lin et al. 2017, arXiv:1708.02002, on the softmax of the logits. The weights ``(1 - p_true)^g``
    are scaled to a mean of 1 per strip and have no gradient (3rd, K:117377): the gradient is that
    of a weighted cross entropy with fixed weights.
    ``logits`` are ``(strips, 1 + classes, height, width)``, background first; ``target`` is
    ``(strips, classes, height, width)`` and may lie between 0 and 1: p_true is ``sum(y p)`` then.
    The target of the background is the rest to 1. float64 logits give a float64 loss.
    The pixels of an empty mask are background, so false alarms have a gradient, also in a batch
    without defects; the fewer there are in a strip, the more each weighs. Raises RecipeError
    unless there is one map of logits per class and one for the background.
    """
    logits, truth = with_background(logits, target, "softmax_focal")
    entropy = functional.cross_entropy(logits, truth, reduction="none")
    # the sum over the wrong classes: 1 - p would round to 0 if p is almost 1
    weight = ((1 - truth) * logits.detach().softmax(1)).sum(1) ** gamma
    mean = weight.mean((1, 2), keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)
    return weight / mean * entropy


def cross_entropy_loss(logits: Tensor, target: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Return the mean over pixels of ``-sum(y log p)``, p the softmax of the logits, a scalar.

    ``logits`` are ``(strips, 1 + classes, height, width)``, background first; ``target`` is
    ``(strips, classes, height, width)`` and may lie between 0 and 1. The target of the background
    is the rest to 1; a pixel in two masks counts for both classes. ``smoothing`` s turns y into
    ``y (1 - s) + s / (1 + classes)`` (Szegedy et al. 2016, arXiv:1512.00567). The loss is float32,
    or float64 for float64 logits.
    The pixels of an empty mask are background, so false alarms have a gradient, also in a batch
    without defects. Raises RecipeError unless there is one map of logits per class and one for the
    background.
    """
    logits, truth = with_background(logits, target, "cross_entropy")
    return functional.cross_entropy(logits, truth, label_smoothing=smoothing)
