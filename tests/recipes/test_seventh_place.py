"""The 7th place: the published numbers, and what its parts do with real arrays."""

import numpy as np
import pytest
import torch

from steelscan import recipes
from steelscan.data import RandomCrop, WholeStrip
from steelscan.losses import CrossEntropy, build_loss
from steelscan.postprocess import Triplet
from steelscan.prediction import Mean
from steelscan.training import EveryStrip
from steelscan.training.schedules import rate


def test_numbers_of_the_seventh(fitted, stages):
    """K:114215."""
    recipe = recipes.load("seventh_place")
    (segment,) = recipe.network_steps
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
        assert stage.sampler == EveryStrip()
    assert segment.ensemble.average == Mean()
    assert recipe.rules == (Triplet(top=(0.8, 0.99, 0.75, 0.75), area=100, bottom=0.3),)
    assert (recipe.tune, recipe.pseudo_labels) == (None, None)


def test_the_rate_of_the_seventh_follows_noams_curve(stages):
    """Linear for an epoch, then falling as 1 / sqrt(step) (arXiv:1706.03762)."""
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


def target_of(loss, truth, planes):
    """Return the target of a cross entropy from its gradient, softmax minus target per pixel."""
    logits = torch.randn(len(truth), planes, *truth.shape[2:], dtype=torch.float64)
    logits.requires_grad_()
    loss(logits, truth).backward()
    pixels = logits[:, 0].numel()
    return (logits.softmax(1) - pixels * logits.grad).detach()


def test_the_soft_targets_of_the_seventh_sum_to_one(stages):
    """K:114215: smoothed and mixed; the example turns 0 0 1 0 into .025 .025 .925 .025."""
    torch.manual_seed(0)
    stage = stages(recipes.load("seventh_place").segment)[0]
    label = torch.randint(0, 5, (2, 6, 8))
    truth = torch.stack([label == class_id for class_id in range(1, 5)], 1).double()
    other = truth.flip(0)
    for share in (1.0, 0.7):
        soft = target_of(build_loss(stage.loss, 4), share * truth + (1 - share) * other, 5)
        assert torch.allclose(soft.sum(1), torch.ones(2, 6, 8, dtype=torch.float64))
        hard = torch.cat([(label == 0).double()[:, None], truth], 1)
        mixed = share * hard + (1 - share) * hard.flip(0)
        assert torch.allclose(soft, 0.9 * mixed + 0.1 / 5)
    example = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)[None, :, None, None]
    soft = target_of(build_loss(stage.loss, 3), example, 4)
    assert soft.flatten().tolist() == pytest.approx([0.025, 0.025, 0.925, 0.025])
