"""A weighted sum of losses."""

import torch
from torch import Tensor, nn


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
