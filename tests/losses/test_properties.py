"""Properties of losses: precision, batches, sums, symmetries."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from tests.losses.definition import (
    SPECS,
    alone,
    batch,
    confident,
    each,
    every_loss,
    extension,
    having,
    jaccard_of,
    leaves,
    rectified,
    run,
)

from steelscan.losses import (
    BCE,
    CrossEntropy,
    Dice,
    Focal,
    Jaccard,
    Loss,
    Lovasz,
    Mix,
    SoftmaxFocal,
    WherePresent,
)
from steelscan.losses.bce import bce_loss
from steelscan.losses.focal import focal_loss
from steelscan.losses.lovasz import lovasz_hinge_loss
from steelscan.losses.overlap import jaccard_loss, soft_dice_loss
from steelscan.losses.softmax import cross_entropy_loss, softmax_focal_loss


@each([spec for spec in SPECS if not any(getattr(leaf, "smoothing", 0) for leaf in leaves(spec))])
def test_a_right_prediction_costs_nothing_and_a_wrong_one_much(spec):
    truth = alone(batch(spec)[1])
    right = confident(spec, truth)
    assert float(run(spec, right, truth)) == pytest.approx(0, abs=1e-6)
    assert float(run(spec, -right, truth)) > 0.5


@each(having(BCE, CrossEntropy))
def test_a_smoothed_loss_is_lowest_below_certainty(spec):
    truth = alone(batch(spec)[1])
    costs = [float(run(spec, confident(spec, truth, by), truth)) for by in (2.0, 30.0)]
    smoothed = any(getattr(leaf, "smoothing", 0) for leaf in leaves(spec))
    assert (costs[0] < costs[1]) == smoothed


@every_loss
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("empty", [False, True])
def test_the_highest_logits_of_half_precision_stay_finite(spec, sign, empty):
    truth = alone(batch(spec)[1]) * (not empty)
    logits = (sign * confident(spec, truth, 60000.0)).half()
    assert torch.isfinite(logits).all()
    logits.requires_grad_()
    loss = run(spec, logits, truth)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@every_loss
def test_half_precision_logits_are_summed_in_float32(spec):
    logits, truth = batch(spec, 2, height=64, width=64)
    for narrow in (logits.bfloat16(), logits.half()):
        loss = run(spec, narrow, truth)
        assert loss.dtype == torch.float32
        assert torch.equal(loss, run(spec, narrow.float(), truth))
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(loss, run(spec, narrow, truth))


@every_loss
def test_the_target_may_be_of_any_type(spec):
    logits, truth = batch(spec, 3)
    loss = run(spec, logits, truth)
    for other in (truth.bool(), truth.float(), truth.half(), truth.double()):
        assert torch.equal(loss, run(spec, logits, other))


@every_loss
def test_settings_go_to_json_and_back(spec):
    adapter = TypeAdapter(Loss)
    assert adapter.validate_json(adapter.dump_json(spec)) == spec


def strip_by_strip(spec, logits, truth):
    one_each = zip(logits.split(1), truth.split(1), strict=True)
    return torch.stack([run(spec, *one) for one in one_each]).mean()


@each(
    [
        BCE(pos_weight=(2.0, 0.5)),
        Focal(),
        Dice(over="strip"),
        Jaccard(over="strip"),
        Lovasz(),
        Lovasz(symmetric=True, rectifier="elu"),
        CrossEntropy(),
        SoftmaxFocal(),
        WherePresent(loss=BCE(), always=True),
    ]
)
def test_the_loss_of_a_batch_is_the_mean_over_its_strips(spec):
    logits, truth = batch(spec, 4)
    assert torch.allclose(run(spec, logits, truth), strip_by_strip(spec, logits, truth), atol=1e-6)


@each([Dice(over="batch"), Jaccard(over="batch"), WherePresent(loss=BCE())])
def test_batch_losses_of_a_strip_depend_on_the_others(spec):
    logits, truth = batch(spec, 4)
    whole = run(spec, logits, truth)
    assert not torch.allclose(whole, strip_by_strip(spec, logits, truth), atol=1e-3)


@pytest.mark.parametrize("loss", [soft_dice_loss, jaccard_loss])
def test_sums_over_the_batch_are_sums_over_one_joined_strip(loss):
    logits, truth = batch(Dice(), 5)
    joined = [tensor.permute(1, 2, 0, 3).flatten(2)[None] for tensor in (logits, truth)]
    over_batch = loss(logits, truth, over="batch", smooth=1.0)
    assert torch.allclose(over_batch, loss(*joined, over="strip", smooth=1.0))
    assert not torch.allclose(over_batch, loss(logits, truth, over="strip", smooth=1.0))


@every_loss
def test_the_order_of_strips_does_not_matter(spec):
    logits, truth = batch(spec, 6)
    order = [2, 0, 1]
    whole, moved = run(spec, logits, truth), run(spec, logits[order], truth[order])
    assert torch.allclose(whole, moved, atol=1e-6)


@pytest.mark.parametrize("spec", [BCE(pos_weight=(2.0, 0.5), smoothing=0.1), Focal(gamma=1.5)])
def test_some_losses_take_the_labels_of_whole_strips(spec):
    logits, truth = (tensor[..., :1, :1] for tensor in batch(spec, 7))
    assert torch.equal(run(spec, logits, truth), run(spec, logits[..., 0, 0], truth[..., 0, 0]))


def test_a_mix_of_mixes_is_the_weighted_sum_of_its_parts():
    logits, truth = batch(BCE(), 8)
    inner = Mix(parts=((2.0, BCE()), (3.0, Dice(over="strip"))))
    outer = run(Mix(parts=((0.5, inner), (4.0, Dice()))), logits, truth)
    parts = [run(part, logits, truth) for part in (BCE(), Dice(over="strip"), Dice())]
    assert torch.allclose(outer, 1.0 * parts[0] + 1.5 * parts[1] + 4.0 * parts[2])


def test_focal_without_focus_is_cross_entropy():
    logits, truth = batch(Focal(), 9)
    entropy = bce_loss(logits, truth, torch.ones(2))
    assert torch.allclose(focal_loss(logits, truth, gamma=0.0), entropy)
    assert focal_loss(logits, truth, gamma=2.0).mean() < entropy.mean()
    logits, truth = batch(SoftmaxFocal(), 9)
    assert torch.allclose(
        softmax_focal_loss(logits, truth, gamma=0.0).mean(), cross_entropy_loss(logits, truth)
    )


def test_focal_losses_weigh_uncertain_pixels_more():
    logits = torch.tensor([3.0, 0.0, 0.0]).reshape(1, 3, 1, 1).expand(1, 3, 4, 5).clone()
    logits[0, 0, 2, 2] = -3.0
    logits.requires_grad_()
    softmax_focal_loss(logits, torch.zeros(1, 2, 4, 5), gamma=2.0).mean().backward()
    pulls = logits.grad[0, 1].flatten()
    assert float(pulls[12]) > 50 * float(pulls.sum() - pulls[12])


def test_cross_entropy_of_one_class_is_bce_of_its_distance_to_the_background():
    logits, truth = batch(CrossEntropy(), 10, classes=1)
    above = logits[:, 1:] - logits[:, :1]
    assert torch.allclose(
        cross_entropy_loss(logits, truth), bce_loss(above, truth, torch.ones(1)).mean(), atol=1e-6
    )
    assert torch.allclose(
        cross_entropy_loss(logits, truth, smoothing=0.1),
        bce_loss(above, truth, torch.ones(1), smoothing=0.1).mean(),
        atol=1e-6,
    )


@each(
    [BCE(pos_weight=2.0), BCE(smoothing=0.1), Focal(), CrossEntropy(), CrossEntropy(smoothing=0.1)]
)
def test_the_loss_of_a_blend_is_the_blend_of_the_losses(spec):
    logits = batch(spec, 11)[0].double()
    one, other = (alone(batch(BCE(), seed)[1]) for seed in (12, 13))
    whole = run(spec, logits, 0.3 * one.double() + 0.7 * other.double())
    assert torch.allclose(whole, 0.3 * run(spec, logits, one) + 0.7 * run(spec, logits, other))


def test_lovasz_of_inverted_logits_and_target_is_the_same():
    for rectifier in ("relu", "elu"):
        logits, truth = batch(Lovasz(), 14)
        straight, turned = (
            lovasz_hinge_loss(z, y, symmetric=True, rectifier=rectifier)
            for z, y in ((logits, truth), (-logits, 1 - truth))
        )
        assert torch.allclose(straight, turned)
        once = lovasz_hinge_loss(logits, truth, rectifier=rectifier)
        assert not torch.allclose(once, lovasz_hinge_loss(-logits, 1 - truth, rectifier=rectifier))


pixels = st.lists(st.tuples(st.integers(-12, 12), st.booleans()), min_size=1, max_size=6)


@settings(max_examples=30, deadline=None)
@given(pixels=pixels, rectifier=st.sampled_from(["relu", "elu"]))
def test_lovasz_is_the_worst_way_to_add_pixels_up(pixels, rectifier):
    """The extension of a submodular loss is the maximum over all orders of its pixels."""
    z, y = [value / 4 for value, _ in pixels], [present for _, present in pixels]
    errors = rectified(z, y, rectifier)
    worst = 0.0
    for order in permutations(range(len(z))):
        grown = [jaccard_of(set(order[:count]), y) for count in range(len(z) + 1)]
        steps = zip(order, grown[1:], grown[:-1], strict=True)
        worst = max(worst, sum(errors[at] * (after - before) for at, after, before in steps))
    shape = (1, 1, 1, len(z))
    loss = lovasz_hinge_loss(
        torch.tensor(z).reshape(shape), torch.tensor(y).reshape(shape), rectifier=rectifier
    )
    assert float(loss) == pytest.approx(worst, rel=1e-5, abs=1e-6)
    assert float(loss) == pytest.approx(extension(z, y, rectifier), rel=1e-5, abs=1e-6)


@given(masks=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_lovasz_of_decided_masks_is_their_jaccard_loss(masks):
    predicted, present = np.array(masks).T
    union = (predicted | present).sum()
    lost = 1 - (predicted & present).sum() / union if union else 0.0
    shape = (1, 1, 1, len(predicted))
    truth = torch.from_numpy(present).reshape(shape)
    logits = torch.from_numpy(np.where(predicted, 1.0, -1.0)).reshape(shape)
    # A hinge of 0 at the right side's 1 and of 2 at the wrong side's
    assert float(lovasz_hinge_loss(logits, truth)) == pytest.approx(2 * lost)
    undecided = torch.from_numpy(np.where(predicted == present, 2.0 * predicted - 1.0, 0.0))
    assert float(lovasz_hinge_loss(undecided.reshape(shape), truth)) == pytest.approx(lost)


def test_lovasz_keeps_its_precision_on_a_whole_strip():
    random = torch.Generator().manual_seed(15)
    logits = torch.randn((1, 2, 256, 800), generator=random)
    truth = torch.rand(logits.shape, generator=random) < torch.tensor([0.5, 1e-4])[:, None, None]
    for symmetric in (False, True):
        narrow, wide = (
            lovasz_hinge_loss(z, truth, symmetric=symmetric).mean()
            for z in (logits, logits.double())
        )
        assert float(narrow) == pytest.approx(float(wide), rel=1e-6)
        # All errors are 1, and all pixels wrong is a loss of 1
        nothing = lovasz_hinge_loss(torch.zeros_like(logits), truth, symmetric=symmetric).mean()
        assert float(nothing) == pytest.approx(1, rel=1e-6)
