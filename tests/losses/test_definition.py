"""Losses agree with their definitions, with numbers worked out by hand, and with slopes."""

from math import exp, log

import numpy as np
import pytest
import torch
from tests.losses.definition import (
    KINDS,
    SPECS,
    alone,
    batch,
    by_definition,
    each,
    every_loss,
    run,
    takes_softmax,
    without,
)

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
    WherePresent,
    build_loss,
)
from steelscan.losses.lovasz import lovasz_hinge_loss
from steelscan.losses.softmax import softmax_focal_loss


def test_the_suite_holds_every_kind_of_loss():
    assert len(KINDS) == 10
    assert {type(spec) for spec in SPECS} == set(KINDS)


ENTROPY = -log(0.75)
TWO_PIXELS = [
    (BCE(), ENTROPY),
    # weight 3 on the positive: (3 + 1) / 2 times the entropy of one pixel
    (BCE(pos_weight=3.0), 2 * ENTROPY),
    (BCE(smoothing=0.2), -0.9 * log(0.75) - 0.1 * log(0.25)),
    (Focal(gamma=2.0), ENTROPY / 16),
    # 1 - (2 * 3/4 + 1) / (1 + 1 + 1)
    (Dice(), 1 / 6),
    # 1 - (3/4 + 1) / (2 - 3/4 + 1)
    (Jaccard(), 2 / 9),
    (Mix(parts=((0.5, BCE()), (2.0, Dice()))), ENTROPY / 2 + 1 / 3),
    (BothHeads(masks=BCE(pos_weight=3.0), classes=BCE(), weight=10.0), 12 * ENTROPY),
]


@pytest.mark.parametrize(("spec", "worth"), TWO_PIXELS)
def test_numbers_worked_out_by_hand(spec, worth):
    logits = torch.tensor([log(3.0), -log(3.0)]).reshape(1, 1, 1, 2)  # p = 3/4, 1/4
    truth = torch.tensor([1, 0]).reshape(1, 1, 1, 2)
    assert float(run(spec, logits, truth, classes=1)) == pytest.approx(worth)


@pytest.mark.parametrize(
    ("spec", "worth"),
    [
        # errors 2, 1/2, -1; wrong over union grows 0 -> 1/2 -> 2/2
        (Lovasz(), 2 / 2 + 0.5 / 2),
        (Lovasz(rectifier="elu"), 3 / 2 + 1.5 / 2),
        # turned round it grows 0 -> 1/2 -> 2/3 -> 1
        (Lovasz(symmetric=True), (1.25 + 2 / 2 + 0.5 / 6) / 2),
        (
            Lovasz(symmetric=True, rectifier="elu"),
            (2.25 + 3 / 2 + 1.5 / 6 + exp(-1) / 3) / 2,
        ),
    ],
)
def test_lovasz_worked_out_by_hand(spec, worth):
    logits = torch.tensor([0.5, -2.0, 1.0]).reshape(1, 1, 1, 3)
    truth = torch.tensor([1, 0, 0]).reshape(1, 1, 1, 3)
    assert float(run(spec, logits, truth, classes=1)) == pytest.approx(worth)


@pytest.mark.parametrize(
    ("spec", "worth"),
    [
        (CrossEntropy(), (1 + 2) / 2),
        # 0.7 of the truth and 0.1 of each
        (CrossEntropy(smoothing=0.3), (0.8 + 0.2 * 2 + 0.1 + 0.9 * 2) / 2),
        # 1 - p is 1/2 and 3/4: 0.8 and 1.2 of their mean
        (SoftmaxFocal(gamma=1.0), (0.8 * 1 + 1.2 * 2) / 2),
    ],
)
def test_softmax_losses_worked_out_by_hand(spec, worth):
    logits = torch.tensor([log(2.0), 0.0, 0.0]).reshape(1, 3, 1, 1).expand(1, 3, 1, 2)
    truth = torch.tensor([[0, 1], [0, 0]]).reshape(1, 2, 1, 2)  # background, then class 1
    assert float(run(spec, logits, truth)) == pytest.approx(worth * log(2))


def test_a_loss_where_present_worked_out_by_hand():
    logits = torch.full((2, 2, 1, 1), log(3.0))
    truth = torch.tensor([[1, 0], [0, 0]]).reshape(2, 2, 1, 1)
    assert float(run(WherePresent(loss=BCE()), logits, truth)) == pytest.approx(ENTROPY)
    second = WherePresent(loss=BCE(), always=(False, True))
    assert float(run(second, logits, truth)) == pytest.approx(ENTROPY + log(4))
    both = WherePresent(loss=BCE(), always=True)
    assert float(run(both, logits, truth)) == pytest.approx((ENTROPY + log(4)) / 2 + log(4))


@every_loss
@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_its_definition_in_plain_loops(spec, seed):
    logits, truth = batch(spec, seed)
    loss = run(spec, logits, truth)
    assert loss.dtype == torch.float32
    assert loss.shape == ()
    worth = by_definition(spec, logits.tolist(), truth.tolist())
    assert float(loss) == pytest.approx(worth, rel=1e-5)
    assert float(run(spec, logits.double(), truth)) == pytest.approx(worth, rel=1e-7)


@each(without(Lovasz))
def test_a_blended_target_is_used_as_it_is(spec):
    logits, truth = batch(spec, 3)
    blended = 0.7 * truth.double() + 0.3 * truth.double().flip(0)
    worth = by_definition(spec, logits.tolist(), blended.tolist())
    assert float(run(spec, logits.double(), blended)) == pytest.approx(worth, rel=1e-7)
    assert float(run(spec, logits, blended.half())) == pytest.approx(worth, rel=1e-3)


