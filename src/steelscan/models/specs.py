"""The settings of networks; encoders have their names in timm. No torch here."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from steelscan.strip import ShareBelowOne, Spec

Channels = Annotated[int, Field(gt=0, le=8192)]


class Encoder(Spec):
    """Settings of all networks: the encoder, its first layer, and the scale of its input.

    ``channels``: one grey channel, with the pretrained weights summed over the colours (4th,
    K:114716), or three equal ones as in the other solutions. ``scale``: grey values are normalised
    by mean and deviation of ImageNet, with three channels each by its own, or divided by 255.
    ``stem``: "plain" is one 7x7 convolution, "deep" three 3x3 ones with pooled shortcuts, only for
    ResNets (He et al. 2018, arXiv:1812.01187). ``mish`` replaces every ReLU, in the decoder too, by
    Mish (Misra 2019, arXiv:1908.08681); other activations stay, as the SiLU of EfficientNets.
    """

    encoder: str
    weights: Literal["imagenet", "random"] = "imagenet"
    channels: Literal[1, 3] = 1
    scale: Literal["imagenet", "unit"] = "imagenet"
    stem: Literal["plain", "deep"] = "plain"
    mish: bool = False


class Classifier(Encoder):
    """One logit per class for the whole strip: encoder, global pooling, dropout, linear layer.

    ``pool`` is that of each feature over the strip: with "avg" a small defect counts less in a long
    strip.
    """

    kind: Literal["classifier"] = "classifier"
    pool: Literal["avg", "max"] = "avg"
    dropout: ShareBelowOne = 0.0


class SegmentationNetwork(Encoder):
    """Settings of all segmentation networks.

    ``output``: "sigmoid" has one independent logit per class; "softmax" has one more, the first,
    for the background, and classes exclude each other.
    """

    output: Literal["sigmoid", "softmax"] = "sigmoid"


class Unet(SegmentationNetwork):
    """U-Net (Ronneberger et al. 2015, arXiv:1505.04597).

    ``attention`` "scse" scales pixels and channels in the decoder (Roy et al. 2018,
    arXiv:1803.02579).
    """

    kind: Literal["unet"] = "unet"
    decoder_channels: tuple[Channels, ...] = Field(
        (256, 128, 64, 32, 16), min_length=1, max_length=5
    )
    attention: Literal["none", "scse"] = "none"


class FPN(SegmentationNetwork):
    """Feature pyramid (Kirillov et al. 2019, arXiv:1901.02446).

    ``finest`` and ``coarsest`` are the strides of the encoder's maps that are used: 4 to 32
    (variant A of the 10th), 2 to 16 (B) or 2 to 32 (C). The decoder works at the finest stride;
    its output is upsampled. Maps are added, or concatenated with ``merge`` "cat" (D: with a
    quarter of the ``segmentation_channels`` the total width stays the same; 10th, K:114465).
    """

    kind: Literal["fpn"] = "fpn"
    finest: Literal[2, 4] = 4
    coarsest: Literal[16, 32] = 32
    pyramid_channels: Channels = 256
    segmentation_channels: Annotated[Channels, Field(multiple_of=32)] = 128
    merge: Literal["add", "cat"] = "add"
    dropout: ShareBelowOne = 0.2

    @model_validator(mode="after")
    def _four_or_five_maps(self) -> Self:
        if (self.finest, self.coarsest) == (4, 16):
            raise ValueError(
                "a pyramid from stride 4 to 16 has only three maps; use 4-32, 2-16 or 2-32"
            )
        return self


class PSPNet(SegmentationNetwork):
    """PSPNet (Zhao et al. 2017, arXiv:1612.01105): pooling over grids of 1, 2, 3 and 6 cells.

    It uses the encoder's map of stride 8, and nothing behind that; its output is upsampled. With
    ``dilated`` it uses the deepest map, of the whole encoder, in which dilation replaces the
    strides beyond 8, as in the paper: the map has stride 8 too, but takes many times as long.
    """

    kind: Literal["psp"] = "psp"
    dilated: bool = False
    decoder_channels: Channels = 512
    dropout: ShareBelowOne = 0.2


class AsymmetricUnet(SegmentationNetwork):
    """The U-Net of the 14th place without a last decoder block: logits at stride 2, upsampled.

    Its decoder blocks have channel and spatial attention (CBAM, Woo et al. 2018, arXiv:1807.06521,
    with a 1x1 spatial kernel). The last layer takes the maps of all four blocks (hypercolumns,
    Hariharan et al. 2015, arXiv:1411.5752). (K:114367 and its code.)
    """

    kind: Literal["asymmetric_unet"] = "asymmetric_unet"
    centre_channels: tuple[Channels, Channels] = (512, 256)
    middle_channels: tuple[Channels, Channels, Channels, Channels] = (512, 256, 128, 64)
    block_channels: Annotated[Channels, Field(multiple_of=16)] = 64


Segmenter = Annotated[Unet | FPN | PSPNet | AsymmetricUnet, Field(discriminator="kind")]


class TwoHeaded(Spec):
    """A segmenter with an aux head: one logit per class for the whole strip.

    The aux head sees the deepest map of the encoder (4th, K:114716; 14th, K:114367). With ``pool``
    "avg" it is a linear layer on the mean over the strip. With "max" it is a linear layer at each
    place of the map, and the highest of these logits counts: a strip around a crop then has at
    least the logits of the crop, so that the head can be trained on crops.
    """

    kind: Literal["two_headed"] = "two_headed"
    segmenter: Segmenter
    pool: Literal["avg", "max"] = "avg"
    dropout: ShareBelowOne = 0.0


Network = Annotated[
    Classifier | Unet | FPN | PSPNet | AsymmetricUnet | TwoHeaded, Field(discriminator="kind")
]


def without_weights(network: Network) -> Network:
    """Return the same network with random initial weights."""
    if isinstance(network, TwoHeaded):
        return network.but(segmenter=network.segmenter.but(weights="random"))
    return network.but(weights="random")


def encoder_of(network: Network) -> Encoder:
    """Return the settings of a network's encoder."""
    return network.segmenter if isinstance(network, TwoHeaded) else network
