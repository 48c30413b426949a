"""Augmentations as settings: no albumentations here."""

from typing import Annotated, Literal

from pydantic import Field

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


class BrightnessContrast(Spec):
    """Change brightness and contrast by up to these shares, each drawn evenly."""

    kind: Literal["brightness_contrast"] = "brightness_contrast"
    brightness: Probability = 0.2
    contrast: Probability = 0.2
    p: Probability = 0.5


Augment = Annotated[HFlip | VFlip | BrightnessContrast, Field(discriminator="kind")]
"""One augmentation; a training holds a tuple of them, applied in order."""
