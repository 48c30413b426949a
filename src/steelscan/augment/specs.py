"""Augmentations as settings: no albumentations here.

``p`` is the probability with which an augmentation is applied at all. Those that bend, shift or
turn fill from beyond the border by mirroring, picture and masks alike.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

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


class Rotate180(Spec):
    """Turn by 180 degrees."""

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

    kind: Literal["gamma"] = "gamma"
    limit: Annotated[float, Field(ge=0, le=0.99)] = 0.2
    p: Probability = 0.5


class Clahe(Spec):
    """Even out contrast in 8x8 tiles, amplified by at most 1 to ``clip`` (CLAHE)."""

    kind: Literal["clahe"] = "clahe"
    clip: Annotated[float, Field(ge=1)] = 2.0
    p: Probability = 0.5


class Sharpen(Spec):
    """Sharpen with a 3x3 kernel; it may darken a little, as albumentations' kernel does."""

    kind: Literal["sharpen"] = "sharpen"
    p: Probability = 0.5


class Blur(Spec):
    """Average over squares of 3, 5, ... up to ``side`` pixels."""

    kind: Literal["blur"] = "blur"
    side: Annotated[int, Field(ge=3)] = 7
    p: Probability = 0.5


class MotionBlur(Spec):
    """Average along lines in any direction, of 3, 5, ... up to ``length`` pixels."""

    kind: Literal["motion_blur"] = "motion_blur"
    length: Annotated[int, Field(ge=3)] = 7
    p: Probability = 0.5


class GaussNoise(Spec):
    """Add normal noise of a deviation of up to ``deviation``, as a share of 255."""

    kind: Literal["gauss_noise"] = "gauss_noise"
    deviation: Probability = 0.03
    p: Probability = 0.5


class IsoNoise(Spec):
    """Brighten by the noise of a camera, dark pixels by more (see `camera_noise`).

    How strong is drawn between a fifth of ``intensity`` and all of it: albumentations' 0.1 to 0.5.
    """

    kind: Literal["iso_noise"] = "iso_noise"
    intensity: Probability = 0.5
    p: Probability = 0.5


class SaltPepper(Spec):
    """Set a share of pixels, up to ``most``, to black or white (14th, K:114367)."""

    kind: Literal["salt_pepper"] = "salt_pepper"
    most: Probability = 0.0002
    p: Probability = 0.5


class Jpeg(Spec):
    """Save as JPEG of a quality from ``worst`` to 100, and read again."""

    kind: Literal["jpeg"] = "jpeg"
    worst: Annotated[int, Field(ge=1, le=100)] = 80
    p: Probability = 0.5


class ShiftScaleRotate(Spec):
    """Shift by up to a share of the sides, scale by up to a share, turn by up to ``degrees``."""

    kind: Literal["shift_scale_turn"] = "shift_scale_turn"
    shift: Probability = 0.0625
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.1
    degrees: Annotated[float, Field(ge=0, le=180)] = 0.0
    p: Probability = 0.5


class Elastic(Spec):
    """Bend: noise of up to ``strength`` pixels, smoothed over ``grain`` pixels, moves each pixel.

    With 120 and 6, as the 14th has it, pixels move by about 3.
    """

    kind: Literal["elastic"] = "elastic"
    strength: PositiveFloat = 120.0
    grain: Annotated[float, Field(ge=1)] = 6.0
    p: Probability = 0.5


class GridDistortion(Spec):
    """Stretch and squeeze the cells of a 5x5 grid by up to ``limit``.

    A picture with a side under 20 pixels is left alone.
    """

    kind: Literal["grid_distortion"] = "grid_distortion"
    limit: Probability = 0.3
    p: Probability = 0.5


class OpticalDistortion(Spec):
    """Bend as a lens does, by up to ``limit``; from about 0.4 on, corners can fold over."""

    kind: Literal["optical_distortion"] = "optical_distortion"
    limit: PositiveFloat = 0.5
    p: Probability = 0.5


class Cutout(Spec):
    """Paint ``holes`` squares of ``side`` pixels black; masks stay (arXiv:1708.04552)."""

    kind: Literal["cutout"] = "cutout"
    holes: PositiveInt = 8
    side: PositiveInt = 8
    p: Probability = 0.5


class DefectBlackout(Spec):
    """Paint components of the masks black, and out of the masks (1st, K:114254).

    Each with probability ``component``, grown by ``margin`` pixels so that no rim gives it away,
    but never over what stays. A class whose last component is gone is gone from the label.
    """

    kind: Literal["defect_blackout"] = "defect_blackout"
    component: Probability = 0.5
    margin: NonNegativeInt = 4
    p: Probability = 0.5


class SteelShift(Spec):
    """Roll the steel along the strip by any distance; black ends stay (10th, K:114465).

    A strip without steel, or with black between two pieces of it, is left alone.
    """

    kind: Literal["steel_shift"] = "steel_shift"
    dark: Annotated[int, Field(ge=0, le=255)] = 15
    """Columns of a lower mean are not steel."""
    p: Probability = 0.5


class OneOf(Spec):
    """Apply one of these, drawn by the ratios of their ``p``; with probability ``p`` in all.

    An `UpTo` among them counts as a ``p`` of 1.
    """

    kind: Literal["one_of"] = "one_of"
    of: tuple[Augment, ...] = Field(min_length=1)
    p: Probability = 0.5

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Self:
        if not any(getattr(each, "p", 1) for each in self.of):
            raise ValueError("every p in it is 0: there is none to draw")
        return self


class UpTo(Spec):
    """Apply none to ``count`` of these, drawn evenly, in this order (10th; arXiv:1909.13719).

    One that is drawn is then applied with its own ``p``.
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
"""One augmentation; a training holds a tuple of them, applied in order."""

OneOf.model_rebuild()
UpTo.model_rebuild()


class Mixup(Spec):
    """Blend each crop, and its masks, with another of the batch (arXiv:1710.09412).

    The share of the first is drawn from a beta distribution with both parameters ``alpha``.
    """

    alpha: PositiveFloat = 0.2
