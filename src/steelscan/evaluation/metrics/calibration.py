"""Whether a probability of 0.7 is right seven times in ten."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.statistics import Estimate, lower_bound, upper_bound
from steelscan.strip import InputError


@dataclass(frozen=True)
class Bin:
    """The answers with a probability from ``low`` up to ``high``."""

    low: float
    high: float
    count: int
    said: float
    """Their mean probability; nan where there is none."""
    seen: Estimate
    """How many of them held the class, with the exact interval of independent strips."""


@dataclass(frozen=True)
class Reliability:
    """How far probabilities are from what is then seen."""

    bins: tuple[Bin, ...]
    error: float
    """Expected calibration error: the mean of |said - seen| over bins, by their counts."""
    brier: float
    """Mean of (probability - truth)**2: 0 for an oracle, 0.25 for one half throughout."""
    answers: int


def reliability(
    probabilities: NDArray[np.float64],
    present: NDArray[np.bool_],
    *,
    bins: int = 10,
    level: float = 0.95,
) -> Reliability:
    """Lay probabilities beside the truth in bins of equal width.

    Both are of one shape, any; pairs of strips and classes may be pooled. Answers that are not a
    number are passed over. The error depends on the bins, and grows by chance where they hold few
    answers: see the intervals. Raises InputError for other shapes, for probabilities outside 0 to
    1, or where there is none. (Naeini, Cooper and Hauskrecht 2015; Guo et al. 2017,
    arXiv:1706.04599; Brier 1950; intervals: Clopper and Pearson 1934.)
    """
    if probabilities.shape != present.shape:
        found = f"have shape {probabilities.shape}, the truth {present.shape}"
        raise InputError("probabilities", found, "Give both for the same strips and classes")
    known = ~np.isnan(probabilities)
    said, seen = probabilities[known], present[known]
    if not said.size or said.min() < 0 or said.max() > 1:
        found = "are not all from 0 to 1" if said.size else "are none"
        raise InputError("probabilities", found, "Give what a classifier says of strips")
    place = np.minimum((said * bins).astype(np.int64), bins - 1)
    counts = np.bincount(place, minlength=bins)
    hits = np.bincount(place, seen, minlength=bins).astype(np.int64)
    sums = np.bincount(place, said, minlength=bins)
    found_bins = tuple(
        Bin(
            low=at / bins,
            high=(at + 1) / bins,
            count=int(counts[at]),
            said=float(sums[at] / counts[at]) if counts[at] else nan,
            seen=_share(int(hits[at]), int(counts[at]), level),
        )
        for at in range(bins)
    )
    return Reliability(
        bins=found_bins,
        error=float(np.abs(sums - hits).sum() / said.size),
        brier=float(((said - seen) ** 2).mean()),
        answers=int(said.size),
    )


def reliability_of_classes(
    probabilities: NDArray[np.float64], present: NDArray[np.bool_], names: Sequence[str]
) -> dict[str, Reliability]:
    """The reliability of all classes together, under "all classes", and of each by its name.

    Both are ``(strips, classes)``; a class of which nothing is known is left out.
    """
    found = {"all classes": reliability(probabilities, present)}
    for index, name in enumerate(names):
        if not np.isnan(probabilities[:, index]).all():
            found[name] = reliability(probabilities[:, index], present[:, index])
    return found


def _share(hits: int, count: int, level: float) -> Estimate:
    if not count:
        return Estimate(nan)
    one_sided = (1 + level) / 2
    bounds = (bound(hits, count, one_sided) for bound in (lower_bound, upper_bound))
    return Estimate(hits / count, *bounds)
