"""Means of weights against means of NumPy, and which mean of some checkpoints is the best."""

from contextlib import suppress
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from steelscan.training.averaging import RunningMean, best_mean, mean_state
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
def test_the_mean_is_that_of_every_number_and_counters_are_the_last_ones(count):
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

    wanted = (1, 3, 4)
    target = mean_state([given[place] for place in wanted])["weight"]
    best, mean = best_mean(given, score)
    assert len(scored) == 31
    assert best == wanted
    assert torch.allclose(mean["weight"], target)
    every = {tuple(np.flatnonzero(bits)) for bits in product((0, 1), repeat=5) if any(bits)}
    expected = [mean_state([given[place] for place in subset])["weight"] for subset in every]
    assert all(any(torch.equal(each["weight"], one) for one in expected) for each in scored)


def test_among_equals_the_first_alone_is_kept():
    best, mean = best_mean(states(3), lambda _: 0.5)
    assert best == (0,)
    assert torch.equal(mean["weight"], states(3)[0]["weight"])


def moving(spec, steps_an_epoch=3, epochs=4):
    """A running mean of a network whose weights move by themselves, and all that they were."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    mean, seen = RunningMean(spec, network), []
    for epoch in range(epochs):
        for _ in range(steps_an_epoch):
            with torch.no_grad():
                for tensor in network.state_dict().values():
                    tensor.add_(torch.randn(tensor.shape).abs().to(tensor.dtype) + 1)
            seen.append({name: value.clone() for name, value in network.state_dict().items()})
            mean.after_step()
        mean.after_epoch(epoch, epochs)
    return network, mean, seen


def test_an_ema_is_a_plain_mean_at_first_and_then_forgets():
    network, mean, seen = moving(Ema(decay=0.75))
    expected = seen[0]["0.weight"].double()
    for number, state in enumerate(seen[1:], start=2):
        kept = min(0.75, 1 - 1 / number)
        expected = kept * expected + (1 - kept) * state["0.weight"].double()
    assert torch.allclose(mean.state["0.weight"].double(), expected, atol=1e-5)
    assert torch.equal(mean.state["1.num_batches_tracked"], seen[-1]["1.num_batches_tracked"])
    assert not torch.allclose(mean.state["0.weight"], network.state_dict()["0.weight"])


@pytest.mark.parametrize(("start", "first"), [(0.0, 0), (0.5, 2), (0.6, 3), (0.75, 3)])
def test_swa_is_the_plain_mean_of_the_last_epochs(start, first):
    _, mean, seen = moving(Swa(start=start))
    ends = seen[2::3][first:]
    for name in ("0.weight", "1.running_mean"):
        expected = torch.stack([state[name] for state in ends]).mean(0)
        assert torch.allclose(mean.state[name], expected, atol=1e-5)


def test_a_mean_stands_for_the_network_and_gives_way_again():
    network, mean, _ = moving(Ema(decay=0.9))
    own = {name: value.clone() for name, value in network.state_dict().items()}
    with suppress(KeyError), mean.in_place():
        assert torch.equal(network[0].weight, mean.state["0.weight"])
        raise KeyError
    assert all(torch.equal(own[name], value) for name, value in network.state_dict().items())
