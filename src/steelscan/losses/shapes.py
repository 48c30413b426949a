"""Check the shapes of logits and targets, and choose the type in which a loss is computed."""

import torch
from torch import Tensor

from steelscan.strip.errors import RecipeError


def along_classes(values: Tensor, logits: Tensor) -> Tensor:
    """Reshape ``(classes,)`` so that it broadcasts over ``(strips, classes, ...)``."""
    return values.reshape(-1, *[1] * (logits.ndim - 2))


def check_maps(logits: Tensor, loss: str) -> None:
    """Raise RecipeError unless ``logits`` are maps, ``(strips, ..., height, width)``."""
    if logits.ndim != 4:
        found = f"got logits with {logits.ndim} axes: those of a classifier, not of masks"
        raise RecipeError(f"loss {loss}", found, "Use bce or focal for a classifier")


def as_floats(logits: Tensor, target: Tensor, loss: str) -> tuple[Tensor, Tensor]:
    """Return logits and target as floats of one type.

    Raises RecipeError if their shapes differ, as they do for a network with output "softmax".
    """
    if logits.shape != target.shape:
        found = f"needs logits of the target's shape {tuple(target.shape)}"
        raise RecipeError(
            f"loss {loss}",
            f"{found}, and got {tuple(logits.shape)}",
            'Give the network output="sigmoid", or use the loss cross_entropy or softmax_focal',
        )
    logits = _wide(logits)
    return logits, target.to(logits.dtype)


def with_background(logits: Tensor, target: Tensor, loss: str) -> tuple[Tensor, Tensor]:
    """Return logits and target of background and classes, ``(strips, 1 + classes, height, width)``.

    The target of the background is 1 minus those of the classes, at least 0.
    Raises RecipeError unless there is one more map of logits than there are classes.
    """
    check_maps(logits, loss)
    strips, classes, *pixels = target.shape
    if logits.shape != (strips, classes + 1, *pixels):
        found = f"needs a background map in front of those of the target {tuple(target.shape)}"
        raise RecipeError(
            f"loss {loss}",
            f"{found}, and got {tuple(logits.shape)}",
            'Give the network output="softmax", or use the loss bce, focal, dice or jaccard',
        )
    logits = _wide(logits)
    truth = target.to(logits.dtype)
    background = (1 - truth.sum(1, keepdim=True)).clamp(min=0)
    return logits, torch.cat((background, truth), dim=1)


def _wide(logits: Tensor) -> Tensor:
    """Return at least float32: sums over a strip do not fit into half precision."""
    return logits if logits.dtype == torch.float64 else logits.float()
