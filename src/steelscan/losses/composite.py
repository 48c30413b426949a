"""A weighted sum of losses."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from steelscan.losses.shapes import refuse_classifier


class WeightedSum(nn.Module):
    """``sum(weight * loss)``; on empty masks it does what its parts do."""

    def __init__(self, weights: tuple[float, ...], parts: list[nn.Module]) -> None:
        super().__init__()
        self.weights = weights
        self.parts = nn.ModuleList(parts)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""
        both = zip(self.weights, self.parts, strict=True)
        return torch.stack([weight * part(logits, target) for weight, part in both]).sum()


class StripLossModule(nn.Module, ABC):
    """A loss that is known for each strip and class by itself, too."""

    @abstractmethod
    def each(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of each strip and class, ``(strips, classes)``."""


class BothHeadsLoss(nn.Module):
    """The loss of the masks, plus ``weight`` times that of the classes.

    On empty masks both losses see a clean crop and do what they do alone.
    """

    def __init__(self, masks: nn.Module, classes: nn.Module, weight: float) -> None:
        super().__init__()
        self.masks, self.classes = masks, classes
        self.weight = weight

    def forward(self, masks: Tensor, classes: Tensor, target: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch: logits ``(strips, maps, height, width)`` and ``(strips, classes)``.

        ``target`` is ``(strips, classes, height, width)``, ``labels`` ``(strips, classes)``.
        """
        of_masks: Tensor = self.masks(masks, target)
        of_classes: Tensor = self.classes(classes, labels)
        return of_masks + self.weight * of_classes


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
