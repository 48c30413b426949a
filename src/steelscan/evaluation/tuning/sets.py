"""Many sets of strips searched at once: the surface of each, by one product of matrices.

A setting keeps a mask or empties it, and what it keeps is a product: of what the gate and the
label say, which do not know the pixel threshold, and of what the mask gains if it is large enough.
So all scores of all sets of strips are (weights x what is let pass) @ (what is gained). On grids
of some thousands of settings this is faster than sums from above, which pay for every level.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.tuning.gates import Kind, or_sure
from steelscan.evaluation.tuning.surfaces import Grid, MeanDice, Objective, cut_masks, set_weights

_AT_ONCE = 1 << 24
"""Numbers in the largest matrix of a product."""


class Behind(NamedTuple):
    """A gate of a class, and the thresholds of it to try."""

    said: NDArray[np.floating]
    """What a classifier says of each strip, ``(strips,)``; what is not a number passes."""
    gates: NDArray[np.float64]
    """Float64 ``(n,)``, in any order."""


class SetSurfaces:
    """The scores of one class at all settings of a grid, for any sets of its strips."""

    def __init__(
        self,
        levels: NDArray[np.int32],
        grid: Grid,
        objective: Objective | None = None,
        kind: Kind = "threshold",
        behind: Behind | None = None,
    ) -> None:
        """``levels`` is one class of `count_levels`. Raises as `surface`."""
        self._objective = objective or MeanDice()
        cut = cut_masks(levels, grid.pixel, self._objective)
        telling = np.flatnonzero(cut.gains.any(axis=1))
        self._true, self._empty, self._telling = cut.true, cut.empty, telling
        predicted, gains = cut.predicted[telling], cut.gains[telling]
        above, inside = predicted[:, grid.label, None], gains[:, :, None]
        if kind == "threshold":
            passes, gained = above > 0, inside * (predicted[:, grid.pixel, None] >= grid.area)
        else:
            passes, gained = above >= grid.area, inside
        words = np.ones((len(telling), 1), np.bool_)
        if behind is not None:
            words = or_sure(behind.said)[telling, None] > behind.gates
        gates, (labels, tops), (pixels, areas) = (
            words.shape[1],
            passes.shape[1:],
            gained.shape[1:],
        )
        self._shape = gates, labels, tops, pixels, areas
        every = words[:, :, None, None] & passes[:, None]
        self._passes = every.reshape(len(telling), gates * labels * tops)
        self._gained = gained.reshape(len(telling), pixels * areas)

    def scores(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """The surface of each set, as on its strips alone.

        ``times`` says how often each set holds each strip, float64 ``(sets, strips)``. Returns
        float64 ``(sets, gates, labels, pixels, areas)``; one gate where there is none. Raises
        InputError for a set of no strip, and where the objective is not defined on one.
        """
        weights = np.stack([set_weights(each, self._true, self._objective) for each in times])
        kept = np.empty((len(times), self._passes.shape[1], self._gained.shape[1]))
        step = max(1, _AT_ONCE // max(self._passes.size, 1))
        for start in range(0, len(times), step):
            some = weights[start : start + step, self._telling]
            let = some[:, None, :] * self._passes.T[None]
            kept[start : start + step] = (
                let.reshape(len(some) * kept.shape[1], len(self._telling)) @ self._gained
            ).reshape(len(some), *kept.shape[1:])
        kept += (weights @ self._empty)[:, None, None]
        gates, labels, top_areas, pixels, areas = self._shape
        whole = kept.reshape(len(times), gates, labels, top_areas, pixels, areas)
        if areas == 1:  # a triplet's areas are asked for above its top
            whole = np.moveaxis(whole, 3, 5)
        return whole.reshape(len(times), gates, labels, pixels, top_areas * areas)
