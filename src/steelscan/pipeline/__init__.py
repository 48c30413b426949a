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
    from steelscan.pipeline.audit import Audit, audit
    from steelscan.pipeline.comparison import Comparison, compare
    from steelscan.pipeline.comparison_page import write_comparison_page
    from steelscan.pipeline.dealt_folds import FoldsReport, check_folds, deal_folds, save_folds
    from steelscan.pipeline.ensemble import EnsembleComparison, compare_ensemble
    from steelscan.pipeline.ensemble_page import write_ensemble_page
    from steelscan.pipeline.forecast import Forecast
    from steelscan.pipeline.plan import Options
    from steelscan.pipeline.predict import Prediction, predict
    from steelscan.pipeline.predictor import Predictor
    from steelscan.pipeline.runs import RunSummary, find_runs, runs_json, runs_table
    from steelscan.pipeline.score import Judgement, score_files
    from steelscan.pipeline.shift import Shift, shift
    from steelscan.pipeline.submission import Submission, submit
    from steelscan.pipeline.train import Outcome, plan_run, train
    from steelscan.pipeline.written_comparison import comparison_text
    from steelscan.pipeline.written_ensemble import ensemble_text

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "audit": ["Audit", "audit"],
        "comparison": ["Comparison", "compare"],
        "dealt_folds": ["FoldsReport", "check_folds", "deal_folds", "save_folds"],
        "comparison_page": ["write_comparison_page"],
        "ensemble": ["EnsembleComparison", "compare_ensemble"],
        "ensemble_page": ["write_ensemble_page"],
        "forecast": ["Forecast"],
        "plan": ["Options"],
        "predict": ["Prediction", "predict"],
        "predictor": ["Predictor"],
        "runs": ["RunSummary", "find_runs", "runs_json", "runs_table"],
        "score": ["Judgement", "score_files"],
        "shift": ["Shift", "shift"],
        "submission": ["Submission", "submit"],
        "train": ["Outcome", "plan_run", "train"],
        "written_comparison": ["comparison_text"],
        "written_ensemble": ["ensemble_text"],
    },
)

__all__ = [
    "Audit",
    "Budget",
    "Classify",
    "Comparison",
    "EnsembleComparison",
    "FoldsReport",
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
    "Shift",
    "SoftGate",
    "Step",
    "Submission",
    "audit",
    "check_folds",
    "compare",
    "compare_ensemble",
    "comparison_text",
    "deal_folds",
    "ensemble_text",
    "find_runs",
    "plan_run",
    "predict",
    "runs_json",
    "runs_table",
    "save_folds",
    "score_files",
    "shift",
    "submit",
    "train",
    "with_budget",
    "write_comparison_page",
    "write_ensemble_page",
]
