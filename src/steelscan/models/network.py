"""The common interface of all networks: grey pixels in, logits out; normalisation is inside."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from steelscan.strip.errors import RecipeError


class Outputs(NamedTuple):
    """The float logits or probabilities of masks, of classes, or of both.

    For output "softmax" the logits of ``masks`` have one more plane, the first, for the
    background; probabilities never have it.
    """

    masks: Tensor | None = None
    """``(strips, classes, height, width)``"""
    classes: Tensor | None = None
    """``(strips, classes)``"""


class StripNetwork(nn.Module):
    """A network of grey strips ``(strips, 1, height, width)``, uint8 or float 0 to 255.

    Height and width must be multiples of ``stride``. ``head`` names its outputs. ``mean`` and
    ``std`` are shares of white, one per channel of the body's first layer: with more than one the
    grey channel is repeated and each copy is normalised by its own. ``output`` is how logits of
    masks become probabilities.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        body: nn.Module,
        *,
        encoder: str,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        stride: int,
        head: Literal["masks", "classes", "both"],
        output: Literal["sigmoid", "softmax"] = "sigmoid",
    ) -> None:
        super().__init__()
        self.body = body
        self._encoder = encoder
        self.stride = stride
        self.head = head
        self.output = output
        self.register_buffer("mean", _grey_values(mean), persistent=False)
        self.register_buffer("std", _grey_values(std), persistent=False)

    @property
    def encoder(self) -> nn.Module:
        """The part of the network that takes pretrained weights."""
        return self.body.get_submodule(self._encoder)

    def features(self) -> dict[str, Tensor]:
        """Return the encoder's own tensors, without those of a classifier's last layer.

        Their names are the same in a classifier and in a segmenter.
        """
        last = getattr(self.encoder, "pretrained_cfg", {}).get("classifier", "")
        return {
            shared_name(name): tensor
            for name, tensor in self.encoder.state_dict().items()
            if not last or not name.startswith(f"{last}.")
        }

    def forward(self, strips: Tensor) -> Outputs:
        """Return the logits of the network's heads. Raises RecipeError for sizes off the stride."""
        height, width = strips.shape[-2:]
        if height % self.stride or width % self.stride:
            padded = [-(-side // self.stride) * self.stride for side in (height, width)]
            raise RecipeError(
                "network input",
                f"is {height}x{width}, not a multiple of {self.stride}",
                f"Pad it to {padded[0]}x{padded[1]}",
            )
        logits = self.body((strips.to(self.mean.dtype) - self.mean) / self.std)
        return Outputs(*logits) if self.head == "both" else Outputs(**{self.head: logits})

    def probabilities(self, outputs: Outputs) -> Outputs:
        """Return the probabilities of this network's logits, in the same dtype, a plane per class.

        With output "softmax" the background is dropped, and the classes sum to at most 1. Class
        outputs of whole strips are always independent (sigmoid).
        """
        masks, classes = outputs
        if masks is not None:
            masks = masks.softmax(1)[:, 1:] if self.output == "softmax" else masks.sigmoid()
        return Outputs(masks, None if classes is None else classes.sigmoid())


def copy_encoder(source: StripNetwork, target: StripNetwork) -> None:
    """Copy the encoder of one network into another; heads stay as they are.

    If one encoder is less deep than the other (PSPNet without dilation), the common part is copied.
    Raises RecipeError if the encoders are of different kinds or have different first layers.
    """
    theirs, own = source.features(), target.features()
    shared = [name for name in own if name in theirs and own[name].shape == theirs[name].shape]
    if len(shared) < min(len(theirs), len(own)):
        found = f"have {len(shared)} tensors in common, of {len(theirs)} and {len(own)}"
        raise RecipeError("encoders", found, "Give both members the same encoder")
    for name in shared:
        own[name].copy_(theirs[name])


def shared_name(name: str) -> str:
    """Return the name of an encoder's tensor without its dots.

    To return an encoder's maps, timm restructures some encoders: ``features.conv0.weight`` of a
    classifier becomes ``features_conv0.weight``.
    """
    return name.replace(".", "_")


def _grey_values(shares: float | Sequence[float]) -> Tensor:
    """Return shares of white as grey values 0 to 255, ``(1, channels, 1, 1)``."""
    each = shares if isinstance(shares, Sequence) else (shares,)
    return torch.tensor([share * 255 for share in each]).view(1, -1, 1, 1)
