"""Means of weights: running ones (EMA, SWA), and the best mean of some checkpoints."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from math import ceil

import torch
from torch import Tensor, nn

from steelscan.training.specs import Averaging, Ema

State = Mapping[str, Tensor]


def mean_state(states: Sequence[State]) -> dict[str, Tensor]:
    """The mean of networks' states, tensor by tensor; whole-number counters are the last one's."""
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(last.dtype)
        if last.is_floating_point()
        else last
        for name, last in states[-1].items()
    }


def best_mean(
    states: Sequence[State], score: Callable[[State], float]
) -> tuple[tuple[int, ...], dict[str, Tensor]]:
    """Score the mean of every non-empty subset of states; returns the best one's members and it.

    Among equals the smallest subset stays, then the first (12th, K:114309).
    """
    places = range(len(states))
    subsets = [chosen for size in places for chosen in combinations(places, size + 1)]
    scores = [score(mean_state([states[place] for place in subset])) for subset in subsets]
    best = subsets[max(range(len(subsets)), key=lambda at: (scores[at], -at))]
    return best, mean_state([states[place] for place in best])


class RunningMean:
    """The mean of a network's weights over a stage, told after each step and each epoch.

    Floating tensors are averaged, running statistics of batch norms too; counters are the
    network's own.
    """

    def __init__(self, spec: Averaging, network: nn.Module) -> None:
        self._spec, self._network = spec, network
        self.taken = 0
        self.state = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    def after_step(self) -> None:
        """Take in the weights after an optimizer's step."""
        if isinstance(self._spec, Ema):
            # The plain mean first: weights that were random have no place in it.
            self._take(max(1 - self._spec.decay, 1 / (self.taken + 1)))

    def after_epoch(self, epoch: int, epochs: int) -> None:
        """Take in the weights after an epoch, counted from 0."""
        if isinstance(self._spec, Ema):
            return
        if epoch <= ceil(self._spec.start * epochs):  # until then the last weights stand alone
            self.taken = 0
        self._take(1 / (self.taken + 1))

    def resume(self, state: State, taken: int) -> None:
        """Go on from a mean that was saved."""
        self.taken = taken
        for name, tensor in state.items():
            self.state[name].copy_(tensor)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the network stand for the mean inside the block."""
        own = {name: tensor.clone() for name, tensor in self._network.state_dict().items()}
        self._network.load_state_dict(self.state)
        try:
            yield
        finally:
            self._network.load_state_dict(own)

    @torch.no_grad()
    def _take(self, share: float) -> None:
        self.taken += 1
        for name, tensor in self._network.state_dict().items():
            if tensor.is_floating_point():
                self.state[name].lerp_(tensor, share)
            else:
                self.state[name].copy_(tensor)
