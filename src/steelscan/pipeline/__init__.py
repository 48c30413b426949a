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
    from steelscan.pipeline.predict import Prediction, predict
    from steelscan.pipeline.predictor import Predictor
    from steelscan.pipeline.runs import RunSummary, find_runs, runs_json, runs_table
    from steelscan.pipeline.score import Judgement, score_files
    from steelscan.pipeline.submission import Submission, submit
    from steelscan.pipeline.train import Outcome, plan_run, train
    from steelscan.pipeline.tune import Tuned, tune_run
    from steelscan.pipeline.written_comparison import comparison_text
    from steelscan.pipeline.written_tuning import tuning_text

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "comparison": ["Comparison", "compare"],
        "forecast": ["Forecast"],
        "plan": ["Options"],
        "predict": ["Prediction", "predict"],
        "predictor": ["Predictor"],
        "runs": ["RunSummary", "find_runs", "runs_json", "runs_table"],
        "score": ["Judgement", "score_files"],
        "submission": ["Submission", "submit"],
        "train": ["Outcome", "plan_run", "train"],
        "tune": ["Tuned", "tune_run"],
        "written_comparison": ["comparison_text"],
        "written_tuning": ["tuning_text"],
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
    "Prediction",
    "Predictor",
    "Recipe",
    "RunSummary",
    "Segment",
    "SoftGate",
    "Step",
    "Submission",
    "Tuned",
    "compare",
    "comparison_text",
    "find_runs",
    "plan_run",
    "predict",
    "runs_json",
    "runs_table",
    "score_files",
    "submit",
    "train",
    "tune_run",
    "tuning_text",
    "with_budget",
]
