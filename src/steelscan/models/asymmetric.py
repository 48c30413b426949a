"""The decoder of the 14th place: four blocks with attention, hypercolumns, stride 2 (K:114367)."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from steelscan.models.blocks import ChannelAttention, SpatialAttention, conv_norm_relu
from steelscan.models.specs import AsymmetricUnet


class AsymmetricBlock(nn.Module):
    """One decoder block that doubles the size of a map and of an encoder's map of the same stride.

    Upsampling of both together, two convolutions, channel attention, spatial attention, ReLU.
    """

    def __init__(self, in_channels: int, mid_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolve = nn.Sequential(
            conv_norm_relu(in_channels, mid_channels),
            nn.Conv2d(mid_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.attend = nn.Sequential(ChannelAttention(out_channels), SpatialAttention())
        self.activate = nn.ReLU(inplace=True)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Return a map of twice the sides of the two given ones."""
        larger = _resized(torch.cat((features, skip), 1), (2 * skip.shape[2], 2 * skip.shape[3]))
        result: Tensor = self.activate(self.attend(self.convolve(larger)))
        return result


class AsymmetricDecoder(nn.Module):
    """Decode an encoder's maps of strides 4, 8, 16 and 32 to one map of stride 2.

    The deepest map passes through the centre; the first block takes both. The blocks take the maps
    of strides 32, 16, 8 and 4 and return strides 16, 8, 4 and 2. The last block of a U-Net, from
    stride 2 to 1, is left out.
    """

    def __init__(self, map_channels: Sequence[int], spec: AsymmetricUnet) -> None:
        super().__init__()
        skips = tuple(map_channels)[-4:][::-1]
        first, second = spec.centre_channels
        width = spec.block_channels
        below = (second, width, width, width)
        self.centre = nn.Sequential(conv_norm_relu(skips[0], first), conv_norm_relu(first, second))
        self.blocks = nn.ModuleList(
            AsymmetricBlock(each + skip, middle, width)
            for each, skip, middle in zip(below, skips, spec.middle_channels, strict=True)
        )
        self.join = conv_norm_relu(4 * width, width)
        self.out_channels = width

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Decode the encoder's maps, the finest first, each of half the sides of the last."""
        features = self.centre(maps[-1])
        columns = []
        for block, skip in zip(self.blocks, reversed(maps[-4:]), strict=True):
            features = block(features, skip)
            columns.append(features)
        size = (features.shape[2], features.shape[3])
        result: Tensor = self.join(torch.cat([_resized(column, size) for column in columns], 1))
        return result


def half_size_head(in_channels: int, planes: int) -> nn.Sequential:
    """Return a 1x1 convolution called ``logits`` and its upsampling to twice the size.

    The 14th place upsamples in its loss, which is the same.
    """
    enlarge = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return nn.Sequential(OrderedDict(logits=nn.Conv2d(in_channels, planes, 1), enlarge=enlarge))


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    # aligned corners would scale a crop differently from the strip that it was cut from
    return interpolate(maps, size, mode="bilinear", align_corners=False)
