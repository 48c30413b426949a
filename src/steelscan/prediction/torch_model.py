"""A fitted network of torch as a `Model`, and the module from which a bundle's graph is made."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from steelscan.data import Shrink
from steelscan.models import Outputs, StripNetwork
from steelscan.prediction.model import ModelOutputs, OutputKind
from steelscan.prediction.specs import Tiles, View
from steelscan.strip import Picture
from steelscan.strip.errors import RunError

_AXES: dict[View, list[int]] = {"identity": [], "hflip": [-1], "vflip": [-2]}


def mirror(planes: Tensor, view: View) -> Tensor:
    """Mirror ``(..., height, width)`` for a view; doing it twice gives the original back."""
    axes = _AXES[view]
    return planes.flip(axes) if axes else planes


class NetworkOfViews(nn.Module):
    """A network over the views of strips: from ``(strips, 1, height, width)`` to its heads.

    Heads are ``(views, strips, planes, ...)``, mirrored back, or with ``averaged`` their mean over
    the views, ``(1, strips, planes, ...)``. The views go through the network ``together`` as one
    batch, or one after another.
    """

    def __init__(
        self,
        network: StripNetwork,
        views: Sequence[View],
        kind: OutputKind,
        *,
        together: bool,
        averaged: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self._views, self._kind = tuple(views), kind
        self._together, self._averaged = together, averaged

    def forward(self, strips: Tensor) -> Outputs:
        """Return the outputs of each view; a head that the network does not have is None."""
        mirrored = [mirror(strips, view) for view in self._views]
        if self._together and len(mirrored) > 1:
            heads = self._predict(torch.cat(mirrored))
            parts = [None if head is None else [*head.chunk(len(mirrored))] for head in heads]
        else:
            outputs = [self._predict(each) for each in mirrored]
            parts = [_gathered([output[at] for output in outputs]) for at in range(2)]
        masks, classes = parts
        if masks is not None:
            pairs = zip(masks, self._views, strict=True)
            masks = [mirror(plane, view) for plane, view in pairs]
        return Outputs(self._joined(masks), self._joined(classes))

    def _predict(self, strips: Tensor) -> Outputs:
        outputs: Outputs = self.network(strips)
        if self._kind == "logits":
            return outputs
        probabilities = self.network.probabilities(outputs)
        return _concatenated(probabilities, outputs) if self._kind == "both" else probabilities

    def _joined(self, views: Sequence[Tensor] | None) -> Tensor | None:
        if views is None:
            return None
        if not self._averaged:
            return torch.stack(list(views))
        total, *others = views  # stacking first would cost a CPU more than adding
        for each in others:
            total = total + each
        return (total / len(views))[None]


@dataclass(frozen=True)
class TorchModel:
    """A fitted network in eval mode, and how it sees a strip; a `Model`."""

    network: StripNetwork
    resize: Shrink | None
    classes: tuple[int, ...] | None = None
    tiles: Tiles | None = None

    @property
    def softmax(self) -> bool:
        """Whether the logits of its masks are for softmax."""
        return self.network.output == "softmax"

    def predict(self, strip: Picture, views: Sequence[View], kind: OutputKind) -> ModelOutputs:
        """Predict each view of a strip; see `Model.predict`.

        Raises RunError if an output is not a number: it would pass for a clean strip.
        """
        device = next(self.network.parameters()).device
        # On a CPU one view after another is faster, and takes less memory, than all at once.
        module = NetworkOfViews(self.network, views, kind, together=device.type != "cpu")
        with torch.inference_mode():
            batch = torch.from_numpy(strip.copy())  # torch needs it writable, with positive strides
            masks, classes = module(batch[None, None].to(device))
        outputs = ModelOutputs(_of_one_strip(masks), _of_one_strip(classes))
        if not all(np.isfinite(head).all() for head in outputs if head is not None):
            problem = "predicts what is not a number: its fit has diverged"
            raise RunError("a network", problem, "Train again with a lower learning rate")
        return outputs


def _of_one_strip(head: Tensor | None) -> NDArray[np.float32] | None:
    """Return the outputs of a batch of one strip."""
    return None if head is None else head[:, 0].float().cpu().numpy()


def _concatenated(first: Outputs, second: Outputs) -> Outputs:
    """Concatenate the planes of each head."""
    heads = zip(first, second, strict=True)
    joined = (
        None if one is None or other is None else torch.cat([one, other], 1) for one, other in heads
    )
    return Outputs(*joined)


def _gathered(heads: Sequence[Tensor | None]) -> list[Tensor] | None:
    there = [head for head in heads if head is not None]
    return there or None
