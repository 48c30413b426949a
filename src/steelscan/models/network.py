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

    def __init__(
        self, body: nn.Module, *, encoder: str, mean: float, std: float, stride: int, head: str
    ) -> None:
        super().__init__()
        self.body = body
        self._encoder = encoder
        self.stride = stride
        self.head = head
        self.register_buffer("mean", torch.tensor(mean * 255), persistent=False)
        self.register_buffer("std", torch.tensor(std * 255), persistent=False)

    @property
    def encoder(self) -> nn.Module:
        """The part of the network that first weights are for."""
        return self.body.get_submodule(self._encoder)

    def features(self) -> dict[str, Tensor]:
        """The tensors of the encoder, without those of a classifier's last layer."""
        last = getattr(self.encoder, "pretrained_cfg", {}).get("classifier", "")
        return {
            name: tensor
            for name, tensor in self.encoder.state_dict().items()
            if not last or not name.startswith(f"{last}.")
        }

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
    body, place = _body(spec, classes)
    if found is not None:
        encoder = body.get_submodule(place)
        encoder.load_state_dict({**encoder.state_dict(), **_grey(encoder, found.state)})
        source = found.source
    elif spec.weights == "imagenet":
        source = "random: no ImageNet weights of this encoder are installed"
    else:
        source = "random, as the recipe says"
    config = timm.get_pretrained_cfg(spec.encoder, allow_unregistered=True)
    mean = sum(config.mean) / 3 if config else 0.449
    std = sum(config.std) / 3 if config else 0.226
    head = "classes" if isinstance(spec, Classifier) else "masks"
    return StripNetwork(body, encoder=place, mean=mean, std=std, stride=32, head=head), source


def copy_encoder(source: StripNetwork, target: StripNetwork) -> None:
    """Give a network the encoder of another; heads of either stay as they are.

    Raises RecipeError when the encoders are not of one kind.
    """
    theirs, own = source.features(), target.features()
    shared = {name: theirs[name] for name in own if name in theirs}
    if len(shared) < min(len(theirs), len(own)):
        found = f"have {len(shared)} tensors in common, of {len(theirs)} and {len(own)}"
        raise RecipeError("encoders", found, "Give both members the same encoder")
    target.encoder.load_state_dict({**target.encoder.state_dict(), **shared})


def _body(spec: Network, classes: int) -> tuple[nn.Module, str]:
    """The network without normalisation, and where in it the encoder is."""
    match spec:
        case Classifier():
            body = timm.create_model(
                spec.encoder,
                num_classes=classes,
                in_chans=1,
                drop_rate=spec.dropout,
                global_pool=spec.pool,
            )
            return body, ""
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
    return body, "encoder.model"


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
