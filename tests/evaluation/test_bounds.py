"""Exact bounds against SciPy's beta quantiles, the rule of three, and how many trials it takes."""

import pytest
from scipy.stats import beta, binom

from steelscan.evaluation.statistics import (
    bound_text,
    events_allowed,
    lower_bound,
    trials_needed,
    upper_bound,
)
from steelscan.strip.errors import InputError


@pytest.mark.parametrize(
    ("events", "trials"), [(0, 1), (0, 46), (3, 46), (46, 46), (7, 12568), (500, 1000)]
)
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_bounds_are_those_of_the_beta_distribution(
    events: int, trials: int, confidence: float
) -> None:
    above = beta.ppf(confidence, events + 1, trials - events) if events < trials else 1.0
    below = beta.ppf(1 - confidence, events, trials - events + 1) if events else 0.0
    assert upper_bound(events, trials, confidence) == pytest.approx(above, rel=1e-9)
    assert lower_bound(events, trials, confidence) == pytest.approx(below, rel=1e-9, abs=1e-12)


def test_the_rule_of_three_is_near_and_safe() -> None:
    for trials in (30, 100, 1000):
        exact = upper_bound(0, trials)
        assert exact < 3 / trials < 1.06 * exact


@pytest.mark.parametrize("share", [0.001, 0.01, 0.2])
@pytest.mark.parametrize("events", [0, 1, 5])
def test_trials_needed_are_enough_and_one_less_is_not(share: float, events: int) -> None:
    enough = trials_needed(share, 0.95, events)
    assert binom.cdf(events, enough, share) <= 0.05 < binom.cdf(events, enough - 1, share)
    assert events_allowed(share, enough) == events
    fewer = events_allowed(share, enough - 1)
    assert fewer == (events - 1 if events else None)


def test_as_many_events_as_a_plain_loop_allows() -> None:
    for trials in (10, 60, 400):
        for share in (0.01, 0.05, 0.3):
            kept = [k for k in range(trials) if beta.ppf(0.9, k + 1, trials - k) <= share]
            assert events_allowed(share, trials, 0.9) == (kept[-1] if kept else None)


def test_known_numbers() -> None:
    assert trials_needed(0.01) == 299
    assert trials_needed(0.05) == 59
    assert upper_bound(0, 0) == 1


def test_a_bound_as_text() -> None:
    text = bound_text(0, 46, "defective strips")
    assert text == (
        "0 of 46 defective strips: with 95 % confidence at most 6.3 % "
        "(rule of three: 3 / 46 = 6.5 %)."
    )
    assert "rule of three" not in bound_text(1, 46, "defective strips")
    assert "at most 95 % (rule of three: 3 / 1 = 300 %)" in bound_text(0, 1, "defective strips")
    assert "at most 100 %" in bound_text(1, 1, "clean strips")
    assert bound_text(0, 0, "clean strips").startswith("There are no clean strips")


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="are 3 among 2"):
        upper_bound(3, 2)
    with pytest.raises(InputError, match="confidence"):
        upper_bound(0, 2, 1.0)
    for share in (0, 1, -0.1):
        with pytest.raises(InputError, match="rate"):
            trials_needed(share)
