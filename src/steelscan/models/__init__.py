"""Networks: settings that need no torch, and the builder that turns them into modules."""

from typing import TYPE_CHECKING

import lazy_loader

from steelscan.models.specs import (
    AsymmetricUnet,
    Classifier,
    Encoder,
    Fpn,
    Network,
    Outliner,
    Psp,
    Segmenter,
    TwoHeaded,
    Unet,
    encoder_of,
    without_weights,
)

if TYPE_CHECKING:
    from steelscan.models.build import build_network
    from steelscan.models.network import Outputs, StripNetwork, copy_encoder
    from steelscan.models.weights import find_weights

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "build": ["build_network"],
        "network": ["Outputs", "StripNetwork", "copy_encoder"],
        "weights": ["find_weights"],
    },
)

__all__ = [
    "AsymmetricUnet",
    "Classifier",
    "Encoder",
    "Fpn",
    "Network",
    "Outliner",
    "Outputs",
    "Psp",
    "Segmenter",
    "StripNetwork",
    "TwoHeaded",
    "Unet",
    "build_network",
    "copy_encoder",
    "encoder_of",
    "find_weights",
    "without_weights",
]
