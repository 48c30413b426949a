"""Escapes and overkill at every threshold, against counting strip by strip."""

from math import isnan

import numpy as np
import pytest
from scipy.stats import beta

from steelscan.analysis.escapes.figures import draw_operating
from steelscan.analysis.escapes.operating import (
    OperatingCurve,
    Point,
    ScoredStrips,
    operating_curve,
    promises,
)
from steelscan.strip.errors import InputError


def strips_at_random(count: int, seed: int = 0, per_group: int = 1) -> ScoredStrips:
    random = np.random.default_rng(seed)
    defective = random.random(count) < 0.4
    scores = np.where(defective, random.beta(4, 2, count), random.beta(2, 5, count))
    return ScoredStrips(scores, defective, np.arange(count) // per_group)


def point_at(curve: OperatingCurve, threshold: float) -> Point:
    """The point at the highest threshold that is not above this one."""
    return [point for point in curve.points if point.threshold <= threshold][-1]


def test_every_point_has_the_counts_of_a_loop() -> None:
    strips = strips_at_random(70)
    curve = operating_curve(strips, resamples=0)
    thresholds = [point.threshold for point in curve.points]
    assert thresholds[:-1] == sorted(set(strips.scores.tolist()))
    for point in curve.points:
        passed = [score < point.threshold for score in strips.scores]
        both = list(zip(passed, strips.defective, strict=True))
        assert point.escaped == sum(goes and bad for goes, bad in both)
        assert point.stopped == sum(not goes and not bad for goes, bad in both)
        assert point.escapes.value == pytest.approx(point.escaped / curve.defective)
        assert point.overkill.value == pytest.approx(point.stopped / curve.clean)
    first, last = curve.points[0], curve.points[-1]
    assert (first.escaped, first.stopped) == (0, curve.clean)
    assert (last.escaped, last.stopped) == (curve.defective, 0)


def test_a_curve_has_at_most_128_thresholds() -> None:
    curve = operating_curve(strips_at_random(2000), resamples=0)
    assert len(curve.points) == 128
    escapes = [point.escaped for point in curve.points]
    assert escapes == sorted(escapes)
    assert escapes[0] == 0
    assert escapes[-1] == curve.defective


def test_intervals_cover_the_known_truth() -> None:
    """Most 95 % intervals contain the true share of known distributions."""
    held = []
    for seed in range(40):
        curve = operating_curve(strips_at_random(300, seed), resamples=200)
        point = point_at(curve, 0.5)
        true = beta.cdf(point.threshold, 4, 2)
        held.append(point.escapes.low <= true <= point.escapes.high)
    assert 0.85 <= np.mean(held) <= 1


def test_strips_of_one_group_widen_the_interval() -> None:
    alone = strips_at_random(200)
    copied = ScoredStrips(*(np.repeat(x, 4) for x in (alone.scores, alone.defective, alone.groups)))
    loose = ScoredStrips(copied.scores, copied.defective, np.arange(800))
    one, together, apart = (point_at(operating_curve(each), 0.5) for each in (alone, copied, loose))
    width = [point.escapes.high - point.escapes.low for point in (one, together, apart)]
    assert width[0] == pytest.approx(width[1])
    assert width[2] < 0.7 * width[1]


def test_no_error_has_an_upper_bound_above_zero() -> None:
    strips = ScoredStrips(np.linspace(0, 1, 40), np.arange(40) >= 20, np.arange(40))
    point = point_at(operating_curve(strips), 0.5)
    assert point.escaped == 0
    assert point.escapes.low == 0
    assert point.escapes.high == pytest.approx(1 - 0.025 ** (1 / 20))


def test_the_highest_threshold_with_few_escapes() -> None:
    strips = strips_at_random(120)
    curve = operating_curve(strips, resamples=0)
    for rate in (0.0, 0.05, 0.2, 1.0):
        point = curve.where_escapes_are_at_most(rate)
        allowed = [p for p in curve.points if p.escaped <= rate * curve.defective + 1e-9]
        assert point == max(allowed, key=lambda each: each.threshold)


def test_promises_count_pieces_of_steel_by_their_weakest_strip() -> None:
    scores = np.array([0.9, 0.2, 0.8, 0.1, 0.6])
    strips = ScoredStrips(scores, np.array([True] * 3 + [False] * 2), np.array([0, 0, 1, 2, 2]))
    escapes, overkill = promises(strips, 0.5)
    assert "1 of 2 defective pieces of steel" in escapes
    assert "1 of 1 clean pieces of steel" in overkill
    apart = ScoredStrips(strips.scores, strips.defective, np.arange(5))
    assert "1 of 3 defective strips" in promises(apart, 0.5)[0]


def test_one_kind_of_strips_leaves_the_other_share_undefined() -> None:
    clean = ScoredStrips(np.linspace(0, 1, 9), np.zeros(9, np.bool_), np.arange(9))
    curve = operating_curve(clean)
    assert all(isnan(point.escapes.value) for point in curve.points)
    assert curve.where_escapes_are_at_most(0.1) is None
    assert draw_operating({"strip": curve}).startswith("<svg")


def test_other_values_than_scores_are_refused() -> None:
    good = np.array([0.5])
    with pytest.raises(InputError, match="from 0 to 1"):
        ScoredStrips(np.array([1.5]), np.array([True]), np.array([0]))
    with pytest.raises(InputError, match="from 0 to 1"):
        ScoredStrips(np.array([np.nan]), np.array([True]), np.array([0]))
    with pytest.raises(InputError, match="three arrays"):
        ScoredStrips(good, np.array([1]), np.array([0]))
    with pytest.raises(InputError, match="three arrays"):
        ScoredStrips(good, np.array([True, False]), np.array([0]))
    with pytest.raises(InputError, match="are none"):
        operating_curve(strips_at_random(0))
