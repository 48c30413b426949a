"""The nine solutions beside what their authors published, and what must be true of each.

First the numbers of each recipe, by hand from the write-ups ("K:" and the number of the author's
text); then what each does with real arrays, without any data.
"""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from steelscan.decision.decide import decide
from torch import nn

from steelscan import recipes
from steelscan.augment import (
    Augmenter,
    BrightnessContrast,
    Clahe,
    Cutout,
    DefectBlackout,
    Elastic,
    GaussNoise,
    HFlip,
    IsoNoise,
    Jpeg,
    OpticalDistortion,
    Rotate180,
    SaltPepper,
    Sharpen,
    ShiftScaleRotate,
    SteelShift,
    UpTo,
    VFlip,
)
from steelscan.data import (
    Folds,
    LikeTest,
    RandomCrop,
    SteelCrop,
    WholeStrip,
    crop_frame,
    cut,
    make_folds,
)
from steelscan.decision import HardGate, SoftGate, StepOutput, consult
from steelscan.evaluation.adversarial.like_test import like_test
from steelscan.evaluation.metrics import Pairs, count_pixels, dice
from steelscan.losses import (
    BCE,
    BothHeads,
    CrossEntropy,
    Dice,
    Focal,
    Jaccard,
    Lovasz,
    Mix,
    SoftmaxFocal,
    build_loss,
)
from steelscan.models import StripNetwork, encoder_of
from steelscan.pipeline import RunFolder
from steelscan.pipeline.folds import dealt
from steelscan.postprocess import (
    FillEdges,
    FillHoles,
    MinArea,
    RemoveSmallComponents,
    ScaledMinArea,
    Threshold,
    Triplet,
    clean,
)
from steelscan.prediction import (
    EncoderFittedFor,
    LogitMean,
    Mean,
    PowerMean,
    TorchModel,
    predict_both,
    predict_masks,
    to_uint8,
)
from steelscan.prediction.averages import averaged
from steelscan.recipes import (
    Classify,
    ConfidentAndAgreed,
    ConfidentClasses,
    ConfidentPixels,
    ConfidentStrips,
    KeepFound,
    Segment,
)
from steelscan.strip import Frame, decode, encode
from steelscan.training import (
    BestAverage,
    CycledDraws,
    DefectiveStrips,
    EveryStrip,
    FlatCosine,
    OneCycle,
    Plateau,
    SuspectStrips,
    WeightedDraws,
    chosen,
    draw,
)
from steelscan.training.averaging import best_mean
from steelscan.training.schedules import rate

STRIP = Frame(256, 1600)
IDENTITY, MIRRORED = ("identity",), ("identity", "hflip")
THREE = ("identity", "hflip", "vflip")
FLIPS = {"hflip", "vflip"}
SE50 = "legacy_seresnext50_32x4d"


def fitted(step):
    """How many networks of each kind and encoder a step fits, by the folds that members name."""
    found = Counter()
    for member in step.ensemble.members:
        kind = getattr(member.network, "segmenter", member.network).kind
        found[kind, encoder_of(member.network).encoder] += len(member.folds or ())
    return found


def stages(step):
    """All stages of a step's networks, each once, in order."""
    return tuple(dict.fromkeys(each for m in step.ensemble.members for each in m.stages))


def kinds(parts):
    return [part.kind for part in parts]


# The numbers, a recipe at a time


def test_numbers_of_the_classifiers_of_the_first():
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


def test_numbers_of_the_segmenters_of_the_first():
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


def test_numbers_of_the_public_networks_of_the_first():
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


def test_numbers_of_the_third():
    """K:117377."""
    recipe = recipes.load("third_place")
    (segment,) = recipe.asking
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
        assert stage.draws == WeightedDraws()
    assert recipe.rules == (Threshold(label=(0.7, 0.7, 0.6, 0.6), pixel=0.4),)
    assert recipe.tune is None
    assert isinstance(recipe.pseudo_labels.rule, ConfidentAndAgreed)


