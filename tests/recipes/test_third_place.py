"""The 3rd place: the published numbers, and what its parts do with real arrays."""

from collections import Counter

import numpy as np
import pytest
from torch import nn

from steelscan import recipes
from steelscan.data import RandomCrop
from steelscan.losses import SoftmaxFocal
from steelscan.models import encoder_of
from steelscan.postprocess import Threshold, clean
from steelscan.prediction import Mean
from steelscan.recipes import ConfidentAndAgreed
from steelscan.training import Plateau, WeightedSampler
from steelscan.training.sampling import draw

IDENTITY = ("identity",)
FLIPS = {"hflip", "vflip"}
SE50 = "legacy_seresnext50_32x4d"


def test_numbers_of_the_third(fitted, stages):
    """K:117377."""
    recipe = recipes.load("third_place")
    (segment,) = recipe.network_steps
    assert segment.ensemble.views == IDENTITY
    assert segment.ensemble.average == Mean()
    assert fitted(segment) == {
        ("fpn", "tf_efficientnet_b5"): 1,
        ("fpn", "tf_efficientnet_b4"): 1,
        ("unet", "tf_efficientnet_b4"): 5,
        ("unet", "tf_efficientnet_b3"): 1,
        ("unet", SE50): 1,
    }
    assert [len(member.folds) for member in segment.ensemble.members] == [1] * 9
    for stage in stages(segment):
        assert stage.crop.but(defect=0.0) == RandomCrop(height=256, width=800)
        assert stage.loss == SoftmaxFocal(gamma=2.0)
        assert (stage.optimizer.kind, stage.optimizer.lr) == ("adam", 5e-4)
        assert stage.schedule == Plateau(factor=0.5, patience=3, cooldown=3, min_lr=1e-8)
        assert stage.sampler == WeightedSampler()
    assert recipe.rules == (Threshold(label=(0.7, 0.7, 0.6, 0.6), pixel=0.4),)
    assert recipe.tune is None
    assert isinstance(recipe.pseudo_labels.rule, ConfidentAndAgreed)


def test_differences_between_the_networks_of_the_third(kinds):
    """K:117377."""
    members = recipes.load("third_place").segment.ensemble.members
    networks = Counter()
    for member in members:
        network, (stage,) = member.network, member.stages
        flips = set(kinds(stage.augment)) == FLIPS
        networks[
            encoder_of(network).encoder.removeprefix("tf_efficientnet_"),
            getattr(network, "merge", "") == "cat",
            getattr(network, "attention", "") == "scse",
            network.mish,
            stage.pseudo == "all",
            not flips,
        ] += 1
    #         concatenated, scse, mish, pseudo, heavy
    assert networks == {
        ("b5", True, False, False, False, False): 1,
        ("b4", False, False, False, False, False): 1,
        ("b4", False, False, False, True, False): 1,
        ("b4", False, False, False, False, True): 1,
        ("b4", False, True, False, False, False): 1,
        ("b4", False, True, False, True, False): 1,
        ("b4", False, False, True, False, False): 1,
        ("b3", False, False, False, False, False): 1,
        (SE50, False, False, False, False, False): 1,
    }


def test_the_third_has_no_mask_if_no_pixel_reaches_the_label_threshold(blocks):
    """K:117377: 0.7, 0.7, 0.6, 0.6 for the class, 0.4 for its pixels."""
    rules = recipes.load("third_place").rules
    defect = blocks((50, 100, 60, 80))
    peak = blocks((60, 120, 1, 1))
    for highest, present in ((0.45, [0, 0, 0, 0]), (0.65, [0, 0, 1, 1]), (0.75, [1, 1, 1, 1])):
        maps = np.where(peak, highest, np.where(defect, 0.42, 0.38)).astype(np.float32)
        masks = clean(np.stack([maps] * 4), rules)
        assert masks.any((1, 2)).tolist() == [bool(one) for one in present]
        assert all(np.array_equal(mask, defect) for mask in masks if mask.any())


def test_mish_of_the_third_is_in_the_decoder(of_shapes):
    """Ours: it replaces ReLU, which EfficientNets do not have (Tan and Le 2019: SiLU)."""
    members = recipes.load("third_place").segment.ensemble.members
    (mish,) = (member.network for member in members if member.network.mish)
    body = of_shapes(mish).body
    kinds = [
        {type(layer) for layer in part.modules()} & {nn.Mish, nn.ReLU, nn.SiLU}
        for part in (body.encoder, body.decoder)
    ]
    assert kinds == [{nn.SiLU}, {nn.Mish}]


def test_the_weights_of_the_third_draw_every_label_equally_often(stages):
    """Clean strips and each class are drawn equally often if no strip has two labels."""
    (stage, *_) = stages(recipes.load("third_place").segment)
    counts = (500, 60, 20, 300, 120)
    labels = np.repeat(np.arange(5), counts)
    present = labels[:, None] == np.arange(1, 5)
    rng = np.random.default_rng(0)
    drawn = np.concatenate([draw(stage.sampler, present, rng) for _ in range(20)])
    assert np.bincount(labels[drawn]) / len(drawn) == pytest.approx(np.full(5, 0.2), abs=0.02)
