"""Percentile bootstrap of shares over whole groups, and an estimate with its interval.

(Efron 1979; cluster bootstrap: Davison and Hinkley 1997, section 3.8.)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isnan, nan
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

LEVEL = 0.95
"""Confidence of all intervals."""

_DRAWS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Estimate:
    """A number and its interval. All are nan if undefined, the interval also if unknown."""

    value: float
    low: float = nan
    high: float = nan

    def text(self, *, percent: bool = False, sign: bool = False) -> str:
        """Return the number with its interval in brackets, if it is known."""
        if isnan(self.value):
            return "undefined"
        form, scale = "+" if sign else "", 100 if percent else 1
        form += ".1f" if percent else ".4f"
        value = f"{scale * self.value:{form}}{' %' if percent else ''}"
        if isnan(self.low):
            return value
        return f"{value} [{scale * self.low:{form}}, {scale * self.high:{form}}]"


def sums_by(member: NDArray[np.int64], values: Floats, groups: int) -> Floats:
    """Sum ``values``, ``(strips, shares)``, over each group: ``(groups, shares)``."""
    columns = [np.bincount(member, column, minlength=groups) for column in values.T]
    return np.stack(columns, axis=1)


def ratios_of(over: Floats, under: Floats) -> Floats:
    """Return the quotients; nan if the divisor is 0."""
    ratios = np.full(over.shape, nan)
    np.divide(over, under, out=ratios, where=under != 0)
    return ratios


def estimate_shares(
    over: Floats, under: Floats, resamples: int = 1000, seed: int = 0
) -> list[Estimate]:
    """Return each share with its interval from the sums of groups, ``(groups, shares)``.

    Without ``resamples`` there are no intervals.
    """
    values = ratios_of(over.sum(axis=0), under.sum(axis=0)).tolist()
    if resamples == 0:
        return [Estimate(value) for value in values]
    drawn = _resampled_ratios(over, under, resamples, seed)
    estimates = []
    for value, *columns in zip(values, drawn.T, over.T, under.T, strict=True):
        shares, errors, trials = columns
        groups, every = float((trials > 0).sum()), np.array_equal(errors, trials)
        bounds = interval(shares, groups, bool(errors.any()), every)
        estimates.append(Estimate(value, *bounds))
    return estimates


def estimate_gains(
    gained: Floats, under: Floats, resamples: int = 1000, seed: int = 0
) -> list[Estimate]:
    """Return each gain with its interval from the sums of groups, ``(groups, gains)``.

    The interval contains 0 if so few groups differ that all could have the same sign by chance.
    """
    drawn = _resampled_ratios(gained, under, resamples, seed)
    return [_estimate_gain(*columns) for columns in zip(drawn.T, gained.T, under.T, strict=True)]


def _resampled_ratios(over: Floats, under: Floats, resamples: int, seed: int) -> Floats:
    """Return the ratios of each resample of groups, float64 ``(resamples, columns)``."""
    weights = resample_weights(len(over), resamples, seed)
    drawn = [ratios_of(weight @ over, weight @ under) for weight in weights]
    return np.concatenate(drawn) if drawn else np.empty((0, over.shape[1]))


def resample_weights(groups: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield how often each group is drawn, ``(some resamples, groups)`` at a time."""
    random = np.random.default_rng(seed)
    step = max(1, _DRAWS_AT_ONCE // max(groups, 1))
    for start in range(0, resamples if groups else 0, step):
        rows = min(step, resamples - start)
        drawn = random.integers(groups, size=(rows, groups)) + groups * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * groups)
        yield times.reshape(rows, groups).astype(np.float64)


def interval(drawn: Floats, groups: float, some: bool, every: bool) -> tuple[float, float]:
    """Return the interval of one share from its resamples, ``(resamples,)``, nan if undefined.

    ``groups`` is how many groups contribute; ``some`` and ``every`` are whether the share is
    above 0 and whether it is 1.
    """
    if groups < 2:
        return nan, nan  # nothing is known of how groups differ
    tail = (1 - LEVEL) / 2
    # If all groups have 0, or all have 1, resamples do not differ, though "0 of 20 escaped" is
    # compatible with 17 %. Then the exact bound is used: n groups that all have 1 have a chance
    # of at most mean**n (Clopper and Pearson 1934).
    room = 1 - tail ** (1 / groups)
    if not some:
        return 0.0, float(room)
    if every:
        return float(1 - room), 1.0
    low, high = np.quantile(drawn[~np.isnan(drawn)], [tail, 1 - tail])
    return float(low), float(high)


def _estimate_gain(drawn: Floats, gained: Floats, under: Floats) -> Estimate:
    """Return one gain from its resamples, ``(resamples,)``, and the sums of groups."""
    value = float(gained.sum() / under.sum()) if under.any() else nan
    known = drawn[~np.isnan(drawn)]
    if np.count_nonzero(under) < 2 or not known.size:
        return Estimate(value)  # nothing is known of how groups differ
    tail = (1 - LEVEL) / 2
    low, high = (float(bound) for bound in np.quantile(known, [tail, 1 - tail]))
    if 0.5 ** np.count_nonzero(gained) > tail:
        return Estimate(value, min(low, 0.0), max(high, 0.0))
    return Estimate(value, low, high)
