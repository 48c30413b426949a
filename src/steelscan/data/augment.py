"""Augmentations as settings: no albumentations here."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from steelscan.strip import Spec

Probability = Annotated[float, Field(ge=0, le=1)]


class HFlip(Spec):
    """Mirror left and right."""

    kind: Literal["hflip"] = "hflip"
    p: Probability = 0.5


class VFlip(Spec):
    """Mirror top and bottom."""

    kind: Literal["vflip"] = "vflip"
    p: Probability = 0.5


class Turn(Spec):
    """Turn by 180 degrees."""

    built: ClassVar[bool] = False
    kind: Literal["turn"] = "turn"
    p: Probability = 0.5


class BrightnessContrast(Spec):
    """Change brightness and contrast by up to these shares, each drawn evenly."""

    kind: Literal["brightness_contrast"] = "brightness_contrast"
    brightness: Probability = 0.2
    contrast: Probability = 0.2
    p: Probability = 0.5


class Gamma(Spec):
    """Raise grey levels to a power between ``1 - limit`` and ``1 + limit``."""

    built: ClassVar[bool] = False
    kind: Literal["gamma"] = "gamma"
    limit: Probability = 0.2
    p: Probability = 0.5


class Clahe(Spec):
    """Even out contrast in tiles, amplified by at most ``clip`` (CLAHE)."""

    built: ClassVar[bool] = False
    kind: Literal["clahe"] = "clahe"
    clip: PositiveFloat = 2.0
    p: Probability = 0.5


class Sharpen(Spec):
    """Sharpen."""

    built: ClassVar[bool] = False
    kind: Literal["sharpen"] = "sharpen"
    p: Probability = 0.5


class Blur(Spec):
    """Average over squares of up to ``side`` pixels."""

    built: ClassVar[bool] = False
    kind: Literal["blur"] = "blur"
    side: PositiveInt = 7
    p: Probability = 0.5


class MotionBlur(Spec):
    """Average along short lines in any direction, of up to ``length`` pixels."""

    built: ClassVar[bool] = False
    kind: Literal["motion_blur"] = "motion_blur"
    length: PositiveInt = 7
    p: Probability = 0.5


class GaussNoise(Spec):
    """Add normal noise of a deviation of up to ``deviation``, as a share of 255."""

    built: ClassVar[bool] = False
    kind: Literal["gauss_noise"] = "gauss_noise"
    deviation: Probability = 0.03
    p: Probability = 0.5


class IsoNoise(Spec):
    """Add a camera's noise, stronger where it is bright."""

    built: ClassVar[bool] = False
    kind: Literal["iso_noise"] = "iso_noise"
    intensity: Probability = 0.3
    p: Probability = 0.5


class SaltPepper(Spec):
    """Set a share of pixels, up to ``most``, to black or white (14th, K:114367)."""

    built: ClassVar[bool] = False
    kind: Literal["salt_pepper"] = "salt_pepper"
    most: Probability = 0.0002
    p: Probability = 0.5


class Jpeg(Spec):
    """Save as JPEG of a quality from ``worst`` to 100, and read again."""

    built: ClassVar[bool] = False
    kind: Literal["jpeg"] = "jpeg"
    worst: Annotated[int, Field(ge=1, le=100)] = 80
    p: Probability = 0.5


class ShiftScaleTurn(Spec):
    """Shift, scale and turn by up to these shares of the sides, and degrees."""

    built: ClassVar[bool] = False
    kind: Literal["shift_scale_turn"] = "shift_scale_turn"
    shift: Probability = 0.0625
    scale: Probability = 0.1
    degrees: Annotated[float, Field(ge=0, le=180)] = 0.0
    p: Probability = 0.5


class Elastic(Spec):
    """Bend: shifts of ``strength`` pixels, smooth over ``grain`` pixels."""

    built: ClassVar[bool] = False
    kind: Literal["elastic"] = "elastic"
    strength: PositiveFloat = 120.0
    grain: PositiveFloat = 6.0
    p: Probability = 0.5


class GridDistortion(Spec):
    """Stretch and squeeze the cells of a grid by up to ``limit``."""

    built: ClassVar[bool] = False
    kind: Literal["grid_distortion"] = "grid_distortion"
    limit: Probability = 0.3
    p: Probability = 0.5


class OpticalDistortion(Spec):
    """Bend as a lens does, by up to ``limit``."""

    built: ClassVar[bool] = False
    kind: Literal["optical_distortion"] = "optical_distortion"
    limit: PositiveFloat = 0.5
    p: Probability = 0.5


class Cutout(Spec):
    """Paint ``holes`` squares of ``side`` pixels black; masks stay."""

    built: ClassVar[bool] = False
    kind: Literal["cutout"] = "cutout"
    holes: PositiveInt = 8
    side: PositiveInt = 8
    p: Probability = 0.5


class DefectBlackout(Spec):
    """Paint components of the masks black, and out of the masks (1st, K:114254).

    Each with probability ``component``, grown by ``margin`` pixels so that no rim gives it away. A
    class whose last component is gone is gone from the label.
    """

    built: ClassVar[bool] = False
    kind: Literal["defect_blackout"] = "defect_blackout"
    component: Probability = 0.5
    margin: NonNegativeInt = 4
    p: Probability = 0.5


class SteelShift(Spec):
    """Roll the steel along the strip by any distance; a black end stays (10th, K:114465)."""

    built: ClassVar[bool] = False
    kind: Literal["steel_shift"] = "steel_shift"
    dark: Annotated[int, Field(ge=0, le=255)] = 15
    """Columns of a lower mean are not steel."""
    p: Probability = 0.5


class OneOf(Spec):
    """Apply one of these, drawn by the ratios of their ``p``; with probability ``p`` in all."""

    built: ClassVar[bool] = False
    kind: Literal["one_of"] = "one_of"
    of: tuple[Augment, ...] = Field(min_length=1)
    p: Probability = 0.5


class UpTo(Spec):
    """Apply none to ``count`` of these, drawn evenly (RandAugment, arXiv:1909.13719)."""

    built: ClassVar[bool] = False
    kind: Literal["up_to"] = "up_to"
    count: PositiveInt
    of: tuple[Augment, ...] = Field(min_length=1)


Augment = Annotated[
    HFlip
    | VFlip
    | Turn
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
    | ShiftScaleTurn
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
"""One augmentation; a training holds a tuple of them, applied in order."""

OneOf.model_rebuild()
UpTo.model_rebuild()


class Mixup(Spec):
    """Blend each crop, and its masks, with another of the batch (arXiv:1710.09412).

    The share of the first is drawn from a beta distribution with both parameters ``alpha``.
    """

    alpha: PositiveFloat = 0.2
