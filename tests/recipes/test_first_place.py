"""The 1st place: the published numbers, and what its parts do with real arrays."""

from collections import Counter

import numpy as np
import pytest

from steelscan import recipes
from steelscan.augment import Augmenter, DefectBlackout
from steelscan.data import RandomCrop
from steelscan.evaluation.metrics import Pairs, count_pixels, dice
from steelscan.losses import BCE, Dice, Mix
from steelscan.models import encoder_of
from steelscan.postprocess import MinArea, RemoveSmallComponents, Threshold, clean
from steelscan.prediction import Mean
from steelscan.recipes import Classify, ConfidentAndAgreed
from steelscan.training import OneCycle
from steelscan.training.schedules import rate

THREE = ("identity", "hflip", "vflip")
SE50 = "legacy_seresnext50_32x4d"


def test_numbers_of_the_classifiers_of_the_first(fitted, stages, kinds):
    """K:114254."""
    classify = recipes.load("first_place").steps[0]
    assert isinstance(classify, Classify)
    assert fitted(classify) == {
        ("classifier", "tf_efficientnet_b1"): 3,
        ("classifier", "resnet34"): 1,
    }
    assert classify.ensemble.views == THREE
    assert classify.ensemble.average == Mean()
    assert classify.threshold == 0.6
    b1, r34 = stages(classify)
    for stage, batch in ((b1, 8), (r34, 16)):
        assert stage.crop == RandomCrop(height=224, width=1568)
        assert kinds(stage.augment) == ["hflip", "vflip", "brightness_contrast", "defect_blackout"]
        assert (stage.batch, stage.accumulate_to) == (batch, 32)
        assert stage.loss == BCE()
        assert (stage.optimizer.kind, stage.optimizer.momentum) == ("sgd", 0.9)
    assert all(member.resize is None for member in classify.ensemble.members)
    assert 3 <= b1.augment[-1].margin <= 5


def test_numbers_of_the_segmenters_of_the_first(kinds):
    """K:114254."""
    recipe = recipes.load("first_place")
    segment = recipe.segment
    assert segment.ensemble.views == THREE
    assert segment.ensemble.average == Mean()
    bce = BCE(pos_weight=(2.0, 2.0, 1.0, 1.5))
    both = Mix(parts=((0.75, bce), (0.25, Dice())))
    found = Counter()
    for member in segment.ensemble.members:
        if encoder_of(member.network).encoder != "tf_efficientnet_b3":
            continue
        found[member.network.kind, tuple(stage.loss for stage in member.stages)] += len(
            member.folds
        )
        for stage in member.stages:
            assert stage.crop == RandomCrop(height=256, width=512)
            assert kinds(stage.augment) == ["hflip", "vflip", "brightness_contrast"]
            assert stage.batch in (12, 24)
            assert stage.accumulate_to == 24
            assert stage.optimizer.kind == "radam"
            assert stage.pseudo == "all"
    assert found == {("unet", (bce,)): 1, ("fpn", (bce, both)): 3, ("fpn", (bce,)): 2}
    assert recipe.rules == (
        Threshold(label=(0.7, 0.7, 0.6, 0.6), pixel=0.55),
        MinArea(pixels=(600, 600, 900, 2000)),
        RemoveSmallComponents(pixels=150),
    )
    assert recipe.tune is None
    assert recipe.pseudo_labels.rounds == 2
    assert recipe.pseudo_labels.rule == ConfidentAndAgreed(low=0.05, high=0.95)