def test_what_tells_the_networks_of_the_third_apart():
    """K:117377."""
    members = recipes.load("third_place").segment.ensemble.members
    told = Counter()
    for member in members:
        network, (stage,) = member.network, member.stages
        flips = set(kinds(stage.augment)) == FLIPS
        told[
            encoder_of(network).encoder.removeprefix("tf_efficientnet_"),
            getattr(network, "merge", "") == "cat",
            getattr(network, "attention", "") == "scse",
            network.mish,
            stage.pseudo == "all",
            not flips,
        ] += 1
    #         concatenated, scse, mish, pseudo, heavy
    assert told == {
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


def test_numbers_of_the_fourth():
    """K:114716."""
    recipe = recipes.load("fourth_place")
    (segment,) = recipe.asking
    networks = fitted(segment)
    assert networks.total() == 9
    assert {encoder for _, encoder in networks} == {
        "densenet201",
        "tf_efficientnet_b5",
        "resnet34",
        SE50,
    }
    assert {kind for kind, _ in networks} == {"fpn", "unet"}
    assert {len(member.folds) for member in segment.ensemble.members} == {1, 5}
    assert {member.network.kind for member in segment.ensemble.members} == {"two_headed"}
    assert {encoder_of(member.network).channels for member in segment.ensemble.members} == {1}
    both = Mix(parts=((1.0, BCE()), (1.0, Focal())))
    assert {stage.loss for stage in stages(segment)} == {
        BothHeads(masks=Focal(), classes=Focal()),
        BothHeads(masks=both, classes=both),
    }
    assert all(stage.precision.endswith("float16") for stage in stages(segment))
    assert {stage.watch for stage in stages(segment)} == {"defect_dice"}
    assert (segment.ensemble.views, segment.ensemble.average) == (THREE, LogitMean())
    assert segment.gate == SoftGate()
    assert recipe.rules == (Threshold(label=0.0, pixel=0.55), MinArea(pixels=256))
    assert (recipe.tune, recipe.pseudo_labels) == (None, None)


def test_numbers_of_the_seventh():
    """K:114215."""
    recipe = recipes.load("seventh_place")
    (segment,) = recipe.asking
    assert fitted(segment) == {
        ("unet", "tf_efficientnet_b7"): 2,
        ("unet", "tf_efficientnet_b4"): 1,
        ("unet", "tf_efficientnet_b0"): 2,
    }
    assert {member.network.output for member in segment.ensemble.members} == {"softmax"}
    assert len({member.stages for member in segment.ensemble.members}) == 1
    crops, whole = stages(segment)
    assert (crops.crop, whole.crop) == (RandomCrop(height=256, width=384), WholeStrip())
    for stage in (crops, whole):
        assert stage.loss == CrossEntropy(smoothing=0.1)
        assert stage.mixup is not None
        assert (stage.optimizer.kind, stage.schedule.kind) == ("adamw", "noam")
        assert stage.draws == EveryStrip()
    assert segment.ensemble.average == Mean()
    assert recipe.rules == (Triplet(top=(0.8, 0.99, 0.75, 0.75), area=100, bottom=0.3),)
    assert (recipe.tune, recipe.pseudo_labels) == (None, None)


def test_numbers_of_the_ninth():
    """K:114297."""
    recipe = recipes.load("ninth_place")
    classify, segment = recipe.asking
    (clearer,) = classify.ensemble.members
    assert (clearer.network.kind, clearer.network.encoder) == ("classifier", "resnet34")
    assert stages(classify)[0].loss == BCE()
    assert (classify.threshold, classify.gate) == ((0.3, 0.3, 0.25, 0.1), "class")
    for member in segment.ensemble.members:
        assert (member.network.kind, member.network.encoder) == ("fpn", "tf_efficientnet_b2")
    folds = {member.classes: len(member.folds) for member in segment.ensemble.members}
    assert folds == {(1,): 5, (2,): 1, (3,): 5, (4,): 5}
    assert recipe.folds.count == 5
    first, second = stages(segment)
    assert (first.loss, second.loss) == (BCE(), Lovasz())
    assert (first.optimizer.kind, first.optimizer.lr) == ("adam", 1e-3)
    assert (second.optimizer.kind, second.optimizer.lr) == ("adam", 1e-4)
    for stage in (first, second):
        assert stage.schedule == Plateau(factor=0.5, patience=3, eps=1e-9)
        assert stage.strips == SuspectStrips(above=0.01)
        assert stage.keep.kind == "best"
    assert segment.ensemble.average == Mean()
    assert recipe.rules == (
        Threshold(label=0.0, pixel=(0.55, 0.7, 0.53, 0.5)),
        MinArea(pixels=1000),
    )
    assert (recipe.tune, recipe.pseudo_labels) == (None, None)


def test_numbers_of_the_tenth():
    """K:114465."""
    recipe = recipes.load("tenth_place")
    assert recipe.folds == Folds(count=3, validation=(0, 1, 2))
    classify, segment = recipe.asking
    assert [member.classes for member in classify.ensemble.members] == [(1,)]
    assert {member.classes for member in segment.ensemble.members} == {(1,), (3,), (4,)}
    batches = {SE50: 4, "tf_efficientnet_b3": 3}
    for member in segment.ensemble.members:
        (stage,) = member.stages
        assert member.network.kind == "fpn"
        assert stage.batch == batches[member.network.encoder]
        assert (stage.crop, member.resize) == (WholeStrip(), None)
        assert stage.loss == Mix(parts=((0.75, BCE()), (0.25, Lovasz())))
        beside = (member.network.merge, member.network.segmentation_channels) == ("cat", 32)
        assert beside == (member.classes == (4,))  # his D, for the defect of many scales
    assert segment.ensemble.average == Mean()
    assert kinds(recipe.rules) == ["threshold", "min_area"]
    assert recipe.rules[0].label == 0.0  # found on validation: pixels and areas, no labels
    tune = recipe.tune
    assert (tune.label, tune.pixel, tune.area) == (False, True, True)
    rule = recipe.pseudo_labels.rule
    assert isinstance(rule, ConfidentPixels)
    assert (rule.low, rule.high) == (0.2, 0.8)


def test_the_classifier_of_the_tenth_is_that_of_the_public_starter_pipeline():
    """For the first class alone (K:114465); its mirrored views enter by their roots."""
    classify = recipes.load("tenth_place").steps[0]
    (member,) = classify.ensemble.members
    network, (stage,) = member.network, member.stages
    assert (network.kind, network.encoder, network.dropout) == ("classifier", "resnet34", 0.5)
    assert stage.crop == RandomCrop(height=224, width=1568)
    assert (stage.loss, stage.batch) == (BCE(), 20)
    assert (stage.optimizer.kind, stage.optimizer.lr) == ("sgd", 1e-3)
    assert classify.ensemble.views == THREE
    assert classify.ensemble.average == PowerMean(t=0.5, form="starter")
    assert (classify.threshold, classify.gate) == (0.5, "class")
    said = np.array([[0.2], [0.36], [0.64]])
    found = averaged(classify.ensemble.average, said, (False, True, True))
    assert found.item() == pytest.approx((0.2 + 0.6 + 0.8) / 3)


def test_augmentations_of_the_tenth():
    """K:114465: the mirror alone, the shift of steel, or up to two of eleven in his order."""
    found = {stage.augment for stage in stages(recipes.load("tenth_place").segment)}
    plain, shifted = (HFlip(),), (HFlip(), SteelShift())
    ((varied,),) = found - {plain, shifted}
    assert found == {plain, shifted, (varied,)}
    assert isinstance(varied, UpTo)
    assert varied.count == 2
    tone = "brightness_contrast"
    assert kinds(varied.of) == [
        "hflip", "vflip", "iso_noise", "gauss_noise", "cutout", tone, "gamma", "sharpen", "blur",
        "motion_blur", tone,
    ]  # fmt: skip
    tones = [each for each in varied.of if isinstance(each, BrightnessContrast)]
    assert [(each.brightness > 0, each.contrast > 0) for each in tones] == [
        (True, False),
        (False, True),
    ]
    assert {each.p for each in varied.of} == {1.0}


def test_numbers_of_the_first_step_of_the_twelfth():
    """K:114309."""
    classify = recipes.load("twelfth_place").steps[0]
    (clearer,) = classify.ensemble.members
    assert (clearer.network.kind, clearer.network.encoder) == ("classifier", "legacy_senet154")
    assert clearer.resize.frame(STRIP) == (128, 800)
    (stage,) = clearer.stages
    assert (stage.crop, stage.loss, stage.optimizer.kind) == (WholeStrip(), BCE(), "radam")
    assert set(kinds(stage.augment)) == FLIPS
    assert classify.ensemble.views == IDENTITY
    assert classify.gate == "image"
    assert stage.pseudo == "all"


def test_numbers_of_the_middle_step_of_the_twelfth():
    """K:114309."""
    recipe = recipes.load("twelfth_place")
    segment = recipe.segment
    assert segment.ensemble.views == MIRRORED
    assert segment.ensemble.average == Mean()
    psp, *custom = segment.ensemble.members
    assert (psp.network.kind, psp.network.encoder) == ("psp", "legacy_seresnext101_32x4d")
    assert len(recipe.folds_of(psp)) == 4
    crops, whole = psp.stages
    for stage in (crops, whole):
        assert stage.loss == Mix(parts=((1.0, BCE()), (1.0, Jaccard())))
        assert set(kinds(stage.augment)) == FLIPS
    crop = RandomCrop(height=256, width=256, defect=1.0)
    assert (crops.crop, crops.batch) == (crop, 32)
    assert (whole.crop, whole.batch, whole.accumulate_to) == (WholeStrip(), 4, 20)
    assert whole.optimizer.lr == pytest.approx(0.1 * crops.optimizer.lr)
    assert [member.network.kind for member in custom] == ["fpn", "psp"]
    for member in custom:
        assert member.network.encoder == "legacy_senet154"
        assert [(stage.crop, stage.loss) for stage in member.stages] == [(crop, BCE())]
        assert isinstance(member.start, EncoderFittedFor)
        assert [(stage.crop, stage.loss) for stage in member.start.stages] == [(crop, BCE())]
    between = recipe.steps[2:7]
    assert between[0] == Threshold(label=0.0, pixel=0.5)
    assert kinds(between[1:]) == ["remove_small_components", "fill_holes", "min_area", "keep_found"]
    assert isinstance(between[2], FillHoles)
    assert isinstance(between[4], KeepFound)
    assert len(between[3].pixels) == 4


def test_numbers_of_the_last_step_of_the_twelfth():
    """K:114309."""
    recipe = recipes.load("twelfth_place")
    segment = recipe.steps[7]
    assert isinstance(segment, Segment)
    for class_id in (1, 2, 3, 4):
        own = [member for member in segment.ensemble.members if member.classes == (class_id,)]
        networks = Counter()
        for member in own:
            networks[member.network.kind, member.network.encoder] += len(member.folds)
        assert networks == {("unet", SE50): 2, ("fpn", SE50): 2, ("unet", "legacy_senet154"): 1}
    (stage,) = stages(segment)
    assert stage.crop.but(defect=0.0) == RandomCrop(height=256, width=768)
    assert stage.strips == DefectiveStrips()
    assert stage.loss == Mix(parts=((1.0, Dice()), (1.0, Focal(gamma=2.0))))
    assert (stage.optimizer.kind, stage.schedule.kind) == ("radam", "plateau")
    assert {HFlip(), VFlip(), Rotate180(), BrightnessContrast(), Jpeg()} < set(stage.augment)
    (scaled,) = (each for each in stage.augment if isinstance(each, ShiftScaleRotate))
    assert (scaled.scale, scaled.shift, scaled.degrees) == (0.1, 0.0, 0.0)
    assert recipe.rules == (Threshold(label=0.0, pixel=0.5),)
    assert recipe.tune is None
    assert isinstance(recipe.pseudo_labels.rule, ConfidentStrips)
    # sure strips were for the classifier: no segmenter learns from them
    segmenters = [m for step in recipe.asking[1:] for m in step.ensemble.members]
    assert {each.pseudo for member in segmenters for each in member.stages} == {0.0}


def test_numbers_of_the_fourteenth():
    """K:114367 and its code."""
    recipe = recipes.load("fourteenth_place")
    (segment,) = recipe.asking
    assert fitted(segment) == {
        ("asymmetric_unet", SE50): 2,
        ("asymmetric_unet", "seresnext50_32x4d"): 1,
    }
    first, second = (member.network for member in segment.ensemble.members)
    assert [(each.segmenter.stem, each.segmenter.mish) for each in (first, second)] == [
        ("plain", False),
        ("deep", True),
    ]
    assert {each.dropout for each in (first, second)} == {0.5}
    assert {(each.segmenter.channels, each.segmenter.scale) for each in (first, second)} == {
        (3, "imagenet")
    }
    plain, pseudo = stages(segment)
    assert pseudo == plain.but(pseudo=pseudo.pseudo)
    assert plain.pseudo == 0.0
    assert pseudo.pseudo / (1 - pseudo.pseudo) == pytest.approx(0.35, abs=0.01)
    assert plain.crop == SteelCrop(height=256, width=512, dark=10, black=0.85, mean=15.0)
    assert plain.draws == CycledDraws(epoch="text")
    masks = plain.loss.masks
    assert (masks.loss.symmetric, masks.loss.rectifier) == (True, "elu")
    assert masks.always == (False, False, True, False)
    assert (plain.loss.classes, plain.loss.weight) == (BCE(), 10.0)
    assert (plain.optimizer.kind, plain.optimizer.lr, plain.batch) == ("adam", 1e-4, 6)
    assert isinstance(plain.schedule, FlatCosine)
    assert plain.epochs == 100
    assert plain.schedule.warmup * plain.epochs == pytest.approx(0.5)
    assert plain.schedule.flat * plain.epochs == pytest.approx(49.5)
    assert (segment.ensemble.views, segment.ensemble.average) == (THREE, Mean())
    assert segment.gate == HardGate(threshold=(0.55, 0.99, 0.25, 0.5))
    assert recipe.rules == (
        Threshold(label=0.0, pixel=0.5),
        MinArea(pixels=(0, 0, 1200, 0)),
        FillEdges(pixels=20),
    )
    assert recipe.tune is None
    assert recipe.folds.count == 5
    assert recipe.pseudo_labels.rule == ConfidentClasses(least=(0.85, 0.0, 0.75, 0.0))


def test_augmentations_of_the_fourteenth():
    """K:114367, with what albumentations had where it names no number."""
    flip, local, tone, bend, place, noise, holes = stages(recipes.load("fourteenth_place").segment)[
        0
    ].augment
    shares = [each.p for each in (flip, local, tone, bend, place, noise, holes)]
    assert shares == [0.5, 0.35, 0.3, 0.3, 0.5, 0.5, 0.25]
    assert {(each.kind, each.p) for each in flip.of} == {
        ("hflip", 1.0),
        ("vflip", 1.0),
        ("rotate180", 1.0),  # both at once: a third of the flips
    }
    assert local.of == (Clahe(clip=2.0, p=0.5), Sharpen(p=0.25))
    assert kinds(tone.of) == ["brightness_contrast", "gamma", "brightness_contrast"]
    assert [each.contrast for each in tone.of[::2]] == [0.2, 0.0]
    assert [each.brightness for each in tone.of[::2]] == [0.0, 0.2]
    assert len({each.p for each in (*tone.of, *bend.of)}) == 1
    assert bend.of[0] == Elastic(alpha=120.0, sigma=120 * 0.05)
    assert bend.of[1].kind == "grid_distortion"
    assert bend.of[2] == OpticalDistortion(limit=2.0)
    assert place == ShiftScaleRotate(shift=0.0625, scale=0.1, degrees=12.0)
    assert [type(each) for each in noise.of] == [GaussNoise, SaltPepper, IsoNoise]
    assert [each.p for each in noise.of] == [0.35, 0.7, 0.7]
    assert noise.of[1].amount == 0.0002
    assert holes == Cutout(holes=3, side=8, p=0.25)


def test_numbers_of_the_seventieth():
    """A summary of the solutions: a power of one half, crops to strips, folds like the test."""
    recipe = recipes.load("seventieth_place")
    (segment,) = recipe.asking
    assert segment.ensemble.average == PowerMean(t=0.5, form="raw")
    for member in segment.ensemble.members:
        assert {type(stage.crop) for stage in member.stages} == {RandomCrop}
        assert (member.resize, member.tiles) == (None, None)
    assert isinstance(recipe.folds, LikeTest)


# What they do


def blocks(*places, frame=STRIP):
    """A mask of rectangles ``(top, left, height, width)``."""
    mask = np.zeros(frame, np.bool_)
    for top, left, height, width in places:
        mask[top : top + height, left : left + width] = True
    return mask


def levels_of(masks, value):
    """Maps of a probability inside masks and of none outside, as 255ths."""
    return (np.stack(masks) * np.uint8(round(255 * value))).astype(np.uint8)


def test_masks_at_the_border_of_a_strip_are_the_run_lengths_of_the_competition():
    """Pixels count from 1, down each column first; the last of a strip is number 409600."""
    full = blocks((0, 0, 256, 1600))
    corners = blocks((0, 0, 1, 1), (255, 1599, 1, 1))
    edges = blocks((0, 3, 1, 2), (255, 3, 1, 1))
    maps = levels_of((full, corners, edges, ~full), 1.0)
    masks = clean(maps, [Threshold()])
    expected = ["1 409600", "1 1 409600 1", "769 1 1024 2", ""]
    assert [encode(mask) for mask in masks] == expected
    for text, mask in zip(expected, masks, strict=True):
        assert np.array_equal(decode(text, STRIP), mask)
        assert np.array_equal(np.flatnonzero(mask.T), pixels_of(text))


def pixels_of(text):
    """The numbers of the pixels, from 0, by the definition of run lengths."""
    numbers = [int(word) for word in text.split()]
    runs = zip(numbers[::2], numbers[1::2], strict=True)
    return [start - 1 + step for start, length in runs for step in range(length)]


def test_what_the_first_answers_is_scored_a_class_and_strip_at_a_time():
    """Nothing there and nothing found, found in vain, missed, and shared in part (K:114297)."""
    rules = recipes.load("first_place").rules
    truth = np.stack(
        [blocks(), blocks((10, 10, 40, 40)), blocks(), blocks((0, 0, 60, 60))]  # none, missed, none
    )
    said = (blocks(), blocks(), blocks((10, 10, 40, 40)), blocks((0, 20, 60, 60)))
    answer = clean(levels_of(said, 0.8), rules)
    found = dice(Pairs.of([count_pixels(answer, truth)]))
    brute = []
    for guess, true in zip(answer, truth, strict=True):
        one, other = set(np.flatnonzero(guess).tolist()), set(np.flatnonzero(true).tolist())
        brute.append(2 * len(one & other) / (len(one) + len(other)) if one or other else 1.0)
    assert brute == [1.0, 0.0, 0.0, pytest.approx(2 / 3)]
    assert found.tolist() == [pytest.approx(brute)]
    assert found.mean() == pytest.approx((1 + 2 / 3) / 4)


def test_the_first_asks_nine_segmenters():
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


def test_blackout_of_the_first_clears_a_label_when_the_last_component_is_gone():
    """K:114254: a label turns from 1 to 0 only when all of its components are painted over."""
    (blackout,) = (
        each
        for each in stages(recipes.load("first_place").steps[0])[0].augment
        if isinstance(each, DefectBlackout)
    )
    parts = {0: [(20, 20, 9, 30), (20, 200, 9, 30), (150, 20, 20, 20)], 2: [(150, 300, 30, 40)]}
    masks = np.stack([blocks(*parts.get(at, ()), frame=(224, 400)) for at in range(4)])
    picture = np.full((224, 400), 120, np.uint8)
    augmenter, seen = Augmenter((blackout,)), Counter()
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
            seen[at, sum(left)] += 1
        assert not labels[[1, 3]].any()
    assert set(seen) == {(0, 0), (0, 1), (0, 2), (0, 3), (2, 0), (2, 1)}


def test_the_third_answers_nothing_where_no_pixel_reaches_the_label_threshold():
    """K:117377: 0.7, 0.7, 0.6, 0.6 for the class, 0.4 for its pixels."""
    rules = recipes.load("third_place").rules
    defect = blocks((50, 100, 60, 80))
    peak = blocks((60, 120, 1, 1))
    for highest, there in ((0.45, [0, 0, 0, 0]), (0.65, [0, 0, 1, 1]), (0.75, [1, 1, 1, 1])):
        maps = np.where(peak, highest, np.where(defect, 0.42, 0.38)).astype(np.float32)
        masks = clean(np.stack([maps] * 4), rules)
        assert masks.any((1, 2)).tolist() == [bool(one) for one in there]
        assert all(np.array_equal(mask, defect) for mask in masks if mask.any())


def test_the_weights_of_the_third_bring_every_label_alike():
    """Sound steel and each class come about equally often where no strip has two labels."""
    (stage, *_) = stages(recipes.load("third_place").segment)
    counts = (500, 60, 20, 300, 120)
    labels = np.repeat(np.arange(5), counts)
    present = labels[:, None] == np.arange(1, 5)
    rng = np.random.default_rng(0)
    drawn = np.concatenate([draw(stage.draws, present, rng) for _ in range(20)])
    assert np.bincount(labels[drawn]) / len(drawn) == pytest.approx(np.full(5, 0.2), abs=0.02)


class Steady(nn.Module):
    """The same logits for every pixel of every strip, and with ``judged`` for the strip."""

    def __init__(self, outlined, judged=None):
        super().__init__()
        self.outlined = nn.Parameter(torch.tensor(outlined))
        self.judged = None if judged is None else nn.Parameter(torch.tensor(judged))

    def forward(self, strips):
        count, _, height, width = strips.shape
        maps = self.outlined.clone()[None, :, None, None].expand(count, -1, height, width)
        return maps if self.judged is None else (maps, self.judged.clone().expand(count, -1))


def steady(outlined, judged=None, classes=None):
    """A voter that says these logits."""
    head = "masks" if judged is None else "both"
    network = StripNetwork(
        Steady(outlined, judged), encoder="", mean=0.5, std=0.5, stride=32, head=head
    )
    return TorchModel(network.eval(), None, classes)


def sigmoid(values):
    return 1 / (1 + np.exp(-np.asarray(values, np.float64)))


def answers(recipe, says, frame):
    """The masks of a recipe whose steps are told what their networks say."""
    opened = consult(recipe, lambda name, _: says[name], 4, frame)
    return opened.levels, decide(opened, recipe.rules)


def test_the_fourth_gates_after_it_has_averaged_the_logits_of_each_head():
    """K:114716: p = sigmoid(mean mask logit) * sigmoid(mean class logit), then 0.55."""
    recipe = recipes.load("fourth_place")
    frame, ensemble = Frame(32, 64), recipe.segment.ensemble
    outlined = np.array([[4.0, 6.0, 1.0, 3.0], [-2.0, 0.5, 2.0, 3.0]])
    judged = np.array([[3.0, 5.0, -4.0, 2.0], [0.5, -1.0, 8.0, -2.0]])
    models = [steady(*map(list, pair)) for pair in zip(outlined, judged, strict=True)]
    picture = np.full(frame, 90, np.uint8)
    masks, said = predict_both(models, ensemble.views, picture, ensemble.average, 4)
    levels, found = answers(recipe, {"segment": StepOutput(to_uint8(masks), said)}, frame)
    expected = sigmoid(outlined.mean(0)) * sigmoid(judged.mean(0))
    earlier = (sigmoid(outlined) * sigmoid(judged)).mean(0)  # each network gated by itself
    assert np.abs(expected - earlier).max() > 0.1
    assert levels[:, 0, 0] / 255 == pytest.approx(expected, abs=1 / 255)
    assert found.all((1, 2)).tolist() == (expected > 0.55).tolist()
    assert (expected > 0.55).tolist() != (earlier > 0.55).tolist()
    assert 0 < found.any((1, 2)).sum() < 4


def test_the_stems_of_the_fourth_take_one_grey_channel(of_shapes):
    """K:114716."""
    for member in recipes.load("fourth_place").segment.ensemble.members:
        network = of_shapes(member.network)
        first = next(layer for layer in network.encoder.modules() if isinstance(layer, nn.Conv2d))
        assert first.in_channels == 1


def test_the_rate_of_the_seventh_follows_noams_curve():
    """Up in a line for an epoch, then down with the root of the step (arXiv:1706.03762)."""
    strips = 12568
    for stage in stages(recipes.load("seventh_place").segment):
        epoch = strips // stage.batch
        steps = epoch * stage.epochs
        rates = np.array([rate(stage.schedule, step, steps) for step in range(steps)])
        assert int(rates.argmax()) + 1 == pytest.approx(epoch, abs=1)
        assert rates.max() == pytest.approx(1, abs=0.001)
        number = np.arange(1, steps + 1)
        formula = np.minimum(number**-0.5, number * float(epoch) ** -1.5) * epoch**0.5
        assert rates == pytest.approx(formula, rel=1e-3)
        assert rates[4 * epoch - 1] == pytest.approx(0.5, abs=0.001)


def wanted(loss, truth, planes):
    """The truth that a cross entropy learns, from its gradient: softmax minus truth, a pixel."""
    logits = torch.randn(len(truth), planes, *truth.shape[2:], dtype=torch.float64)
    logits.requires_grad_()
    loss(logits, truth).backward()
    pixels = logits[:, 0].numel()
    return (logits.softmax(1) - pixels * logits.grad).detach()


def test_the_soft_targets_of_the_seventh_sum_to_one():
    """K:114215: smoothed and mixed; his example makes 0 0 1 0 into 0.025, 0.025, 0.925, 0.025."""
    torch.manual_seed(0)
    stage = stages(recipes.load("seventh_place").segment)[0]
    label = torch.randint(0, 5, (2, 6, 8))
    truth = torch.stack([label == class_id for class_id in range(1, 5)], 1).double()
    other = truth.flip(0)
    for share in (1.0, 0.7):
        soft = wanted(build_loss(stage.loss, 4), share * truth + (1 - share) * other, 5)
        assert torch.allclose(soft.sum(1), torch.ones(2, 6, 8, dtype=torch.float64))
        hard = torch.cat([(label == 0).double()[:, None], truth], 1)
        mixed = share * hard + (1 - share) * hard.flip(0)
        assert torch.allclose(soft, 0.9 * mixed + 0.1 / 5)
    example = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)[None, :, None, None]
    soft = wanted(build_loss(stage.loss, 3), example, 4)
    assert soft.flatten().tolist() == pytest.approx([0.025, 0.025, 0.925, 0.025])


