"""Parts of our own decoders: convolutions, attention, Mish, and the network around them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ChannelAttention(nn.Module):
    """Scale each channel of ``(strips, channels, height, width)`` by its mean and its maximum.

    Both pass through the same two layers, the first with ``channels / reduction`` outputs, and
    their sum through a sigmoid (Woo et al. 2018, arXiv:1807.06521).
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.shared = nn.Sequential(
            nn.Conv2d(channels, channels // reduction, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // reduction, channels, 1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        mean, most = maps.mean((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
        weights: Tensor = self.shared(mean) + self.shared(most)
        return maps * weights.sigmoid()


class SpatialAttention(nn.Module):
    """Scale each pixel of ``(strips, channels, height, width)`` by its maximum and its mean.

    A 1x1 convolution of the two, then a sigmoid; the kernel of the paper is 7x7 (Woo et al. 2018,
    arXiv:1807.06521; 14th, K:114367).
    """

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(2, 1, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        most, mean = maps.amax(1, keepdim=True), maps.mean(1, keepdim=True)
        weights: Tensor = self.weigh(torch.cat((most, mean), 1))
        return maps * weights.sigmoid()


class EncoderDecoder(nn.Module):
    """An encoder, a decoder of its maps, and a head for masks.

    The parts have the names of segmentation-models-pytorch. ``classification_head`` is set to an
    aux head for classes if there is one.
    """

    classification_head: nn.Module | None

    def __init__(self, encoder: nn.Module, decoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.segmentation_head = head
        self.classification_head = None

    def forward(self, pixels: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return logits of the masks, and with an aux head of the classes.

        ``pixels`` are normalised, ``(strips, channels, height, width)``.
        """
        maps: Sequence[Tensor] = self.encoder(pixels)
        masks: Tensor = self.segmentation_head(self.decoder(maps))
        if self.classification_head is None:
            return masks
        return masks, self.classification_head(maps[-1])


class MaxOfLogits(nn.Module):
    """A linear layer at each place of ``(strips, channels, height, width)``, then the maximum.

    A strip has at least the logits of each of its parts, apart from the context at their borders.
    """

    def __init__(self, channels: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Conv2d(channels, classes, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Return logits ``(strips, classes)``."""
        logits: Tensor = self.linear(self.dropout(maps))
        return logits.amax((2, 3))


def conv_norm_relu(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return a 3x3 convolution that keeps the size, batch norm, and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def use_mish(network: nn.Module) -> None:
    """Replace every ReLU and ReLU6 of a network by Mish (Misra 2019, arXiv:1908.08681).

    This includes attention and timm's norm layers. Other activations stay: EfficientNets have
    SiLU, so only their decoder changes. A ReLU that an encoder calls as a function would stay too;
    no encoder of the recipes does that.
    """
    for name, module in list(network.named_modules(remove_duplicate=False)):
        if isinstance(module, nn.ReLU | nn.ReLU6):
            network.set_submodule(name, nn.Mish())
