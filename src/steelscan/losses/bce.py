"""Binary cross entropy with a weight per class on the positive term."""

from torch import Tensor
from torch.nn import functional

from steelscan.losses.composite import MeanLoss
from steelscan.losses.shapes import along_classes, as_floats


def bce_loss(logits: Tensor, target: Tensor, pos_weight: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return ``-(w y log p + (1 - y) log(1 - p))`` per logit, float32.

    ``logits``, ``target`` and the result are ``(strips, classes, ...)``, ``pos_weight`` is
    ``(classes,)``.
    The target may lie between 0 and 1; ``smoothing`` s turns y into ``y (1 - s) + s / 2``
    (Szegedy et al. 2016, arXiv:1512.00567). float64 logits give a float64 loss.
    An empty mask costs ``log(1 + exp(logit))`` per pixel, so false alarms have a gradient, also in
    a batch without defects. Raises RecipeError if the shapes of logits and target differ.
    """
    logits, truth = as_floats(logits, target, "bce")
    return functional.binary_cross_entropy_with_logits(
        logits,
        truth * (1 - smoothing) + smoothing / 2,
        pos_weight=along_classes(pos_weight.to(logits.dtype), logits),
        reduction="none",
    )


class BCELoss(MeanLoss):
    """The mean of `bce_loss`; its weights move to the device of the network."""

    pos_weight: Tensor

    def __init__(self, pos_weight: Tensor, smoothing: float) -> None:
        super().__init__(self._weighted)
        self.register_buffer("pos_weight", pos_weight)
        self.smoothing = smoothing

    def _weighted(self, logits: Tensor, target: Tensor) -> Tensor:
        return bce_loss(logits, target, self.pos_weight, self.smoothing)
