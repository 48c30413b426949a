"""The area under the curve against pairwise counts, and the coverage of its intervals."""

from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelscan.evaluation.statistics import auc_interval
from steelscan.evaluation.statistics.auc import area_under_curve
from steelscan.strip.errors import InputError


def wins(scores, positive):
    """One row per positive, one column per negative: 1, one half or 0."""
    above = scores[positive][:, None], scores[~positive][None]
    return (above[0] > above[1]) + (above[0] == above[1]) / 2


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_the_area_is_the_chance_that_a_positive_is_above_a_negative(drawn):
    scores = np.array([float(value) for value, _ in drawn])
    positive = np.array([flag for _, flag in drawn])
    if positive.all() or not positive.any():
        return
    assert area_under_curve(scores, positive) == pytest.approx(wins(scores, positive).mean())


def log_odds_width(score):
    return log(score.high / (1 - score.high)) - log(score.low / (1 - score.low))


def test_the_interval_is_that_of_delong_if_each_strip_is_a_group():
    rng = np.random.default_rng(0)
    scores, positive = rng.normal(size=500), np.arange(500) < 260
    scores[positive] += 0.7
    table = wins(scores, positive)
    rows, columns = table.mean(1), table.mean(0)
    error = sqrt(rows.var(ddof=1) / len(rows) + columns.var(ddof=1) / len(columns))
    value = table.mean()
    found = auc_interval(scores, positive, np.arange(500))
    assert found.value == pytest.approx(value)
    wide = 2 * 1.96 * error / (value * (1 - value))
    assert log_odds_width(found) == pytest.approx(wide, rel=0.02)
    doubled = auc_interval(scores, positive, np.arange(500), cross_fitted=True)
    assert log_odds_width(doubled) == pytest.approx(wide * sqrt(2), rel=0.02)


def test_copies_of_strips_do_not_narrow_the_interval():
    rng = np.random.default_rng(1)
    scores, positive = rng.normal(size=60), np.arange(60) < 30
    scores[positive] += 1
    once = auc_interval(scores, positive, np.arange(60))
    tiled = auc_interval(np.tile(scores, 4), np.tile(positive, 4), np.tile(np.arange(60), 4))
    assert (tiled.value, tiled.low, tiled.high) == pytest.approx((once.value, once.low, once.high))
    alone = auc_interval(np.tile(scores, 4), np.tile(positive, 4), np.arange(240))
    assert log_odds_width(alone) < 0.6 * log_odds_width(once)


@pytest.mark.parametrize(("apart", "true"), [(0.0, 0.5), (1.0, 0.7602), (2.0, 0.9214)])
def test_an_interval_contains_the_truth_as_often_as_stated(apart, true):
    """Two normal distributions, in groups of three: the AUC is Phi(apart / sqrt 2)."""
    rng, held, tries = np.random.default_rng(2), 0, 300
    groups, positive = np.repeat(np.arange(30), 3), np.repeat(np.arange(30) < 12, 3)
    for _ in range(tries):
        scores = sqrt(0.8) * rng.normal(size=30)[groups] + sqrt(0.2) * rng.normal(size=90)
        found = auc_interval(scores + apart * positive, positive, groups)
        held += found.low <= true <= found.high
    assert 0.92 <= held / tries <= 0.995


def test_classes_that_do_not_overlap_have_the_exact_bound():
    positive = np.arange(20) < 10
    found = auc_interval(positive.astype(float), positive, np.arange(20))
    assert found.value == found.high == 1
    assert found.low**10 == pytest.approx(0.025)  # the chance that ten pairs are all in order
    mirrored = auc_interval(-positive.astype(float), positive, np.arange(20))
    assert (mirrored.low, mirrored.high) == pytest.approx((0, 1 - found.low))


def test_a_class_of_one_group_is_refused():
    with pytest.raises(InputError, match="two groups"):
        auc_interval(np.arange(4.0), np.array([True, True, False, False]), np.array([0, 0, 1, 2]))
