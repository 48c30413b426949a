"""Schedules against their formulas, over whole runs."""

from math import cos, inf, pi
from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from steelscan.training import Cosine, FlatCosine, Noam, OneCycle, Plateau
from steelscan.training.schedules import plateau, rate
from steelscan.training.specs import Constant, Schedule

SCHEDULES = [
    Constant(),
    Cosine(),
    Cosine(warmup=0.1),
    Cosine(warmup=0.95),
    FlatCosine(warmup=0.005, flat=0.495),
    FlatCosine(warmup=0.2, flat=0.0),
    Noam(warmup=0.02),
    Noam(warmup=0.5),
    OneCycle(),
    OneCycle(warmup=0.3, start=0.1, end=0.0),
    Plateau(),
]
every_length = pytest.mark.parametrize("steps", [1, 2, 7, 100, 1000])


def rates(spec, steps):
    return np.array([rate(spec, step, steps) for step in range(steps)])


def test_the_suite_holds_every_kind():
    kinds = get_args(get_args(Schedule)[0])
    assert len(kinds) == 6
    assert {type(spec) for spec in SCHEDULES} == set(kinds)


@every_length
@pytest.mark.parametrize("spec", SCHEDULES)
def test_a_rate_is_never_negative_and_never_above_its_top(spec, steps):
    assert (rates(spec, steps) >= 0).all()
    assert (rates(spec, steps) <= 1).all()
    assert rates(spec, steps).max() > 0


@every_length
def test_a_constant_rate_is_constant_and_that_of_a_plateau_too(steps):
    assert rates(Constant(), steps).tolist() == [1.0] * steps
    assert rates(Plateau(), steps).tolist() == [1.0] * steps


@every_length
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 0.95])
def test_the_cosine_rises_to_its_top_and_falls_towards_nought(steps, warmup):
    found = rates(Cosine(warmup=warmup), steps)
    rising = [step for step in range(steps) if step < warmup * steps]
    falling = [step for step in range(steps) if step >= warmup * steps]
    assert (np.diff(found[rising]) > 0).all()
    assert (np.diff(found[falling]) < 0).all()
    length = steps * (1 - warmup)
    expected = [(1 + cos(pi * (step - steps * warmup) / length)) / 2 for step in falling]
    assert found[falling].tolist() == pytest.approx(expected)
    slope = 1 / (steps * warmup + 1)
    assert found[rising].tolist() == pytest.approx([(step + 1) * slope for step in rising])


def test_half_way_through_the_cosine_the_rate_is_half():
    assert rate(Cosine(), 0, 100) == 1
    assert rate(Cosine(), 50, 100) == pytest.approx(0.5)
    assert rate(Cosine(warmup=0.2), 60, 100) == pytest.approx(0.5)
    assert rate(Cosine(), 99, 100) < 1e-3


def test_the_14ths_rate_warms_up_half_an_epoch_is_flat_to_the_50th_and_falls_over_50():
    batches = 40
    found = rates(FlatCosine(warmup=0.005, flat=0.495), 100 * batches)
    assert (np.diff(found[:20]) > 0).all()
    assert set(found[20 : 50 * batches].tolist()) == {1.0}
    angle = np.linspace(0, np.pi, 50 * batches, endpoint=False)
    assert np.allclose(found[50 * batches :], (1 + np.cos(angle)) / 2)


@every_length
@pytest.mark.parametrize("warmup", [0.01, 0.02, 0.3])
def test_noam_is_the_formula_of_its_paper_scaled_to_a_top_of_one(steps, warmup):
    step, warm = np.arange(1, steps + 1), warmup * steps
    paper = np.minimum(step**-0.5, step * warm**-1.5)
    assert np.allclose(rates(Noam(warmup=warmup), steps), paper * warm**0.5)


@every_length
def test_one_cycle_is_two_straight_lines(steps):
    spec = OneCycle(warmup=0.35, start=0.04, end=0.01)
    expected = np.interp(np.arange(steps), [0, 0.35 * steps, steps], [0.04, 1, 0.01])
    assert np.allclose(rates(spec, steps), expected)


def cut_by_hand(spec, scores, lr):
    """Return the rate after each score, as documented for the settings."""
    best, bad, waits, found = -inf, 0, 0, []
    for score in scores:
        if score > best + spec.threshold:
            best, bad = score, 0
        else:
            bad += 1
        if waits:
            waits, bad = waits - 1, 0
        if bad > spec.patience:
            cut = max(lr * spec.factor, spec.min_lr)
            lr = cut if lr - cut > spec.eps else lr
            waits, bad = spec.cooldown, 0
        found.append(lr)
    return found


@pytest.mark.parametrize(
    "spec",
    [
        Plateau(),
        Plateau(factor=0.5, patience=3, cooldown=3, min_lr=1e-8),
        Plateau(factor=0.1, patience=0, min_lr=0.05),
        Plateau(patience=1, cooldown=2, threshold=0.05),
        Plateau(patience=0, eps=0.3),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_plateau_cuts_the_rates_by_its_settings(spec, seed):
    scores = np.random.default_rng(seed).normal(0, 0.1, 60) + np.linspace(0, 0.2, 60)
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([{"params": [weight], "lr": 1.0}])
    scheduler, found = plateau(spec, optimizer), []
    for score in scores.tolist():
        scheduler.step(score)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == pytest.approx(cut_by_hand(spec, scores.tolist(), 1.0))
    if not spec.eps > 0.1:
        assert found[-1] < 1


@pytest.mark.parametrize("spec", SCHEDULES)
def test_settings_go_to_json_and_back(spec):
    adapter = TypeAdapter(Schedule)
    assert adapter.validate_json(adapter.dump_json(spec)) == spec


def test_settings_without_sense_are_refused():
    with pytest.raises(ValidationError, match="no steps for the cosine"):
        FlatCosine(warmup=0.5, flat=0.5)
    with pytest.raises(ValidationError):
        Noam(warmup=0.0)
    with pytest.raises(ValidationError):
        Plateau(factor=1.0)
