"""The decoder of a feature pyramid over any number of maps (10th's C has five, K:114465).

segmentation-models-pytorch has one for four maps; its blocks are used here.
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

    ``map_channels`` are those of the encoder's maps, the finest first, each of half the sides of
    the one before. The result has ``out_channels`` and the size of the finest.
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
        """Take the encoder's maps, the finest first; those before the pyramid's are left out."""
        *finer, deepest = maps[-len(self.towers) :]
        level = self.deepest(deepest)
        levels = [level]
        for block, skip in zip(self.finer, reversed(finer), strict=True):
            level = block(level, skip)
            levels.append(level)
        merged = self.merge(
            [tower(level) for tower, level in zip(self.towers, levels, strict=True)]
        )
        result: Tensor = self.dropout(merged)
        return result
