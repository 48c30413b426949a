"""The common form of every network: grey pixels in, logits out, normalisation inside."""

from typing import NamedTuple

import segmentation_models_pytorch as smp
import timm
import torch
from torch import Tensor, nn

from steelscan.models.specs import Classifier, Fpn, Network, Unet
from steelscan.models.weights import find_weights
from steelscan.strip import RecipeError


class Outputs(NamedTuple):
    """What a network says: float logits of the masks, of the classes, or of both."""

    masks: Tensor | None = None
    """``(strips, classes, height, width)``"""
    classes: Tensor | None = None
    """``(strips, classes)``"""


class StripNetwork(nn.Module):
    """A network that takes grey strips ``(strips, 1, height, width)``, uint8 or float 0 to 255.

    Height and width must be multiples of ``stride``.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, body: nn.Module, *, mean: float, std: float, stride: int, head: str) -> None:
        super().__init__()
        self.body = body
        self.stride = stride
        self.head = head
        self.register_buffer("mean", torch.tensor(mean * 255), persistent=False)
        self.register_buffer("std", torch.tensor(std * 255), persistent=False)

    def forward(self, strips: Tensor) -> Outputs:
        """Return the logits of the network's head. Raises RecipeError for sizes off the stride."""
        height, width = strips.shape[-2:]
        if height % self.stride or width % self.stride:
            padded = [-(-side // self.stride) * self.stride for side in (height, width)]
            raise RecipeError(
                "network input",
                f"is {height}x{width}, not a multiple of {self.stride}",
                f"Pad it to {padded[0]}x{padded[1]}",
            )
        logits = self.body((strips.float() - self.mean) / self.std)
        return Outputs(**{self.head: logits})


def build_network(spec: Network, classes: int) -> tuple[StripNetwork, str]:
    """Build a network with its first weights; returns it and a sentence on where those are from.

    The encoder's first layer takes one grey channel: pretrained weights are summed over the
    three colours, which is what three equal channels would give.
    Raises RecipeError for an encoder that timm does not know.
    """
    if not timm.is_model(spec.encoder):
        raise RecipeError(
            f"encoder {spec.encoder}", "is not known to timm", "See timm.list_models()"
        )
    found = find_weights(spec.encoder) if spec.weights == "imagenet" else None
    body, encoder = _body(spec, classes)
    if found is not None:
        state = {**encoder.state_dict(), **_grey(encoder, found.state)}
        encoder.load_state_dict(state)
        source = found.source
    elif spec.weights == "imagenet":
        source = "random: no ImageNet weights of this encoder are installed"
    else:
        source = "random, as the recipe says"
    config = timm.get_pretrained_cfg(spec.encoder, allow_unregistered=True)
    mean = sum(config.mean) / 3 if config else 0.449
    std = sum(config.std) / 3 if config else 0.226
    head = "classes" if isinstance(spec, Classifier) else "masks"
    return StripNetwork(body, mean=mean, std=std, stride=32, head=head), source


def _body(spec: Network, classes: int) -> tuple[nn.Module, nn.Module]:
    """The network without normalisation, and the part of it that takes the encoder's weights."""
    match spec:
        case Classifier():
            body = timm.create_model(
                spec.encoder, num_classes=classes, in_chans=1, drop_rate=spec.dropout
            )
            return body, body
        case Unet():
            body = smp.Unet(
                f"tu-{spec.encoder}",
                encoder_depth=len(spec.decoder_channels),
                encoder_weights=None,
                decoder_channels=spec.decoder_channels,
                in_channels=1,
                classes=classes,
            )
        case Fpn():
            body = smp.FPN(
                f"tu-{spec.encoder}",
                encoder_weights=None,
                decoder_pyramid_channels=spec.pyramid_channels,
                decoder_segmentation_channels=spec.segmentation_channels,
                decoder_merge_policy=spec.merge,
                decoder_dropout=spec.dropout,
                in_channels=1,
                classes=classes,
            )
    return body, body.encoder.model


def _grey(encoder: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights that fit the encoder, those of its first layer summed over the colours."""
    own = encoder.state_dict()
    fitting = {}
    for name, weight in state.items():
        if name in own and weight.ndim == 4 and own[name].shape[1] == 1 and weight.shape[1] == 3:
            weight = weight.sum(1, keepdim=True)  # noqa: PLW2901
        if name in own and own[name].shape == weight.shape:
            fitting[name] = weight
    return fitting
