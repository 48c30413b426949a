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
    from steelscan.prediction.kept import KeptProbabilities
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
        "kept": ["KeptProbabilities"],
        "predict": ["Voter", "predict_both", "predict_classes", "predict_masks", "to_levels"],
        "store": ["ProbabilityStore"],
        "views": ["turn"],
    },
)

__all__ = [
    "Average",
    "EncoderFittedFor",
    "EncoderOf",
    "Ensemble",
    "KeptProbabilities",
    "LogitMean",
    "Mean",
    "Member",
    "PowerMean",
    "ProbabilityStore",
    "Tiles",
    "View",
    "Voter",
    "averaged",
    "predict_both",
    "predict_classes",
    "predict_masks",
    "to_levels",
    "turn",
]
