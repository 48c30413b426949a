"""A data set looked at before anything is trained: what it holds, and what is wrong with it.

`explore` writes a page for people; `explore_material` gives the same as values. Everything is
measured by pure functions of one mask, one picture, or the lists of what was measured.
"""

from steelscan.data.explore.counts import Combination, Counts, count_pictures
from steelscan.data.explore.exploration import Areas, Exploration, explore_material
from steelscan.data.explore.gather import Gathered, StripFacts, gather
from steelscan.data.explore.labels import LabelTable, read_label_table
from steelscan.data.explore.light import Light, light_of
from steelscan.data.explore.masks import AreaFacts, PieceFacts, area_facts, piece_facts, share_below
from steelscan.data.explore.material import Material, open_material
from steelscan.data.explore.shape import MaskShape, shape_of, shared_by, spread
from steelscan.data.explore.suspects import Suspect, find_suspects
from steelscan.data.explore.write import explore

__all__ = [
    "AreaFacts",
    "Areas",
    "Combination",
    "Counts",
    "Exploration",
    "Gathered",
    "LabelTable",
    "Light",
    "MaskShape",
    "Material",
    "PieceFacts",
    "StripFacts",
    "Suspect",
    "area_facts",
    "count_pictures",
    "explore",
    "explore_material",
    "find_suspects",
    "gather",
    "light_of",
    "open_material",
    "piece_facts",
    "read_label_table",
    "shape_of",
    "share_below",
    "shared_by",
    "spread",
]
