"""The settings that are as good: how far each threshold can go before the score tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.tuning.candidates import Candidates, Numbers

_ERRORS = 2.0
"""A setting is worse when its score is lower by more than so many standard errors."""


class Stretch(NamedTuple):
    """One threshold tried alone, the others as used: what it scores, and how far that is noise."""

    name: str
    used: float
    values: tuple[float, ...]
    scores: tuple[float, ...]
    low: float
    """The least value that cannot be told from the one used, and all between."""
    high: float


@dataclass(frozen=True, eq=False)
class Plateau:
    """Around the numbers used: each threshold alone, and label by pixel."""

    stretches: tuple[Stretch, ...]
    labels: tuple[float, ...]
    pixels: tuple[float, ...]
    scores: NDArray[np.float64]
    """Float64 ``(labels, pixels)``, with the gate and the area used."""


def plateau(candidates: Candidates, used: Numbers, groups: NDArray[np.int64]) -> Plateau:
    """How far each threshold of a class can go alone without being told from the one used.

    A value is as good while its score on these strips is not lower by more than two standard
    errors of the paired difference, groups taken whole, and so are all values between. ``groups``
    is int64 ``(strips,)``.
    """
    axes = candidates.axes
    names = [name for name in Numbers._fields if name != "gate" or candidates.words is not None]
    stretches = tuple(
        _stretch(candidates, used, name, getattr(axes, name).tolist(), groups) for name in names
    )
    every = np.ones((1, len(groups)))
    gate, _, _, area = candidates.place(used)
    scores = candidates.surfaces(every)[0, gate, :, :, area]
    return Plateau(stretches, tuple(axes.label.tolist()), tuple(axes.pixel.tolist()), scores)


def _stretch(
    candidates: Candidates,
    used: Numbers,
    name: str,
    axis: Sequence[float],
    groups: NDArray[np.int64],
) -> Stretch:
    weights = candidates.weights(np.ones(len(groups)))
    best = getattr(used, name)
    values = sorted({*axis, best})
    mine = candidates.values(used)
    scores, good = [], []
    for value in values:
        other = candidates.values(used._replace(**{name: value}))
        scores.append(float((weights * other).sum()))
        good.append(as_good((weights * (other - mine))[:, 0], groups))
    low = high = values.index(best)
    while low > 0 and good[low - 1]:
        low -= 1
    while high + 1 < len(values) and good[high + 1]:
        high += 1
    return Stretch(name, best, tuple(values), tuple(scores), values[low], values[high])


def as_good(adds: NDArray[np.float64], groups: NDArray[np.int64]) -> bool:
    """Whether what strips add, float64 ``(strips,)``, is not below 0 by more than is noise."""
    _, member = np.unique(groups, return_inverse=True)
    sums = np.bincount(member, adds)
    shares = np.bincount(member) / len(member)
    error = float(np.sqrt(np.square(sums - sums.sum() * shares).sum()))
    return bool(sums.sum() >= -_ERRORS * error - 1e-12)
