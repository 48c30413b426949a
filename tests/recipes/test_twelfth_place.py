"""The 12th place: the published numbers, and what its parts do with real arrays."""

from collections import Counter

import numpy as np
import pytest
import torch

from steelscan import recipes
from steelscan.augment import BrightnessContrast, HFlip, Jpeg, Rotate180, ShiftScaleRotate, VFlip
from steelscan.data import RandomCrop, WholeStrip, crop_frame, cut
from steelscan.decision import StepOutput
from steelscan.evaluation.tuning import Tune
from steelscan.losses import BCE, Dice, Focal, Jaccard, Mix
from steelscan.postprocess import FillHoles, Threshold
from steelscan.prediction import EncoderFittedFor, Mean
from steelscan.recipes import ConfidentStrips, KeepPresent, Segment
from steelscan.strip import Frame
from steelscan.training import BestAverage, DefectiveStrips
from steelscan.training.averaging import best_mean

STRIP = Frame(256, 1600)
IDENTITY = ("identity",)
MIRRORED = ("identity", "hflip")
FLIPS = {"hflip", "vflip"}
SE50 = "legacy_seresnext50_32x4d"


def test_numbers_of_the_first_step_of_the_twelfth(kinds):
    """K:114309."""
    classify = recipes.load("twelfth_place").steps[0]
    (classifier,) = classify.ensemble.members
    assert (classifier.network.kind, classifier.network.encoder) == (
        "classifier",
        "legacy_senet154",
    )
    assert classifier.resize.frame(STRIP) == (128, 800)
    (stage,) = classifier.stages
    assert (stage.crop, stage.loss, stage.optimizer.kind) == (WholeStrip(), BCE(), "radam")
    assert set(kinds(stage.augment)) == FLIPS
    assert classify.ensemble.views == IDENTITY
    assert classify.gate == "image"
    assert stage.pseudo == "all"


def test_numbers_of_the_middle_step_of_the_twelfth(kinds):
    """K:114309."""
    recipe = recipes.load("twelfth_place")
    segment = recipe.segment
    assert segment.ensemble.views == MIRRORED
    assert segment.ensemble.average == Mean()
    pspnet, *custom = segment.ensemble.members
    assert (pspnet.network.kind, pspnet.network.encoder) == ("psp", "legacy_seresnext101_32x4d")
    assert len(recipe.folds_of(pspnet)) == 4
    crops, whole = pspnet.stages
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
    assert (pspnet.network.dilated, custom[1].network.dilated) == (False, True)
    between = recipe.steps[2:7]
    assert between[0] == Threshold(label=0.0, pixel=0.5)
    assert kinds(between[1:]) == [
        "remove_small_components",
        "fill_holes",
        "min_area",
        "keep_present",
    ]
    assert isinstance(between[2], FillHoles)
    assert isinstance(between[4], KeepPresent)
    assert len(between[3].pixels) == 4


def test_numbers_of_the_last_step_of_the_twelfth(stages):
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
    # K:114309: thresholds of best F1 for the classifier, none for masks
    assert recipe.tune == Tune(gates="f1", label=False, pixel=False, area=False)
    assert isinstance(recipe.pseudo_labels.rule, ConfidentStrips)
    # pseudo-labels were for the classifier: no segmenter is trained on them
    segmenters = [m for step in recipe.network_steps[1:] for m in step.ensemble.members]
    assert {each.pseudo for member in segmenters for each in member.stages} == {0.0}


def test_every_stage_of_the_twelfth_tries_31_averages_of_five_checkpoints():
    """K:114309."""
    recipe = recipes.load("twelfth_place")
    members = [member for step in recipe.network_steps for member in step.ensemble.members]
    sources = [m.start for m in members if isinstance(m.start, EncoderFittedFor)]
    every = {stage.keep for each in (*members, *sources) for stage in each.stages}
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


def test_crops_of_the_twelfth_hold_a_pixel_of_a_mask(stages):
    """K:114309: a single pixel in a strip is enough, wherever it lies."""
    crops = {
        stage.crop
        for step in recipes.load("twelfth_place").network_steps[1:]
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


def test_the_middle_step_of_the_twelfth_can_only_remove(blocks, maps_of, decided):
    """K:114309: compared to the recipe without it, a class stays as it is or is removed."""
    whole = recipes.load("twelfth_place")
    short = whole.but(steps=(whole.steps[0], *whole.steps[7:]))
    rng, cases = np.random.default_rng(0), Counter()
    frame = Frame(64, 128)
    for _ in range(60):
        sizes = rng.integers(0, 80, 4)
        middle = maps_of([blocks((0, 0, 64, int(size)), frame=frame) for size in sizes], 0.9)
        last = rng.integers(0, 256, (4, *frame)).astype(np.uint8)
        classified = StepOutput(None, rng.random(4, np.float32))
        _, with_it = decided(
            whole,
            {
                "classify": classified,
                "segment": StepOutput(middle, None),
                "segment2": StepOutput(last, None),
            },
            frame,
        )
        _, without = decided(
            short, {"classify": classified, "segment": StepOutput(last, None)}, frame
        )
        assert not (with_it & ~without).any()
        for one, other, size, least in zip(
            with_it, without, sizes, whole.steps[5].pixels, strict=True
        ):
            removed = not one.any() and bool(other.any())
            assert removed or np.array_equal(one, other)
            if other.any():
                assert removed == (64 * size < least)
                cases[removed] += 1
    assert min(cases[True], cases[False]) > 20
