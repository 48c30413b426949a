"""A fitted network of torch that has a say, and the module that answers for it.

The module is what a bundle's graphs are made of, too: normalisation, views and their mean are in
it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from steelscan.data import Shrink
from steelscan.models import Outputs, StripNetwork
from steelscan.prediction.outputs import ModelOutputs, OutputKind
from steelscan.prediction.specs import Tiles, View
from steelscan.prediction.views import turn
from steelscan.strip import Picture, RunError


class Viewed(nn.Module):
    """A network asked about views of strips: from ``(strips, 1, height, width)`` to its heads.

    Heads are ``(views, strips, planes, ...)``, mirrored back, or the mean of that over the views
    with ``averaged``, ``(1, strips, planes, ...)``. All views go through the network ``together``
    as one batch, or one after another.
    """

    def __init__(
        self,
        network: StripNetwork,
        views: Sequence[View],
        sort: OutputKind,
        *,
        together: bool,
        averaged: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self._views, self._sort = tuple(views), sort
        self._together, self._averaged = together, averaged

    def forward(self, strips: Tensor) -> Outputs:
        """Return what `OutputKind` says of each view; a head that the network has not is None."""
        turned = [turn(strips, view) for view in self._views]
        if self._together and len(turned) > 1:
            together = self._ask(torch.cat(turned))
            parts = [_chunks(head, len(turned)) for head in together]
        else:
            answers = [self._ask(each) for each in turned]
            parts = [_gathered([answer[at] for answer in answers]) for at in range(2)]
        masks, classes = parts
        if masks is not None:
            back = zip(masks, self._views, strict=True)
            masks = [turn(plane, view) for plane, view in back]
        return Outputs(self._joined(masks), self._joined(classes))

    def _ask(self, strips: Tensor) -> Outputs:
        outputs: Outputs = self.network(strips)
        if self._sort == "logits":
            return outputs
        shares = self.network.probabilities(outputs)
        return _behind(shares, outputs) if self._sort == "both" else shares

    def _joined(self, answers: Sequence[Tensor] | None) -> Tensor | None:
        if answers is None:
            return None
        if not self._averaged:
            return torch.stack(list(answers))
        total, *others = answers  # to stack them first would cost a CPU more than to add them
        for each in others:
            total = total + each
        return (total / len(answers))[None]


@dataclass(frozen=True)
class TorchModel:
    """A fitted network, in eval mode, the size at which it sees a strip, and what it knows.

    ``classes`` are the ids, from 1, of the classes that it answers for; None: all.
    """

    network: StripNetwork
    resize: Shrink | None
    classes: tuple[int, ...] | None = None
    tiles: Tiles | None = None

    @property
    def softmax(self) -> bool:
        """Whether logits of its masks are for softmax."""
        return self.network.output == "softmax"

    def answer(self, strip: Picture, views: Sequence[View], sort: OutputKind) -> ModelOutputs:
        """What the network says of each view of a strip; see `Model`.

        Raises RunError for what is not a number: it would pass for sound steel.
        """
        device = next(self.network.parameters()).device
        # A CPU answers one view after another sooner, and with less memory, than all at once.
        viewed = Viewed(self.network, views, sort, together=device.type != "cpu")
        with torch.inference_mode():
            given = torch.from_numpy(strip.copy())  # torch wants it writable and unmirrored
            masks, classes = viewed(given[None, None].to(device))
        heads = ModelOutputs(_of_one(masks), _of_one(classes))
        if not all(np.isfinite(head).all() for head in heads if head is not None):
            found = "predicts what is not a number: its fit has diverged"
            raise RunError("a network", found, "Train anew with a lower learning rate")
        return heads


def _of_one(head: Tensor | None) -> NDArray[np.float32] | None:
    """Answers on the one strip that was asked about."""
    return None if head is None else head[:, 0].float().cpu().numpy()


def _behind(first: Outputs, second: Outputs) -> Outputs:
    """The planes of each head of two answers, those of the second behind those of the first."""
    heads = zip(first, second, strict=True)
    joined = (
        None if one is None or other is None else torch.cat([one, other], 1) for one, other in heads
    )
    return Outputs(*joined)


def _chunks(head: Tensor | None, count: int) -> list[Tensor] | None:
    return None if head is None else list(head.chunk(count))


def _gathered(heads: Sequence[Tensor | None]) -> list[Tensor] | None:
    there = [head for head in heads if head is not None]
    return there or None
