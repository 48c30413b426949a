"""Optimizers and schedules against their formulas, written out with plain numbers."""

from math import sqrt
from typing import get_args

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from steelscan.data import WholeStrip
from steelscan.losses import BCE
from steelscan.training import SGD, Adam, AdamW, RAdam, Training
from steelscan.training.optimizers import build_optimizer, learning_rates
from steelscan.training.specs import Optimizer

OPTIMIZERS = [
    SGD(lr=0.1, momentum=0.0),
    SGD(lr=0.1, momentum=0.8, weight_decay=0.2),
    Adam(lr=1e-2),
    Adam(lr=0.1, weight_decay=0.5),
    AdamW(lr=1e-2),
    AdamW(lr=0.3, weight_decay=0.5),
    RAdam(lr=1e-2),
    RAdam(lr=0.1, weight_decay=0.2),
]


def network():
    """One layer of each sort: with two axes, four axes, and with one."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 2))


def step_by_hand(spec, value, gradients):
    """The value of one number after some steps with these gradients; decay as for a weight."""
    first = second = momentum = 0.0
    for number, gradient in enumerate(gradients, start=1):
        if isinstance(spec, AdamW):
            value -= spec.lr * spec.weight_decay * value
        else:
            gradient = gradient + spec.weight_decay * value  # noqa: PLW2901
        if isinstance(spec, SGD):
            momentum = spec.momentum * momentum + gradient
            value -= spec.lr * momentum
            continue
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        mean, root = first / (1 - 0.9**number), sqrt(second / (1 - 0.999**number))
        if isinstance(spec, RAdam):
            value -= spec.lr * mean * rectified(number) / (root if rectified(number) < 1 else 1)
        else:
            value -= spec.lr * mean / (root + 1e-8)
    return value


def rectified(number):
    """The factor of Liu et al. 2019 for a decay of 0.999; 1 while the variance has no bound."""
    longest = 2 / (1 - 0.999) - 1
    length = longest - 2 * number * 0.999**number / (1 - 0.999**number)
    if length <= 5:
        return 1.0
    above = (length - 4) * (length - 2) * longest
    return sqrt(above / ((longest - 4) * (longest - 2) * length))


def test_the_suite_holds_every_kind():
    kinds = get_args(get_args(Optimizer)[0])
    assert len(kinds) == 4
    assert {type(spec) for spec in OPTIMIZERS} == set(kinds)


@pytest.mark.parametrize("spec", OPTIMIZERS)
def test_steps_are_those_of_the_formula(spec):
    layers = network()
    optimizer = build_optimizer(spec, layers)
    before = [parameter.detach().clone() for parameter in layers.parameters()]
    gradients = [0.5, -2.0, 0.1, 0.3, 0.2, -0.4, 1.0, -0.1]
    for gradient in gradients:
        for parameter in layers.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step()
    for old, new in zip(before, layers.parameters(), strict=True):
        own = spec if old.ndim > 1 else spec.but(weight_decay=0.0)
        expected = [step_by_hand(own, value, gradients) for value in old.flatten().tolist()]
        assert new.detach().flatten().tolist() == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("spec", OPTIMIZERS)
def test_every_parameter_is_fitted_once_and_frozen_ones_never(spec):
    layers = network()
    layers[0].weight.requires_grad_(False)
    optimizer = build_optimizer(spec, layers)
    fitted = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    expected = [parameter for parameter in layers.parameters() if parameter.requires_grad]
    assert len(fitted) == len(expected) == 5
    assert {id(parameter) for parameter in fitted} == {id(parameter) for parameter in expected}
    decays = {
        parameter.ndim: group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert decays == {1: 0.0, 2: spec.weight_decay}
    assert {group["lr"] for group in optimizer.param_groups} == {spec.lr}


@pytest.mark.parametrize("spec", OPTIMIZERS)
def test_biases_and_scales_do_not_decay(spec):
    layers = network()
    optimizer = build_optimizer(spec, layers)
    for parameter in layers.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for parameter in layers.parameters():
        own = spec if parameter.ndim > 1 else spec.but(weight_decay=0.0)
        assert torch.allclose(parameter, torch.full_like(parameter, step_by_hand(own, 1.0, [0.0])))


@pytest.mark.parametrize("spec", OPTIMIZERS)
def test_settings_go_to_json_and_back(spec):
    adapter = TypeAdapter(Optimizer)
    assert adapter.validate_json(adapter.dump_json(spec)) == spec


@pytest.mark.parametrize("spec", OPTIMIZERS)
def test_an_encoder_has_its_own_rate_where_one_is_given(spec):
    layers = network()
    layers.encoder = layers[0]
    alike = build_optimizer(spec, layers)
    assert {group["lr"] for group in alike.param_groups} == {spec.lr}
    apart = build_optimizer(spec.but(encoder_lr=1e-5), layers)
    rates = {
        id(parameter): group["lr"] for group in apart.param_groups for parameter in group["params"]
    }
    inside = {id(parameter) for parameter in layers.encoder.parameters()}
    assert len(rates) == 6
    assert len(inside) == 2
    assert all(lr == (1e-5 if key in inside else spec.lr) for key, lr in rates.items())


def test_steps_that_would_split_a_batch_are_refused():
    whole = Training(
        crop=WholeStrip(),
        loss=BCE(),
        optimizer=AdamW(lr=1e-3),
        batch=8,
        accumulate_to=24,
        epochs=1,
    )
    with pytest.raises(ValidationError, match=r"not a multiple of \[8\]"):
        whole.but(accumulate_to=20)


def test_learning_rates_are_those_of_the_optimizer_at_that_moment():
    network = nn.ModuleDict({"encoder": nn.Linear(2, 2), "head": nn.Linear(2, 1)})
    optimizer = build_optimizer(AdamW(lr=1e-3), network)
    assert learning_rates(optimizer) == {"lr": 1e-3}
    for group in optimizer.param_groups:
        group["lr"] *= 0.5
    assert learning_rates(optimizer) == {"lr": 5e-4}
    two = build_optimizer(AdamW(lr=1e-3, encoder_lr=1e-5), network)
    assert learning_rates(two) == {"lr": 1e-3, "encoder_lr": 1e-5}
