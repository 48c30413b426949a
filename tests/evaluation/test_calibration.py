"""Probabilities beside what was seen, against plain loops and hand numbers."""

import numpy as np
import pytest
from scipy.stats import beta

from steelscan.evaluation.metrics import reliability, reliability_of_classes
from steelscan.pipeline import draw_reliability
from steelscan.strip import InputError


def error_by_definition(said, seen, bins):
    """Loops over answers, bin by bin."""
    total = 0.0
    for at in range(bins):
        inside = [
            (p, t)
            for p, t in zip(said, seen, strict=True)
            if at / bins <= p < (at + 1) / bins or (p == 1 and at == bins - 1)
        ]
        if inside:
            mean = sum(p for p, _ in inside) / len(inside)
            share = sum(t for _, t in inside) / len(inside)
            total += len(inside) * abs(mean - share)
    return total / len(said)


def test_the_error_is_that_of_the_definition() -> None:
    random = np.random.default_rng(0)
    for bins in (1, 4, 8):
        said = random.random(300)
        said[:5] = 0, 1, 0.5, 0.25, 0.75
        seen = random.random(300) < said**2
        found = reliability(said, seen, bins=bins)
        assert found.error == pytest.approx(error_by_definition(said, seen, bins))
        assert found.brier == pytest.approx(sum((said - seen) ** 2) / 300)
        assert sum(each.count for each in found.bins) == found.answers == 300


def test_hand_numbers() -> None:
    said = np.array([0.1, 0.1, 0.9, 0.9])
    found = reliability(said, np.array([False, True, True, True]), bins=2)
    assert found.error == pytest.approx(0.5 * 0.4 + 0.5 * 0.1)
    low, high = found.bins
    assert (low.count, low.said, low.seen.value) == (2, pytest.approx(0.1), 0.5)
    assert (high.count, high.seen.value) == (2, 1.0)
    assert low.seen.low == pytest.approx(beta.ppf(0.025, 1, 2))
    assert low.seen.high == pytest.approx(beta.ppf(0.975, 2, 1))


def test_true_probabilities_have_an_error_that_is_chance_alone() -> None:
    random = np.random.default_rng(1)
    said = random.random(50_000)
    assert reliability(said, random.random(50_000) < said).error < 0.01
    assert reliability(said, random.random(50_000) < 0.5).error > 0.2


def test_what_is_not_known_is_passed_over() -> None:
    said = np.array([[0.2, np.nan], [0.8, np.nan]])
    seen = np.array([[False, True], [True, False]])
    found = reliability_of_classes(said, seen, ("a", "b"))
    assert list(found) == ["all classes", "a"]
    assert found["all classes"].answers == 2
    assert draw_reliability(found).startswith("<svg")


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(InputError, match="from 0 to 1"):
        reliability(np.array([1.2]), np.array([True]))
    with pytest.raises(InputError, match="are none"):
        reliability(np.array([np.nan]), np.array([True]))
    with pytest.raises(InputError, match="have shape"):
        reliability(np.array([0.5]), np.array([True, False]))
