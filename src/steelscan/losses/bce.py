"""Binary cross entropy with a weight a class on the positive term."""

from torch import Tensor, nn
from torch.nn import functional

from steelscan.losses.shapes import along_classes


def bce_loss(logits: Tensor, target: Tensor, pos_weight: Tensor) -> Tensor:
    """Mean of ``-(w y log p + (1 - y) log(1 - p))`` over all logits; a float32 scalar.

    ``logits`` and ``target`` are ``(strips, classes, ...)``, ``pos_weight`` is ``(classes,)``.
    An empty mask costs ``log(1 + exp(logit))`` a pixel, so false alarms have a gradient.
    """
    weight = along_classes(pos_weight, logits)
    return functional.binary_cross_entropy_with_logits(
        logits.float(), target.float(), pos_weight=weight
    )


class BCELoss(nn.Module):
    """`bce_loss` with its weights."""

    pos_weight: Tensor

    def __init__(self, pos_weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""
        return bce_loss(logits, target, self.pos_weight)
