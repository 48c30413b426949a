"""Averages of weights: running ones (EMA, SWA), and the best average of some checkpoints."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from math import ceil

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import PARAM_LIST, AveragedModel

from steelscan.training.specs import Averaging, Ema

State = Mapping[str, Tensor]


def mean_state(states: Sequence[State]) -> dict[str, Tensor]:
    """Return the mean of networks' states per tensor; integer counters are those of the last."""
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(last.dtype)
        if last.is_floating_point()
        else last
        for name, last in states[-1].items()
    }


def best_mean(
    states: Sequence[State], score: Callable[[State], float]
) -> tuple[tuple[int, ...], dict[str, Tensor]]:
    """Score the mean of every non-empty subset of states; return the best subset and its mean.

    Among equal scores the smallest subset wins, then the first (12th, K:114309).
    """
    indices = range(len(states))
    subsets = [subset for size in indices for subset in combinations(indices, size + 1)]
    scores = [score(mean_state([states[index] for index in subset])) for subset in subsets]
    best = subsets[max(range(len(subsets)), key=lambda at: (scores[at], -at))]
    return best, mean_state([states[index] for index in best])


class WeightAverage(AveragedModel):
    """A copy of a network, ``module``, with the average of its weights over a stage.

    Floating-point tensors are averaged, the running statistics of batch norms too; integer
    counters are copied.
    """

    def __init__(self, spec: Averaging, network: nn.Module) -> None:
        super().__init__(network, multi_avg_fn=self._update, use_buffers=True)
        self._spec = spec

    def after_step(self, network: nn.Module) -> None:
        """Update an exponential moving average after a step of the optimizer."""
        if isinstance(self._spec, Ema):
            self.update_parameters(network)

    def after_epoch(self, network: nn.Module, epoch: int, epochs: int) -> None:
        """Update a mean over epochs after an epoch, counted from 0."""
        if isinstance(self._spec, Ema):
            return
        if epoch <= ceil(self._spec.start * epochs):  # before the start: the last weights alone
            self.n_averaged.zero_()
        self.update_parameters(network)

    def resume(self, state: State, averaged: int) -> None:
        """Continue from a saved average of so many states."""
        self.n_averaged.fill_(averaged)
        self.module.load_state_dict(state)

    def _update(self, averages: PARAM_LIST, own: PARAM_LIST, _: Tensor | int) -> None:
        share = 1 / (int(self.n_averaged) + 1)
        if isinstance(self._spec, Ema):  # a plain mean first, so that random weights count little
            share = max(1 - self._spec.decay, share)
        for average, tensor in zip(averages, own, strict=True):
            if tensor.is_floating_point():
                average.lerp_(tensor, share)
            else:
                average.copy_(tensor)
