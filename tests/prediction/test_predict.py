"""Predictions against averages taken by hand over stub networks whose rows are known."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from steelscan.data import Shrink
from steelscan.models import FPN, StripNetwork, Unet, build_network
from steelscan.prediction import EnsembleMean, TorchModel, to_uint8

VIEWS = [("identity",), ("hflip",), ("identity", "hflip"), ("identity", "hflip", "vflip")]
SHAPES = [(1, 1), (1, 40), (33, 1), (32, 64), (31, 65), (50, 90)]

FLIPS = {
    "identity": lambda planes: planes,
    "hflip": lambda planes: planes[..., ::-1],
    "vflip": lambda planes: planes[..., ::-1, :],
}
"""The views, once more with slices."""


def sigmoid(value):
    return 1 / (1 + np.exp(-np.asarray(value, np.float64)))


class ByPixel(nn.Module):
    """Logits that depend on the pixel's own grey alone, one line a class."""

    def __init__(self, slopes):
        super().__init__()
        self.slopes = nn.Parameter(torch.tensor(slopes).reshape(1, -1, 1, 1))

    def forward(self, strips):
        return strips * self.slopes + 0.25


class ByPlace(ByPixel):
    """Logits that depend on the place too: any mix-up of views or sizes changes them."""

    def forward(self, strips):
        height, width = strips.shape[-2:]
        rows, columns = torch.arange(height), torch.arange(width)
        return strips * self.slopes + 0.03 * columns - 0.05 * rows[:, None] * self.slopes


def by_place(seen, slopes):
    """What ByPlace says of a padded picture, in plain numbers."""
    grey = seen / 255 * 2 - 1
    rows, columns = np.indices(seen.shape)
    return np.stack([grey * slope + 0.03 * columns - 0.05 * rows * slope for slope in slopes])


def model(body=ByPixel, slopes=(1.0, -2.0), resize=None, head="masks"):
    body = body(slopes)
    if head == "classes":
        body = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return TorchModel(
        StripNetwork(body, encoder="", mean=0.5, std=0.5, stride=32, head=head).eval(), resize
    )


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)


def padded(plane):
    """Mirrored to the right and downwards to multiples of 32, by numpy's own padding.

    One cell of 32x32 becomes two: group norms refuse one.
    """
    down, right = (-side % 32 for side in plane.shape)
    right += 32 * (max(plane.shape) <= 32)
    return np.pad(plane, ((0, down), (0, right)), mode="symmetric")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("views", VIEWS)
def test_what_depends_on_the_pixel_alone_comes_back_at_its_pixel(shape, views):
    strip = picture(*shape)
    outputs = EnsembleMean(views, strip, models=[model()]).masks()
    assert outputs.dtype == np.float32
    grey = strip / 255 * 2 - 1
    expected = sigmoid([grey + 0.25, -2 * grey + 0.25])
    assert outputs.shape == (2, *shape)
    assert np.allclose(outputs, expected, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("views", VIEWS)
def test_the_answer_is_the_mean_over_views_and_networks_by_hand(shape, views):
    strip = picture(*shape, seed=1)
    slopes = [(1.0, -2.0), (0.5, 3.0)]
    parts = [
        FLIPS[view](sigmoid(by_place(FLIPS[view](padded(strip)), own)))[:, : shape[0], : shape[1]]
        for own in slopes
        for view in views
    ]
    expected = np.mean(parts, axis=0)
    models = [model(ByPlace, own) for own in slopes]
    outputs = EnsembleMean(views, strip, models=models).masks()
    assert np.allclose(outputs, expected, atol=1e-5)
    assert np.allclose(EnsembleMean(views, strip, models=models[::-1]).masks(), outputs, atol=1e-6)


def test_probabilities_are_averaged_and_not_logits():
    sure, unsure = model(slopes=(40.0,)), model(slopes=(0.0,))
    white = np.full((32, 32), 255, np.uint8)
    outputs = EnsembleMean(("identity",), white, models=[sure, unsure]).masks()
    assert np.allclose(outputs, (1 + sigmoid(0.25)) / 2, atol=1e-6)


@pytest.mark.parametrize("views", VIEWS)
def test_classes_are_averaged_over_views_and_networks(views):
    strip = picture(20, 70)
    means = [(padded(strip) / 255 * 2 - 1).mean() for view in views]
    slopes = [(5.0, -2.0), (0.5, 30.0)]
    outputs = EnsembleMean(
        views,
        strip,
        heads={"classes"},
        models=[model(slopes=own, head="classes") for own in slopes],
    ).classes()
    assert outputs.dtype == np.float32
    each = [sigmoid(mean * np.array(own) + 0.25) for own in slopes for mean in means]
    expected = np.mean(each, axis=0)
    assert np.allclose(outputs, expected, atol=1e-4)


def two_way_mean(plane, frame):
    """Bilinear enlargement with pixel centres at a half, in loops."""

    def between(at, small, large):
        place = min(max((at + 0.5) * small / large - 0.5, 0), small - 1)
        low = min(int(place), small - 1)
        return low, min(low + 1, small - 1), place - low

    result = np.zeros(frame)
    for y, x in product(*map(range, frame)):
        top, bottom, down = between(y, plane.shape[0], frame[0])
        left, right, along = between(x, plane.shape[1], frame[1])
        upper = plane[top, left] * (1 - along) + plane[top, right] * along
        lower = plane[bottom, left] * (1 - along) + plane[bottom, right] * along
        result[y, x] = upper * (1 - down) + lower * down
    return result


@pytest.mark.parametrize("views", VIEWS)
def test_a_strip_seen_at_half_size_is_answered_at_its_own(views):
    strip = picture(40, 60)
    blocks = strip.reshape(20, 2, 30, 2).astype(float)
    seen = np.floor(blocks.mean((1, 3)) + 0.5)
    half = model(resize=Shrink(pixels=600))
    outputs = EnsembleMean(views, strip, models=[half]).masks()
    grey = seen / 255 * 2 - 1
    expected = [two_way_mean(plane, (40, 60)) for plane in sigmoid([grey + 0.25, -2 * grey + 0.25])]
    assert outputs.shape == (2, 40, 60)
    assert np.abs(outputs - expected).max() < 0.005  # a level of grey, where halves are rounded


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (33, 47), (90, 50), (64, 128)])
@pytest.mark.parametrize("pixels", [1, 500, 5000])
def test_every_size_of_strip_gives_maps_of_its_frame(shape, pixels):
    models = [model(resize=Shrink(pixels=pixels)), model()]
    flat = np.full(shape, 51, np.uint8)
    outputs = EnsembleMean(("identity", "hflip"), flat, models=models).masks()
    assert outputs.shape == (2, *shape)
    grey = 51 / 255 * 2 - 1
    for plane, slope in zip(outputs, (1.0, -2.0), strict=True):
        assert np.allclose(plane, sigmoid(grey * slope + 0.25), atol=1e-6)
    assert EnsembleMean(
        ("vflip",), flat, heads={"classes"}, models=[model(head="classes")]
    ).classes().shape == (2,)


