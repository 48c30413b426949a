"""Binary focal loss (Lin et al. 2017, arXiv:1708.02002, without the weight alpha)."""

import torch
from torch import Tensor
from torch.nn import functional

from steelscan.losses.shapes import as_floats


def focal_loss(logits: Tensor, target: Tensor, *, gamma: float) -> Tensor:
    """Return ``-(y (1 - p)^g log p + (1 - y) p^g log(1 - p))`` per logit, float32.

    ``logits``, ``target`` and the result are ``(strips, classes, ...)``; the target may lie between
    0 and 1. float64 logits give a float64 loss.
    An empty mask costs ``p^g log(1 + exp(logit))`` per pixel: every false alarm has a gradient,
    a larger one the more confident it is. Raises RecipeError if the shapes of logits and target
    differ.
    """
    logits, truth = as_floats(logits, target, "focal")
    minus_log_p, minus_log_q = functional.softplus(-logits), functional.softplus(logits)
    # a power of p itself would have an infinite slope at p = 0 for gamma below 1
    if_present = torch.exp(-gamma * minus_log_q) * minus_log_p
    if_absent = torch.exp(-gamma * minus_log_p) * minus_log_q
    return truth * if_present + (1 - truth) * if_absent
