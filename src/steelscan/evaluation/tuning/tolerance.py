"""How far each threshold can move before the score shows a difference."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.tuning.class_search import ClassSearch, ClassThresholds

_ERRORS = 2.0
"""A setting is worse if its score is lower by more than this many standard errors."""


class Tolerance(NamedTuple):
    """One threshold varied alone: its scores, and the range that is as good as the value used."""

    name: str
    used: float
    values: tuple[float, ...]
    scores: tuple[float, ...]
    low: float
    """All values from here to ``high`` are as good as the one used."""
    high: float


@dataclass(frozen=True, eq=False)
class Plateau:
    """Scores around the thresholds used: each threshold alone, and label by pixel."""

    tolerances: tuple[Tolerance, ...]
    labels: tuple[float, ...]
    pixels: tuple[float, ...]
    scores: NDArray[np.float64]
    """Float64 ``(labels, pixels)``, with the gate and the area used."""


def plateau(search: ClassSearch, used: ClassThresholds, groups: NDArray[np.int64]) -> Plateau:
    """Measure how far each threshold of a class can move alone and stay as good.

    A value is as good if its score on these strips is not lower by more than two standard errors
    of the paired difference, over whole groups, and if all values between are as good too.
    ``groups`` is int64 ``(strips,)``.
    """
    axes = search.axes
    names = [
        name
        for name in ClassThresholds._fields
        if name != "gate" or search.class_probabilities is not None
    ]
    tolerances = tuple(
        _tolerance(search, used, name, getattr(axes, name).tolist(), groups) for name in names
    )
    gate, _, _, area = search.index(used)
    scores = search.surfaces(np.ones((1, len(groups))))[0, gate, :, :, area]
    return Plateau(tolerances, tuple(axes.label.tolist()), tuple(axes.pixel.tolist()), scores)


def _tolerance(
    search: ClassSearch,
    used: ClassThresholds,
    name: str,
    axis: Sequence[float],
    groups: NDArray[np.int64],
) -> Tolerance:
    weights = search.weights(np.ones(len(groups)))
    best = getattr(used, name)
    values = sorted({*axis, best})
    base = search.strip_scores(used)
    scores, good = [], []
    for value in values:
        other = search.strip_scores(used._replace(**{name: value}))
        scores.append(float((weights * other).sum()))
        good.append(as_good((weights * (other - base))[:, 0], groups))
    low = high = values.index(best)
    while low > 0 and good[low - 1]:
        low -= 1
    while high + 1 < len(values) and good[high + 1]:
        high += 1
    return Tolerance(name, best, tuple(values), tuple(scores), values[low], values[high])


def as_good(differences: NDArray[np.float64], groups: NDArray[np.int64]) -> bool:
    """Return whether the sum of the strips' differences is not below 0 by more than noise."""
    _, member = np.unique(groups, return_inverse=True)
    sums = np.bincount(member, differences)
    shares = np.bincount(member) / len(member)
    error = float(np.sqrt(np.square(sums - sums.sum() * shares).sum()))
    return bool(sums.sum() >= -_ERRORS * error - 1e-12)
