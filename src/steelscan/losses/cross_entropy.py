"""Cross entropy of sound steel and the classes, of which a pixel has one."""

from torch import Tensor, nn
from torch.nn import functional

from steelscan.losses.shapes import with_sound_steel


def cross_entropy_loss(logits: Tensor, target: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Mean over pixels of ``-sum(y log p)`` with p the softmax of the logits; a float32 scalar.

    ``logits`` are ``(strips, 1 + classes, height, width)``, sound steel first; ``target`` is
    ``(strips, classes, height, width)`` and may lie between 0 and 1. What is left of 1 is sound
    steel's; a pixel that two masks hold counts for both. ``smoothing`` s makes y into
    ``y (1 - s) + s / (1 + classes)`` (Szegedy et al. 2016, arXiv:1512.00567). float64 logits give
    a float64 loss.
    An empty mask is sound steel, pixel by pixel, so false alarms have a gradient, also in a batch
    without any defect. Raises RecipeError unless there is one map of logits for each class and
    one for sound steel.
    """
    logits, truth = with_sound_steel(logits, target, "cross_entropy")
    return functional.cross_entropy(logits, truth, label_smoothing=smoothing)


class CrossEntropyLoss(nn.Module):
    """`cross_entropy_loss` with its smoothing."""

    def __init__(self, smoothing: float) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""
        return cross_entropy_loss(logits, target, smoothing=self.smoothing)
