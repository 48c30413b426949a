"""Networks: settings that need no torch, and the builder that turns them into modules."""

from typing import TYPE_CHECKING

import lazy_loader

from steelscan.models.specs import Classifier, Fpn, Network, Segmenter, Unet

if TYPE_CHECKING:
    from steelscan.models.network import Outputs, StripNetwork, build_network, copy_encoder
    from steelscan.models.weights import find_weights

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "network": ["Outputs", "StripNetwork", "build_network", "copy_encoder"],
        "weights": ["find_weights"],
    },
)

__all__ = [
    "Classifier",
    "Fpn",
    "Network",
    "Outputs",
    "Segmenter",
    "StripNetwork",
    "Unet",
    "build_network",
    "copy_encoder",
    "find_weights",
]
