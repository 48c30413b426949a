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
    from steelscan.prediction.heads import Heads, Sort
    from steelscan.prediction.predict import (
        Answerer,
        Head,
        Poll,
        predict_both,
        predict_classes,
        predict_masks,
        said_by,
        sort_for,
        to_levels,
    )
    from steelscan.prediction.store import ProbabilityStore
    from steelscan.prediction.sums import Left
    from steelscan.prediction.views import turn
    from steelscan.prediction.voter import Viewed, Voter

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "averages": ["averaged"],
        "compared": ["Combined", "Heard", "hear"],
        "heads": ["Heads", "Sort"],
        "predict": [
            "Answerer",
            "Head",
            "Poll",
            "predict_both",
            "predict_classes",
            "predict_masks",
            "said_by",
            "sort_for",
            "to_levels",
        ],
        "store": ["ProbabilityStore"],
        "sums": ["Left"],
        "views": ["turn"],
        "voter": ["Viewed", "Voter"],
    },
)

__all__ = [
    "Answerer",
    "Average",
    "Combined",
    "EncoderFittedFor",
    "EncoderOf",
    "Ensemble",
    "Head",
    "Heads",
    "Heard",
    "Left",
    "LogitMean",
    "Mean",
    "Member",
    "Poll",
    "PowerMean",
    "ProbabilityStore",
    "Sort",
    "Tiles",
    "View",
    "Viewed",
    "Voter",
    "averaged",
    "hear",
    "predict_both",
    "predict_classes",
    "predict_masks",
    "said_by",
    "sort_for",
    "to_levels",
    "turn",
]
