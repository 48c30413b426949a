"""From fitted networks to probabilities: views, ensembles, the store."""

from typing import TYPE_CHECKING

import lazy_loader

from steelscan.prediction.specs import (
    Average,
    EncoderFittedFor,
    EncoderOf,
    Ensemble,
    LogitMean,
    Mean,
    Member,
    PowerMean,
    Tiles,
    View,
)

if TYPE_CHECKING:
    from steelscan.prediction.averages import averaged
    from steelscan.prediction.compared import Combined, Heard, hear
    from steelscan.prediction.predict import (
        Voter,
        predict_both,
        predict_classes,
        predict_masks,
        to_levels,
    )
    from steelscan.prediction.store import ProbabilityStore
    from steelscan.prediction.views import turn

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "averages": ["averaged"],
        "compared": ["Combined", "Heard", "hear"],
        "predict": ["Voter", "predict_both", "predict_classes", "predict_masks", "to_levels"],
        "store": ["ProbabilityStore"],
        "views": ["turn"],
    },
)

__all__ = [
    "Average",
    "Combined",
    "EncoderFittedFor",
    "EncoderOf",
    "Ensemble",
    "Heard",
    "LogitMean",
    "Mean",
    "Member",
    "PowerMean",
    "ProbabilityStore",
    "Tiles",
    "View",
    "Voter",
    "averaged",
    "hear",
    "predict_both",
    "predict_classes",
    "predict_masks",
    "to_levels",
    "turn",
]
