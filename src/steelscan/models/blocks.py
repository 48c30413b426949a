"""Parts of the decoders that are ours: convolutions, attention, Mish, and what joins them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ChannelAttention(nn.Module):
    """Weigh each channel of ``(strips, channels, height, width)`` by its mean and its maximum.

    Both go through the same two layers, the first with ``channels / reduction`` outputs, and
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
    """Weigh each place of ``(strips, channels, height, width)`` by its maximum and its mean.

    A 1x1 convolution of the two, then a sigmoid: places do not look at their neighbours, unlike
    in the paper, whose kernel is 7x7 (Woo et al. 2018, arXiv:1807.06521; 14th, K:114367).
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
    """An encoder, a decoder of its maps, a head for masks, and perhaps one for whole strips.

    The parts have the names of segmentation-models-pytorch. ``forward`` takes normalised pixels
    ``(strips, channels, height, width)``, and returns what the heads say of them.
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, head: nn.Module, judge: nn.Module | None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.segmentation_head = head
        self.classification_head = judge

    def forward(self, pixels: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return logits of the masks; with two heads, also those of the classes."""
        maps: Sequence[Tensor] = self.encoder(pixels)
        masks: Tensor = self.segmentation_head(self.decoder(maps))
        if self.classification_head is None:
            return masks
        return masks, self.classification_head(maps[-1])


def conv_norm_relu(inside: int, outside: int) -> nn.Sequential:
    """A 3x3 convolution that keeps the size, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )


def use_mish(network: nn.Module) -> None:
    """Put Mish in the place of every ReLU and ReLU6 of a network (Misra 2019, arXiv:1908.08681).

    Those in attention and inside timm's norm layers too. Other activations stay: EfficientNets
    have SiLU, so that only the decoder changes with them. A ReLU that an encoder calls as a
    function would stay as well; no encoder of the recipes does that.
    """
    for name, module in list(network.named_modules(remove_duplicate=False)):
        if isinstance(module, nn.ReLU | nn.ReLU6):
            network.set_submodule(name, nn.Mish())
