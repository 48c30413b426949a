"""Strips of any length through a network in tiles, whose overlap is blended. No torch here."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from steelscan.prediction.outputs import ModelOutputs
from steelscan.prediction.specs import Tiles
from steelscan.strip import Picture


def starts(tiles: Tiles, width: int) -> list[int]:
    """The left edges of the tiles of a strip of this width, which is a multiple of 32.

    They too are multiples of 32, so that a network's grids fall alike in every tile. The last
    tile ends with the strip, and may overlap its neighbour by more than was asked for.
    """
    step = tiles.width - tiles.overlap
    return [*range(0, max(width - tiles.width, 0), step), max(width - tiles.width, 0)]


def weights(tiles: Tiles, *, first: bool, last: bool) -> NDArray[np.float32]:
    """The say of each column of a tile, float32 ``(width,)``.

    1, and towards a neighbour falling to 0 over the middle half of the overlap: within a quarter
    of the overlap of its edge, where it sees too little, a tile has no say at all. Where a strip
    ends there is no neighbour.
    """
    inside = np.arange(tiles.width) + 0.5
    says = np.ones(tiles.width)
    if tiles.overlap:
        if not first:
            says = np.minimum(says, inside / tiles.overlap * 2 - 0.5)
        if not last:
            says = np.minimum(says, inside[::-1] / tiles.overlap * 2 - 0.5)
    return np.clip(says, 0, 1).astype(np.float32)


def in_tiles(ask: Callable[[Picture], ModelOutputs], strip: Picture, tiles: Tiles) -> ModelOutputs:
    """What is said of a strip, uint8 ``(height, width)``, asked a tile at a time.

    Maps are blended as `weights` says; of each class the highest answer of all tiles stands, for a
    defect in one of them is a defect of the strip. A strip that is no wider than a tile is asked
    whole.
    """
    width = strip.shape[-1]
    if width <= tiles.width:
        return ask(strip)
    lefts = starts(tiles, width)
    masks: NDArray[np.float32] | None = None
    classes: NDArray[np.float32] | None = None
    total = np.zeros(width, np.float32)
    for left in lefts:
        place = slice(left, left + tiles.width)
        said = ask(strip[:, place])
        says = weights(tiles, first=left == 0, last=left == lefts[-1])
        total[place] += says
        if said.masks is not None:
            if masks is None:
                masks = np.zeros((*said.masks.shape[:-1], width), np.float32)
            masks[..., place] += said.masks * says
        if said.classes is not None:
            classes = said.classes if classes is None else np.maximum(classes, said.classes)
    if masks is not None:
        masks /= total
    return said._replace(masks=masks, classes=classes)
