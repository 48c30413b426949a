"""The 14th place: the published numbers, and what its parts do with real arrays."""

import numpy as np
import pytest
import torch

from steelscan import recipes
from steelscan.augment import (
    Clahe,
    Cutout,
    Elastic,
    GaussNoise,
    IsoNoise,
    OpticalDistortion,
    SaltPepper,
    Sharpen,
    ShiftScaleRotate,
)
from steelscan.data import SteelCrop, crop_frame, cut
from steelscan.decision import HardGate
from steelscan.losses import BCE, build_loss
from steelscan.postprocess import FillEdges, MinArea, Threshold
from steelscan.prediction import Mean
from steelscan.recipes import ConfidentClasses
from steelscan.strip import Frame
from steelscan.training import CycledSampler, FlatCosine
from steelscan.training.sampling import draw

STRIP = Frame(256, 1600)
THREE = ("identity", "hflip", "vflip")
SE50 = "legacy_seresnext50_32x4d"


def test_numbers_of_the_fourteenth(fitted, stages):
    """K:114367 and its code."""
    recipe = recipes.load("fourteenth_place")
    (segment,) = recipe.network_steps
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
    assert plain.sampler == CycledSampler(each_clean_once=True)
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
    assert recipe.pseudo_labels.rule == ConfidentClasses(min_probability=(0.85, 0.0, 0.75, 0.0))


def test_augmentations_of_the_fourteenth(stages, kinds):
    """K:114367; missing numbers are the defaults of albumentations at that time."""
    flip, local, tone, bend, place, noise, holes = stages(recipes.load("fourteenth_place").segment)[
        0
    ].augment
    shares = [each.p for each in (flip, local, tone, bend, place, noise, holes)]
    assert shares == [0.5, 0.35, 0.3, 0.3, 0.5, 0.5, 0.25]
    assert {(each.kind, each.p) for each in flip.of} == {
        ("hflip", 1.0),
        ("vflip", 1.0),
        ("rotate180", 1.0),  # Rotate180: a third of the flips
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
    normal = noise.of[0]  # GaussNoise of albumentations in 2019: var_limit=(10.0, 50.0)
    assert (normal.low, normal.high, normal.drawn) == (10.0, 50.0, "variance")
    assert noise.of[1].amount == 0.0002
    assert holes == Cutout(holes=3, side=8, p=0.25)


def test_the_fourteenth_has_logits_at_stride_2_and_upsamples_them(of_shapes, only_shapes):
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


@pytest.fixture
def training(stages):
    """Return the first training of the 14th."""
    return stages(recipes.load("fourteenth_place").segment)[0]


def test_masks_of_the_fourteenth_are_trained_where_present_and_class_3_everywhere(training):
    """Its code: the gate is the truth of the crop; the aux head is trained on every crop."""
    torch.manual_seed(0)
    loss = build_loss(training.loss, 4)
    target = torch.zeros(5, 4, 6, 8)
    for class_id in range(4):
        target[1 + class_id, class_id, :3] = 1
    masks, classes = torch.randn(5, 4, 6, 8), torch.randn(5, 4)
    for head in (masks, classes):
        head.requires_grad_()
    loss(masks, classes, target, target.amax((2, 3))).backward()
    trained = (masks.grad != 0).flatten(2).any(2)
    expected = target.amax((2, 3)) > 0
    expected[:, 2] = True
    assert trained.tolist() == expected.tolist()
    assert trained[0].tolist() == [False, False, True, False]  # the clean crop
    assert (classes.grad != 0).all()


def test_on_a_clean_crop_of_the_fourteenth_only_the_third_class_has_a_loss(training):
    loss = build_loss(training.loss.masks, 4)
    for class_id in range(4):
        logits = torch.full((1, 4, 6, 8), -30.0)
        empty = float(loss(logits, torch.zeros(1, 4, 6, 8)))
        logits[:, class_id] = 3.0
        more = float(loss(logits, torch.zeros(1, 4, 6, 8))) - empty
        assert (more > 1) == (class_id == 2)
        assert class_id == 2 or more == 0


def test_the_lovasz_loss_of_the_fourteenth_is_symmetric(training):
    """(z, y) has the loss of (-z, 1 - y); the plain form has not."""
    torch.manual_seed(0)
    spec = training.loss.masks.loss
    logits, truth = torch.randn(3, 4, 6, 8), (torch.rand(3, 4, 6, 8) < 0.2).float()
    both = build_loss(spec, 4)
    assert torch.allclose(both(logits, truth), both(-logits, 1 - truth), rtol=1e-5)
    half = build_loss(spec.but(symmetric=False), 4)
    assert not torch.allclose(half(logits, truth), half(-logits, 1 - truth), rtol=1e-2)


def test_crops_of_the_fourteenth_from_a_strip_that_is_half_black(training):
    """K:114367: at most 85 % black, or the end of the strip that shows steel."""
    crop = training.crop
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
        # 364 of the 1088 other positions are too black, and all of these windows move to this one
        assert lefts.count(end) / 150 == pytest.approx(365 / 1089, abs=0.12)
        assert len(set(lefts)) > 60


def test_strips_of_the_fourteenth_are_drawn_in_the_order_0_1_2_3_4(training):
    """K:114367: until every clean strip was drawn once."""
    sampler = training.sampler
    labels = np.array([0] * 30 + [1] * 7 + [2] * 3 + [3] * 40 + [4] * 6)
    labels = np.random.default_rng(0).permutation(labels)
    present = labels[:, None] == np.arange(1, 5)
    drawn = draw(sampler, present, np.random.default_rng(0))
    assert labels[drawn].tolist() == [0, 1, 2, 3, 4] * 30
    assert sorted(drawn[::5].tolist()) == np.flatnonzero(labels == 0).tolist()
