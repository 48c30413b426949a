"""The sums that Dice and Jaccard are made of."""

from typing import Literal, TypeAlias

from torch import Tensor

from steelscan.losses.composite import StripLossModule
from steelscan.losses.shapes import one_a_class, refuse_classifier

Over: TypeAlias = Literal["strip", "batch"]
"""Over the pixels of which a sum runs."""


def overlap(logits: Tensor, target: Tensor, over: Over, loss: str) -> tuple[Tensor, Tensor]:
    """``sum(p y)`` and ``sum(p) + sum(y)``: ``(strips, classes)``, or ``(classes,)`` of a batch.

    Raises RecipeError for the logits of a classifier, or when the shapes differ.
    """
    refuse_classifier(logits, loss)
    logits, truth = one_a_class(logits, target, loss)
    probability = logits.sigmoid()
    axes = (2, 3) if over == "strip" else (0, 2, 3)
    return (probability * truth).sum(axes), probability.sum(axes) + truth.sum(axes)


def soft_dice_loss(logits: Tensor, target: Tensor, *, over: Over, smooth: float) -> Tensor:
    """Mean over classes of ``1 - (2 sum(p y) + s) / (sum(p) + sum(y) + s)``; a float32 scalar.

    ``logits`` and ``target`` are ``(strips, classes, height, width)``; the truth may lie between
    0 and 1, but between them the loss is not lowest at p = y. Sums run over the pixels of a
    strip, and the mean over strips too, or over the pixels of the whole batch. float64 logits
    give a float64 loss.
    Where there is no truth, in a strip or the whole batch, the loss is ``sum(p) / (sum(p) + s)``:
    0 for an empty answer, with a gradient on every false alarm that falls with the square of
    their area. Raises RecipeError for the logits of a classifier, or when the shapes differ.
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
        """The loss of a batch."""
        return soft_dice_loss(logits, target, over=self.over, smooth=self.smooth)

    def each(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of each strip and class, ``(strips, classes)``, with sums over the strip."""
        return _dice(logits, target, "strip", self.smooth)


def jaccard_loss(logits: Tensor, target: Tensor, *, over: Over, smooth: float) -> Tensor:
    """Mean over classes of ``1 - (I + s) / (U + s)``; a float32 scalar.

    ``I = sum(p y)`` and ``U = sum(p) + sum(y) - I``, over the pixels of a strip (the mean runs
    over strips too) or of the whole batch. ``logits`` and ``target`` are ``(strips, classes,
    height, width)``; the truth may lie between 0 and 1, but between them the loss is not lowest
    at p = y. float64 logits give a float64 loss.
    Where there is no truth, in a strip or the whole batch, the loss is ``sum(p) / (sum(p) + s)``:
    0 for an empty answer, with a gradient on every false alarm that falls with the square of
    their area. Raises RecipeError for the logits of a classifier, or when the shapes differ.
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
        """The loss of a batch."""
        return jaccard_loss(logits, target, over=self.over, smooth=self.smooth)

    def each(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of each strip and class, ``(strips, classes)``, with sums over the strip."""
        return _jaccard(logits, target, "strip", self.smooth)