def mixing_network():
    """A real network, in which every pixel has a say in its whole surroundings."""
    torch.manual_seed(0)
    spec = Unet(encoder="resnet10t", weights="random", decoder_channels=(16, 8, 8, 4, 4))
    return TorchModel(build_network(spec, 2)[0].eval(), None)


def mirrored_apart(strip, views):
    """How far the outputs for the mirrored strip is from the mirrored outputs."""
    models = [mixing_network()]
    direct = EnsembleMean(views, strip, models=models).masks()
    mirrored = EnsembleMean(views, np.ascontiguousarray(strip[:, ::-1]), models=models).masks()[
        ..., ::-1
    ]
    return np.abs(direct - mirrored).max()


def test_with_both_views_a_mirrored_strip_has_the_mirrored_answer():
    """Holds where the width is a multiple of 32; else the padding lies on the other side."""
    for shape in ((64, 96), (50, 96), (33, 64)):
        strip = picture(*shape)
        assert mirrored_apart(strip, ("identity", "hflip")) < 1e-5
        assert mirrored_apart(strip, ("identity",)) > 1e-3  # with one view alone it does not


@pytest.mark.parametrize("dress", ["mirrored", "read-only", "part"])
def test_pictures_may_be_views_of_other_arrays(dress):
    strip = picture(32, 64)
    plain = EnsembleMean(("identity",), strip, models=[model()]).masks()
    if dress == "mirrored":
        dressed, expected = strip[:, ::-1], plain[..., ::-1]
    elif dress == "part":
        wide = np.tile(strip, (1, 2))
        dressed, expected = wide[:, 64:], plain
    else:
        strip.flags.writeable = False
        dressed, expected = strip, plain
    assert np.allclose(
        EnsembleMean(("identity",), dressed, models=[model()]).masks(), expected, atol=1e-6
    )


def test_asking_leaves_picture_and_network_as_they_were():
    strip, asked = picture(40, 70), mixing_network()
    before = strip.copy(), {n: t.clone() for n, t in asked.network.state_dict().items()}
    first = EnsembleMean(("identity", "vflip"), strip, models=[asked]).masks()
    assert np.array_equal(EnsembleMean(("identity", "vflip"), strip, models=[asked]).masks(), first)
    assert np.array_equal(strip, before[0])
    assert all(torch.equal(t, before[1][n]) for n, t in asked.network.state_dict().items())
    assert not asked.network.training


def test_levels_are_the_nearest_255ths():
    assert to_uint8((np.arange(256) / 255).astype(np.float32)).tolist() == list(range(256))
    fine = np.linspace(0, 1, 10_001, dtype=np.float32)
    levels = to_uint8(fine)
    assert levels.dtype == np.uint8
    assert np.abs(levels / 255 - fine).max() <= 0.5 / 255 + 1e-6
    assert (np.diff(levels.astype(int)) >= 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (20, 31), (32, 32)])
def test_a_picture_of_one_deepest_cell_is_answered_by_networks_with_group_norms(shape):
    network, _ = build_network(
        FPN(encoder="resnet10t", weights="random", segmentation_channels=32), 2
    )
    outputs = EnsembleMean(
        ("identity",), picture(*shape), models=[TorchModel(network.eval(), None)]
    ).masks()
    assert outputs.shape == (2, *shape)
    assert np.isfinite(outputs).all()


def test_levels_are_the_nearest_whole_255ths_and_halves_go_to_even_ones():
    rng = np.random.default_rng(0)
    halves = ((np.arange(255) + 0.5) / 255).astype(np.float32)
    shares = np.concatenate([rng.random(60_000, np.float32), halves, [0.0, 1.0]])
    shares = shares[: len(shares) // 6 * 6].astype(np.float32).reshape(2, 3, -1)
    expected = np.rint(shares * np.float32(255))
    assert np.array_equal(to_uint8(shares), expected)
    assert np.array_equal(to_uint8(shares[:, ::-1, ::2]), expected[:, ::-1, ::2])
    assert np.array_equal(to_uint8(shares.astype(np.float64)), np.rint(shares.astype(float) * 255))
    assert to_uint8(shares).dtype == np.uint8
    assert to_uint8(shares[:, :0, :0]).shape == (2, 0, 0)
