"""Build networks from settings, with their initial weights."""

from pathlib import Path
from typing import Any, Literal

import segmentation_models_pytorch as smp
import timm
from segmentation_models_pytorch.base import ClassificationHead, SegmentationHead
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from segmentation_models_pytorch.encoders import get_encoder
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import is_model_in_modules
from timm.models.efficientnet import EfficientNetFeatures
from timm.models.mobilenetv3 import MobileNetV3Features
from torch import nn

from steelscan.models.asymmetric import AsymmetricDecoder, half_size_head
from steelscan.models.blocks import EncoderDecoder, MaxOfLogits, use_mish
from steelscan.models.dilation import dilate, timm_dilates
from steelscan.models.first_weights import load_first_weights
from steelscan.models.network import StripNetwork
from steelscan.models.pyramid import PyramidDecoder
from steelscan.models.specs import (
    FPN,
    AsymmetricUnet,
    Classifier,
    Encoder,
    Network,
    PSPNet,
    SegmentationNetwork,
    Segmenter,
    TwoHeaded,
    Unet,
    encoder_of,
)
from steelscan.strip.errors import RecipeError


def build_network(
    spec: Network, classes: int, weights: Path | None = None
) -> tuple[StripNetwork, str]:
    """Build a network with its initial weights; return it and the source of those weights.

    ``weights`` is the folder of a store, None: the user's (`WeightStore.at`). If the encoder's
    first layer takes one grey channel, pretrained weights are summed over the three colours: the
    result is the same as with three equal channels.
    Raises RecipeError if timm does not have the encoder, or other settings do not fit it, and
    InputError if a file of weights is damaged or does not fit.
    """
    encoder = encoder_of(spec)
    _check(encoder)
    body = _body(spec, classes)
    if encoder.mish:
        use_mish(body)
    path = "" if isinstance(spec, Classifier) else "encoder.model"
    source = load_first_weights(body.get_submodule(path), encoder, weights)
    mean, std = _normalisation(encoder)
    network = StripNetwork(
        body,
        encoder=path,
        mean=mean,
        std=std,
        stride=32,
        head=_head(spec),
        output=encoder.output if isinstance(encoder, SegmentationNetwork) else "sigmoid",
    )
    return network, source


def check_encoder(encoder: str) -> None:
    """Raise RecipeError unless timm has an encoder of this name."""
    _, _, tag = encoder.partition(".")
    if not timm.is_model(encoder) or (tag and not timm.is_model_pretrained(encoder)):
        remedy = "See timm.list_models(), or timm.list_pretrained() for names with a tag"
        raise RecipeError(f"encoder {encoder}", "is not an encoder of timm", remedy)


def _head(spec: Network) -> Literal["masks", "classes", "both"]:
    match spec:
        case Classifier():
            return "classes"
        case TwoHeaded():
            return "both"
        case _:
            return "masks"


def _check(spec: Encoder) -> None:
    where = f"encoder {spec.encoder}"
    check_encoder(spec.encoder)
    if spec.stem == "deep" and not is_model_in_modules(spec.encoder, ["resnet"]):
        remedy = 'Use one of timm.list_models(module="resnet"), or stem "plain"'
        raise RecipeError(where, 'does not take stem "deep", which only ResNets do', remedy)
    if isinstance(spec, Unet) and spec.attention == "scse" and min(spec.decoder_channels) < 16:
        found = f"has {min(spec.decoder_channels)} channels, of which scSE takes a sixteenth"
        raise RecipeError("decoder_channels", found, "Give each block at least 16 channels")


def _normalisation(spec: Encoder) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation per channel, as shares of white: those of the encoder's weights."""
    if spec.scale == "unit":
        return (0.0,) * spec.channels, (1.0,) * spec.channels
    config = timm.get_pretrained_cfg(spec.encoder, allow_unregistered=True)
    mean = tuple(config.mean if config else IMAGENET_DEFAULT_MEAN)
    std = tuple(config.std if config else IMAGENET_DEFAULT_STD)
    return (mean, std) if spec.channels == 3 else ((sum(mean) / 3,), (sum(std) / 3,))


def _body(spec: Network, classes: int) -> nn.Module:
    """Return the network without normalisation."""
    body: nn.Module
    if isinstance(spec, TwoHeaded):
        body = _segmenter(spec.segmenter, classes)
        encoder: Any = body.encoder
        body.classification_head = _aux_head(encoder.out_channels[-1], classes, spec)
        return body
    if not isinstance(spec, Classifier):
        return _segmenter(spec, classes)
    body = timm.create_model(
        spec.encoder,
        num_classes=classes,
        in_chans=spec.channels,
        drop_rate=spec.dropout,
        global_pool=spec.pool,
        **_stem(spec),
    )
    return body


