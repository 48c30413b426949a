"""The limits of the budgets "small" and "tiny". No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Limits:
    """The most of each thing that a budget allows; None: no limit."""

    pixels: int
    """Of a resized strip."""
    folds: int
    epochs: int
    batch: int
    area: int
    """Pixels of all crops of an epoch together."""
    validate_on: int
    """Strips in a validation during a fit."""
    checkpoints: int
    rounds: int | None
    width: int
    """Of decoders, as a multiple of the narrowest."""
    encoders: Mapping[str, str]
    """Encoder -> the smaller one that replaces it."""


_EFFICIENTNETS = tuple(f"tf_efficientnet_b{size}" for size in range(8))
_SE_RESNETS = ("legacy_senet154", "legacy_seresnext101_32x4d", "legacy_seresnext50_32x4d")

_SMALLER = {
    **dict.fromkeys(_EFFICIENTNETS, ("tf_efficientnet_lite0", "test_efficientnet")),
    **dict.fromkeys(_SE_RESNETS, ("legacy_seresnext26_32x4d", "test_resnet")),
    "legacy_seresnext26_32x4d": ("legacy_seresnext26_32x4d", "test_resnet"),
    "seresnext50_32x4d": ("seresnext26d_32x4d", "test_resnet"),
    "seresnext26d_32x4d": ("seresnext26d_32x4d", "test_resnet"),
    "resnet34": ("resnet18", "test_resnet"),
    "resnet18": ("resnet18", "test_resnet"),
    "densenet201": ("densenet121", "test_resnet"),
    "densenet121": ("densenet121", "test_resnet"),
    "mobilenetv2_100": ("mobilenetv2_050", "mobilenetv2_035"),
    "mobilenetv2_050": ("mobilenetv2_050", "mobilenetv2_035"),
}
"""Encoder -> its replacements in the budgets small and tiny. Others stay as they are.

ImageNet weights of Lite0 can be installed as a package; the encoders named ``test`` are timm's
miniatures with at most half a million weights. All have maps of strides 2 to 32.
"""

_SMALL = Limits(
    pixels=128 * 800,
    folds=1,
    epochs=8,
    batch=8,
    area=64 * 128 * 256,
    validate_on=24,
    checkpoints=3,
    rounds=None,
    width=2,
    encoders={name: small for name, (small, _) in _SMALLER.items()},
)
_TINY = replace(
    _SMALL,
    epochs=3,
    batch=4,
    area=32 * 128 * 256,
    validate_on=16,
    checkpoints=2,
    rounds=1,
    width=1,
    encoders={name: tiny for name, (_, tiny) in _SMALLER.items()},
)

LIMITS = {"small": _SMALL, "tiny": _TINY}
