"""Fitting one network: settings that need no torch, and the loop."""

from typing import TYPE_CHECKING

import lazy_loader

from steelscan.training.specs import (
    SGD,
    AdamW,
    Constant,
    Cosine,
    Optimizer,
    Schedule,
    Training,
)

if TYPE_CHECKING:
    from steelscan.training.checkpoint import load_network, save_network
    from steelscan.training.fit import Material, Metrics, fit
    from steelscan.training.optimizers import build_optimizer, rate

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "checkpoint": ["load_network", "save_network"],
        "fit": ["Material", "Metrics", "fit"],
        "optimizers": ["build_optimizer", "rate"],
    },
)

__all__ = [
    "SGD",
    "AdamW",
    "Constant",
    "Cosine",
    "Material",
    "Metrics",
    "Optimizer",
    "Schedule",
    "Training",
    "build_optimizer",
    "fit",
    "load_network",
    "rate",
    "save_network",
]
