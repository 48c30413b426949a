"""Optimizers and schedules against their formulas, written out with plain numbers."""

from math import cos, pi, sqrt
from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from steelscan.data import WholeStrip
from steelscan.losses import BCE
from steelscan.training import (
    SGD,
    AdamW,
    Constant,
    Cosine,
    Optimizer,
    Schedule,
    Training,
    build_optimizer,
    rate,
)

OPTIMIZERS = [AdamW(lr=1e-2), AdamW(lr=0.3, weight_decay=0.5), SGD(lr=0.1, momentum=0.0),
              SGD(lr=0.1, momentum=0.8, weight_decay=0.2)]  # fmt: skip
SCHEDULES = [Constant(), Cosine(), Cosine(warmup=0.1), Cosine(warmup=0.95)]


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
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            mean, square = first / (1 - 0.9**number), second / (1 - 0.999**number)
            value -= spec.lr * mean / (sqrt(square) + 1e-8)
        else:
            momentum = spec.momentum * momentum + gradient + spec.weight_decay * value
            value -= spec.lr * momentum
    return value


def test_the_suites_hold_every_kind():
    assert {type(spec) for spec in OPTIMIZERS} == set(get_args(get_args(Optimizer)[0]))
    assert {type(spec) for spec in SCHEDULES} == set(get_args(get_args(Schedule)[0]))
    assert len(get_args(get_args(Optimizer)[0])) == len(get_args(get_args(Schedule)[0])) == 2


@pytest.mark.parametrize("spec", OPTIMIZERS)
def test_steps_are_those_of_the_formula(spec):
    layers = network()
    optimizer = build_optimizer(spec, layers)
    before = [parameter.detach().clone() for parameter in layers.parameters()]
    gradients = [0.5, -2.0, 0.1]
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
        left = 1 - spec.lr * spec.weight_decay if parameter.ndim > 1 else 1.0
        assert torch.allclose(parameter, torch.full_like(parameter, left))


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_a_constant_rate_is_constant(steps):
    assert [rate(Constant(), step, steps) for step in range(steps)] == [1.0] * steps


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 0.95])
def test_the_cosine_rises_to_its_top_and_falls_towards_nought(steps, warmup):
    rates = np.array([rate(Cosine(warmup=warmup), step, steps) for step in range(steps)])
    assert (rates > 0).all()
    assert (rates <= 1).all()
    rising = [step for step in range(steps) if step < warmup * steps]
    falling = [step for step in range(steps) if step >= warmup * steps]
    assert (np.diff(rates[rising]) > 0).all()
    assert (np.diff(rates[falling]) < 0).all()
    length = steps * (1 - warmup)
    expected = [(1 + cos(pi * (step - steps * warmup) / length)) / 2 for step in falling]
    assert rates[falling].tolist() == pytest.approx(expected)
    slope = 1 / (steps * warmup + 1)
    assert rates[rising].tolist() == pytest.approx([(step + 1) * slope for step in rising])


def test_half_way_through_the_cosine_the_rate_is_half():
    assert rate(Cosine(), 0, 100) == 1
    assert rate(Cosine(), 50, 100) == pytest.approx(0.5)
    assert rate(Cosine(warmup=0.2), 60, 100) == pytest.approx(0.5)
    assert rate(Cosine(), 99, 100) < 1e-3


@pytest.mark.parametrize(("union", "specs"), [(Optimizer, OPTIMIZERS), (Schedule, SCHEDULES)])
def test_settings_go_to_json_and_back(union, specs):
    adapter = TypeAdapter(union)
    for spec in specs:
        assert adapter.validate_json(adapter.dump_json(spec)) == spec


def test_steps_that_would_split_a_batch_are_refused():
    whole = Training(
        crop=WholeStrip(),
        loss=BCE(),
        optimizer=AdamW(lr=1e-3),
        batch=8,
        accumulate_to=24,
        epochs=1,
    )
    with pytest.raises(ValidationError, match="no multiple of 8"):
        whole.but(accumulate_to=20)
