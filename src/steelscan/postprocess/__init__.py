"""From probabilities to masks: thresholds, areas, components, holes, outlines, overlaps."""

from steelscan.postprocess.areas import (
    MinArea,
    ScaledMinArea,
    min_area,
    scaled_area,
    scaled_min_area,
)
from steelscan.postprocess.components import (
    FillHoles,
    RemoveSmallComponents,
    fill_holes,
    remove_small_components,
)
from steelscan.postprocess.defects import Defect, defects_of
from steelscan.postprocess.outlines import FillEdges, Polygons, fill_edges, polygons
from steelscan.postprocess.overlap import OneClassAPixel, one_class_a_pixel
from steelscan.postprocess.rules import Binarizer, Cleaner, Rule, clean
from steelscan.postprocess.thresholds import (
    PixelCount,
    Probabilities,
    Share,
    Threshold,
    Triplet,
    lowest_level,
    threshold,
    triplet,
)

__all__ = [
    "Binarizer",
    "Cleaner",
    "Defect",
    "FillEdges",
    "FillHoles",
    "MinArea",
    "OneClassAPixel",
    "PixelCount",
    "Polygons",
    "Probabilities",
    "RemoveSmallComponents",
    "Rule",
    "ScaledMinArea",
    "Share",
    "Threshold",
    "Triplet",
    "clean",
    "defects_of",
    "fill_edges",
    "fill_holes",
    "lowest_level",
    "min_area",
    "one_class_a_pixel",
    "polygons",
    "remove_small_components",
    "scaled_area",
    "scaled_min_area",
    "threshold",
    "triplet",
]
