"""Settings and targets that losses refuse, and which networks they serve."""

import pytest
import torch
from pydantic import ValidationError
from tests.losses.definition import SPECS, batch, each, every_loss, having, run, takes_softmax

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
from steelscan.strip import RecipeError


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
