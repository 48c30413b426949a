"""A recipe carried from images to a report: the steps, the run folder, predictions."""

from typing import TYPE_CHECKING

import lazy_loader

from steelscan.pipeline.budget import with_budget
from steelscan.pipeline.recipe import (
    Budget,
    Classify,
    Deciding,
    HardGate,
    KeepFound,
    Recipe,
    Round,
    Segment,
    SoftGate,
    Step,
)

if TYPE_CHECKING:
    from steelscan.pipeline.agree import Agreed, Band, agree, read_band
    from steelscan.pipeline.asked import asked_of, read_frame
    from steelscan.pipeline.audit import Audit, audit
    from steelscan.pipeline.claim import claimed
    from steelscan.pipeline.comparison import Comparison, compare
    from steelscan.pipeline.comparison_page import write_comparison_page
    from steelscan.pipeline.dealt_folds import FoldsReport, check_folds, deal_folds, save_folds
    from steelscan.pipeline.decide import AskOpen, Opened, Said, consult, decide, passing, weighed
    from steelscan.pipeline.ensemble import EnsembleComparison, compare_ensemble
    from steelscan.pipeline.ensemble_page import write_ensemble_page
    from steelscan.pipeline.fitted import ask
    from steelscan.pipeline.forecast import Forecast
    from steelscan.pipeline.pictures import Prediction, answer_pictures, find_distinct
    from steelscan.pipeline.plan import Options
    from steelscan.pipeline.plant import Plant, plant, rates_of
    from steelscan.pipeline.predict import predict
    from steelscan.pipeline.predictor import Predictor
    from steelscan.pipeline.run import RunFolder, tasks
    from steelscan.pipeline.runs import RunSummary, find_runs, runs_json, runs_table
    from steelscan.pipeline.score import Asked, Judgement, score_files
    from steelscan.pipeline.shift import Shift, shift
    from steelscan.pipeline.stored import StoredAnswers
    from steelscan.pipeline.streamed_score import score_stream
    from steelscan.pipeline.submission import Submission, submit
    from steelscan.pipeline.train import Outcome, plan_run, train
    from steelscan.pipeline.tune import Tuned, tune_run
    from steelscan.pipeline.tuned_file import mark
    from steelscan.pipeline.written_agree import write_agreement
    from steelscan.pipeline.written_comparison import comparison_text
    from steelscan.pipeline.written_ensemble import ensemble_text
    from steelscan.pipeline.written_plant import plant_json, plant_page, plant_text, write_plant
    from steelscan.pipeline.written_score import score_json, score_page, score_text
    from steelscan.pipeline.written_tuning import tuning_text

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "agree": ["Agreed", "Band", "agree", "read_band"],
        "asked": ["asked_of", "read_frame"],
        "audit": ["Audit", "audit"],
        "comparison": ["Comparison", "compare"],
        "decide": ["AskOpen", "Opened", "Said", "consult", "decide", "passing", "weighed"],
        "dealt_folds": ["FoldsReport", "check_folds", "deal_folds", "save_folds"],
        "comparison_page": ["write_comparison_page"],
        "ensemble": ["EnsembleComparison", "compare_ensemble"],
        "ensemble_page": ["write_ensemble_page"],
        "fitted": ["ask"],
        "forecast": ["Forecast"],
        "plan": ["Options"],
        "plant": ["Plant", "plant", "rates_of"],
        "claim": ["claimed"],
        "pictures": ["Prediction", "answer_pictures", "find_distinct"],
        "predict": ["predict"],
        "predictor": ["Predictor"],
        "stored": ["StoredAnswers"],
        "run": ["RunFolder", "tasks"],
        "runs": ["RunSummary", "find_runs", "runs_json", "runs_table"],
        "score": ["Asked", "Judgement", "score_files"],
        "streamed_score": ["score_stream"],
        "shift": ["Shift", "shift"],
        "submission": ["Submission", "submit"],
        "train": ["Outcome", "plan_run", "train"],
        "written_agree": ["write_agreement"],
        "written_comparison": ["comparison_text"],
        "written_plant": ["plant_json", "plant_page", "plant_text", "write_plant"],
        "written_score": ["score_json", "score_page", "score_text"],
        "written_ensemble": ["ensemble_text"],
        "tune": ["Tuned", "tune_run"],
        "tuned_file": ["mark"],
        "written_tuning": ["tuning_text"],
    },
)

__all__ = [
    "Agreed",
    "AskOpen",
    "Asked",
    "Audit",
    "Band",
    "Budget",
    "Classify",
    "Comparison",
    "Deciding",
    "EnsembleComparison",
    "FoldsReport",
    "Forecast",
    "HardGate",
    "Judgement",
    "KeepFound",
    "Opened",
    "Options",
    "Outcome",
    "Plant",
    "Prediction",
    "Predictor",
    "Recipe",
    "Round",
    "RunFolder",
    "RunSummary",
    "Said",
    "Segment",
    "Shift",
    "SoftGate",
    "Step",
    "StoredAnswers",
    "Submission",
    "Tuned",
    "agree",
    "answer_pictures",
    "ask",
    "asked_of",
    "audit",
    "check_folds",
    "claimed",
    "compare",
    "compare_ensemble",
    "comparison_text",
    "consult",
    "deal_folds",
    "decide",
    "ensemble_text",
    "find_distinct",
    "find_runs",
    "mark",
    "passing",
    "plan_run",
    "plant",
    "plant_json",
    "plant_page",
    "plant_text",
    "predict",
    "rates_of",
    "read_band",
    "read_frame",
    "runs_json",
    "runs_table",
    "save_folds",
    "score_files",
    "score_json",
    "score_page",
    "score_stream",
    "score_text",
    "shift",
    "submit",
    "tasks",
    "train",
    "tune_run",
    "tuning_text",
    "weighed",
    "with_budget",
    "write_agreement",
    "write_comparison_page",
    "write_ensemble_page",
    "write_plant",
]
