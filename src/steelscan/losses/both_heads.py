"""The loss of a network with two heads."""

from torch import Tensor, nn


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
