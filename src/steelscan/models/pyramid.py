"""The decoder of a feature pyramid over any number of maps (variant C of the 10th: K:114465).

The decoder of segmentation-models-pytorch takes four maps; its blocks are used here.
"""

from collections.abc import Sequence
from typing import Literal

from segmentation_models_pytorch.decoders.fpn.decoder import (
    FPNBlock,
    MergeBlock,
    SegmentationBlock,
)
from torch import Tensor, nn


class PyramidDecoder(nn.Module):
    """Feature pyramid (Kirillov et al. 2019, arXiv:1901.02446) over maps of any strides.

    ``map_channels`` are the channels of the encoder's maps, the finest first, each of half the
    sides of the last. The result has ``out_channels`` and the size of the finest map.
    """

    def __init__(
        self,
        map_channels: Sequence[int],
        pyramid_channels: int,
        segmentation_channels: int,
        merge: Literal["add", "cat"],
        dropout: float,
    ) -> None:
        super().__init__()
        *finer, deepest = map_channels
        self.deepest = nn.Conv2d(deepest, pyramid_channels, 1)
        self.finer = nn.ModuleList(
            FPNBlock(pyramid_channels, channels) for channels in reversed(finer)
        )
        self.towers = nn.ModuleList(
            SegmentationBlock(pyramid_channels, segmentation_channels, n_upsamples=doublings)
            for doublings in reversed(range(len(map_channels)))
        )
        self.merge = MergeBlock(merge)
        self.dropout = nn.Dropout2d(dropout)
        self.out_channels = segmentation_channels * (len(map_channels) if merge == "cat" else 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Decode the encoder's maps, the finest first; those finer than the pyramid are unused."""
        *finer, deepest = maps[-len(self.towers) :]
        features = [self.deepest(deepest)]
        for block, skip in zip(self.finer, reversed(finer), strict=True):
            features.append(block(features[-1], skip))
        merged = self.merge(
            [tower(each) for tower, each in zip(self.towers, features, strict=True)]
        )
        result: Tensor = self.dropout(merged)
        return result
