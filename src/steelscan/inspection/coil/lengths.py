"""Parts of the length of a coil, as sorted intervals that do not touch: float64 ``(parts, 2)``."""

import numpy as np
from numpy.typing import NDArray

Parts = NDArray[np.float64]


def joined(starts: NDArray[np.float64], stops: NDArray[np.float64]) -> Parts:
    """Join intervals ``[start, stop]`` that overlap or touch; float64 ``(intervals,)`` each."""
    if not len(starts):
        return np.empty((0, 2))
    order = np.argsort(starts, kind="stable")
    starts, stops = starts[order], np.maximum.accumulate(stops[order])
    new = np.append(True, starts[1:] > stops[:-1])
    return np.column_stack([starts[new], stops[np.append(new[1:], True)]])


def common(one: Parts, other: Parts) -> Parts:
    """Return what lies in both."""
    return _pieces(one, other, in_other=True)


def without(one: Parts, other: Parts) -> Parts:
    """Return what lies in ``one`` and not in ``other``."""
    return _pieces(one, other, in_other=False)


def _pieces(one: Parts, other: Parts, *, in_other: bool) -> Parts:
    edges = np.unique(np.concatenate([one.ravel(), other.ravel()]))
    middles = (edges[1:] + edges[:-1]) / 2
    inside = _covered(one, middles) & (_covered(other, middles) == in_other)
    return joined(edges[:-1][inside], edges[1:][inside])


def _covered(parts: Parts, places: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether each place lies in a part."""
    return np.searchsorted(parts[:, 0], places) > np.searchsorted(parts[:, 1], places)


def total(parts: Parts) -> float:
    """Return the sum of the lengths."""
    return float((parts[:, 1] - parts[:, 0]).sum())
