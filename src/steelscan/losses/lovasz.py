"""The Lovasz hinge (Berman et al. 2018, arXiv:1705.08790), per strip and class."""

from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from steelscan.losses.shapes import as_floats, check_maps
from steelscan.strip.errors import RecipeError

Rectifier: TypeAlias = Literal["relu", "elu"]


def lovasz_hinge_loss(
    logits: Tensor, target: Tensor, *, symmetric: bool = False, rectifier: Rectifier = "relu"
) -> Tensor:
    """Return the Lovasz hinge per strip and class, float32 ``(strips, classes)``.

    The error of a pixel is ``1 - logit`` if its target is 1, and ``1 + logit`` if it is 0, passed
    through relu or elu + 1 (14th, K:114367). The errors are sorted, largest first, and each is
    weighted by how much the Jaccard loss ``wrong / (target or wrong)`` grows when its pixel is
    wrong too: the Lovasz extension of that loss. ``symmetric`` takes the mean of this loss and the
    same of ``(-logit, 1 - target)``. ``logits`` and ``target`` are ``(strips, classes, height,
    width)``, the target is 0 or 1. float64 logits give a float64 loss.

    On an empty mask one wrong pixel costs as much as all: the loss of a strip without the class is
    ``relu(1 + highest logit)``, and only that pixel has a gradient, also in a batch without
    defects. In the inverted half all pixels have equal weights: the symmetric form has a gradient
    on every false alarm. With relu a logit below -1 costs nothing.

    Raises RecipeError for a target between 0 and 1, for the logits of a classifier, or if the
    shapes differ.
    """
    check_maps(logits, "lovasz")
    logits, truth = as_floats(logits, target, "lovasz")
    # only floats can be blended; checking the values makes a GPU wait
    if target.is_floating_point() and ((truth != 0) & (truth != 1)).any():
        found = "got a target between 0 and 1: it does not work with mixup"
        raise RecipeError("loss lovasz", found, "Remove mixup, or use bce, dice or jaccard")
    errors = (1 - logits * (2 * truth - 1)).flatten(2).flatten(0, 1)
    # stable: half-precision logits have many ties, and their order decides which has the gradient
    errors, order = errors.sort(dim=1, descending=True, stable=True)
    present = (truth > 0).flatten(2).flatten(0, 1).gather(1, order)
    weight = _jaccard_steps(present, logits.dtype)
    if symmetric:  # the errors of the inverted pair are the same: one sort is enough
        weight = (weight + _jaccard_steps(~present, logits.dtype)) / 2
    rectified = functional.relu(errors) if rectifier == "relu" else functional.elu(errors) + 1
    return (rectified * weight).sum(1).reshape(logits.shape[:2])


def _jaccard_steps(present: Tensor, dtype: torch.dtype) -> Tensor:
    """Return how much each pixel adds to the Jaccard loss when it and all before it are wrong.

    ``present`` is the target of each pixel, bool ``(rows, pixels)``, in the order of the errors.
    """
    truth = present.sum(1, keepdim=True, dtype=torch.int32)
    missed = present.cumsum(1, dtype=torch.int32)
    wrong = torch.arange(1, present.shape[1] + 1, dtype=torch.int32, device=present.device)
    union = (truth + wrong - missed).to(dtype)
    # differences of the losses themselves would vanish in rounding on a strip of many pixels
    false_alarm = (truth - missed) / (union * (union - 1).clamp(min=1))
    steps = torch.where(present, 1 / union, false_alarm)
    steps[:, :1] += truth == 0
    return steps
