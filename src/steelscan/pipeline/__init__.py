"""A recipe carried from images to a report: the steps, the run folder, predictions."""

from typing import TYPE_CHECKING

import lazy_loader

from steelscan.pipeline.recipe import Classify, HardGate, KeepFound, Recipe, Segment, SoftGate, Step

if TYPE_CHECKING:
    from steelscan.pipeline.plan import Options
    from steelscan.pipeline.predict import Prediction, predict
    from steelscan.pipeline.predictor import Predictor
    from steelscan.pipeline.score import Judgement, score_files
    from steelscan.pipeline.train import Outcome, train

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "plan": ["Options"],
        "predict": ["Prediction", "predict"],
        "predictor": ["Predictor"],
        "score": ["Judgement", "score_files"],
        "train": ["Outcome", "train"],
    },
)

__all__ = [
    "Classify",
    "HardGate",
    "Judgement",
    "KeepFound",
    "Options",
    "Outcome",
    "Prediction",
    "Predictor",
    "Recipe",
    "Segment",
    "SoftGate",
    "Step",
    "predict",
    "score_files",
    "train",
]
