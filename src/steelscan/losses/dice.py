"""Soft Dice (Milletari et al. 2016, arXiv:1606.04797, with plain sums in the denominator)."""

from torch import Tensor

from steelscan.losses.each import StripLossModule
from steelscan.losses.overlap import Over, overlap


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
