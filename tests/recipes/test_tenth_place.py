"""The 10th place: the published numbers, and what its parts do with real arrays."""

import numpy as np
import pytest
import torch
from torch import nn

from steelscan import recipes
from steelscan.augment import BrightnessContrast, HFlip, SteelShift, UpTo
from steelscan.data import Folds, RandomCrop, WholeStrip
from steelscan.decision import StepOutput
from steelscan.losses import BCE, Lovasz, Mix
from steelscan.prediction import EnsembleMean, Mean, PowerMean, to_uint8
from steelscan.prediction.averages import inverse, mean_of, transform
from steelscan.recipes import ConfidentPixels
from steelscan.strip import Frame

THREE = ("identity", "hflip", "vflip")
SE50 = "legacy_seresnext50_32x4d"


def test_numbers_of_the_tenth(kinds):
    """K:114465."""
    recipe = recipes.load("tenth_place")
    assert recipe.folds == Folds(count=3, validation=(0, 1, 2))
    classify, segment = recipe.network_steps
    assert [member.classes for member in classify.ensemble.members] == [(1,)]
    assert {member.classes for member in segment.ensemble.members} == {(1,), (3,), (4,)}
    batches = {SE50: 4, "tf_efficientnet_b3": 3}
    for member in segment.ensemble.members:
        (stage,) = member.stages
        assert member.network.kind == "fpn"
        assert stage.batch == batches[member.network.encoder]
        assert (stage.crop, member.resize) == (WholeStrip(), None)
        assert stage.loss == Mix(parts=((0.75, BCE()), (0.25, Lovasz())))
        concatenated = (member.network.merge, member.network.segmentation_channels) == ("cat", 32)
        assert concatenated == (member.classes == (4,))  # variant D, for the defect of many scales
    assert segment.ensemble.average == Mean()
    assert kinds(recipe.rules) == ["threshold", "min_area"]
    assert recipe.rules[0].label == 0.0  # tuned on validation: pixels and areas, no labels
    tune = recipe.tune
    assert (tune.label, tune.pixel, tune.area) == (False, True, True)
    rule = recipe.pseudo_labels.rule
    assert isinstance(rule, ConfidentPixels)
    assert (rule.low, rule.high) == (0.2, 0.8)
    assert recipe.pseudo_labels.predicted_by == "fold"  # its thresholds are tuned
    assert {stage.pseudo for m in segment.ensemble.members for stage in m.stages} == {"all"}


def test_the_classifier_of_the_tenth_is_that_of_the_public_starter_pipeline():
    """For the first class alone (K:114465); its flipped views enter by their square roots."""
    classify = recipes.load("tenth_place").steps[0]
    (member,) = classify.ensemble.members
    network, (stage,) = member.network, member.stages
    assert (network.kind, network.encoder, network.dropout) == ("classifier", "resnet34", 0.5)
    assert stage.crop == RandomCrop(height=224, width=1568)
    assert (stage.loss, stage.batch, stage.pseudo) == (BCE(), 20, 0.0)
    assert (stage.optimizer.kind, stage.optimizer.lr) == ("sgd", 1e-3)
    assert classify.ensemble.views == THREE
    assert classify.ensemble.average == PowerMean(t=0.5, form="starter")
    assert (classify.threshold, classify.gate) == (0.5, "class")
    views = np.array([[0.2], [0.36], [0.64]])
    found = inverse(
        classify.ensemble.average,
        mean_of(transform(classify.ensemble.average, views, (False, True, True))),
    )
    assert found.item() == pytest.approx((0.2 + 0.6 + 0.8) / 3)


def test_augmentations_of_the_tenth(stages, kinds):
    """K:114465: hflip alone, with the steel shift, or up to two of eleven."""
    found = {stage.augment for stage in stages(recipes.load("tenth_place").segment)}
    plain, shifted = (HFlip(),), (HFlip(), SteelShift())
    ((up_to,),) = found - {plain, shifted}
    assert found == {plain, shifted, (up_to,)}
    assert isinstance(up_to, UpTo)
    assert up_to.count == 2
    tone = "brightness_contrast"
    assert kinds(up_to.of) == [
        "hflip", "vflip", "iso_noise", "gauss_noise", "cutout", tone, "gamma", "sharpen", "blur",
        "motion_blur", tone,
    ]  # fmt: skip
    tones = [each for each in up_to.of if isinstance(each, BrightnessContrast)]
    assert [(each.brightness > 0, each.contrast > 0) for each in tones] == [
        (True, False),
        (False, True),
    ]
    assert {each.p for each in up_to.of} == {1.0}
    noise = up_to.of[3]  # IAAAdditiveGaussianNoise of albumentations 0.3.3: 0.01 to 0.05 of white
    assert (noise.low, noise.high) == pytest.approx((0.01 * 255, 0.05 * 255))
    assert noise.drawn == "deviation"


def pyramid_strides(built, only_shapes):
    """Return the strides of the encoder's maps in a pyramid, and the width of its output."""
    strides = []
    for layer in built.body.decoder.modules():  # all that take a map of the encoder
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1):
            layer.register_forward_pre_hook(
                lambda _, given: strides.append(64 // given[0].shape[2])
            )
    with only_shapes(), torch.inference_mode():
        built(torch.empty(1, 1, 64, 96))
    return sorted(strides), built.body.decoder.out_channels


def test_the_pyramids_of_the_tenth_differ_in_maps_but_not_in_width(of_shapes, only_shapes):
    """K:114465: A of strides 4 to 32, B of 2 to 16, C of all five, D concatenated, as wide as A."""
    networks = [m.network for m in recipes.load("tenth_place").segment.ensemble.members]
    for encoder in (SE50, "tf_efficientnet_b3"):
        plain, concatenated = (
            next(each for each in networks if (each.encoder, each.merge) == (encoder, merge))
            for merge in ("add", "cat")
        )
        assert pyramid_strides(of_shapes(plain), only_shapes) == ([4, 8, 16, 32], 128)
        assert pyramid_strides(of_shapes(concatenated), only_shapes) == ([4, 8, 16, 32], 128)
    for spec, strides in (
        (plain.but(finest=2, coarsest=16), [2, 4, 8, 16]),
        (plain.but(finest=2), [2, 4, 8, 16, 32]),
    ):
        assert pyramid_strides(of_shapes(spec), only_shapes)[0] == strides


def test_the_tenth_never_predicts_the_second_class(steady, decided):
    """K:114465; and its classifier predicts the first class alone."""
    recipe, frame = recipes.load("tenth_place"), Frame(64, 64)
    ensemble = recipe.segment.ensemble
    models = [steady([9.0], classes=member.classes) for member in ensemble.members]
    picture = np.full(frame, 90, np.uint8)
    maps = EnsembleMean(ensemble.views, picture, ensemble.average, models=models).masks(4)
    for probability, found in ((0.6, [True, False, True, True]), (0.4, [False, False, True, True])):
        classes = np.array([probability, np.nan, np.nan, np.nan], np.float32)
        outputs = {
            "classify": StepOutput(None, classes),
            "segment": StepOutput(to_uint8(maps), None),
        }
        _, masks = decided(recipe, outputs, frame)
        assert masks.any((1, 2)).tolist() == found
