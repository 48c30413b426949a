"""The decoder of the 14th place: four blocks with attention, hypercolumns, stride 2 (K:114367)."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from steelscan.models.blocks import ChannelAttention, SpatialAttention, conv_norm_relu
from steelscan.models.specs import AsymmetricUnet


class AsymmetricBlock(nn.Module):
    """One step to twice the size: what was carried so far and an encoder's map of its stride.

    Both are upsampled together; two convolutions; channel, then spatial attention; ReLU.
    """

    def __init__(self, inside: int, middle: int, outside: int) -> None:
        super().__init__()
        self.convolve = nn.Sequential(
            conv_norm_relu(inside, middle),
            nn.Conv2d(middle, outside, 3, padding=1, bias=False),
            nn.BatchNorm2d(outside),
        )
        self.attend = nn.Sequential(ChannelAttention(outside), SpatialAttention())
        self.activate = nn.ReLU(inplace=True)

    def forward(self, carried: Tensor, skip: Tensor) -> Tensor:
        """Take two maps of one size; return one of twice the sides."""
        larger = _to(torch.cat((carried, skip), 1), (2 * skip.shape[2], 2 * skip.shape[3]))
        result: Tensor = self.activate(self.attend(self.convolve(larger)))
        return result


class AsymmetricDecoder(nn.Module):
    """From an encoder's maps of strides 4, 8, 16 and 32 to one map of stride 2.

    The deepest map goes through the centre, and with it into the first block: the blocks take
    the maps of strides 32, 16, 8 and 4 and give strides 16, 8, 4 and 2. No block takes the map of
    stride 2, none gives stride 1: the last decoder of a U-Net is left out.
    """

    def __init__(self, map_channels: Sequence[int], spec: AsymmetricUnet) -> None:
        super().__init__()
        skips = tuple(map_channels)[-4:][::-1]
        first, second = spec.centre_channels
        width = spec.block_channels
        carried = (second, width, width, width)
        self.centre = nn.Sequential(conv_norm_relu(skips[0], first), conv_norm_relu(first, second))
        self.blocks = nn.ModuleList(
            AsymmetricBlock(below + skip, middle, width)
            for below, skip, middle in zip(carried, skips, spec.middle_channels, strict=True)
        )
        self.join = conv_norm_relu(4 * width, width)
        self.out_channels = width

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Take the encoder's maps, the finest first, each of half the sides of the one before."""
        carried = self.centre(maps[-1])
        columns = []
        for block, skip in zip(self.blocks, reversed(maps[-4:]), strict=True):
            carried = block(carried, skip)
            columns.append(carried)
        size = (carried.shape[2], carried.shape[3])
        result: Tensor = self.join(torch.cat([_to(column, size) for column in columns], 1))
        return result


def half_size_head(inside: int, planes: int) -> nn.Sequential:
    """The last layer, a 1x1 convolution called ``logits``, and its enlargement to twice the size.

    The 14th enlarges in its loss, which is the same.
    """
    enlarge = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return nn.Sequential(OrderedDict(logits=nn.Conv2d(inside, planes, 1), enlarge=enlarge))


def _to(maps: Tensor, size: tuple[int, int]) -> Tensor:
    # aligned corners would stretch a crop otherwise than the strip that it was cut from
    return interpolate(maps, size, mode="bilinear", align_corners=False)