def test_an_epoch_of_the_ninth_goes_over_the_strips_at_three_widths():
    """K:114297: 256x256 by 12, 256x416 by 12, 256x608 by 8."""
    masks = blocks((100, 700, 40, 60))[None]
    picture = np.random.default_rng(0).integers(40, 200, STRIP).astype(np.uint8)
    for stage in stages(recipes.load("ninth_place").segment):
        passes = [
            (stage.crop, stage.batch),
            *((each.crop, each.batch) for each in stage.more_passes),
        ]
        shapes = []
        for crop, batch in passes:
            frame = crop_frame(crop, STRIP)
            cropped, planes = cut(picture, masks, crop, frame, np.random.default_rng(1))
            assert planes.shape[1:] == cropped.shape
            shapes.append((batch, *cropped.shape))
        assert shapes == [(12, 256, 256), (12, 256, 416), (8, 256, 608)]


def test_the_binary_networks_of_the_ninth_learn_from_as_many_strips_as_its_author_had():
    """K:114297: strips with the class, and those of which the classifier says more than 0.01."""
    (strips,) = {stage.strips for stage in stages(recipes.load("ninth_place").segment)}
    #         all, of them suspected, with the class, suspected without it
    author = ((2405, 2377, 897, 1508), (949, 941, 247, 702), (8398, 8381, 5150, 3248),
              (1603, 1591, 801, 802))  # fmt: skip
    rng = np.random.default_rng(0)
    for everyone, suspected, holding, extra in author:
        assert everyone == holding + extra
        order = rng.permutation(12568)
        present = np.zeros((12568, 1), np.bool_)
        present[order[:holding]] = True
        suspicion = np.full((12568, 1), 0.01, np.float32)
        missed = everyone - suspected  # strips with the class that the classifier passes over
        suspicion[order[missed : holding + extra]] = rng.uniform(0.02, 1, (suspected, 1))
        teach = chosen(strips, present, suspicion)
        assert teach.sum() == everyone
        assert teach[present[:, 0]].all()
        assert (suspicion[teach, 0] > 0.01).sum() == suspected


