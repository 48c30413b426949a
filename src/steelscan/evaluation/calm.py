"""Which setting of a grid to trust: the middle of a plateau, not a lone peak."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_AS_GOOD = 1e-4
"""Settings this near to the best count as equally good."""


def calm_place(
    scores: NDArray[np.float64], origin: Sequence[int], reach: Sequence[int], passes: int = 1
) -> tuple[int, ...]:
    """Where the average of a setting and its neighbours is best; near the origin if many are.

    ``scores`` is float64 of any number of axes; ``origin`` and ``reach`` have one number for each:
    where the search starts, and how many steps away neighbours may be. After two passes neighbours
    up to twice as far away count, the nearer the more. Beyond an edge the edge itself counts
    again. Distances are in reaches of each axis.
    """
    distance = np.zeros(scores.shape)
    for axis, steps in enumerate(reach):
        for _ in range(passes):
            scores = _averaged(scores, axis, steps)
        away = np.abs(np.arange(scores.shape[axis]) - origin[axis]) / steps
        distance += away.reshape([-1 if axis == each else 1 for each in range(scores.ndim)])
    good = scores >= scores.max() - _AS_GOOD
    nearest = np.unravel_index(int(np.where(good, distance, np.inf).argmin()), scores.shape)
    return tuple(int(place) for place in nearest)


def _averaged(scores: NDArray[np.float64], axis: int, steps: int) -> NDArray[np.float64]:
    """Each score averaged with those up to some steps away along an axis."""
    places = np.arange(scores.shape[axis])
    around = places[:, None] + np.arange(-steps, steps + 1)
    shares = np.zeros((len(places), len(places)))
    np.add.at(shares, (places[:, None], around.clip(0, len(places) - 1)), 1 / (2 * steps + 1))
    return np.moveaxis(np.tensordot(shares, scores, (1, axis)), 0, axis)
