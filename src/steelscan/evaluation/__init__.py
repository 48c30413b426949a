"""Masks against truth: Dice and what a plant counts, threshold search, outlines, the report."""

from steelscan.evaluation.candidates import By, Candidates, Numbers
from steelscan.evaluation.crossfit import Crossfit, Spread, Totals, crossfit, deal
from steelscan.evaluation.curves import Curve, draw_curves
from steelscan.evaluation.decision import decision_threshold, expected_dice
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
from steelscan.evaluation.gates import (
    Gated,
    Kind,
    every_gate,
    gate_scores,
    gated_best,
    gated_surface,
)
from steelscan.evaluation.image_gate import ImageGate
from steelscan.evaluation.levels import count_levels
from steelscan.evaluation.outline import class_color, outline
from steelscan.evaluation.paired import (
    Difference,
    Differences,
    Verdict,
    merged_groups,
    paired_differences,
    select_class,
)
from steelscan.evaluation.pairs import Pairs, PixelCounts, count_pixels, dice
from steelscan.evaluation.plateau import Plateau, Stretch, as_good, plateau
from steelscan.evaluation.report import Example, Part, Report, pick_examples, render, write_report
from steelscan.evaluation.scores import ClassRow, Score, Scores, per_class, score
from steelscan.evaluation.search import Thresholds, Tune, pairs_at, search_thresholds
from steelscan.evaluation.sets import Behind, SetSurfaces
from steelscan.evaluation.tables import pairs_of_tables
from steelscan.evaluation.tuning import (
    CarefulTune,
    Decision,
    Tuning,
    behind_gate,
    fewest_groups,
    groups_to_see,
    tune_carefully,
)
from steelscan.evaluation.tuning_page import (
    TuningPage,
    numbers_text,
    stretches_text,
    verdict,
    write_tuning_page,
)

__all__ = [
    "Behind",
    "By",
    "Candidates",
    "CarefulTune",
    "ClassRow",
    "Crossfit",
    "Curve",
    "Decision",
    "Difference",
    "Differences",
    "EscapeWeighted",
    "Example",
    "Gated",
    "Grid",
    "ImageGate",
    "Kind",
    "MeanDice",
    "Numbers",
    "Objective",
    "Pairs",
    "Part",
    "PixelCounts",
    "Plateau",
    "Prior",
    "Report",
    "Score",
    "Scores",
    "SetSurfaces",
    "Setting",
    "Spread",
    "Stretch",
    "Thresholds",
    "Totals",
    "Tune",
    "Tuning",
    "TuningPage",
    "Verdict",
    "as_good",
    "behind_gate",
    "best",
    "class_color",
    "count_levels",
    "count_pixels",
    "crossfit",
    "deal",
    "decision_threshold",
    "dice",
    "draw_curves",
    "every_gate",
    "every_level",
    "expected_dice",
    "fewest_groups",
    "gate_scores",
    "gated_best",
    "gated_surface",
    "groups_to_see",
    "merged_groups",
    "numbers_text",
    "outline",
    "pair_scores",
    "paired_differences",
    "pairs_at",
    "pairs_of_tables",
    "per_class",
    "pick_examples",
    "plateau",
    "render",
    "score",
    "search_thresholds",
    "select_class",
    "stretches_text",
    "strip_weights",
    "surface",
    "triplet_surface",
    "tune_carefully",
    "verdict",
    "write_report",
    "write_tuning_page",
]