@each(without(SoftmaxFocal))
def test_the_gradient_is_the_slope_of_the_definition(spec):
    logits, truth = batch(spec, 1, strips=2, height=2, width=3)
    logits = logits.double().requires_grad_()
    run(spec, logits, truth).backward()
    step = 1e-5
    for where in np.ndindex(*logits.shape):
        sides = []
        for sign in (1, -1):
            moved = logits.detach().clone()
            moved[where] += sign * step
            sides.append(by_definition(spec, moved.tolist(), truth.tolist()))
        slope = (sides[0] - sides[1]) / (2 * step)
        assert float(logits.grad[where]) == pytest.approx(slope, abs=1e-8, rel=1e-6)


@each([*without(SoftmaxFocal), SoftmaxFocal(gamma=0.0)])
def test_the_gradient_is_the_slope_in_double_precision(spec):
    logits, truth = batch(spec, 2, strips=2, height=2, width=2)
    logits = logits.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda moved: run(spec, moved, truth), logits)


def test_softmax_focal_follows_the_cross_entropy_of_its_weights():
    logits, truth = batch(SoftmaxFocal(), 4)
    truth = alone(truth)
    logits = logits.double().requires_grad_()
    softmax_focal_loss(logits, truth, gamma=2.0).mean().backward()
    z, y = logits.detach().numpy(), truth.numpy().astype(float)
    y = np.concatenate((1 - y.sum(1, keepdims=True), y), axis=1)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    weight = (1 - (p * y).sum(1)) ** 2
    weight /= weight.mean((1, 2), keepdims=True)
    np.testing.assert_allclose(logits.grad, weight[:, None] * (p - y) / weight.size, rtol=1e-9)


def whole_pull(spec):
    """Whether every false alarm of a clean batch is pulled down."""
    if isinstance(spec, WherePresent):
        return spec.always is True
    if isinstance(spec, BothHeads):
        return whole_pull(spec.masks)
    if isinstance(spec, Mix):
        return any(whole_pull(part) for _, part in spec.parts)
    return not isinstance(spec, Lovasz) or spec.symmetric


def clean(spec):
    """Return predictions on a batch without any defect, and the gradients of the classes' maps."""
    maps = 2 + takes_softmax(spec)
    logits = torch.linspace(-0.9, 3, 2 * maps * 20).reshape(2, maps, 4, 5).requires_grad_()
    loss = run(spec, logits, torch.zeros(2, 2, 4, 5, dtype=torch.uint8))
    loss.backward()
    return float(loss.detach()), logits.grad[:, -2:], logits.detach()[:, -2:]


@each([spec for spec in SPECS if whole_pull(spec)])
def test_an_empty_mask_pulls_every_false_alarm_down(spec):
    loss, pull, _ = clean(spec)
    assert loss > 0
    assert (pull > 0).all()


@each([Lovasz(), Lovasz(rectifier="elu")])
def test_lovasz_pulls_the_highest_false_alarm_of_each_mask_down(spec):
    loss, pull, logits = clean(spec)
    assert ((pull > 0) == (logits == logits.amax((2, 3), keepdim=True))).all()
    plus = 1 if spec.rectifier == "relu" else 2
    assert loss == pytest.approx(float(logits.amax((2, 3)).mean()) + plus)


@pytest.mark.parametrize("symmetric", [False, True])
def test_lovasz_on_an_empty_mask_has_no_gradient_below_minus_one(symmetric):
    for logit, pulled in ((-0.99, True), (-1.01, False)):
        logits = torch.full((1, 1, 2, 2), logit, requires_grad=True)
        lovasz_hinge_loss(logits, torch.zeros(1, 1, 2, 2), symmetric=symmetric).mean().backward()
        assert (logits.grad > 0).any() == pulled
        logits = torch.full((1, 1, 2, 2), logit, requires_grad=True)
        lovasz_hinge_loss(logits, torch.zeros(1, 1, 2, 2), rectifier="elu").mean().backward()
        assert (logits.grad > 0).any()


def test_where_present_ignores_false_alarms_as_documented():
    loss, pull, _ = clean(WherePresent(loss=BCE()))
    assert loss == 0
    assert (pull == 0).all()
    loss, pull, _ = clean(WherePresent(loss=BCE(), always=(True, False)))
    assert loss > 0
    assert (pull[:, 0] > 0).all()
    assert (pull[:, 1] == 0).all()


def test_only_the_class_head_has_a_gradient_on_clean_crops():
    loss = build_loss(BothHeads(masks=WherePresent(loss=BCE()), classes=BCE(), weight=10.0), 2)
    masks = torch.ones(3, 2, 4, 5, requires_grad=True)
    classes = torch.ones(3, 2, requires_grad=True)
    loss(masks, classes, torch.zeros(3, 2, 4, 5), torch.zeros(3, 2)).backward()
    assert (masks.grad == 0).all()
    assert (classes.grad > 0).all()


def test_clean_crops_train_only_the_third_class_of_the_fourteenth():
    spec = WherePresent(
        loss=Lovasz(symmetric=True, rectifier="elu"), always=(False, False, True, False)
    )
    truth = torch.zeros(3, 4, 4, 5, dtype=torch.uint8)
    truth[0, 0, :2], truth[1, 2, 1:3], truth[1, 3, 3:] = 1, 1, 1
    logits = torch.randn((3, 4, 4, 5), generator=torch.Generator().manual_seed(5)).requires_grad_()
    build_loss(spec, 4)(logits, truth).backward()
    learns = (logits.grad != 0).flatten(2).any(2)
    assert learns.tolist() == [
        [True, False, True, False],
        [False, False, True, True],
        [False, False, True, False],
    ]
