"""The 4th place: the published numbers, and what its parts do with real arrays."""

import numpy as np
import pytest
from torch import nn

from steelscan import recipes
from steelscan.decision import SoftGate, StepOutput
from steelscan.losses import BCE, BothHeads, Focal, Mix
from steelscan.models import encoder_of
from steelscan.postprocess import MinArea, Threshold
from steelscan.prediction import EnsembleMean, LogitMean, to_uint8
from steelscan.strip import Frame

THREE = ("identity", "hflip", "vflip")
SE50 = "legacy_seresnext50_32x4d"


def test_numbers_of_the_fourth(fitted, stages):
    """K:114716."""
    recipe = recipes.load("fourth_place")
    (segment,) = recipe.network_steps
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
    assert "smoothing" not in Focal.model_fields  # which the authors tried and dropped
    assert all(stage.precision.endswith("float16") for stage in stages(segment))
    assert {stage.monitor for stage in stages(segment)} == {"defect_dice"}
    assert (segment.ensemble.views, segment.ensemble.average) == (THREE, LogitMean())
    assert segment.gate == SoftGate()
    assert recipe.rules == (Threshold(label=0.0, pixel=0.55), MinArea(pixels=256))
    assert (recipe.tune, recipe.pseudo_labels) == (None, None)


def test_the_fourth_averages_the_logits_of_each_head_before_its_gate(steady, sigmoid, decided):
    """K:114716: p = sigmoid(mean mask logit) * sigmoid(mean class logit), then 0.55."""
    recipe = recipes.load("fourth_place")
    frame, ensemble = Frame(32, 64), recipe.segment.ensemble
    mask_logits = np.array([[4.0, 6.0, 1.0, 3.0], [-2.0, 0.5, 2.0, 3.0]])
    class_logits = np.array([[3.0, 5.0, -4.0, 2.0], [0.5, -1.0, 8.0, -2.0]])
    models = [steady(*map(list, pair)) for pair in zip(mask_logits, class_logits, strict=True)]
    picture = np.full(frame, 90, np.uint8)
    masks = EnsembleMean(ensemble.views, picture, ensemble.average, models=models).masks(4)
    labels = EnsembleMean(ensemble.views, picture, ensemble.average, {"classes"}, models).classes(4)
    levels, found = decided(recipe, {"segment": StepOutput(to_uint8(masks), labels)}, frame)
    expected = sigmoid(mask_logits.mean(0)) * sigmoid(class_logits.mean(0))
    earlier = (sigmoid(mask_logits) * sigmoid(class_logits)).mean(0)  # each network gated by itself
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
