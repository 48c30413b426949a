"""Soft intersection over union (Rahman and Wang 2016, doi:10.1007/978-3-319-50835-1_22)."""

from torch import Tensor

from steelscan.losses.each import StripLossModule
from steelscan.losses.overlap import Over, overlap


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