def test_the_ninth_sends_each_class_that_passes_to_its_own_network():
    """K:114297: 0.3, 0.3, 0.25, 0.1, a class by itself."""
    recipe, frame = recipes.load("ninth_place"), Frame(64, 64)
    ensemble, logits = recipe.segment.ensemble, {1: 0.4, 2: 1.1, 3: 2.0, 4: 0.2}
    models = [steady([logits[m.classes[0]]], classes=m.classes) for m in ensemble.members]
    picture = np.full(frame, 90, np.uint8)
    maps = predict_masks(models, ensemble.views, picture, ensemble.average, 4)
    assert maps[:, 5, 5] == pytest.approx(sigmoid(list(logits.values())), abs=1e-6)
    for said, opened in (
        ((0.31, 0.31, 0.26, 0.11), (1, 1, 1, 1)),
        ((0.31, 0.29, 0.24, 0.11), (1, 0, 0, 1)),
        ((0.29, 0.31, 0.26, 0.09), (0, 1, 1, 0)),
        ((0.29, 0.29, 0.24, 0.09), (0, 0, 0, 0)),
    ):
        judged = StepOutput(None, np.array(said, np.float32))
        says = {"classify": judged, "segment": StepOutput(to_uint8(maps), None)}
        _, masks = answers(recipe, says, frame)
        assert masks.all((1, 2)).tolist() == [bool(one) for one in opened]
        assert masks.any((1, 2)).tolist() == masks.all((1, 2)).tolist()


