"""Calibration: how often a class is present, by its predicted probability."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.statistics import LEVEL, Estimate, lower_bound, upper_bound
from steelscan.strip.errors import InputError


@dataclass(frozen=True)
class Bin:
    """The predictions with a probability from ``low`` up to ``high``."""

    low: float
    high: float
    count: int
    predicted: float
    """Their mean probability; nan if there are none."""
    observed: Estimate
    """Share of them with the class, with the exact interval for independent strips."""


@dataclass(frozen=True)
class Reliability:
    """How far predicted probabilities are from observed shares."""

    bins: tuple[Bin, ...]
    error: float
    """Expected calibration error: mean of |predicted - observed| over bins, by their counts."""
    brier: float
    """Mean of (probability - truth)**2: 0 if always right, 0.25 if always one half."""
    count: int
    """Predictions with a known probability."""


def reliability(
    probabilities: NDArray[np.float64], present: NDArray[np.bool_], *, bins: int = 10
) -> Reliability:
    """Compare probabilities with the truth in bins of equal width.

    Both have the same shape, any; pairs of strips and classes may be pooled. NaN is skipped. The
    error depends on the bins, and is higher by chance if they have few predictions: see the
    intervals. Raises InputError for different shapes, for probabilities outside 0 to 1, or if
    there are none. (Naeini, Cooper and Hauskrecht 2015; Guo et al. 2017, arXiv:1706.04599; Brier
    1950; intervals: Clopper and Pearson 1934.)
    """
    if probabilities.shape != present.shape:
        problem = f"have shape {probabilities.shape}, the truth {present.shape}"
        raise InputError("probabilities", problem, "Give both for the same strips and classes")
    known = ~np.isnan(probabilities)
    predicted, observed = probabilities[known], present[known]
    if not predicted.size or predicted.min() < 0 or predicted.max() > 1:
        problem = "are not all from 0 to 1" if predicted.size else "are none"
        raise InputError("probabilities", problem, "Give the probabilities of a classifier")
    bin_of = np.minimum((predicted * bins).astype(np.int64), bins - 1)
    counts = np.bincount(bin_of, minlength=bins)
    hits = np.bincount(bin_of, observed, minlength=bins).astype(np.int64)
    sums = np.bincount(bin_of, predicted, minlength=bins)
    rows = tuple(
        Bin(
            low=at / bins,
            high=(at + 1) / bins,
            count=int(counts[at]),
            predicted=float(sums[at] / counts[at]) if counts[at] else nan,
            observed=_share(int(hits[at]), int(counts[at])),
        )
        for at in range(bins)
    )
    return Reliability(
        bins=rows,
        error=float(np.abs(sums - hits).sum() / predicted.size),
        brier=float(((predicted - observed) ** 2).mean()),
        count=int(predicted.size),
    )


def reliability_of_classes(
    probabilities: NDArray[np.float64], present: NDArray[np.bool_], names: Sequence[str]
) -> dict[str, Reliability]:
    """Return the reliability of all classes together, as "all classes", and of each by name.

    Both are ``(strips, classes)``; a class without known probabilities is left out.
    """
    by_name = {"all classes": reliability(probabilities, present)}
    for index, name in enumerate(names):
        if not np.isnan(probabilities[:, index]).all():
            by_name[name] = reliability(probabilities[:, index], present[:, index])
    return by_name


def _share(hits: int, count: int) -> Estimate:
    if not count:
        return Estimate(nan)
    one_sided = (1 + LEVEL) / 2
    bounds = (bound(hits, count, one_sided) for bound in (lower_bound, upper_bound))
    return Estimate(hits / count, *bounds)
