"""A loss that a class feels only in the crops that hold it (14th, K:114367)."""

import torch
from torch import Tensor, nn

from steelscan.losses.each import StripLossModule
from steelscan.losses.shapes import refuse_classifier


def where_present_loss(each: Tensor, target: Tensor, always: Tensor) -> Tensor:
    """Sum over classes of the mean of ``each`` over the crops that hold the class; a scalar.

    ``each`` is the loss of each crop and class, ``(strips, classes)``; ``target`` is ``(strips,
    classes, height, width)``, and a crop holds a class if any pixel is above 0; ``always`` is
    bool ``(classes,)``, and such a class takes the mean over all crops.
    An empty mask, and a batch without any, has no gradient but in the classes of ``always``:
    nothing here holds false alarms down, so that something else must.
    """
    felt = always | (target > 0).flatten(2).any(2)
    kept = torch.where(felt, each, torch.zeros_like(each))
    return (kept.sum(0) / felt.sum(0).clamp(min=1)).sum()


class WherePresentLoss(nn.Module):
    """`where_present_loss` of another loss."""

    always: Tensor

    def __init__(self, loss: StripLossModule, always: Tensor) -> None:
        super().__init__()
        self.loss = loss
        self.register_buffer("always", always)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""
        refuse_classifier(logits, "where_present")
        return where_present_loss(self.loss.each(logits, target), target, self.always)
