"""Fitting one network: settings that need no torch, and the loop."""

from typing import TYPE_CHECKING

import lazy_loader

from steelscan.training.specs import (
    SGD,
    Adam,
    AdamW,
    Averaging,
    Best,
    BestAverage,
    Constant,
    Cosine,
    Ema,
    FlatCosine,
    Keep,
    Last,
    Noam,
    OneCycle,
    Optimizer,
    Pass,
    Plateau,
    RAdam,
    Schedule,
    Swa,
    Training,
)

if TYPE_CHECKING:
    from steelscan.training.checkpoint import load_network, save_network
    from steelscan.training.fit import Metrics, fit
    from steelscan.training.material import Material
    from steelscan.training.optimizers import build_optimizer
    from steelscan.training.schedules import rate

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "checkpoint": ["load_network", "save_network"],
        "fit": ["Metrics", "fit"],
        "material": ["Material"],
        "optimizers": ["build_optimizer"],
        "schedules": ["rate"],
    },
)

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Averaging",
    "Best",
    "BestAverage",
    "Constant",
    "Cosine",
    "Ema",
    "FlatCosine",
    "Keep",
    "Last",
    "Material",
    "Metrics",
    "Noam",
    "OneCycle",
    "Optimizer",
    "Pass",
    "Plateau",
    "RAdam",
    "Schedule",
    "Swa",
    "Training",
    "build_optimizer",
    "fit",
    "load_network",
    "rate",
    "save_network",
]
