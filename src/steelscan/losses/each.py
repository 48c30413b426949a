"""What a loss must offer to be felt by some strips and classes only."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class StripLossModule(nn.Module, ABC):
    """A loss that is known for each strip and class by itself, too."""

    @abstractmethod
    def each(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of each strip and class, ``(strips, classes)``."""
