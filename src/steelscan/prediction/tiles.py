"""Strips of any length through a network in tiles, whose overlap is blended. No torch here."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from steelscan.prediction.model import ModelOutputs
from steelscan.prediction.specs import Tiles
from steelscan.strip import Picture


def starts(tiles: Tiles, width: int) -> list[int]:
    """Return the left edges of the tiles of a strip of this width, a multiple of 32.

    They are multiples of 32 too, so that a network's grids fall alike in every tile. The last
    tile ends with the strip, and may overlap its neighbour by more than ``tiles.overlap``.
    """
    step = tiles.width - tiles.overlap
    return [*range(0, max(width - tiles.width, 0), step), max(width - tiles.width, 0)]


def weights(tiles: Tiles, *, first: bool, last: bool) -> NDArray[np.float32]:
    """Return the weight of each column of a tile, float32 ``(width,)``.

    It is 1, and falls to 0 towards a neighbour over the middle half of the overlap: within a
    quarter of the overlap from its edge a tile has too little context, and weight 0. There is no
    neighbour at the ends of the strip.
    """
    inside = np.arange(tiles.width) + 0.5
    column_weights = np.ones(tiles.width)
    if tiles.overlap:
        if not first:
            column_weights = np.minimum(column_weights, inside / tiles.overlap * 2 - 0.5)
        if not last:
            column_weights = np.minimum(column_weights, inside[::-1] / tiles.overlap * 2 - 0.5)
    return np.clip(column_weights, 0, 1).astype(np.float32)


def in_tiles(
    predict: Callable[[Picture], ModelOutputs], strip: Picture, tiles: Tiles
) -> ModelOutputs:
    """Predict a strip, uint8 ``(height, width)``, tile by tile.

    Maps are blended with `weights`; the highest class probability of all tiles counts, because a
    defect in one tile is a defect of the strip. A strip no wider than a tile is predicted whole.
    """
    width = strip.shape[-1]
    if width <= tiles.width:
        return predict(strip)
    lefts = starts(tiles, width)
    masks: NDArray[np.float32] | None = None
    classes: NDArray[np.float32] | None = None
    total = np.zeros(width, np.float32)
    for left in lefts:
        columns = slice(left, left + tiles.width)
        outputs = predict(strip[:, columns])
        weight = weights(tiles, first=left == 0, last=left == lefts[-1])
        total[columns] += weight
        if outputs.masks is not None:
            if masks is None:
                masks = np.zeros((*outputs.masks.shape[:-1], width), np.float32)
            masks[..., columns] += outputs.masks * weight
        if outputs.classes is not None:
            before = outputs.classes if classes is None else classes
            classes = np.maximum(before, outputs.classes)
    if masks is not None:
        masks /= total
    return outputs._replace(masks=masks, classes=classes)
