"""Soft Dice and soft Jaccard losses."""

from typing import Literal, TypeAlias

from torch import Tensor

from steelscan.losses.shapes import as_floats, check_maps

Over: TypeAlias = Literal["strip", "batch"]
"""Whether sums run over the pixels of a strip or of the whole batch."""


def overlap(logits: Tensor, target: Tensor, over: Over, loss: str) -> tuple[Tensor, Tensor]:
    """Return ``sum(p y)`` and ``sum(p) + sum(y)``, ``(strips, classes)`` or ``(classes,)``.

    Raises RecipeError for the logits of a classifier, or if the shapes differ.
    """
    check_maps(logits, loss)
    logits, truth = as_floats(logits, target, loss)
    probability = logits.sigmoid()
    axes = (2, 3) if over == "strip" else (0, 2, 3)
    return (probability * truth).sum(axes), probability.sum(axes) + truth.sum(axes)


def soft_dice_loss(logits: Tensor, target: Tensor, *, over: Over, smooth: float) -> Tensor:
    """Return ``1 - (2 sum(p y) + s) / (sum(p) + sum(y) + s)``.

    ``logits`` and ``target`` are ``(strips, classes, height, width)``; the target may lie between
    0 and 1, but then the loss is not lowest at p = y. Sums run over the pixels of a strip, with
    one value per strip and class, ``(strips, classes)``, or over the pixels of the whole batch,
    ``(classes,)``. The loss is float32, or float64 for float64 logits.
    If the target is empty, in a strip or the whole batch, the loss is ``sum(p) / (sum(p) + s)``:
    0 for an empty prediction, with a gradient on every false alarm that falls with the square of
    their area. Raises RecipeError for the logits of a classifier, or if the shapes differ.
    """
    shared, both = overlap(logits, target, over, "dice")
    return 1 - (2 * shared + smooth) / (both + smooth)


def jaccard_loss(logits: Tensor, target: Tensor, *, over: Over, smooth: float) -> Tensor:
    """Return ``1 - (I + s) / (U + s)``.

    ``I = sum(p y)`` and ``U = sum(p) + sum(y) - I``; all else is as in `soft_dice_loss`.
    """
    shared, both = overlap(logits, target, over, "jaccard")
    return 1 - (shared + smooth) / (both - shared + smooth)
