"""Soft Dice and soft Jaccard losses."""

from typing import Literal, TypeAlias

from torch import Tensor

from steelscan.losses.composite import StripLossModule
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
    """Return the mean per class of ``1 - (2 sum(p y) + s) / (sum(p) + sum(y) + s)``, a scalar.

    ``logits`` and ``target`` are ``(strips, classes, height, width)``; the target may lie between
    0 and 1, but then the loss is not lowest at p = y. Sums run over the pixels of a strip, and the
    mean over strips too, or over the pixels of the whole batch. The loss is float32, or float64
    for float64 logits.
    If the target is empty, in a strip or the whole batch, the loss is ``sum(p) / (sum(p) + s)``:
    0 for an empty prediction, with a gradient on every false alarm that falls with the square of
    their area. Raises RecipeError for the logits of a classifier, or if the shapes differ.
    """
    return _dice(logits, target, over, smooth).mean()


def _dice(logits: Tensor, target: Tensor, over: Over, smooth: float) -> Tensor:
    shared, both = overlap(logits, target, over, "dice")
    return 1 - (2 * shared + smooth) / (both + smooth)


class DiceLoss(StripLossModule):
    """`soft_dice_loss` with its settings."""

    def __init__(self, over: Over, smooth: float) -> None:
        super().__init__()
        self.over: Over = over
        self.smooth = smooth

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return soft_dice_loss(logits, target, over=self.over, smooth=self.smooth)

    def each(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss per strip and class, ``(strips, classes)``, with sums over the strip."""
        return _dice(logits, target, "strip", self.smooth)


def jaccard_loss(logits: Tensor, target: Tensor, *, over: Over, smooth: float) -> Tensor:
    """Return the mean per class of ``1 - (I + s) / (U + s)``, a scalar.

    ``I = sum(p y)`` and ``U = sum(p) + sum(y) - I``; all else is as in `soft_dice_loss`.
    """
    return _jaccard(logits, target, over, smooth).mean()


def _jaccard(logits: Tensor, target: Tensor, over: Over, smooth: float) -> Tensor:
    shared, both = overlap(logits, target, over, "jaccard")
    return 1 - (shared + smooth) / (both - shared + smooth)


class JaccardLoss(StripLossModule):
    """`jaccard_loss` with its settings."""

    def __init__(self, over: Over, smooth: float) -> None:
        super().__init__()
        self.over: Over = over
        self.smooth = smooth

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return jaccard_loss(logits, target, over=self.over, smooth=self.smooth)

    def each(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss per strip and class, ``(strips, classes)``, with sums over the strip."""
        return _jaccard(logits, target, "strip", self.smooth)
