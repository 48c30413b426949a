"""Every loss: numbers worked out with plain arithmetic, gradients, empty masks, refusals."""

from itertools import permutations
from math import exp, log
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from steelscan.losses import (
    BCE,
    BothHeads,
    CrossEntropy,
    Dice,
    Focal,
    Jaccard,
    Loss,
    Lovasz,
    Mix,
    SoftmaxFocal,
    WherePresent,
    build_loss,
)
from steelscan.losses.bce import bce_loss
from steelscan.losses.focal import focal_loss
from steelscan.losses.lovasz import lovasz_hinge_loss
from steelscan.losses.overlap import jaccard_loss, soft_dice_loss
from steelscan.losses.softmax import cross_entropy_loss, softmax_focal_loss
from steelscan.strip.errors import RecipeError

KINDS = get_args(get_args(Loss)[0])
SPECS = [
    BCE(),
    BCE(pos_weight=(2.0, 0.5)),
    BCE(pos_weight=3.0, smoothing=0.1),
    Focal(),
    Focal(gamma=0.5),
    Dice(over="batch"),
    Dice(over="strip", smooth=0.1),
    Jaccard(over="batch"),
    Jaccard(over="strip", smooth=0.1),
    Lovasz(),
    Lovasz(rectifier="elu"),
    Lovasz(symmetric=True),
    Lovasz(symmetric=True, rectifier="elu"),
    CrossEntropy(),
    CrossEntropy(smoothing=0.2),
    SoftmaxFocal(),
    SoftmaxFocal(gamma=0.5),
    WherePresent(loss=BCE(pos_weight=(2.0, 0.5))),
    WherePresent(loss=Focal(), always=True),
    WherePresent(loss=Dice(over="strip")),
    WherePresent(loss=Jaccard(over="strip"), always=(True, False)),
    WherePresent(loss=Lovasz(symmetric=True, rectifier="elu"), always=(False, True)),
    Mix(parts=((0.75, BCE(pos_weight=3.0)), (0.25, Dice()))),
    Mix(parts=((0.75, BCE()), (0.25, Lovasz()))),
    Mix(parts=((1.0, CrossEntropy()), (0.5, SoftmaxFocal()))),
    BothHeads(masks=Focal(), classes=Mix(parts=((1.0, BCE()), (2.0, Focal())))),
    BothHeads(masks=CrossEntropy(), classes=BCE(), weight=10.0),
    BothHeads(masks=WherePresent(loss=Lovasz()), classes=BCE(), weight=10.0),
]


def leaves(spec):
    """The losses that a loss is made of."""
    match spec:
        case Mix():
            return [leaf for _, part in spec.parts for leaf in leaves(part)]
        case WherePresent():
            return leaves(spec.loss)
        case BothHeads():
            return leaves(spec.masks) + leaves(spec.classes)
        case _:
            return [spec]


def having(*kinds):
    """The specs in which a loss of these kinds stands."""
    return [spec for spec in SPECS if any(isinstance(leaf, kinds) for leaf in leaves(spec))]


def without(*kinds):
    return [spec for spec in SPECS if spec not in having(*kinds)]


def takes_softmax(spec):
    return any(isinstance(leaf, CrossEntropy | SoftmaxFocal) for leaf in leaves(spec))


def each(specs):
    return pytest.mark.parametrize("spec", specs, ids=lambda spec: spec.model_dump_json()[9:60])


every_loss = each(SPECS)


def batch(spec, seed=0, strips=3, classes=2, height=4, width=5):
    """Random logits and a truth that is empty in one mask of the first strip."""
    random = torch.Generator().manual_seed(seed)
    truth = torch.rand((strips, classes, height, width), generator=random) < 0.3
    truth[0, 0] = False
    maps = classes + takes_softmax(spec)
    return torch.randn((strips, maps, height, width), generator=random) * 2, truth.byte()


def run(spec, logits, truth, classes=2):
    """A loss of a batch; the second head's logits are the highest of the first's."""
    loss = build_loss(spec, classes)
    if isinstance(spec, BothHeads):
        return loss(logits, logits[:, -classes:].amax((2, 3)), truth, truth.amax((2, 3)))
    return loss(logits, truth)


def confident(spec, truth, by=30.0):
    """Logits that are right by far."""
    logits = (truth.float() * 2 - 1) * by
    if not takes_softmax(spec):
        return logits
    return torch.cat((-logits.amax(1, keepdim=True), logits), dim=1)


def alone(truth):
    """A truth in which no pixel has two classes."""
    truth = truth.clone()
    truth[:, 1:] *= 1 - truth[:, :1]
    return truth


