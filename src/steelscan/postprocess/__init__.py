"""From probabilities to masks: thresholds, areas, components."""

from steelscan.postprocess.rules import (
    MinArea,
    PixelCount,
    Probabilities,
    RemoveSmallComponents,
    Rule,
    Share,
    Threshold,
    clean,
    lowest_level,
    min_area,
    remove_small_components,
    threshold,
)

__all__ = [
    "MinArea",
    "PixelCount",
    "Probabilities",
    "RemoveSmallComponents",
    "Rule",
    "Share",
    "Threshold",
    "clean",
    "lowest_level",
    "min_area",
    "remove_small_components",
    "threshold",
]
