"""Every loss: numbers worked out with plain arithmetic, gradients, empty masks, refusals."""

from math import exp, log
from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from steelscan.losses import BCE, Dice, Loss, Mix, bce_loss, build_loss, soft_dice_loss
from steelscan.strip import RecipeError

KINDS = get_args(get_args(Loss)[0])
SPECS = [
    BCE(),
    BCE(pos_weight=(2.0, 0.5)),
    Dice(over="batch"),
    Dice(over="strip", smooth=0.1),
    Mix(parts=((0.75, BCE(pos_weight=3.0)), (0.25, Dice()))),
]
every_loss = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.model_dump_json()[9:45])


def batch(seed=0, strips=3, classes=2, height=4, width=5):
    """Random logits and a truth that is empty in one mask of the first strip."""
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn((strips, classes, height, width), generator=random) * 2
    truth = torch.rand(logits.shape, generator=random) < 0.3
    truth[0, 0] = False
    return logits, truth.to(torch.uint8)


def by_definition(spec, logits, truth):
    """The loss in plain loops over Python numbers."""
    if isinstance(spec, Mix):
        return sum(weight * by_definition(part, logits, truth) for weight, part in spec.parts)
    strips, classes = len(truth), len(truth[0])
    if isinstance(spec, BCE):
        weights = spec.pos_weight if isinstance(spec.pos_weight, tuple) else [spec.pos_weight] * 9
        terms = []
        for strip in range(strips):
            for at in range(classes):
                for z, y in zip(flat(logits[strip][at]), flat(truth[strip][at]), strict=True):
                    p = 1 / (1 + exp(-z))
                    terms.append(-weights[at] * log(p) if y else -log(1 - p))
        return sum(terms) / len(terms)
    together = [list(range(strips))] if spec.over == "batch" else [[at] for at in range(strips)]
    terms = []
    for group in together:
        for at in range(classes):
            p = [1 / (1 + exp(-z)) for strip in group for z in flat(logits[strip][at])]
            y = [value for strip in group for value in flat(truth[strip][at])]
            shared = sum(a * b for a, b in zip(p, y, strict=True))
            terms.append(1 - (2 * shared + spec.smooth) / (sum(p) + sum(y) + spec.smooth))
    return sum(terms) / len(terms)


def flat(rows):
    return [value for row in rows for value in row]


def test_the_suite_holds_every_kind_of_loss():
    assert len(KINDS) == 3
    assert {type(spec) for spec in SPECS} == set(KINDS)


def test_numbers_worked_out_by_hand():
    logits = torch.tensor([log(3.0), -log(3.0)]).reshape(1, 1, 1, 2)  # p = 3/4, 1/4
    truth = torch.tensor([1, 0]).reshape(1, 1, 1, 2)
    entropy = -log(0.75)
    assert float(build_loss(BCE(), 1)(logits, truth)) == pytest.approx(entropy)
    # weight 3 on the positive: (3 + 1) / 2 times the entropy of one pixel
    assert float(build_loss(BCE(pos_weight=3.0), 1)(logits, truth)) == pytest.approx(2 * entropy)
    # 1 - (2 * 3/4 + 1) / (1 + 1 + 1)
    assert float(build_loss(Dice(), 1)(logits, truth)) == pytest.approx(1 / 6)
    mixed = Mix(parts=((0.5, BCE()), (2.0, Dice())))
    assert float(build_loss(mixed, 1)(logits, truth)) == pytest.approx(entropy / 2 + 1 / 3)


@every_loss
@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_its_definition_in_plain_loops(spec, seed):
    logits, truth = batch(seed)
    loss = build_loss(spec, 2)(logits, truth)
    assert loss.dtype == torch.float32
    assert loss.shape == ()
    assert float(loss) == pytest.approx(
        by_definition(spec, logits.tolist(), truth.tolist()), rel=1e-5
    )


@every_loss
def test_the_gradient_is_the_slope_of_the_definition(spec):
    logits, truth = batch(1, strips=2, height=2, width=3)
    logits.requires_grad_()
    build_loss(spec, 2)(logits, truth).backward()
    step = 1e-4
    for where in np.ndindex(*logits.shape):
        sides = []
        for sign in (1, -1):
            moved = logits.detach().double().clone()
            moved[where] += sign * step
            sides.append(by_definition(spec, moved.tolist(), truth.tolist()))
        slope = (sides[0] - sides[1]) / (2 * step)
        assert float(logits.grad[where]) == pytest.approx(slope, abs=2e-6, rel=1e-3)


@every_loss
def test_an_empty_mask_pulls_every_false_alarm_down(spec):
    logits = torch.linspace(-3, 3, 2 * 2 * 4 * 5).reshape(2, 2, 4, 5).requires_grad_()
    loss = build_loss(spec, 2)(logits, torch.zeros(2, 2, 4, 5, dtype=torch.uint8))
    loss.backward()
    assert (logits.grad > 0).all()
    assert float(loss.detach()) > 0