def by_definition(spec, logits, truth):
    """The loss in plain loops over Python numbers, ``logits`` and ``truth`` as nested lists."""
    strips, classes = range(len(truth)), range(len(truth[0]))
    match spec:
        case Mix():
            return sum(weight * by_definition(part, logits, truth) for weight, part in spec.parts)
        case BothHeads():
            heads = highest([strip[-len(classes) :] for strip in logits])
            labels = highest(truth)
            masks = by_definition(spec.masks, logits, truth)
            return masks + spec.weight * by_definition(spec.classes, heads, labels)
        case WherePresent():
            total = 0.0
            for c in classes:
                always = spec.always[c] if isinstance(spec.always, tuple) else spec.always
                felt = [n for n in strips if always or max(flat(truth[n][c])) > 0]
                terms = [of_one(spec.loss, c, flat(logits[n][c]), flat(truth[n][c])) for n in felt]
                total += sum(terms) / len(terms) if terms else 0.0
            return total
        case CrossEntropy() | SoftmaxFocal():
            return mean([of_pixels(spec, logits[n], truth[n]) for n in strips])
    together = [strips] if getattr(spec, "over", "strip") == "batch" else [[n] for n in strips]
    terms = []
    for group in together:
        for c in classes:
            z = [value for n in group for value in flat(logits[n][c])]
            y = [value for n in group for value in flat(truth[n][c])]
            terms.append(of_one(spec, c, z, y))
    return mean(terms)


def of_one(spec, c, z, y):
    """A loss of one class of one strip."""
    pixels = list(zip([1 / (1 + exp(-value)) for value in z], y, strict=True))
    match spec:
        case BCE():
            weight = spec.pos_weight[c] if isinstance(spec.pos_weight, tuple) else spec.pos_weight
            s = spec.smoothing
            smoothed = [(p, t * (1 - s) + s / 2) for p, t in pixels]
            return mean([-weight * t * log(p) - (1 - t) * log(1 - p) for p, t in smoothed])
        case Focal():
            g = spec.gamma
            on = [-t * (1 - p) ** g * log(p) for p, t in pixels]
            off = [-(1 - t) * p**g * log(1 - p) for p, t in pixels]
            return mean(on) + mean(off)
        case Dice():
            shared, both = sum(p * t for p, t in pixels), sum(p + t for p, t in pixels)
            return 1 - (2 * shared + spec.smooth) / (both + spec.smooth)
        case Jaccard():
            shared, union = sum(p * t for p, t in pixels), sum(p + t - p * t for p, t in pixels)
            return 1 - (shared + spec.smooth) / (union + spec.smooth)
        case Lovasz():
            straight = extension(z, y, spec.rectifier)
            if not spec.symmetric:
                return straight
            turned = extension([-value for value in z], [1 - value for value in y], spec.rectifier)
            return (straight + turned) / 2


def extension(z, y, rectifier):
    """The Jaccard loss of the pixels that err by more than t, summed up over all t from 0."""
    errors = rectified(z, y, rectifier)
    total, below = 0.0, 0.0
    for level in sorted(set(errors)):
        wrong = {at for at, error in enumerate(errors) if error >= level}
        total += (level - below) * jaccard_of(wrong, y)
        below = level
    return total


def rectified(z, y, rectifier):
    errors = [1 - value if present else 1 + value for value, present in zip(z, y, strict=True)]
    if rectifier == "relu":
        return [max(0.0, error) for error in errors]
    return [error + 1 if error > 0 else exp(error) for error in errors]


def jaccard_of(wrong, y):
    """1 - intersection over union of a mask that is wrong in these pixels; nothing over nothing."""
    present = {at for at, value in enumerate(y) if value}
    return len(wrong) / len(present | wrong) if wrong else 0.0


def of_pixels(spec, logits, truth):
    """A softmax loss of one strip."""
    costs, unsure = [], []
    for row in range(len(truth[0])):
        for column in range(len(truth[0][0])):
            e = [exp(each[row][column]) for each in logits]
            y = [each[row][column] for each in truth]
            y = [max(0.0, 1 - sum(y)), *y]
            p = [value / sum(e) for value in e]
            unsure.append(1 - sum(a * b for a, b in zip(y, p, strict=True)))
            s = getattr(spec, "smoothing", 0.0)
            y = [value * (1 - s) + s / len(y) for value in y]
            costs.append(-sum(t * log(q) for t, q in zip(y, p, strict=True)))
    if isinstance(spec, CrossEntropy):
        return mean(costs)
    weights = [value**spec.gamma for value in unsure]
    return sum(w * cost for w, cost in zip(weights, costs, strict=True)) / sum(weights)


