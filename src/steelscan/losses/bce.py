"""Binary cross entropy with a weight per class on the positive term."""

from torch import Tensor
from torch.nn import functional

from steelscan.losses.composite import StripLossModule
from steelscan.losses.shapes import along_classes, as_floats, over_pixels


def bce_loss(logits: Tensor, target: Tensor, pos_weight: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the mean of ``-(w y log p + (1 - y) log(1 - p))`` over all logits, a float32 scalar.

    ``logits`` and ``target`` are ``(strips, classes, ...)``, ``pos_weight`` is ``(classes,)``.
    The target may lie between 0 and 1; ``smoothing`` s turns y into ``y (1 - s) + s / 2``
    (Szegedy et al. 2016, arXiv:1512.00567). float64 logits give a float64 loss.
    An empty mask costs ``log(1 + exp(logit))`` per pixel, so false alarms have a gradient, also in
    a batch without defects. Raises RecipeError if the shapes of logits and target differ.
    """
    return _pixels(logits, target, pos_weight, smoothing).mean()


def _pixels(logits: Tensor, target: Tensor, pos_weight: Tensor, smoothing: float) -> Tensor:
    logits, truth = as_floats(logits, target, "bce")
    return functional.binary_cross_entropy_with_logits(
        logits,
        truth * (1 - smoothing) + smoothing / 2,
        pos_weight=along_classes(pos_weight.to(logits.dtype), logits),
        reduction="none",
    )


class BCELoss(StripLossModule):
    """`bce_loss` with its weights."""

    pos_weight: Tensor

    def __init__(self, pos_weight: Tensor, smoothing: float) -> None:
        super().__init__()
        self.register_buffer("pos_weight", pos_weight)
        self.smoothing = smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return bce_loss(logits, target, self.pos_weight, self.smoothing)

    def each(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss per strip and class, ``(strips, classes)``."""
        return over_pixels(_pixels(logits, target, self.pos_weight, self.smoothing))
