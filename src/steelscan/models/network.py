"""The common form of every network: grey pixels in, logits out, normalisation inside."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from steelscan.strip import RecipeError


class Outputs(NamedTuple):
    """What a network says of the masks, of the classes, or of both: float logits.

    As a network gives it, ``masks`` has one plane more, the first, for sound steel where its
    output is "softmax"; as probabilities it never has.
    """

    masks: Tensor | None = None
    """``(strips, classes, height, width)``"""
    classes: Tensor | None = None
    """``(strips, classes)``"""


class StripNetwork(nn.Module):
    """A network that takes grey strips ``(strips, 1, height, width)``, uint8 or float 0 to 255.

    Height and width must be multiples of ``stride``. ``head`` says what it answers. ``mean`` and
    ``std`` are shares of white, one for each channel of the body's first layer: more than one
    repeat the grey channel, each normalised by its own. ``output`` says how logits of masks
    become probabilities.
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
        self.register_buffer("mean", _levels(mean), persistent=False)
        self.register_buffer("std", _levels(std), persistent=False)

    @property
    def encoder(self) -> nn.Module:
        """The part of the network that first weights are for."""
        return self.body.get_submodule(self._encoder)

    def features(self) -> dict[str, Tensor]:
        """The tensors of the encoder, without those of a classifier's last layer.

        By names that are the same in a classifier and in a segmenter. The tensors are the
        network's own: what is written into them, it has.
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
        """Turn this network's logits into probabilities, of the same dtype: one plane a class.

        With output "softmax" the probability of sound steel is dropped, and those of the classes
        sum to at most 1. Classes of whole strips are judged each alone.
        """
        masks, classes = outputs
        if masks is not None:
            masks = masks.softmax(1)[:, 1:] if self.output == "softmax" else masks.sigmoid()
        return Outputs(masks, None if classes is None else classes.sigmoid())


def copy_encoder(source: StripNetwork, target: StripNetwork) -> None:
    """Give a network the encoder of another; heads of either stay as they are.

    Where one encoder goes less deep than the other (PSPNet), the part that both have is copied.
    Raises RecipeError when the encoders are not of one kind, with the same first layers.
    """
    theirs, own = source.features(), target.features()
    shared = [name for name in own if name in theirs and own[name].shape == theirs[name].shape]
    if len(shared) < min(len(theirs), len(own)):
        found = f"have {len(shared)} tensors in common, of {len(theirs)} and {len(own)}"
        raise RecipeError("encoders", found, "Give both members the same encoder")
    for name in shared:
        own[name].copy_(theirs[name])


def shared_name(name: str) -> str:
    """The name of an encoder's tensor without its dots.

    timm takes some encoders apart to get at their maps, and then has ``features_conv0.weight``
    for what a classifier calls ``features.conv0.weight``.
    """
    return name.replace(".", "_")


def _levels(shares: float | Sequence[float]) -> Tensor:
    """Shares of white as grey levels, ``(1, channels, 1, 1)``."""
    each = shares if isinstance(shares, Sequence) else (shares,)
    return torch.tensor([share * 255 for share in each]).view(1, -1, 1, 1)
