"""Masks against truth: Dice and what a plant counts, threshold search, outlines, the report."""

from steelscan.evaluation.auc import area_under_curve, auc_interval, midranks
from steelscan.evaluation.contradiction import (
    Contradiction,
    Regions,
    contradictions,
    regions_of,
)
from steelscan.evaluation.curves import Curve, draw_curves
from steelscan.evaluation.drawing import png_of, styled, svg_of
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
from steelscan.evaluation.levels import LEVELS, count_levels
from steelscan.evaluation.outline import class_color, outline
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
from steelscan.evaluation.tables import pairs_of_tables

__all__ = [
    "LEVELS",
    "LONG",
    "Choose",
    "Chosen",
    "ClassRow",
    "Contradiction",
    "Curve",
    "Difference",
    "Differences",
    "EscapeWeighted",
    "Example",
    "Grid",
    "MeanDice",
    "Members",
    "Objective",
    "Pairs",
    "Part",
    "PixelCounts",
    "Prior",
    "Regions",
    "Report",
    "Score",
    "Scores",
    "Setting",
    "Thresholds",
    "Tune",
    "Verdict",
    "area_under_curve",
    "auc_interval",
    "best",
    "best_set",
    "choose_honestly",
    "class_color",
    "contradictions",
    "count_levels",
    "count_pixels",
    "css_color",
    "dice",
    "draw_curves",
    "every_level",
    "greedy_set",
    "jpeg_link",
    "merged_groups",
    "midranks",
    "outline",
    "pair_scores",
    "paired_differences",
    "pairs_at",
    "pairs_of_tables",
    "per_class",
    "pick_examples",
    "png_of",
    "regions_of",
    "render",
    "render_page",
    "score",
    "search_thresholds",
    "select_class",
    "shown_width",
    "strip_weights",
    "styled",
    "subsets",
    "surface",
    "svg_of",
    "triplet_surface",
    "write_report",
]