def _aux_head(channels: int, classes: int, spec: TwoHeaded) -> nn.Module:
    """Return the aux head for a deepest map with so many channels."""
    head: nn.Module
    if spec.pool == "max":
        head = MaxOfLogits(channels, classes, spec.dropout)
    else:
        head = ClassificationHead(channels, classes, dropout=spec.dropout)
    initialize_head(head)
    return head


def _segmenter(spec: Segmenter, classes: int) -> nn.Module:
    """Return a segmenter. The deepest map of its encoder has stride 32, in a PSPNet stride 8."""
    planes = classes + (spec.output == "softmax")
    if isinstance(spec, AsymmetricUnet) or (
        isinstance(spec, FPN) and (spec.finest, spec.coarsest) == (2, 32)
    ):
        body = _from_our_parts(spec, planes)
    else:
        body = _from_smp(spec, planes)
    encoder = body.get_submodule("encoder.model")
    _drop_unused_blocks(encoder)
    if isinstance(spec, PSPNet) and spec.dilated and not timm_dilates(spec.encoder):
        dilate(encoder, spec.encoder, spec.channels, stride=8)
    return body


def _from_smp(spec: Unet | FPN | PSPNet, planes: int) -> nn.Module:
    name = f"tu-{spec.encoder}"
    common = {
        "in_channels": spec.channels,
        "encoder_weights": None,
        "classes": planes,
        **_stem(spec),
    }
    body: nn.Module
    match spec:
        case Unet():
            body = unet = smp.Unet(
                name,
                encoder_depth=len(spec.decoder_channels),
                decoder_channels=spec.decoder_channels,
                decoder_attention_type=None if spec.attention == "none" else spec.attention,
                **common,
            )
            # the last block has no skip map, and smp never calls its attention
            unet.decoder.blocks[-1].attention1 = nn.Identity()
        case FPN():
            body = smp.FPN(
                name,
                encoder_depth=5 if spec.coarsest == 32 else 4,
                decoder_pyramid_channels=spec.pyramid_channels,
                decoder_segmentation_channels=spec.segmentation_channels,
                decoder_merge_policy=spec.merge,
                decoder_dropout=spec.dropout,
                upsampling=spec.finest,
                **common,
            )
        case PSPNet():
            body = smp.PSPNet(
                name,
                encoder_depth=5 if spec.dilated else 3,
                output_stride=8 if spec.dilated and timm_dilates(spec.encoder) else 32,
                psp_out_channels=spec.decoder_channels,
                psp_dropout=spec.dropout,
                upsampling=8,
                **common,
            )
    return body


def _from_our_parts(spec: FPN | AsymmetricUnet, planes: int) -> nn.Module:
    """Return a network with a decoder that smp does not have, initialised as smp does it."""
    encoder = get_encoder(
        f"tu-{spec.encoder}", in_channels=spec.channels, depth=5, weights=None, **_stem(spec)
    )
    decoder: PyramidDecoder | AsymmetricDecoder
    if isinstance(spec, FPN):
        decoder = PyramidDecoder(
            encoder.out_channels[-5:],
            spec.pyramid_channels,
            spec.segmentation_channels,
            spec.merge,
            spec.dropout,
        )
        head = SegmentationHead(decoder.out_channels, planes, kernel_size=1, upsampling=spec.finest)
    else:
        decoder = AsymmetricDecoder(encoder.out_channels, spec)
        head = half_size_head(decoder.out_channels, planes)
    initialize_decoder(decoder)
    initialize_head(head)
    return EncoderDecoder(encoder, decoder, head)


def _stem(spec: Encoder) -> dict[str, Any]:
    """Return timm's settings of the stem: "deep" has 3x3 convolutions and mean-pooled shortcuts."""
    if spec.stem == "plain":
        return {}
    return {"stem_type": "deep", "stem_width": 32, "avg_down": True}


def _drop_unused_blocks(encoder: nn.Module) -> None:
    """Remove the blocks of an encoder after its last map, which timm's EfficientNets still run."""
    if isinstance(encoder, EfficientNetFeatures | MobileNetV3Features):
        encoder.blocks = encoder.blocks[: max(encoder.feature_info.get("stage"))]
