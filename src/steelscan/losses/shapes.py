"""How logits and truth must lie to each other, and in which type a loss is computed."""

import torch
from torch import Tensor

from steelscan.strip import RecipeError


def along_classes(values: Tensor, logits: Tensor) -> Tensor:
    """Reshape ``(classes,)`` so that it broadcasts over ``(strips, classes, ...)``."""
    return values.reshape(-1, *[1] * (logits.ndim - 2))


def over_pixels(values: Tensor) -> Tensor:
    """The mean of ``(strips, classes, ...)`` over all axes but those two, ``(strips, classes)``."""
    return values.reshape(*values.shape[:2], -1).mean(2)


def refuse_classifier(logits: Tensor, loss: str) -> None:
    """Raise RecipeError unless ``logits`` are maps, ``(strips, ..., height, width)``."""
    if logits.ndim != 4:
        found = f"is given {logits.ndim} axes: the network answers for strips, not for pixels"
        raise RecipeError(f"loss {loss}", found, "Give a classifier bce or focal")


def one_a_class(logits: Tensor, target: Tensor, loss: str) -> tuple[Tensor, Tensor]:
    """Logits and truth as floats of one type, where each value of the truth has its logit.

    Raises RecipeError where the shapes differ, as they do for a network with output "softmax".
    """
    if logits.shape != target.shape:
        found = f"takes a logit for each value of the truth {tuple(target.shape)}"
        raise RecipeError(
            f"loss {loss}",
            f"{found}, and is given {tuple(logits.shape)}",
            'Give the network output="sigmoid", or the training cross_entropy or softmax_focal',
        )
    logits = _wide(logits)
    return logits, target.to(logits.dtype)


def with_sound_steel(logits: Tensor, target: Tensor, loss: str) -> tuple[Tensor, Tensor]:
    """Logits and truth of sound steel and all classes, ``(strips, 1 + classes, height, width)``.

    Sound steel holds what of a pixel no class does, never less than 0.
    Raises RecipeError unless there is one map of logits more than there are classes.
    """
    refuse_classifier(logits, loss)
    strips, classes, *pixels = target.shape
    if logits.shape != (strips, classes + 1, *pixels):
        found = f"takes a map for sound steel before those of the truth {tuple(target.shape)}"
        raise RecipeError(
            f"loss {loss}",
            f"{found}, and is given {tuple(logits.shape)}",
            'Give the network output="softmax", or the training bce, focal, dice or jaccard',
        )
    logits = _wide(logits)
    truth = target.to(logits.dtype)
    sound = (1 - truth.sum(1, keepdim=True)).clamp(min=0)
    return logits, torch.cat((sound, truth), dim=1)


def _wide(logits: Tensor) -> Tensor:
    """At least float32: the sums over a strip do not fit into half precision."""
    return logits if logits.dtype == torch.float64 else logits.float()
