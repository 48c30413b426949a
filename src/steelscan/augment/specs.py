"""Settings of augmentations, without albumentations.

Geometric augmentations fill from beyond the border by reflection, in picture and masks alike.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from steelscan.strip import Share, ShareBelowOne, Spec


class Randomized(Spec):
    """An augmentation that is applied with probability ``p``."""

    kind: str
    p: Share = 0.5


class HFlip(Randomized):
    """Mirror left and right."""

    kind: Literal["hflip"] = "hflip"


class VFlip(Randomized):
    """Mirror top and bottom."""

    kind: Literal["vflip"] = "vflip"


class Rotate180(Randomized):
    """Rotate by 180 degrees."""

    kind: Literal["rotate180"] = "rotate180"


class BrightnessContrast(Randomized):
    """Multiply by 1 plus or minus up to ``contrast``; add up to ``brightness``, or subtract it.

    Both are drawn uniformly. ``brightness`` is a share of the mean of the crop:
    RandomBrightnessContrast of albumentations 0.3.3 (September 2019). With ``brightness_of``
    "white" it is a share of 255, as since version 0.4 (October 2019): on a crop with a mean of 64
    four times as much.
    """

    kind: Literal["brightness_contrast"] = "brightness_contrast"
    brightness: Share = 0.2
    contrast: Share = 0.2
    brightness_of: Literal["mean", "white"] = "mean"


class Gamma(Randomized):
    """Raise grey levels to the power ``1 / gamma``.

    ``gamma`` is drawn uniformly from ``1 - limit`` to ``1 + limit``: RandomGamma of albumentations
    0.3.3 (September 2019), where 2.0.8 raises to ``gamma``.
    """

    kind: Literal["gamma"] = "gamma"
    limit: Annotated[float, Field(ge=0, le=0.99)] = 0.2


class Clahe(Randomized):
    """Equalise contrast in 8x8 tiles, amplified by at most 1 to ``clip`` (CLAHE)."""

    kind: Literal["clahe"] = "clahe"
    clip: Annotated[float, Field(ge=1)] = 2.0


class Sharpen(Randomized):
    """Sharpen with a 3x3 kernel; albumentations' kernel may darken a little."""

    kind: Literal["sharpen"] = "sharpen"


class Blur(Randomized):
    """Average over squares of 3, 5, ... up to ``side`` pixels."""

    kind: Literal["blur"] = "blur"
    side: Annotated[int, Field(ge=3)] = 7


class MotionBlur(Randomized):
    """Average along lines in any direction, of 3, 5, ... up to ``length`` pixels."""

    kind: Literal["motion_blur"] = "motion_blur"
    length: Annotated[int, Field(ge=3)] = 7


