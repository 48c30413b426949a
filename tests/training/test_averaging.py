"""Averages of weights against means of NumPy, and the best average of some checkpoints."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from steelscan.training.averaging import WeightAverage, best_mean, mean_state
from steelscan.training.specs import Ema, Swa


def states(count, seed=0):
    random = np.random.default_rng(seed)
    return [
        {
            "weight": torch.from_numpy(random.normal(size=(2, 3)).astype(np.float32)),
            "running_var": torch.from_numpy(random.random(4).astype(np.float32)),
            "num_batches_tracked": torch.tensor(10 * number),
        }
        for number in range(count)
    ]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_numbers_are_averaged_and_counters_are_the_last_ones(count):
    given = states(count)
    mean = mean_state(given)
    for name in ("weight", "running_var"):
        expected = np.mean([state[name].numpy().astype(np.float64) for state in given], axis=0)
        assert np.allclose(mean[name].numpy(), expected, atol=1e-7)
        assert mean[name].dtype == torch.float32
    assert int(mean["num_batches_tracked"]) == 10 * (count - 1)


def test_all_31_means_of_five_are_scored_and_the_best_is_kept():
    given = states(5, seed=4)
    scored = []

    def score(state):
        scored.append(state)
        return -float((state["weight"] - target).abs().sum())

    expected = (1, 3, 4)
    target = mean_state([given[index] for index in expected])["weight"]
    best, mean = best_mean(given, score)
    assert len(scored) == 31
    assert best == expected
    assert torch.allclose(mean["weight"], target)
    every = {tuple(np.flatnonzero(bits)) for bits in product((0, 1), repeat=5) if any(bits)}
    means = [mean_state([given[index] for index in subset])["weight"] for subset in every]
    assert all(any(torch.equal(each["weight"], one) for one in means) for each in scored)


def test_of_equal_scores_the_first_checkpoint_alone_is_kept():
    best, mean = best_mean(states(3), lambda _: 0.5)
    assert best == (0,)
    assert torch.equal(mean["weight"], states(3)[0]["weight"])


def moving(spec, steps_an_epoch=3, epochs=4):
    """Return a network whose weights change at random, their average, and all of their states."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average, states = WeightAverage(spec, network), []
    for epoch in range(epochs):
        for _ in range(steps_an_epoch):
            with torch.no_grad():
                for tensor in network.state_dict().values():
                    tensor.add_(torch.randn(tensor.shape).abs().to(tensor.dtype) + 1)
            states.append({name: value.clone() for name, value in network.state_dict().items()})
            average.after_step(network)
        average.after_epoch(network, epoch, epochs)
    return network, average, states


def test_an_ema_is_a_plain_mean_at_first_and_then_moves_exponentially():
    network, average, states = moving(Ema(decay=0.75))
    expected = states[0]["0.weight"].double()
    for number, state in enumerate(states[1:], start=2):
        kept = min(0.75, 1 - 1 / number)
        expected = kept * expected + (1 - kept) * state["0.weight"].double()
    found = average.module.state_dict()
    assert torch.allclose(found["0.weight"].double(), expected, atol=1e-5)
    assert torch.equal(found["1.num_batches_tracked"], states[-1]["1.num_batches_tracked"])
    assert not torch.allclose(found["0.weight"], network.state_dict()["0.weight"])


@pytest.mark.parametrize(("start", "first"), [(0.0, 0), (0.5, 2), (0.6, 3), (0.75, 3)])
def test_swa_is_the_plain_mean_of_the_last_epochs(start, first):
    _, average, states = moving(Swa(start=start))
    ends = states[2::3][first:]
    for name in ("0.weight", "1.running_mean"):
        expected = torch.stack([state[name] for state in ends]).mean(0)
        assert torch.allclose(average.module.state_dict()[name], expected, atol=1e-5)


@pytest.mark.parametrize("spec", [Ema(decay=0.75), Swa(start=0.25)])
def test_an_average_has_the_bits_of_a_loop_of_lerp(spec):
    _, average, states = moving(spec)
    taken = states if isinstance(spec, Ema) else states[2::3][1:]
    expected = taken[0]["0.weight"].clone()
    for number, state in enumerate(taken[1:], start=1):
        share = 1 / (number + 1)
        share = max(1 - spec.decay, share) if isinstance(spec, Ema) else share
        expected.lerp_(state["0.weight"], share)
    assert torch.equal(average.module.state_dict()["0.weight"], expected)


def test_an_average_continues_from_a_saved_one():
    network, average, _ = moving(Ema(decay=0.9))
    again = WeightAverage(Ema(decay=0.9), network)
    again.resume(average.module.state_dict(), int(average.n_averaged))
    for each in (average, again):
        each.after_step(network)
    expected = average.module.state_dict()
    for name, tensor in again.module.state_dict().items():
        assert torch.equal(tensor, expected[name])