@every_loss
def test_a_right_answer_costs_nothing_and_a_wrong_one_much(spec):
    _, truth = batch()
    build = build_loss(spec, 2)
    sure = (truth.float() * 2 - 1) * 30
    assert float(build(sure, truth)) == pytest.approx(0, abs=1e-6)
    assert float(build(-sure, truth)) > 0.5
    for logits in (sure * 100, -sure * 100):  # far beyond what exp can hold
        logits.requires_grad_()
        loss = build(logits, truth)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(logits.grad).all()


@every_loss
def test_half_precision_logits_are_summed_in_float32(spec):
    logits, truth = batch(2, height=64, width=64)
    loss = build_loss(spec, 2)
    assert loss(logits.bfloat16(), truth).dtype == torch.float32
    same = loss(logits.bfloat16().float(), truth)
    assert torch.equal(loss(logits.bfloat16(), truth), same)


@every_loss
def test_settings_go_to_json_and_back(spec):
    adapter = TypeAdapter(Loss)
    assert adapter.validate_json(adapter.dump_json(spec)) == spec


@pytest.mark.parametrize("spec", [BCE(), Dice(over="strip")])
def test_the_loss_of_a_batch_is_the_mean_over_its_strips(spec):
    logits, truth = batch(4)
    loss = build_loss(spec, 2)
    alone = [loss(logits[at : at + 1], truth[at : at + 1]) for at in range(len(logits))]
    assert torch.allclose(loss(logits, truth), torch.stack(alone).mean(), atol=1e-6)


def test_dice_over_the_batch_is_dice_of_the_strips_side_by_side():
    logits, truth = batch(5)
    beside = [tensor.permute(1, 2, 0, 3).flatten(2)[None] for tensor in (logits, truth)]
    over_batch = soft_dice_loss(logits, truth, over="batch", smooth=1.0)
    assert torch.allclose(over_batch, soft_dice_loss(*beside, over="strip", smooth=1.0))
    assert not torch.allclose(over_batch, soft_dice_loss(logits, truth, over="strip", smooth=1.0))


@every_loss
def test_the_order_of_strips_does_not_matter(spec):
    logits, truth = batch(6)
    loss = build_loss(spec, 2)
    order = [2, 0, 1]
    assert torch.allclose(loss(logits, truth), loss(logits[order], truth[order]), atol=1e-6)


def test_cross_entropy_takes_the_labels_of_whole_strips():
    logits, truth = batch(7)
    pixels = (logits[..., :1, :1], truth[..., :1, :1])
    labels = [tensor[..., 0, 0] for tensor in pixels]
    weights = torch.tensor([2.0, 0.5])
    assert torch.equal(bce_loss(*pixels, weights), bce_loss(*labels, weights))


def test_a_mix_of_mixes_is_the_weighted_sum_of_its_parts():
    logits, truth = batch(8)
    inner = Mix(parts=((2.0, BCE()), (3.0, Dice(over="strip"))))
    outer = build_loss(Mix(parts=((0.5, inner), (4.0, Dice()))), 2)
    parts = [build_loss(part, 2)(logits, truth) for part in (BCE(), Dice(over="strip"), Dice())]
    assert torch.allclose(outer(logits, truth), 1.0 * parts[0] + 1.5 * parts[1] + 4.0 * parts[2])


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 1.0, 1.0)])
@pytest.mark.parametrize("mixed", [False, True])
def test_weights_for_other_classes_are_refused_by_their_field(weights, mixed):
    spec = BCE(pos_weight=weights)
    with pytest.raises(RecipeError, match=r"BCE\.pos_weight: holds \d values, .* has 2 classes"):
        build_loss(Mix(parts=((1.0, spec),)) if mixed else spec, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: BCE(pos_weight=0.0),
        lambda: Dice(smooth=0.0),
        lambda: Dice(over="image"),
        lambda: Mix(parts=()),
        lambda: Mix(parts=((0.0, BCE()),)),
    ],
)
def test_settings_without_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        wrong()


def test_the_weights_of_a_loss_move_with_it_and_are_not_fitted():
    loss = build_loss(Mix(parts=((1.0, BCE(pos_weight=(2.0, 1.0))), (1.0, Dice()))), 2)
    assert not list(loss.parameters())
    assert [buffer.tolist() for buffer in loss.buffers()] == [[2.0, 1.0]]


def test_dice_of_a_classifier_is_refused_with_a_way_out():
    with pytest.raises(RecipeError, match="Give a classifier bce"):
        build_loss(Dice(), 2)(torch.zeros(3, 2), torch.zeros(3, 2))
