"""Soft Dice (Milletari et al. 2016, arXiv:1606.04797, with plain sums in the denominator)."""

from typing import Literal

from torch import Tensor, nn

from steelscan.strip import RecipeError


def soft_dice_loss(
    logits: Tensor, target: Tensor, *, over: Literal["strip", "batch"], smooth: float
) -> Tensor:
    """Mean over classes of ``1 - (2 sum(p y) + s) / (sum(p) + sum(y) + s)``; a float32 scalar.

    ``logits`` and ``target`` are ``(strips, classes, height, width)``. Sums run over the pixels
    of a strip, and the mean over strips too, or over the pixels of the whole batch. Where there
    is no truth the loss is ``sum(p) / (sum(p) + s)``: 0 for an empty answer, with a gradient on
    every false alarm. Raises RecipeError for the logits of a classifier.
    """
    if logits.ndim != 4:
        found = f"is given {logits.ndim} axes: the network answers for strips, not for pixels"
        raise RecipeError("loss dice", found, "Give a classifier bce")
    axes = (2, 3) if over == "strip" else (0, 2, 3)
    probability, truth = logits.float().sigmoid(), target.float()
    shared = (probability * truth).sum(axes)
    both = probability.sum(axes) + truth.sum(axes)
    return (1 - (2 * shared + smooth) / (both + smooth)).mean()


class DiceLoss(nn.Module):
    """`soft_dice_loss` with its settings."""

    def __init__(self, over: Literal["strip", "batch"], smooth: float) -> None:
        super().__init__()
        self.over: Literal["strip", "batch"] = over
        self.smooth = smooth

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""
        return soft_dice_loss(logits, target, over=self.over, smooth=self.smooth)
