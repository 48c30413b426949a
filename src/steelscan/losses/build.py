"""From the settings of a loss to its module."""

import torch
from torch import Tensor, nn

from steelscan.losses.bce import BCELoss
from steelscan.losses.dice import DiceLoss
from steelscan.losses.specs import BCE, Dice, Loss, Mix
from steelscan.strip import per_class


class WeightedSum(nn.Module):
    """A weighted sum of losses."""

    def __init__(self, weights: tuple[float, ...], parts: list[nn.Module]) -> None:
        super().__init__()
        self.weights = weights
        self.parts = nn.ModuleList(parts)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""
        losses = [part(logits, target) for part in self.parts]
        return torch.stack(losses) @ torch.tensor(self.weights, device=logits.device)


def build_loss(spec: Loss, classes: int) -> nn.Module:
    """Build a module that takes ``(logits, target)``, both ``(strips, classes, ...)``.

    Raises RecipeError when a per-class setting does not fit the number of classes.
    """
    match spec:
        case BCE():
            weights = per_class(spec.pos_weight, classes, "BCE.pos_weight")
            return BCELoss(torch.tensor(weights))
        case Dice():
            return DiceLoss(spec.over, spec.smooth)
        case Mix():
            parts = [build_loss(part, classes) for _, part in spec.parts]
            return WeightedSum(tuple(weight for weight, _ in spec.parts), parts)
