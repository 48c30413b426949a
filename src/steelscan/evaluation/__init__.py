"""Masks against truth: Dice and what a plant counts, threshold search, outlines, the report."""

from steelscan.evaluation.agreement import Agreement, agreement, majority
from steelscan.evaluation.bounds import (
    events_allowed,
    lower_bound,
    promise,
    trials_needed,
    upper_bound,
)
from steelscan.evaluation.calibration import (
    Bin,
    Reliability,
    reliability,
    reliability_of_classes,
)
from steelscan.evaluation.curves import Curve, draw_curves
from steelscan.evaluation.drawn import OPERATING_KEY, draw_operating, draw_reliability
from steelscan.evaluation.exact import (
    EscapeWeighted,
    Grid,
    MeanDice,
    Objective,
    Prior,
    Setting,
    best,
    every_level,
    pair_scores,
    strip_weights,
    surface,
    triplet_surface,
)
from steelscan.evaluation.levels import count_levels
from steelscan.evaluation.operating import (
    OperatingCurve,
    Point,
    ScoredStrips,
    operating_curve,
    promises,
)
from steelscan.evaluation.outline import class_color, outline
from steelscan.evaluation.overlap import (
    Expected,
    Overlap,
    expected_dice,
    mean_overlap,
    overlaps,
)
from steelscan.evaluation.page import Page, Section, Table, render_page, write_page
from steelscan.evaluation.paired import (
    Difference,
    Differences,
    Verdict,
    merged_groups,
    paired_differences,
    select_class,
)
from steelscan.evaluation.pairs import Pairs, PixelCounts, count_pixels, dice
from steelscan.evaluation.report import Example, Part, Report, pick_examples, render, write_report
from steelscan.evaluation.review import Rates, Review, Sorted, choose_review
from steelscan.evaluation.running import RunningScores
from steelscan.evaluation.scores import ClassRow, Score, Scores, per_class, score
from steelscan.evaluation.search import Thresholds, Tune, pairs_at, search_thresholds
from steelscan.evaluation.sizes import Defects, SizeRow, by_size, defects_of
from steelscan.evaluation.tables import pairs_of_tables, pixel_counts, shared_pixels

__all__ = [
    "OPERATING_KEY",
    "Agreement",
    "Bin",
    "ClassRow",
    "Curve",
    "Defects",
    "Difference",
    "Differences",
    "EscapeWeighted",
    "Example",
    "Expected",
    "Grid",
    "MeanDice",
    "Objective",
    "OperatingCurve",
    "Overlap",
    "Page",
    "Pairs",
    "Part",
    "PixelCounts",
    "Point",
    "Prior",
    "Rates",
    "Reliability",
    "Report",
    "Review",
    "RunningScores",
    "Score",
    "ScoredStrips",
    "Scores",
    "Section",
    "Setting",
    "SizeRow",
    "Sorted",
    "Table",
    "Thresholds",
    "Tune",
    "Verdict",
    "agreement",
    "best",
    "by_size",
    "choose_review",
    "class_color",
    "count_levels",
    "count_pixels",
    "defects_of",
    "dice",
    "draw_curves",
    "draw_operating",
    "draw_reliability",
    "events_allowed",
    "every_level",
    "expected_dice",
    "lower_bound",
    "majority",
    "mean_overlap",
    "merged_groups",
    "operating_curve",
    "outline",
    "overlaps",
    "pair_scores",
    "paired_differences",
    "pairs_at",
    "pairs_of_tables",
    "per_class",
    "pick_examples",
    "pixel_counts",
    "promise",
    "promises",
    "reliability",
    "reliability_of_classes",
    "render",
    "render_page",
    "score",
    "search_thresholds",
    "select_class",
    "shared_pixels",
    "strip_weights",
    "surface",
    "trials_needed",
    "triplet_surface",
    "upper_bound",
    "write_page",
    "write_report",
]
