"""A recipe carried from images to a report: the steps, the run folder, predictions."""

from typing import TYPE_CHECKING

import lazy_loader

from steelscan.pipeline.budget import with_budget
from steelscan.pipeline.recipe import (
    Budget,
    Classify,
    HardGate,
    KeepFound,
    Recipe,
    Segment,
    SoftGate,
    Step,
)

if TYPE_CHECKING:
    from steelscan.pipeline.comparison import Comparison, compare
    from steelscan.pipeline.forecast import Forecast
    from steelscan.pipeline.plan import Options
    from steelscan.pipeline.plant import Plant, plant, rates_of
    from steelscan.pipeline.predict import Prediction, predict
    from steelscan.pipeline.predictor import Predictor
    from steelscan.pipeline.runs import RunSummary, find_runs, runs_json, runs_table
    from steelscan.pipeline.score import Judgement, score_files
    from steelscan.pipeline.submission import Submission, submit
    from steelscan.pipeline.train import Outcome, plan_run, train
    from steelscan.pipeline.written_comparison import comparison_text
    from steelscan.pipeline.written_plant import plant_json, plant_page, plant_text, write_plant

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "comparison": ["Comparison", "compare"],
        "forecast": ["Forecast"],
        "plan": ["Options"],
        "plant": ["Plant", "plant", "rates_of"],
        "predict": ["Prediction", "predict"],
        "predictor": ["Predictor"],
        "runs": ["RunSummary", "find_runs", "runs_json", "runs_table"],
        "score": ["Judgement", "score_files"],
        "submission": ["Submission", "submit"],
        "train": ["Outcome", "plan_run", "train"],
        "written_comparison": ["comparison_text"],
        "written_plant": ["plant_json", "plant_page", "plant_text", "write_plant"],
    },
)

__all__ = [
    "Budget",
    "Classify",
    "Comparison",
    "Forecast",
    "HardGate",
    "Judgement",
    "KeepFound",
    "Options",
    "Outcome",
    "Plant",
    "Prediction",
    "Predictor",
    "Recipe",
    "RunSummary",
    "Segment",
    "SoftGate",
    "Step",
    "Submission",
    "compare",
    "comparison_text",
    "find_runs",
    "plan_run",
    "plant",
    "plant_json",
    "plant_page",
    "plant_text",
    "predict",
    "rates_of",
    "runs_json",
    "runs_table",
    "score_files",
    "submit",
    "train",
    "with_budget",
    "write_plant",
]