def test_numbers_of_the_public_networks_of_the_first(kinds):
    """The kernel that the 1st, 13th, 27th and 57th took them from: 200 epochs, 70 to warm up."""
    members = {
        encoder_of(member.network).encoder: member
        for member in recipes.load("first_place").segment.ensemble.members[-3:]
    }
    assert list(members) == ["resnet34", SE50, "mobilenetv2_100"]
    assert {member.network.kind for member in members.values()} == {"unet"}
    assert members["resnet34"].stages[0].batch == 28
    assert members[SE50].stages[0].batch == 20
    for member in members.values():
        (stage,) = member.stages
        assert len(member.folds) == 1
        assert stage.crop == RandomCrop(height=256, width=256, defect=1.0)
        assert kinds(stage.augment) == ["hflip"]
        assert stage.loss == Mix(parts=((1.0, BCE()), (1.0, Dice())))
        rates = stage.optimizer
        assert (rates.kind, rates.encoder_lr, rates.lr) == ("adam", 1e-5, 1e-3)
        assert rates.weight_decay == 1e-4
        assert isinstance(stage.schedule, OneCycle)
        assert rate(stage.schedule, 0, 200) * rates.lr == pytest.approx(4e-5)
        assert np.argmax([rate(stage.schedule, step, 200) for step in range(200)]) == 70
        assert stage.pseudo == 0.0  # they were there before


def test_masks_of_the_first_are_scored_per_class_and_strip(blocks, maps_of):
    """A clean pair, a false alarm, a missed defect, and a partial overlap (K:114297)."""
    rules = recipes.load("first_place").rules
    truth = np.stack(
        [blocks(), blocks((10, 10, 40, 40)), blocks(), blocks((0, 0, 60, 60))]  # none, missed, none
    )
    predicted = (blocks(), blocks(), blocks((10, 10, 40, 40)), blocks((0, 20, 60, 60)))
    masks = clean(maps_of(predicted, 0.8), rules)
    found = dice(Pairs.of([count_pixels(masks, truth)]))
    brute = []
    for guess, true in zip(masks, truth, strict=True):
        one, other = set(np.flatnonzero(guess).tolist()), set(np.flatnonzero(true).tolist())
        brute.append(2 * len(one & other) / (len(one) + len(other)) if one or other else 1.0)
    assert brute == [1.0, 0.0, 0.0, pytest.approx(2 / 3)]
    assert found.tolist() == [pytest.approx(brute)]
    assert found.mean() == pytest.approx((1 + 2 / 3) / 4)


def test_the_first_has_nine_segmenters(fitted):
    segment = recipes.load("first_place").segment
    networks = fitted(segment)
    assert networks.total() == 9
    assert networks == {
        ("unet", "tf_efficientnet_b3"): 1,
        ("fpn", "tf_efficientnet_b3"): 5,
        ("unet", "resnet34"): 1,
        ("unet", SE50): 1,
        ("unet", "mobilenetv2_100"): 1,
    }


def test_blackout_of_the_first_removes_a_label_with_its_last_component(stages, blocks):
    """K:114254: a label turns from 1 to 0 only when all of its components are painted over."""
    (blackout,) = (
        each
        for each in stages(recipes.load("first_place").steps[0])[0].augment
        if isinstance(each, DefectBlackout)
    )
    parts = {0: [(20, 20, 9, 30), (20, 200, 9, 30), (150, 20, 20, 20)], 2: [(150, 300, 30, 40)]}
    masks = np.stack([blocks(*parts.get(at, ()), frame=(224, 400)) for at in range(4)])
    picture = np.full((224, 400), 120, np.uint8)
    augmenter, cases = Augmenter((blackout,)), Counter()
    for seed in range(300):
        after, kept = augmenter(picture, masks, np.random.default_rng(seed))
        labels = kept.any((1, 2))
        for at, places in parts.items():
            shown = [
                after[top : top + tall, left : left + wide] for top, left, tall, wide in places
            ]
            left = [bool((each > 0).any()) for each in shown]
            assert [bool((each == 0).all()) for each in shown] == [not one for one in left]
            assert labels[at] == any(left)
            cases[at, sum(left)] += 1
        assert not labels[[1, 3]].any()
    assert set(cases) == {(0, 0), (0, 1), (0, 2), (0, 3), (2, 0), (2, 1)}
