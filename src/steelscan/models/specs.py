"""The networks as settings: no torch here. Encoders go by their names in timm."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from steelscan.strip import Spec

Channels = Annotated[int, Field(gt=0, le=8192)]

Dropout = Annotated[float, Field(ge=0, lt=1)]


class Encoder(Spec):
    """What all networks say of their encoder, the first layer and the numbers that go in.

    ``channels``: one grey channel, whose first weights are the pretrained ones summed over the
    colours, or three equal channels as most solutions had. ``scale``: grey levels are brought to
    the mean and deviation of ImageNet, or divided by 255. ``stem``: one 7x7 convolution or three
    3x3 ones, and pooled shortcuts with it (He et al. 2018, arXiv:1812.01187); for ResNet and its
    kin. ``mish``: every ReLU, in the decoder too, becomes Mish (Misra 2019, arXiv:1908.08681).
    """

    encoder: str
    weights: Literal["imagenet", "random"] = "imagenet"
    channels: Literal[1, 3] = 1
    scale: Literal["imagenet", "unit"] = "imagenet"
    stem: Literal["plain", "deep"] = "plain"
    mish: bool = False


class Classifier(Encoder):
    """One logit a class for the whole strip: encoder, pool over all places, dropout, linear layer.

    The maximum over places answers alike for a crop and for a long strip that holds it; the
    average thins a small defect out.
    """

    kind: Literal["classifier"] = "classifier"
    pool: Literal["avg", "max"] = "avg"
    dropout: Dropout = 0.0


class Outliner(Encoder):
    """What all networks that outline have in common.

    ``output``: one logit a class, judged alone ("sigmoid"), or one more, the first, for sound
    steel, of which the highest wins ("softmax": no pixel has two classes).
    """

    output: Literal["sigmoid", "softmax"] = "sigmoid"


class Unet(Outliner):
    """U-Net (Ronneberger et al. 2015, arXiv:1505.04597).

    ``attention`` "scse" weighs places and channels in the decoder (Roy et al. 2018,
    arXiv:1803.02579).
    """

    kind: Literal["unet"] = "unet"
    decoder_channels: tuple[Channels, ...] = Field(
        (256, 128, 64, 32, 16), min_length=1, max_length=5
    )
    attention: Literal["none", "scse"] = "none"


class FPN(Outliner):
    """Feature pyramid (Kirillov et al. 2019, arXiv:1901.02446).

    ``finest`` and ``coarsest`` are the strides of the encoder's maps that go in, each half of the
    next: 4 to 32 (10th's A), 2 to 16 (B) or 2 to 32 (C). The decoder works at the finest and is
    upsampled. Maps are added, or with ``merge`` "cat" laid side by side (D: with a quarter of the
    ``segmentation_channels`` the width stays equal; 10th, K:114465).
    """

    kind: Literal["fpn"] = "fpn"
    finest: Literal[2, 4] = 4
    coarsest: Literal[16, 32] = 32
    pyramid_channels: Channels = 256
    segmentation_channels: Annotated[Channels, Field(multiple_of=32)] = 128
    merge: Literal["add", "cat"] = "add"
    dropout: Dropout = 0.2

    @model_validator(mode="after")
    def _four_or_five_maps(self) -> Self:
        if (self.finest, self.coarsest) == (4, 16):
            raise ValueError(
                "a pyramid from stride 4 to 16 has three maps; take 4-32, 2-16 or 2-32"
            )
        return self


class PSPNet(Outliner):
    """PSPNet (Zhao et al. 2017, arXiv:1612.01105): averages over grids of 1, 2, 3 and 6 cells.

    It works on the encoder's map of stride 8, and is upsampled.
    """

    kind: Literal["psp"] = "psp"
    decoder_channels: Channels = 512
    dropout: Dropout = 0.2


class AsymmetricUnet(Outliner):
    """The U-Net of the 14th place without its last decoder: logits at stride 2, then upsampled.

    Decoder blocks with channel and spatial attention (CBAM, Woo et al. 2018, arXiv:1807.06521;
    the spatial kernel is 1x1) and hypercolumns (Hariharan et al. 2015, arXiv:1411.5752): the maps
    of all four blocks go into the last layer. (K:114367 and its code.)
    """

    kind: Literal["asymmetric_unet"] = "asymmetric_unet"
    centre_channels: tuple[Channels, Channels] = (512, 256)
    middle_channels: tuple[Channels, Channels, Channels, Channels] = (512, 256, 128, 64)
    block_channels: Annotated[Channels, Field(multiple_of=16)] = 64


Segmenter = Annotated[Unet | FPN | PSPNet | AsymmetricUnet, Field(discriminator="kind")]


class TwoHeaded(Spec):
    """A segmenter with a second head: one logit a class for the whole strip.

    The head pools the deepest map of the segmenter's encoder (4th, K:114716; 14th, K:114367).
    """

    kind: Literal["two_headed"] = "two_headed"
    segmenter: Segmenter
    pool: Literal["avg", "max"] = "avg"
    dropout: Dropout = 0.0


Network = Annotated[
    Classifier | Unet | FPN | PSPNet | AsymmetricUnet | TwoHeaded, Field(discriminator="kind")
]


def without_weights(network: Network) -> Network:
    """The same network with random first weights."""
    if isinstance(network, TwoHeaded):
        return network.but(segmenter=network.segmenter.but(weights="random"))
    return network.but(weights="random")


def encoder_of(network: Network) -> Encoder:
    """What a network says of its encoder."""
    return network.segmenter if isinstance(network, TwoHeaded) else network
