"""0, 1, 2 groups, absent classes, all clean, all defective: every report is text without NaN."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from steelscan.analysis.ensemble.selection import choose_honestly
from steelscan.analysis.escapes.figures import draw_operating
from steelscan.analysis.escapes.operating import ScoredStrips, operating_curve, promises
from steelscan.analysis.escapes.review import Rates, choose_review
from steelscan.analysis.tune.text import verdict
from steelscan.evaluation.metrics import Pairs, Scores, paired_differences, score
from steelscan.evaluation.metrics.agreement import agreement
from steelscan.evaluation.statistics import (
    Estimate,
    auc_interval,
    events_allowed,
    lower_bound,
    trials_needed,
    upper_bound,
)
from steelscan.evaluation.tuning import (
    ClassThresholds,
    CrossFitOptions,
    EscapeWeighted,
    MeanDice,
    Prior,
    tune_thresholds,
)
from steelscan.strip.errors import InputError

KINDS = ("any", "all clean", "all defective", "class nowhere", "nothing found", "clean, none found")


def made(strips, kind, seed):
    random = np.random.default_rng(seed)
    truth, predicted = random.integers(0, 40, (2, strips, 2)) * random.integers(0, 2, (2, 1, 1))
    if "clean" in kind:
        truth[:] = 0
    if kind == "all defective":
        truth += 1
    if kind == "class nowhere":
        truth[:, 0] = 0
    if "found" in kind:
        predicted[:] = 0
    return Pairs(predicted, truth, np.minimum(predicted, truth) // 2)


few = st.tuples(
    st.integers(0, 4), st.sampled_from(KINDS), st.sampled_from([1, 2, 9]), st.integers(0, 99)
)


@given(few)
def test_scores_and_differences_of_few_groups_are_text_without_nan(drawn):
    strips, kind, a_group, seed = drawn
    groups = np.arange(strips) // a_group
    one, other = made(strips, kind, seed), made(strips, kind, seed)
    other = Pairs(np.roll(one.predicted, 1, axis=0), one.truth, other.shared * 0)
    found = score(one, groups)
    assert "nan" not in Scores.table({"run": found})
    differences = paired_differences(one, other, groups)
    if differences.groups < 2:
        assert differences.mean_dice.verdict == "not distinguishable"
        assert np.isnan(found.mean_dice.low)
    if not strips:
        assert found.mean_dice.text() == "undefined"
        with pytest.raises(InputError, match="no strip"):
            agreement(2, {(0, 1): one})
        return
    agreement(2, {(0, 1): one})
    chosen = choose_honestly(np.ones((strips, 2)), groups, lambda scores: int(scores.argmax()), 0)
    assert "nan" not in chosen.honest.text(sign=True)
    curve = operating_curve(
        ScoredStrips(np.linspace(0, 1, strips), one.truth.any(axis=1), groups), resamples=20
    )
    texts = [
        point.escapes.text(percent=True) + point.overkill.text(percent=True)
        for point in curve.points
    ]
    assert not any("nan" in text for text in texts)


@pytest.mark.parametrize("kind", KINDS)
def test_escapes_and_overkill_of_few_strips(kind):
    for strips in (1, 2, 3):
        truth = made(strips, kind, 0).truth.any(axis=1)
        scored = ScoredStrips(np.linspace(0, 1, strips), truth, np.arange(strips))
        assert "nan" not in " ".join(promises(scored, 0.5))
        assert "nan" not in draw_operating({"strip": operating_curve(scored)}, None)
        with pytest.raises(InputError, match="cannot be guaranteed") as refused:
            choose_review(scored, Rates(0.05, 0.05, 0.95))
        assert ("allow 100 %" in str(refused.value)) is False


def made_histograms(strips, holds, seed=0):
    """Int32 ``(strips, 2, 2, 256)``: noise; ``holds`` is which strips have the classes."""
    random = np.random.default_rng(seed)
    levels = np.zeros((strips, 2, 2, 256), np.int32)
    for strip, at, level in np.ndindex(strips, 2, 5):
        place, pixels = random.integers(256), random.integers(1, 40)
        levels[strip, 0, at, place] += pixels
        levels[strip, 1, at, place] += pixels * holds(strip, level)
    levels[:, 0, :, 0] += 1000 - levels[:, 0].sum(axis=2)
    return levels


HOLDS = {
    "all": lambda *_: True,
    "none": lambda *_: False,
    "one": lambda strip, _: strip == 0,
    "all but one": lambda strip, _: strip > 0,
    "half": lambda strip, _: strip % 2 == 0,
}


@pytest.mark.parametrize("objective", [MeanDice(), EscapeWeighted(weight=1), Prior(positives=0.1)])
@pytest.mark.parametrize("holds", HOLDS)
@pytest.mark.parametrize("strips", [5, 9])
def test_tuning_few_groups_gives_reasons(objective, holds, strips):
    """With a gate of the image too, whose resamples lack whole classes."""
    levels = made_histograms(strips, HOLDS[holds])
    probabilities = np.random.default_rng(1).random((strips, 2))
    how = {"class_probabilities": probabilities, "image_gate": 0.5}
    defaults, tune = [ClassThresholds(None, 0.5, 0.5, 1)] * 2, CrossFitOptions(resamples=20)
    arguments = (levels, np.arange(strips), defaults, [objective] * 2, tune)
    if objective.kind == "prior" and holds in ("all", "none"):
        with pytest.raises(InputError, match="there is none"):
            tune_thresholds(*arguments, **how)
        return
    done = tune_thresholds(*arguments, **how)
    texts = [verdict(done), done.image_gate.reason, *(each.reason for each in done.classes)]
    assert "nan" not in " ".join(texts)
    assert np.isfinite(done.used.score(2).value)
    if strips == 5:
        assert not done.image_gate.tuned
        assert not any(each.tuned for each in done.classes)
        assert "Nothing could be searched: there are too few groups." in texts[0]


def test_resamples_without_a_class_are_left_out_and_the_rest_stand():
    """Of 9 groups that 4 hold, a few resamples have none; a share of them is still most."""
    levels = made_histograms(9, lambda strip, _: strip < 4)
    probabilities = np.random.default_rng(1).random((9, 2))
    done = tune_thresholds(
        levels,
        np.arange(9),
        [ClassThresholds(None, 0.5, 0.5, 1)] * 2,
        [Prior(positives=0.1)] * 2,
        CrossFitOptions(resamples=40),
        class_probabilities=probabilities,
        image_gate=0.5,
    )
    drawn = done.image_gate.fit.resampled.in_sample
    assert 0 < np.isnan(drawn).sum() < 20
    assert np.isfinite(done.image_gate.fit.gain.low)


def test_an_interval_of_few_groups_is_as_wide_as_students():
    """With two groups a side the quantile is 12.7, not 4.3."""
    scores = np.array([0.1, 0.35, 0.3, 0.4])
    positive = np.array([False, False, True, True])
    found = auc_interval(scores, positive, np.arange(4))
    assert found.value == 0.75
    error = np.sqrt(4 * 0.125**2 * 4 / 3)  # each of the four groups pulls by 1/8
    wide = stats.t.ppf(0.975, 1) * error / (0.75 * 0.25)
    assert np.log(found.low / (1 - found.low)) == pytest.approx(np.log(3) - wide)
    assert np.log(found.high / (1 - found.high)) == pytest.approx(np.log(3) + wide)


@pytest.mark.parametrize("seed", range(3))
def test_two_sides_alike_are_seldom_told_apart_however_few_their_groups(seed):
    random = np.random.default_rng(seed)
    wrong = 0
    for _ in range(200):
        groups = np.repeat(np.arange(4), 6)
        scores = random.normal(size=4)[groups] + 0.3 * random.normal(size=24)
        found = auc_interval(scores, groups >= 2, groups)
        wrong += found.low > 0.5 or found.high < 0.5
    assert wrong <= 0.1 * 200


def test_where_no_group_differs_from_another_nothing_is_claimed():
    scores = np.array([0.0, 1, 2, 0, 1, 2, 1, 2, 3, 1, 2, 3])
    groups = np.repeat(np.arange(4), 3)
    found = auc_interval(scores, groups >= 2, groups)
    assert found.value > 0.5
    assert found.low <= 0.5 <= found.high


@given(st.integers(0, 400), st.integers(0, 400), st.sampled_from([0.8, 0.95, 0.99]))
def test_bounds_are_those_of_clopper_and_pearson(events, more, confidence):
    trials = events + more
    low = stats.beta.ppf(1 - confidence, events, more + 1) if events else 0
    high = stats.beta.ppf(confidence, events + 1, more) if more else 1
    assert upper_bound(events, trials, confidence) == pytest.approx(high)
    assert lower_bound(events, trials, confidence) == pytest.approx(low, abs=1e-12)


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3, 0.9])
@pytest.mark.parametrize("events", [0, 1, 7])
def test_trials_and_events_are_the_last_that_keep_a_promise(share, events):
    needed = trials_needed(share, 0.95, events)
    assert stats.binom.cdf(events, needed, share) <= 0.05
    assert stats.binom.cdf(events, needed - 1, share) > 0.05
    assert events_allowed(share, needed) == events


@pytest.mark.parametrize("share", [0.0, 1e-300, 1e-17, 1.0, np.nan])
def test_shares_that_nobody_can_count_are_refused(share):
    with pytest.raises(InputError, match="Give a share"):
        trials_needed(share)


def test_a_number_with_its_sign():
    assert Estimate(0.5, 0.25, 0.75).text(sign=True) == "+0.5000 [+0.2500, +0.7500]"
    assert Estimate(-0.5).text(percent=True, sign=True) == "-50.0 %"
    assert Estimate(np.nan).text(sign=True) == "undefined"
