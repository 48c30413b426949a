"""Losses made of losses: a weighted sum, two heads, and per class where it is present."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from steelscan.losses.shapes import check_maps


class WeightedSum(nn.Module):
    """``sum(weight * loss)``."""

    def __init__(self, weights: tuple[float, ...], parts: list[nn.Module]) -> None:
        super().__init__()
        self.weights = weights
        self.parts = nn.ModuleList(parts)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of a batch."""
        pairs = zip(self.weights, self.parts, strict=True)
        return torch.stack([weight * part(logits, target) for weight, part in pairs]).sum()


class MeanLoss(nn.Module):
    """The mean of ``loss(logits, target)``, or its means per strip and class."""

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return self.loss(logits, target).mean()

    def each(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss per strip and class, ``(strips, classes)``.

        Only for a loss that returns ``(strips, classes, ...)``.
        """
        values = self.loss(logits, target)
        return values.reshape(*values.shape[:2], -1).mean(2)


class BothHeadsLoss(nn.Module):
    """The loss of the masks, plus ``weight`` times the loss of the classes."""

    def __init__(self, masks: nn.Module, classes: nn.Module, weight: float) -> None:
        super().__init__()
        self.masks, self.classes = masks, classes
        self.weight = weight

    def forward(self, masks: Tensor, classes: Tensor, target: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch.

        The logits ``masks`` are ``(strips, maps, height, width)``, ``classes`` are ``(strips,
        classes)``; ``target`` is ``(strips, classes, height, width)``, ``labels`` is ``(strips,
        classes)``.
        """
        mask_loss: Tensor = self.masks(masks, target)
        class_loss: Tensor = self.classes(classes, labels)
        return mask_loss + self.weight * class_loss


def where_present_loss(each: Tensor, target: Tensor, always: Tensor) -> Tensor:
    """Return the sum over classes of the mean of ``each`` over the crops that hold the class.

    ``each`` is the loss per crop and class, ``(strips, classes)``. ``target`` is ``(strips,
    classes, height, width)``; a crop holds a class if any pixel is above 0. ``always`` is bool
    ``(classes,)``: these classes take the mean over all crops.
    An empty mask has no gradient except in the classes of ``always``: this loss alone does not
    suppress false alarms.
    """
    counts = always | (target > 0).flatten(2).any(2)
    kept = torch.where(counts, each, torch.zeros_like(each))
    return (kept.sum(0) / counts.sum(0).clamp(min=1)).sum()


class WherePresentLoss(nn.Module):
    """`where_present_loss` of another loss."""

    always: Tensor

    def __init__(self, loss: MeanLoss, always: Tensor) -> None:
        super().__init__()
        self.loss = loss
        self.register_buffer("always", always)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of a batch."""
        check_maps(logits, "where_present")
        return where_present_loss(self.loss.each(logits, target), target, self.always)
