"""Calibration against plain loops and hand numbers."""

import numpy as np
import pytest
from scipy.stats import beta

from steelscan.analysis.score.figures import draw_reliability
from steelscan.evaluation.metrics import reliability_of_classes
from steelscan.evaluation.metrics.calibration import reliability
from steelscan.strip.errors import InputError


def error_by_definition(predicted, observed, bins):
    """Loops over predictions, bin by bin."""
    total = 0.0
    for at in range(bins):
        members = [
            (p, t)
            for p, t in zip(predicted, observed, strict=True)
            if at / bins <= p < (at + 1) / bins or (p == 1 and at == bins - 1)
        ]
        if members:
            mean = sum(p for p, _ in members) / len(members)
            share = sum(t for _, t in members) / len(members)
            total += len(members) * abs(mean - share)
    return total / len(predicted)


def test_the_error_is_that_of_the_definition() -> None:
    random = np.random.default_rng(0)
    for bins in (1, 4, 8):
        predicted = random.random(300)
        predicted[:5] = 0, 1, 0.5, 0.25, 0.75
        observed = random.random(300) < predicted**2
        found = reliability(predicted, observed, bins=bins)
        assert found.error == pytest.approx(error_by_definition(predicted, observed, bins))
        assert found.brier == pytest.approx(sum((predicted - observed) ** 2) / 300)
        assert sum(each.count for each in found.bins) == found.count == 300


def test_hand_numbers() -> None:
    predicted = np.array([0.1, 0.1, 0.9, 0.9])
    found = reliability(predicted, np.array([False, True, True, True]), bins=2)
    assert found.error == pytest.approx(0.5 * 0.4 + 0.5 * 0.1)
    low, high = found.bins
    assert (low.count, low.predicted, low.observed.value) == (2, pytest.approx(0.1), 0.5)
    assert (high.count, high.observed.value) == (2, 1.0)
    assert low.observed.low == pytest.approx(beta.ppf(0.025, 1, 2))
    assert low.observed.high == pytest.approx(beta.ppf(0.975, 2, 1))


def test_true_probabilities_have_an_error_that_is_chance_alone() -> None:
    random = np.random.default_rng(1)
    predicted = random.random(50_000)
    assert reliability(predicted, random.random(50_000) < predicted).error < 0.01
    assert reliability(predicted, random.random(50_000) < 0.5).error > 0.2


def test_nan_is_skipped() -> None:
    predicted = np.array([[0.2, np.nan], [0.8, np.nan]])
    observed = np.array([[False, True], [True, False]])
    found = reliability_of_classes(predicted, observed, ("a", "b"))
    assert list(found) == ["all classes", "a"]
    assert found["all classes"].count == 2
    assert draw_reliability(found).startswith("<svg")


def test_other_values_than_probabilities_are_refused() -> None:
    with pytest.raises(InputError, match="from 0 to 1"):
        reliability(np.array([1.2]), np.array([True]))
    with pytest.raises(InputError, match="are none"):
        reliability(np.array([np.nan]), np.array([True]))
    with pytest.raises(InputError, match="have shape"):
        reliability(np.array([0.5]), np.array([True, False]))