def highest(maps):
    """Maps of one pixel, the highest of each."""
    return [[[[max(flat(rows))]] for rows in strip] for strip in maps]


def flat(rows):
    return [value for row in rows for value in row]


def mean(values):
    return sum(values) / len(values)


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


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (BCE(pos_weight=(1.0,)), r"BCE\.pos_weight"),
        (BCE(pos_weight=(1.0, 1.0, 1.0)), r"BCE\.pos_weight"),
        (WherePresent(loss=BCE(pos_weight=(1.0,))), r"BCE\.pos_weight"),
        (WherePresent(loss=BCE(), always=(True, False, True)), r"WherePresent\.always"),
    ],
)
def test_settings_for_another_number_of_classes_are_refused(spec, field, mixed):
    with pytest.raises(RecipeError, match=rf"{field}: holds \d values, .* has 2 classes"):
        build_loss(Mix(parts=((1.0, spec),)) if mixed else spec, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: BCE(pos_weight=0.0),
        lambda: BCE(smoothing=1.0),
        lambda: Focal(gamma=-1.0),
        lambda: Dice(smooth=0.0),
        lambda: Dice(over="image"),
        lambda: Jaccard(smooth=0.0),
        lambda: Lovasz(rectifier="gelu"),
        lambda: CrossEntropy(smoothing=-0.1),
        lambda: SoftmaxFocal(gamma=-1.0),
        lambda: WherePresent(loss=CrossEntropy()),
        lambda: Mix(parts=()),
        lambda: Mix(parts=((0.0, BCE()),)),
        lambda: BothHeads(masks=BCE(), classes=BCE(), weight=0.0),
    ],
)
def test_invalid_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        wrong()


two_heads = BothHeads(masks=BCE(), classes=BCE())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: WherePresent(loss=Dice()), 'dice with over="strip"'),
        (lambda: WherePresent(loss=Jaccard()), 'jaccard with over="strip"'),
        (lambda: Mix(parts=((1.0, two_heads),)), "a mix cannot hold both_heads"),
        (lambda: BothHeads(masks=two_heads, classes=BCE()), "masks cannot be both_heads"),
        (lambda: BothHeads(masks=BCE(), classes=Dice()), "bce, focal or a mix of them"),
        (
            lambda: BothHeads(masks=BCE(), classes=Mix(parts=((1.0, BCE()), (1.0, Lovasz())))),
            "bce, focal or a mix of them",
        ),
    ],
)
def test_losses_that_cannot_be_combined_are_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        wrong()


@every_loss
def test_a_loss_has_no_parameters(spec):
    assert not list(build_loss(spec, 2).parameters())


def test_per_class_settings_are_buffers():
    weighted = build_loss(Mix(parts=((1.0, BCE(pos_weight=(2.0, 1.0))), (1.0, Dice()))), 2)
    assert [buffer.tolist() for buffer in weighted.buffers()] == [[2.0, 1.0]]
    gated = build_loss(WherePresent(loss=Dice(over="strip"), always=(True, False)), 2)
    assert [buffer.tolist() for buffer in gated.buffers()] == [[True, False]]


@each([spec for spec in SPECS if not isinstance(spec, BCE | Focal | BothHeads)])
def test_only_bce_and_focal_are_for_classifiers(spec):
    with pytest.raises(RecipeError, match="Use bce or focal for a classifier"):
        build_loss(spec, 2)(torch.zeros(3, 2), torch.zeros(3, 2))


@every_loss
def test_logits_of_the_other_output_are_refused(spec):
    _, truth = batch(spec)
    output, other = ("softmax", 2) if takes_softmax(spec) else ("sigmoid", 3)
    with pytest.raises(RecipeError, match=rf'^loss [a-z_]+: .* Give the network output="{output}"'):
        run(spec, torch.zeros(3, other, 4, 5), truth)


@every_loss
def test_logits_of_another_size_are_refused(spec):
    logits, truth = batch(spec)
    for wrong in (logits[..., :4], logits[:2], logits[:, :1]):
        with pytest.raises(RecipeError, match=r"and got \("):
            run(spec, wrong, truth)


@each(having(Lovasz))
def test_lovasz_refuses_a_blended_target(spec):
    logits, truth = batch(spec)
    with pytest.raises(RecipeError, match=r"does not work with mixup.*Remove mixup"):
        run(spec, logits, truth * 0.7)
