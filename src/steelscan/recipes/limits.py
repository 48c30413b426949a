"""The limits of the budgets "small" and "tiny". No torch here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

CROP = 128 * 256
"""Pixels of a crop of 128x256, the unit in which the work of a fit is counted here."""


@dataclass(frozen=True)
class Limits:
    """The most of each thing that a budget allows; None: no limit."""

    pixels: int
    """Of a resized strip."""
    area: int | None
    """Pixels of all crops of all fits of a run together."""
    fit_area: int
    """Pixels of all crops of one fit."""
    step_area: int
    """Pixels of the crops of a batch, unless it has only two."""
    epochs: int
    """Of all stages of a fit together."""
    validate_on: int
    """Strips in a validation during a fit."""
    checkpoints: int
    rounds: int
    encoders: tuple[str, ...] | Mapping[str, str]
    """The encoders that replace those of a recipe, in the order of their sizes, or by family."""
    least_rates: Mapping[str, float] | None
    """Kind of optimizer, or "encoder" -> the lowest initial rate; None: rates stay."""
    held_out: bool
    """Whether a part of the strips is held out."""
    tuned: bool
    """Whether thresholds are tuned out of fold: published ones are for far more steps."""


SIZES: Mapping[str, tuple[Literal["efficientnet", "resnet", "mobilenet"], float]] = {
    "mobilenetv2_100": ("mobilenet", 2.2),
    "tf_efficientnet_b0": ("efficientnet", 4.0),
    "tf_efficientnet_b1": ("efficientnet", 6.5),
    "tf_efficientnet_b2": ("efficientnet", 7.7),
    "tf_efficientnet_b3": ("efficientnet", 10.7),
    "tf_efficientnet_b4": ("efficientnet", 17.5),
    "tf_efficientnet_b5": ("efficientnet", 28.3),
    "tf_efficientnet_b6": ("efficientnet", 40.7),
    "tf_efficientnet_b7": ("efficientnet", 63.8),
    "resnet18": ("resnet", 11.2),
    "resnet34": ("resnet", 21.3),
    "densenet121": ("resnet", 7.0),
    "densenet201": ("resnet", 18.1),
    "legacy_seresnext26_32x4d": ("resnet", 14.7),
    "seresnext26d_32x4d": ("resnet", 14.8),
    "legacy_seresnext50_32x4d": ("resnet", 25.5),
    "seresnext50_32x4d": ("resnet", 25.5),
    "legacy_seresnext101_32x4d": ("resnet", 46.9),
    "legacy_senet154": ("resnet", 113.0),
}
"""Encoders that a budget replaces -> their family and millions of parameters."""


def smaller_encoders(encoders: Iterable[str], limits: Limits) -> dict[str, str]:
    """Return the encoder that replaces each of a recipe's; others stay.

    Different encoders become different ones if there are enough, larger ones larger ones.
    """
    known = sorted(
        {each for each in encoders if each in SIZES}, key=lambda each: (SIZES[each][1], each)
    )
    if isinstance(limits.encoders, Mapping):
        return {each: limits.encoders[SIZES[each][0]] for each in known}
    left, count = limits.encoders, len(known)
    return {
        each: left[at if count <= len(left) else at * len(left) // count]
        for at, each in enumerate(known)
    }


_SMALL = Limits(
    pixels=64 * 400,
    area=15_000 * CROP,
    fit_area=5_000 * CROP,
    step_area=2 * CROP,
    epochs=8,
    validate_on=32,
    checkpoints=3,
    rounds=1,
    encoders=("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2"),
    least_rates={"adam": 2e-3, "adamw": 2e-3, "radam": 4e-3, "sgd": 1e-2, "encoder": 5e-4},
    held_out=True,
    tuned=True,
)
_TINY = Limits(
    pixels=128 * 800,
    area=None,
    fit_area=96 * CROP,
    step_area=4 * CROP,
    epochs=3,
    validate_on=16,
    checkpoints=2,
    rounds=1,
    encoders={
        "efficientnet": "test_efficientnet",
        "resnet": "test_resnet",
        "mobilenet": "mobilenetv2_035",
    },
    least_rates=None,
    held_out=False,
    tuned=False,
)

LIMITS = {"small": _SMALL, "tiny": _TINY}
"""ImageNet weights of the Lite encoders can be installed as packages; the encoders named ``test``
are timm's miniatures with at most half a million weights. All have maps of strides 2 to 32."""