class GaussNoise(Randomized):
    """Add normal noise with mean 0, whose strength is drawn uniformly from ``low`` to ``high``.

    With ``drawn`` "variance" that is the variance in grey levels squared: GaussNoise of
    albumentations 0.4 (October 2019), 10 to 50 by default. Version 0.3 also brightened by the first
    variance that it drew, against its own documentation. With "deviation" it is the standard
    deviation in grey levels: IAAAdditiveGaussianNoise of 2019, 2.55 to 12.75 by default.
    """

    kind: Literal["gauss_noise"] = "gauss_noise"
    low: NonNegativeFloat = 10.0
    high: NonNegativeFloat = 50.0
    drawn: Literal["variance", "deviation"] = "variance"

    @model_validator(mode="after")
    def _low_is_not_above_high(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low, {self.low:g}, is above high, {self.high:g}")
        return self


class IsoNoise(Randomized):
    """Brighten by camera noise, dark pixels by more (see `functional.add_camera_noise`).

    The strength is drawn from ``intensity / 5`` to ``intensity``: albumentations' 0.1 to 0.5.
    """

    kind: Literal["iso_noise"] = "iso_noise"
    intensity: Share = 0.5


class SaltPepper(Randomized):
    """Set up to the share ``amount`` of the pixels to black or white (14th, K:114367).

    The share is drawn uniformly, and how many of these pixels become white.
    """

    kind: Literal["salt_pepper"] = "salt_pepper"
    amount: Share = 0.0002


class Jpeg(Randomized):
    """Save as JPEG with a quality from ``min_quality`` to 100, and read again.

    The default is that of JpegCompression of albumentations 0.3.3 (September 2019).
    """

    kind: Literal["jpeg"] = "jpeg"
    min_quality: Annotated[int, Field(ge=1, le=100)] = 99


class ShiftScaleRotate(Randomized):
    """Shift by up to a share of the sides, scale by up to a share, rotate by up to ``degrees``."""

    kind: Literal["shift_scale_rotate"] = "shift_scale_rotate"
    shift: Share = 0.0625
    scale: ShareBelowOne = 0.1
    degrees: Annotated[float, Field(ge=0, le=180)] = 0.0


class Elastic(Randomized):
    """Move each pixel by noise of up to ``alpha`` pixels, smoothed with ``sigma`` pixels.

    With the 14th's values, 120 and 6, pixels move by about 3 pixels.
    """

    kind: Literal["elastic"] = "elastic"
    alpha: PositiveFloat = 120.0
    sigma: Annotated[float, Field(ge=1)] = 6.0


class GridDistortion(Randomized):
    """Stretch and squeeze the cells of a 5x5 grid by up to ``limit``.

    Pictures with a side under 20 pixels are not changed.
    """

    kind: Literal["grid_distortion"] = "grid_distortion"
    limit: Share = 0.3


class OpticalDistortion(Randomized):
    """Distort like a lens by up to ``limit`` (see `functional.distort_like_lens`).

    From 0.36 in squares, and 0.7 in pictures twice as wide as high, corners can fold over.
    """

    kind: Literal["optical_distortion"] = "optical_distortion"
    limit: PositiveFloat = 0.5


class Cutout(Randomized):
    """Paint ``holes`` squares of ``side`` pixels black; keep the masks (arXiv:1708.04552)."""

    kind: Literal["cutout"] = "cutout"
    holes: PositiveInt = 8
    side: PositiveInt = 8


class DefectBlackout(Randomized):
    """Paint components of the masks black and remove them from the masks (1st, K:114254).

    Each component is painted with probability ``component``, dilated by ``margin`` pixels to hide
    its rim, but not over components that stay. A class without components leaves the label.
    """

    kind: Literal["defect_blackout"] = "defect_blackout"
    component: Share = 0.5
    margin: NonNegativeInt = 4


class SteelShift(Randomized):
    """Roll the steel along the strip by any distance; black ends stay (10th, K:114465).

    A strip without steel, or with black columns between columns of steel, is not changed.
    """

    kind: Literal["steel_shift"] = "steel_shift"
    dark: Annotated[int, Field(ge=0, le=255)] = 15
    """Columns with a lower mean are not steel."""


class OneOf(Randomized):
    """Apply one of these with probability ``p``, drawn by the ratios of their own ``p``.

    An `UpTo` among them counts as ``p`` = 1.
    """

    kind: Literal["one_of"] = "one_of"
    of: tuple[Augment, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Self:
        if not any(getattr(each, "p", 1) for each in self.of):
            raise ValueError("every p is 0: none can be drawn")
        return self


class UpTo(Spec):
    """Apply 0 to ``count`` of these, drawn uniformly, in this order (10th; arXiv:1909.13719).

    Each one drawn is applied with its own ``p``.
    """

    kind: Literal["up_to"] = "up_to"
    count: PositiveInt
    of: tuple[Augment, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_as_many(self) -> Self:
        if self.count > len(self.of):
            raise ValueError(f"cannot draw up to {self.count} of {len(self.of)}")
        return self


Augment = Annotated[
    HFlip
    | VFlip
    | Rotate180
    | BrightnessContrast
    | Gamma
    | Clahe
    | Sharpen
    | Blur
    | MotionBlur
    | GaussNoise
    | IsoNoise
    | SaltPepper
    | Jpeg
    | ShiftScaleRotate
    | Elastic
    | GridDistortion
    | OpticalDistortion
    | Cutout
    | DefectBlackout
    | SteelShift
    | OneOf
    | UpTo,
    Field(discriminator="kind"),
]
"""One augmentation; training applies a tuple of them in order."""

OneOf.model_rebuild()
UpTo.model_rebuild()


class Mixup(Spec):
    """Blend each crop and its masks with another of the batch (arXiv:1710.09412).

    The share of the first is drawn from Beta(``alpha``, ``alpha``).
    """

    alpha: PositiveFloat = 0.2
