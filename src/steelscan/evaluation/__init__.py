"""Masks against truth: Dice and what a plant counts, threshold search, outlines, the report."""

from steelscan.evaluation.agreement import Agreement, agreement, majority
from steelscan.evaluation.auc import area_under_curve, auc_interval, midranks
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
from steelscan.evaluation.contradiction import (
    Contradiction,
    Regions,
    contradictions,
    regions_of,
)
from steelscan.evaluation.curves import Curve, draw_curves
from steelscan.evaluation.drawing import png_of, styled, svg_of
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
from steelscan.evaluation.page import (
    LONG,
    css_color,
    jpeg_link,
    render_page,
    shown_width,
)
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
from steelscan.evaluation.selection import (
    Choose,
    Chosen,
    Members,
    best_set,
    choose_honestly,
    greedy_set,
    subsets,
)
from steelscan.evaluation.sizes import Defects, SizeRow, by_size, defects_of
from steelscan.evaluation.table_page import Page, Section, Table, page_text, write_page
from steelscan.evaluation.tables import pairs_of_tables, pixel_counts, shared_pixels

__all__ = [
    "LONG",
    "OPERATING_KEY",
    "Agreement",
    "Bin",
    "Choose",
    "Chosen",
    "ClassRow",
    "Contradiction",
    "Curve",
    "Defects",
    "Difference",
    "Differences",
    "EscapeWeighted",
    "Example",
    "Expected",
    "Grid",
    "MeanDice",
    "Members",
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
    "Regions",
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
    "area_under_curve",
    "auc_interval",
    "best",
    "best_set",
    "by_size",
    "choose_honestly",
    "choose_review",
    "class_color",
    "contradictions",
    "count_levels",
    "count_pixels",
    "css_color",
    "defects_of",
    "dice",
    "draw_curves",
    "draw_operating",
    "draw_reliability",
    "events_allowed",
    "every_level",
    "expected_dice",
    "greedy_set",
    "jpeg_link",
    "lower_bound",
    "majority",
    "mean_overlap",
    "merged_groups",
    "midranks",
    "operating_curve",
    "outline",
    "overlaps",
    "page_text",
    "pair_scores",
    "paired_differences",
    "pairs_at",
    "pairs_of_tables",
    "per_class",
    "pick_examples",
    "pixel_counts",
    "png_of",
    "promise",
    "promises",
    "regions_of",
    "reliability",
    "reliability_of_classes",
    "render",
    "render_page",
    "score",
    "search_thresholds",
    "select_class",
    "shared_pixels",
    "shown_width",
    "strip_weights",
    "styled",
    "subsets",
    "surface",
    "svg_of",
    "trials_needed",
    "triplet_surface",
    "upper_bound",
    "write_page",
    "write_report",
]