def pyramid_strides(built, only_shapes):
    """The strides of the encoder's maps that go into a pyramid of a strip of 64x96."""
    seen = []
    for layer in built.body.decoder.modules():  # all that an encoder's map goes into
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1):
            layer.register_forward_pre_hook(lambda _, given: seen.append(64 // given[0].shape[2]))
    with only_shapes(), torch.inference_mode():
        built(torch.empty(1, 1, 64, 96))
    return sorted(seen), built.body.decoder.out_channels


def test_the_pyramids_of_the_tenth_differ_by_maps_and_not_by_width(of_shapes, only_shapes):
    """K:114465: A of strides 4 to 32, B of 2 to 16, C of all five, D side by side, as wide as A."""
    networks = [m.network for m in recipes.load("tenth_place").segment.ensemble.members]
    for encoder in (SE50, "tf_efficientnet_b3"):
        plain, beside = (
            next(each for each in networks if (each.encoder, each.merge) == (encoder, merge))
            for merge in ("add", "cat")
        )
        assert pyramid_strides(of_shapes(plain), only_shapes) == ([4, 8, 16, 32], 128)
        assert pyramid_strides(of_shapes(beside), only_shapes) == ([4, 8, 16, 32], 128)
    for spec, strides in (
        (plain.but(finest=2, coarsest=16), [2, 4, 8, 16]),
        (plain.but(finest=2), [2, 4, 8, 16, 32]),
    ):
        assert pyramid_strides(of_shapes(spec), only_shapes)[0] == strides


def test_the_tenth_never_answers_the_second_class():
    """K:114465; and its classifier judges the first class alone."""
    recipe, frame = recipes.load("tenth_place"), Frame(64, 64)
    ensemble = recipe.segment.ensemble
    models = [steady([9.0], classes=member.classes) for member in ensemble.members]
    picture = np.full(frame, 90, np.uint8)
    maps = predict_masks(models, ensemble.views, picture, ensemble.average, 4)
    for said, found in ((0.6, [True, False, True, True]), (0.4, [False, False, True, True])):
        judged = np.array([said, np.nan, np.nan, np.nan], np.float32)
        says = {"classify": StepOutput(None, judged), "segment": StepOutput(to_uint8(maps), None)}
        _, masks = answers(recipe, says, frame)
        assert masks.any((1, 2)).tolist() == found


def test_every_stage_of_the_twelfth_tries_31_means_of_five_checkpoints():
    """K:114309."""
    recipe = recipes.load("twelfth_place")
    members = [member for step in recipe.asking for member in step.ensemble.members]
    lenders = [m.start for m in members if isinstance(m.start, EncoderFittedFor)]
    every = {stage.keep for each in (*members, *lenders) for stage in each.stages}
    assert every == {BestAverage(count=5)}
    (keep,) = every
    states = [{"weight": torch.tensor([2.0**at])} for at in range(keep.count)]
    tried = []

    def score(state):
        tried.append(float(state["weight"]))
        return -abs(float(state["weight"]) - 9)  # the mean of 2 and 16 alone

    best, mean = best_mean(states, score)
    assert len(tried) == 31
    chosen_of = ([2.0**at for at in range(5) if bits >> at & 1] for bits in range(1, 32))
    assert sorted(tried) == pytest.approx(sorted(map(np.mean, chosen_of)))
    assert (best, float(mean["weight"])) == ((1, 4), 9.0)


def test_crops_of_the_twelfth_hold_a_pixel_of_a_mask():
    """K:114309: a single pixel in a strip is enough, wherever it lies."""
    crops = {
        stage.crop
        for step in recipes.load("twelfth_place").asking[1:]
        for stage in stages(step)
        if isinstance(stage.crop, RandomCrop)
    }
    assert {(crop.height, crop.width) for crop in crops} == {(256, 256), (256, 768)}
    picture = np.zeros(STRIP, np.uint8)
    for crop in crops:
        for column in (0, 700, 1599):
            masks = np.zeros((4, *STRIP), np.bool_)
            masks[1, 128, column] = True
            before = masks.copy()
            for seed in range(40):
                rng = np.random.default_rng(seed)
                _, planes = cut(picture, masks, crop, crop_frame(crop, STRIP), rng)
                assert planes.any((1, 2)).tolist() == [False, True, False, False]
            assert np.array_equal(masks, before)
        clean_strip = np.zeros((4, *STRIP), np.bool_)
        _, planes = cut(picture, clean_strip, crop, crop_frame(crop, STRIP), rng)
        assert planes.shape == (4, crop.height, crop.width)


def test_the_middle_step_of_the_twelfth_can_only_remove():
    """K:114309: against the same recipe without it; a class stays as it was, or goes."""
    whole = recipes.load("twelfth_place")
    short = whole.but(steps=(whole.steps[0], *whole.steps[7:]))
    rng, seen = np.random.default_rng(0), Counter()
    frame = Frame(64, 128)
    for _ in range(60):
        sizes = rng.integers(0, 80, 4)
        middle = levels_of([blocks((0, 0, 64, int(size)), frame=frame) for size in sizes], 0.9)
        last = rng.integers(0, 256, (4, *frame)).astype(np.uint8)
        judged = StepOutput(None, rng.random(4, np.float32))
        _, with_it = answers(
            whole,
            {
                "classify": judged,
                "segment": StepOutput(middle, None),
                "segment2": StepOutput(last, None),
            },
            frame,
        )
        _, without = answers(short, {"classify": judged, "segment": StepOutput(last, None)}, frame)
        assert not (with_it & ~without).any()
        for one, other, size, least in zip(
            with_it, without, sizes, whole.steps[5].pixels, strict=True
        ):
            removed = not one.any() and bool(other.any())
            assert removed or np.array_equal(one, other)
            if other.any():
                assert removed == (64 * size < least)
                seen[removed] += 1
    assert min(seen[True], seen[False]) > 20


def test_the_fourteenth_gives_logits_at_stride_2_and_enlarges_them(of_shapes, only_shapes):
    """K:114367."""
    for member in recipes.load("fourteenth_place").segment.ensemble.members:
        network, sizes = of_shapes(member.network), []
        network.body.segmentation_head.logits.register_forward_hook(
            lambda _, __, out, sizes=sizes: sizes.append(tuple(out.shape))
        )
        with only_shapes(), torch.inference_mode():
            outputs = network(torch.empty(1, 1, 64, 128))
        assert sizes == [(1, 4, 32, 64)]
        assert outputs.masks.shape == (1, 4, 64, 128)
        assert outputs.classes.shape == (1, 4)


def fourteenth():
    """The first stage of the 14th."""
    return stages(recipes.load("fourteenth_place").segment)[0]


def test_masks_of_the_fourteenth_learn_from_crops_with_their_class_and_the_third_from_all():
    """Its code: the gate is the truth of the crop; the second head learns from every crop."""
    torch.manual_seed(0)
    loss = build_loss(fourteenth().loss, 4)
    target = torch.zeros(5, 4, 6, 8)
    for class_id in range(4):
        target[1 + class_id, class_id, :3] = 1
    masks, classes = torch.randn(5, 4, 6, 8), torch.randn(5, 4)
    for head in (masks, classes):
        head.requires_grad_()
    loss(masks, classes, target, target.amax((2, 3))).backward()
    learns = (masks.grad != 0).flatten(2).any(2)
    expected = target.amax((2, 3)) > 0
    expected[:, 2] = True
    assert learns.tolist() == expected.tolist()
    assert learns[0].tolist() == [False, False, True, False]  # the clean crop
    assert (classes.grad != 0).all()


def test_on_a_clean_crop_of_the_fourteenth_only_the_third_class_costs_anything():
    loss = build_loss(fourteenth().loss.masks, 4)
    for class_id in range(4):
        logits = torch.full((1, 4, 6, 8), -30.0)
        quiet = float(loss(logits, torch.zeros(1, 4, 6, 8)))
        logits[:, class_id] = 3.0
        more = float(loss(logits, torch.zeros(1, 4, 6, 8))) - quiet
        assert (more > 1) == (class_id == 2)
        assert class_id == 2 or more == 0


def test_the_lovasz_loss_of_the_fourteenth_is_symmetric():
    """(z, y) costs what (-z, 1 - y) does; with one half of it alone that is not so."""
    torch.manual_seed(0)
    spec = fourteenth().loss.masks.loss
    logits, truth = torch.randn(3, 4, 6, 8), (torch.rand(3, 4, 6, 8) < 0.2).float()
    both = build_loss(spec, 4)
    assert torch.allclose(both(logits, truth), both(-logits, 1 - truth), rtol=1e-5)
    half = build_loss(spec.but(symmetric=False), 4)
    assert not torch.allclose(half(logits, truth), half(-logits, 1 - truth), rtol=1e-2)


def test_crops_of_the_fourteenth_from_a_strip_that_is_half_black():
    """K:114367: at most 85 % black, or the end of the strip that shows steel."""
    crop = fourteenth().crop
    frame, width = crop_frame(crop, STRIP), STRIP.width
    numbered = np.stack([np.arange(width) >> bit & 1 for bit in range(11)]).astype(np.bool_)
    masks = np.broadcast_to(numbered[:, None], (11, *STRIP))
    black_left = np.full(STRIP, 120, np.uint8)
    black_left[:, : width // 2] = 3
    for picture, end in ((black_left, width - 512), (black_left[:, ::-1], 0)):
        lefts = []
        for seed in range(150):
            cropped, planes = cut(picture, masks, crop, frame, np.random.default_rng(seed))
            assert cropped.shape == (256, 512)
            left = sum(int(planes[bit, 0, 0]) << bit for bit in range(11))
            assert np.array_equal(cropped, picture[:, left : left + 512])
            assert np.mean(cropped < 10) <= 0.85
            lefts.append(left)
        # 364 of 1088 places are too black, and all of these windows end up at one place
        assert lefts.count(end) / 150 == pytest.approx(365 / 1089, abs=0.12)
        assert len(set(lefts)) > 60


def test_strips_of_the_fourteenth_come_in_the_order_0_1_2_3_4():
    """K:114367: until every clean strip has come once."""
    draws = fourteenth().draws
    labels = np.array([0] * 30 + [1] * 7 + [2] * 3 + [3] * 40 + [4] * 6)
    labels = np.random.default_rng(0).permutation(labels)
    present = labels[:, None] == np.arange(1, 5)
    drawn = draw(draws, present, np.random.default_rng(0))
    assert labels[drawn].tolist() == [0, 1, 2, 3, 4] * 30
    assert sorted(drawn[::5].tolist()) == np.flatnonzero(labels == 0).tolist()


def test_powers_of_the_seventieth_are_averaged_as_they_stand():
    """Its formula: the sum of p ** 0.5 over N; 0.25 becomes 0.5."""
    average = recipes.load("seventieth_place").segment.ensemble.average
    given = np.array([[0.25, 0.0, 1.0, 0.81], [0.25, 0.0, 1.0, 0.01], [0.25, 1.0, 1.0, 0.49]])
    found = averaged(average, given, (False, True, True))
    assert found.tolist() == pytest.approx([0.5, 1 / 3, 1.0, (0.9 + 0.1 + 0.7) / 3])
    true = averaged(average.but(form="true"), given, (False, True, True))
    assert true.tolist() == pytest.approx([value**2 for value in found.tolist()])


def test_strips_like_those_of_the_test_leave_the_folds_of_the_seventieth_as_ever(tmp_path):
    """Adversarial validation of one and the same distribution: an AUC of a half, and no change."""
    rng = np.random.default_rng(0)
    scores = [
        like_test(rng.normal(size=(150, 15)), rng.normal(size=(100, 15)), np.arange(150), seed)
        for seed in range(8)
    ]
    assert np.mean([each.auc for each in scores]) == pytest.approx(0.5, abs=0.04)
    assert not any(each.told_apart for each in scores)
    pictures = rng.integers(60, 180, (80, 16, 64)).astype(np.uint8)
    labels = rng.integers(0, 5, 50)
    same = SimpleStrips(pictures[:50], pictures[50:], labels[:, None] == np.arange(1, 5))
    spec, groups = recipes.load("seventieth_place").folds, np.arange(50)
    folds, _ = dealt(RunFolder(tmp_path), spec, same, groups, 0)
    ever = make_folds(same.present, groups, 5, 0)
    assert np.array_equal(folds == 0, ever == 0)
    assert np.mean(folds == 0) == pytest.approx(spec.share)


class SimpleStrips(SimpleNamespace):
    """What dealing folds asks of a data set."""

    def __init__(self, train, test, present):
        super().__init__(train=train, test=test, present=present, root="strips")
        self.names = tuple(f"train{row}.png" for row in range(len(train)))
        self.test_names = tuple(f"test{row}.png" for row in range(len(test)))

    def __len__(self):
        return len(self.names)

    def picture(self, row):
        return self.train[row]

    def test_picture(self, row):
        return self.test[row]


def test_the_area_of_the_55th_ends_at_itself_and_at_five_times_itself():
    """Its code: t = t0 * f - t0 * (f - 1) * p with f = 5; areas 600, 600, 1000, 2000."""
    least = (600, 600, 1000, 2000)
    rules = (Threshold(), ScaledMinArea(pixels=least))
    for sure, factor in ((1.0, 1), (0.5, 3), (0.0, 5)):
        word = np.full(4, sure, np.float32)
        for pixels, stays in ((0, True), (-1, False)):
            masks = np.zeros((4, 100 * 200), np.bool_)
            for mask, area in zip(masks, least, strict=True):
                mask[: factor * area + pixels] = True
            found = clean(levels_of(masks.reshape(4, 100, 200), 1.0), rules, word)
            assert found.any((1, 2)).tolist() == [stays] * 4
