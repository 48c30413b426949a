"""Strips in tiles against the same strips whole, and the blend by a loop."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from steelscan.data import Shrink
from steelscan.models import StripNetwork
from steelscan.prediction import (
    EnsembleMean,
    LogitMean,
    Mean,
    ModelOutputs,
    PowerMean,
    Tiles,
    TorchModel,
)
from steelscan.prediction.tiles import in_tiles, starts, weights

sizes = st.tuples(st.integers(1, 6), st.integers(0, 3)).filter(lambda each: 2 * each[1] <= each[0])


def tiles(width, overlap):
    return Tiles(width=32 * width, overlap=32 * overlap)


@pytest.mark.parametrize(("width", "overlap"), [(0, 0), (48, 0), (64, 16), (96, 64), (64, -32)])
def test_tiles_that_do_not_fit_the_stride_or_do_not_go_on_are_refused(width, overlap):
    with pytest.raises(ValidationError):
        Tiles(width=width, overlap=overlap)


@given(sizes, st.integers(1, 40))
def test_tiles_cover_the_strip_and_overlap_enough(size, length):
    spec, width = tiles(*size), 32 * length
    lefts = starts(spec, width)
    assert lefts[0] == 0
    assert max(lefts[-1] + spec.width, width) == (width if length >= size[0] else spec.width)
    assert all(left % 32 == 0 for left in lefts)
    assert all(0 < b - a <= spec.width - spec.overlap for a, b in pairwise(lefts))


@given(sizes)
def test_the_say_of_two_neighbours_adds_up_to_one(size):
    spec = tiles(*size)
    left, right = weights(spec, first=True, last=False), weights(spec, first=False, last=True)
    cut = spec.width - spec.overlap
    assert np.allclose(left[cut:] + right[: spec.overlap], 1, atol=1e-6)
    assert (left[:cut] == 1).all()
    assert (np.diff(left) <= 0).all()
    assert np.allclose(left[::-1], right)
    unseen = spec.overlap // 4
    assert (left[spec.width - unseen :] == 0).all()
    assert (weights(spec, first=True, last=True) == 1).all()


@given(sizes, st.integers(1, 12), st.integers(0, 9))
def test_tiles_are_blended_as_by_a_loop(size, length, seed):
    """Every tile has other numbers; a column is their weighted mean."""
    spec, width = tiles(*size), 32 * length
    parts = []

    def predict(part):
        parts.append(part)
        rng = np.random.default_rng((seed, len(parts)))
        shape = 2, 2, *part.shape
        return ModelOutputs(*(rng.random(each).astype(np.float32) for each in (shape, shape[:2])))

    strip = np.arange(3 * width).astype(np.uint8).reshape(3, width)
    outputs = in_tiles(predict, strip, spec)
    lefts = starts(spec, width)
    assert len(parts) == len(lefts)
    assert all(each.shape[-1] <= spec.width for each in parts)
    total, weight, classes = np.zeros((2, 2, 3, width)), np.zeros(width), np.zeros((2, 2))
    tile = min(spec.width, width)
    for number, left in enumerate(lefts, start=1):
        rng = np.random.default_rng((seed, number))
        masks = rng.random((2, 2, 3, tile)).astype(np.float32)
        classes = np.maximum(classes, rng.random((2, 2)).astype(np.float32))
        for column in range(tile):
            mine = 1.0
            if spec.overlap and left > 0:
                mine = min(mine, max(0.0, (column + 0.5) / spec.overlap * 2 - 0.5))
            if spec.overlap and left + tile < width:
                mine = min(mine, max(0.0, (tile - column - 0.5) / spec.overlap * 2 - 0.5))
            total[..., left + column] += mine * masks[..., column]
            weight[left + column] += mine
    assert np.allclose(outputs.masks, total / weight, atol=1e-5)
    assert np.allclose(outputs.classes, classes)


class Local(nn.Module):
    """Convolutions without any pooling over places: 17 columns of sight, two steps down and up."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.down = nn.Conv2d(1, 6, 5, stride=2, padding=2)
        self.middle = nn.Conv2d(6, 6, 3, padding=1)
        self.up = nn.ConvTranspose2d(6, 2, 4, stride=2, padding=1)

    def forward(self, strips):
        maps = self.middle(self.down(strips * 3).relu()).relu()
        masks = self.up(maps) * 4
        return masks, masks.amax((2, 3))


def network():
    return StripNetwork(
        Local(), encoder="", mean=0.5, std=0.2, stride=32, head="both", output="sigmoid"
    ).eval()


@pytest.mark.parametrize("average", [Mean(), LogitMean(), PowerMean()], ids=repr)
@pytest.mark.parametrize("resize", [None, Shrink(pixels=40 * 400)])
def test_tiles_make_no_difference_if_the_receptive_field_is_smaller_than_the_overlap(
    average, resize
):
    local = network()
    picture = np.random.default_rng(0).integers(0, 256, (50, 500)).astype(np.uint8)
    views = ("identity", "hflip", "vflip")
    alone = [TorchModel(local, resize)]
    whole = EnsembleMean(views, picture, average, models=alone).masks()
    of_whole = EnsembleMean(views, picture, average, {"classes"}, alone).classes()
    for spec in (tiles(4, 2), tiles(5, 2), tiles(7, 3), tiles(40, 2)):
        models = [TorchModel(local, resize, tiles=spec)]
        masks = EnsembleMean(views, picture, average, models=models).masks()
        classes = EnsembleMean(views, picture, average, {"classes"}, models).classes()
        assert masks.shape == whole.shape
        assert np.abs(masks - whole).max() < 1e-5
        assert np.abs(classes - of_whole).max() < 0.05  # its maximum may lie at a tile's edge
    unblended = EnsembleMean(
        views, picture, average, models=[TorchModel(local, resize, tiles=tiles(4, 0))]
    ).masks()
    assert np.abs(unblended - whole).max() > 1e-3
