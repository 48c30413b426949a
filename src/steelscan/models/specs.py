"""The networks as settings: no torch here. Encoders go by their names in timm."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from steelscan.strip import Spec


class Classifier(Spec):
    """One logit a class for the whole strip: encoder, pool over all places, dropout, linear layer.

    The maximum over places answers alike for a crop and for a long strip that holds it; the
    average thins a small defect out.
    """

    kind: Literal["classifier"] = "classifier"
    encoder: str
    weights: Literal["imagenet", "random"] = "imagenet"
    pool: Literal["avg", "max"] = "avg"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Unet(Spec):
    """U-Net (Ronneberger et al. 2015, arXiv:1505.04597): one logit a class and pixel."""

    kind: Literal["unet"] = "unet"
    encoder: str
    weights: Literal["imagenet", "random"] = "imagenet"
    decoder_channels: tuple[PositiveInt, ...] = Field(
        (256, 128, 64, 32, 16), min_length=1, max_length=5
    )


class Fpn(Spec):
    """Feature pyramid (Kirillov et al. 2019, arXiv:1901.02446): one logit a class and pixel.

    The decoder works at a quarter of the picture's resolution and is upsampled.
    """

    kind: Literal["fpn"] = "fpn"
    encoder: str
    weights: Literal["imagenet", "random"] = "imagenet"
    pyramid_channels: PositiveInt = 256
    segmentation_channels: Annotated[PositiveInt, Field(multiple_of=32)] = 128
    merge: Literal["add", "cat"] = "add"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2


Segmenter = Annotated[Unet | Fpn, Field(discriminator="kind")]
Network = Annotated[Classifier | Unet | Fpn, Field(discriminator="kind")]
