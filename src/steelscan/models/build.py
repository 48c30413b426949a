"""From the settings of a network to the network, with its first weights."""

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
from torch import Tensor, nn

from steelscan.models.asymmetric import AsymmetricDecoder, half_size_head
from steelscan.models.blocks import EncoderDecoder, use_mish
from steelscan.models.network import StripNetwork, shared_name
from steelscan.models.pyramid import PyramidDecoder
from steelscan.models.specs import (
    FPN,
    AsymmetricUnet,
    Classifier,
    Encoder,
    Network,
    Outliner,
    PSPNet,
    Segmenter,
    TwoHeaded,
    Unet,
    encoder_of,
)
from steelscan.models.weights import find_weights
from steelscan.strip import RecipeError


def build_network(spec: Network, classes: int) -> tuple[StripNetwork, str]:
    """Build a network with its first weights; returns it and a sentence on where those are from.

    Where the encoder's first layer takes one grey channel, pretrained weights are summed over the
    three colours, which is what three equal channels would give.
    Raises RecipeError for an encoder that timm does not know, or that does not go with the rest.
    """
    asked = encoder_of(spec)
    _check(asked)
    body = _body(spec, classes)
    if asked.mish:
        use_mish(body)
    place = "" if isinstance(spec, Classifier) else "encoder.model"
    source = _give_weights(body.get_submodule(place), asked)
    mean, std = _normalisation(asked)
    network = StripNetwork(
        body,
        encoder=place,
        mean=mean,
        std=std,
        stride=32,
        head=_head(spec),
        output=asked.output if isinstance(asked, Outliner) else "sigmoid",
    )
    return network, source


def _head(spec: Network) -> Literal["masks", "classes", "both"]:
    match spec:
        case Classifier():
            return "classes"
        case TwoHeaded():
            return "both"
        case _:
            return "masks"


def _check(asked: Encoder) -> None:
    where = f"encoder {asked.encoder}"
    if not timm.is_model(asked.encoder):
        raise RecipeError(where, "is not known to timm", "See timm.list_models()")
    if asked.stem == "deep" and not is_model_in_modules(asked.encoder, ["resnet"]):
        remedy = 'Take one of timm.list_models(module="resnet"), or stem "plain"'
        raise RecipeError(where, 'does not take stem "deep", which only ResNets do', remedy)
    if isinstance(asked, Unet) and asked.attention == "scse" and min(asked.decoder_channels) < 16:
        found = f"has {min(asked.decoder_channels)} channels, of which scSE takes a sixteenth"
        raise RecipeError("decoder_channels", found, "Give each block at least 16 channels")


def _normalisation(asked: Encoder) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, as shares of white: those of the encoder's weights."""
    if asked.scale == "unit":
        return (0.0,) * asked.channels, (1.0,) * asked.channels
    config = timm.get_pretrained_cfg(asked.encoder, allow_unregistered=True)
    mean = tuple(config.mean if config else IMAGENET_DEFAULT_MEAN)
    std = tuple(config.std if config else IMAGENET_DEFAULT_STD)
    return (mean, std) if asked.channels == 3 else ((sum(mean) / 3,), (sum(std) / 3,))


def _body(spec: Network, classes: int) -> nn.Module:
    """The network without normalisation."""
    if isinstance(spec, TwoHeaded):
        second = {"classes": classes, "pooling": spec.pool, "dropout": spec.dropout}
        return _outliner(spec.segmenter, classes, second)
    if not isinstance(spec, Classifier):
        return _outliner(spec, classes, None)
    body: nn.Module = timm.create_model(
        spec.encoder,
        num_classes=classes,
        in_chans=spec.channels,
        drop_rate=spec.dropout,
        global_pool=spec.pool,
        **_stem(spec),
    )
    return body


def _outliner(spec: Segmenter, classes: int, second: dict[str, Any] | None) -> nn.Module:
    """A segmenter, and with ``second``, smp's settings of it, a head on its deepest map.

    That is the deepest that its encoder has: of stride 32, but of stride 8 in a PSPNet.
    """
    planes = classes + (spec.output == "softmax")
    if isinstance(spec, AsymmetricUnet) or (
        isinstance(spec, FPN) and (spec.finest, spec.coarsest) == (2, 32)
    ):
        body = _of_our_parts(spec, planes, second)
    else:
        body = _of_smp(spec, planes, second)
    _drop_unused_blocks(body.get_submodule("encoder.model"))
    return body


def _of_smp(spec: Unet | FPN | PSPNet, planes: int, second: dict[str, Any] | None) -> nn.Module:
    name = f"tu-{spec.encoder}"
    common = {
        "in_channels": spec.channels,
        "encoder_weights": None,
        "classes": planes,
        "aux_params": second,
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
            # there is no map left for the last block, and smp does not ask this without one
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
                encoder_depth=3,
                psp_out_channels=spec.decoder_channels,
                psp_dropout=spec.dropout,
                upsampling=8,
                **common,
            )
    return body


def _of_our_parts(
    spec: FPN | AsymmetricUnet, planes: int, second: dict[str, Any] | None
) -> nn.Module:
    """A network whose decoder smp has not, begun as smp begins its own."""
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
    judge = ClassificationHead(encoder.out_channels[-1], **second) if second else None
    initialize_decoder(decoder)
    initialize_head(head)
    if judge is not None:
        initialize_head(judge)
    return EncoderDecoder(encoder, decoder, head, judge)


def _stem(asked: Encoder) -> dict[str, Any]:
    """What timm takes for the stem: three 3x3 convolutions, and shortcuts pooled by the mean."""
    if asked.stem == "plain":
        return {}
    return {"stem_type": "deep", "stem_width": 32, "avg_down": True}


def _drop_unused_blocks(encoder: nn.Module) -> None:
    """Cut an encoder off behind its last map: timm's EfficientNets would go on for nothing."""
    if isinstance(encoder, EfficientNetFeatures | MobileNetV3Features):
        encoder.blocks = encoder.blocks[: max(encoder.feature_info.get("stage"))]


def _give_weights(encoder: nn.Module, asked: Encoder) -> str:
    """Load first weights into an encoder, where there are any; returns a sentence on them."""
    if asked.weights == "random":
        return "random, as the recipe says"
    found = find_weights(asked.encoder)
    if found is None:
        return "random: no ImageNet weights of this encoder are installed"
    own = encoder.state_dict()
    encoder.load_state_dict({**own, **_fitting(own, found.state)})
    return found.source


def _fitting(own: dict[str, Tensor], state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights that fit an encoder's tensors; summed over colours where it takes grey."""
    theirs = {shared_name(name): weight for name, weight in state.items()}
    fitting = {}
    for name, tensor in own.items():
        weight = theirs.get(shared_name(name))
        if weight is None:
            continue
        if tensor.ndim == 4 and tensor.shape[1] == 1 and weight.shape[1] == 3:
            weight = weight.sum(1, keepdim=True)
        if tensor.shape == weight.shape:
            fitting[name] = weight
    return fitting
