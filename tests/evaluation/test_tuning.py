"""Tuning that accounts for chance, on strips whose truth is known and on fresh ones."""

from importlib import import_module
from math import isclose
from pathlib import Path

import numpy as np
import pytest

from steelscan.analysis.tune.text import thresholds_text, verdict
from steelscan.evaluation.tuning import (
    ClassSearch,
    ClassThresholds,
    CrossFitOptions,
    EscapeWeighted,
    MeanDice,
    Prior,
    tune_thresholds,
)
from steelscan.evaluation.tuning.class_search import decision_threshold, dice_if_predicted
from steelscan.evaluation.tuning.crossfit import assign_parts, crossfit
from steelscan.evaluation.tuning.groups_needed import fewest_groups, groups_for_gain
from steelscan.evaluation.tuning.tolerance import as_good, plateau
from steelscan.strip.errors import InputError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def luck():
    """The benchmark, imported as where it is run: with its folder on the path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield import_module("luck")


@pytest.fixture(scope="module")
def large(luck):
    return luck.Large(np.random.default_rng(0), 2500)


def test_without_a_gain_the_defaults_stand_and_with_one_they_go(luck, large):
    none = luck.repeated(large, large.best, strips=100, sets=10, seed=5)
    assert none.kept >= 0.95
    assert none.true_gain <= 0.002
    planted = luck.repeated(large, luck.POOR, strips=150, sets=4, seed=6)
    assert planted.kept <= 0.1
    assert planted.true_gain > 0.08


@pytest.mark.slow
def test_optimism_and_intervals_are_what_they_say(luck, large):
    for start in (large.best, luck.POOR):
        found = luck.repeated(large, start, strips=150, sets=70, seed=7)
        assert found.optimism == pytest.approx(found.true_optimism, abs=0.006)
        assert found.gain == pytest.approx(found.true_gain, abs=0.012)
        assert found.true_optimism > 0.004
        assert found.gain_within >= 0.88
        assert found.optimism_within >= 0.8
        assert found.score_within >= 0.85


@pytest.mark.slow
def test_at_most_one_of_twenty_sets_is_tuned_for_nothing(luck, large):
    found = luck.repeated(large, large.best, strips=60, sets=150, seed=8)
    assert found.kept >= 0.95


class TableSearch:
    """A search whose scores are a table; records the strips of each resample."""

    def __init__(self, table, positive):
        self.default, self.table, self.positive, self.used = 0, table, positive, []

    def defined(self, times):
        return bool(times.any())

    def choose(self, times):
        self.used += [set(np.flatnonzero(each).tolist()) for each in times]
        return [int((each @ self.table).argmax()) for each in times]

    def strip_scores(self, chosen):
        return self.table[:, [chosen]]

    def total(self, times, scores):
        return float(times @ scores[:, 0] / times.sum())


def test_each_strip_is_scored_with_a_choice_made_without_its_group():
    random = np.random.default_rng(0)
    groups = random.integers(0, 15, 40)
    search = TableSearch(random.random((40, 6)), random.random(40) < 0.4)
    options = CrossFitOptions(parts=4, repeats=3, resamples=0, seed=2)
    fit = crossfit(search, groups, options)
    assert search.used[0] == set(range(40))
    expected = np.zeros(40)
    for repeat in range(3):
        part_of = assign_parts(groups, search.positive, 4, 2 + repeat)
        for part in range(4):
            seen = search.used[1 + 4 * repeat + part]
            hidden = set(range(40)) - seen
            assert hidden == set(np.flatnonzero(part_of == part).tolist())
            assert not {groups[row] for row in seen} & {groups[row] for row in hidden}
            choice = int(search.table[sorted(seen)].sum(axis=0).argmax())
            for row in hidden:
                expected[row] += search.table[row, choice] / 3
    best = int(search.table.sum(axis=0).argmax())
    assert fit.chosen == best
    assert fit.scores.in_sample == pytest.approx(search.table[:, best].mean())
    assert fit.scores.out_of_sample == pytest.approx(expected.mean())
    assert fit.scores.default == pytest.approx(search.table[:, 0].mean())
    assert fit.gains[:, 0] == pytest.approx(expected - search.table[:, 0])
    assert np.isnan(fit.gain.low)


def test_on_pure_noise_the_optimism_is_the_whole_gain():
    """All choices are equally good: any gain on the strips searched is chance."""
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(60), 2)
    found = []
    for _ in range(30):
        table = 0.5 + np.repeat(random.normal(0, 0.2, (60, 12)), 2, axis=0)
        fit = crossfit(
            TableSearch(table, np.ones(120, np.bool_)), groups, CrossFitOptions(resamples=10)
        )
        found.append((fit.scores.in_sample - 0.5, fit.optimism.value, fit.gain.value))
    truth, optimism, gain = np.mean(found, axis=0)
    assert truth > 0.03
    assert optimism == pytest.approx(truth, abs=0.012)
    assert gain == pytest.approx(0, abs=0.012)


def test_resamples_take_whole_groups():
    groups = np.repeat(np.arange(12), 3)
    search = TableSearch(np.random.default_rng(3).random((36, 3)), np.ones(36, np.bool_))
    crossfit(search, groups, CrossFitOptions(parts=3, repeats=1, resamples=8))
    assert len(search.used) == 9 * 4
    for seen in search.used:
        assert all(set(range(3 * (row // 3), 3 * (row // 3) + 3)) <= seen for row in seen)


@pytest.mark.parametrize("seed", range(4))
def test_parts_are_alike_and_split_no_group(seed):
    random = np.random.default_rng(seed)
    groups = random.integers(0, 40, 150)
    holds = random.random(150) < 0.2
    part_of = assign_parts(groups, holds, 5, seed)
    for group in set(groups.tolist()):
        assert len(set(part_of[groups == group].tolist())) == 1
    held = np.bincount(part_of, holds, minlength=5)
    assert held.max() - held.min() <= 3
    assert np.array_equal(part_of, assign_parts(groups, holds, 5, seed))
    assert not np.array_equal(part_of, assign_parts(groups, holds, 5, seed + 1))
    with pytest.raises(InputError, match="too few for 5 parts"):
        assign_parts(np.arange(4), np.ones(4, np.bool_), 5, 0)


def test_a_class_of_too_few_groups_is_not_searched_and_the_reason_says_how_many_are_needed(luck):
    made = luck.simulate(150, np.random.default_rng(2))
    rare = made.histograms.copy()
    held = np.flatnonzero(rare[:, 1].any(axis=1))
    kept = held[:4]
    rare[np.setdiff1d(held, kept), 1] = 0
    both = np.stack([made.histograms, rare], axis=2)
    done = tune_thresholds(both, made.groups, [luck.POOR] * 2, [MeanDice()] * 2)
    one, two = done.classes
    assert one.searched
    assert one.tuned
    assert not two.searched
    assert not two.tuned
    assert two.used == two.best == luck.POOR
    assert two.plateau is None
    assert two.groups_needed > 8
    assert (
        f"{two.groups} groups have this class, too few to search; {two.groups_needed} are needed"
        in two.reason
    )
    assert two.fit.optimism.value == 0
    mean = (one.fit.scores.in_sample + two.fit.scores.default) / 2
    assert done.best.scores.in_sample == pytest.approx(mean)
    assert verdict(done).startswith("1 of 2 classes are tuned.")


def test_how_many_groups_it_takes_is_computed():
    assert fewest_groups(0.95, 5) == 8
    assert fewest_groups(0.99, 5) == 10
    assert fewest_groups(0.95, 2) == 12
    # (1.96 + 0.8416) squared is 7.849: 0.04 of it, through 0.0025.
    assert groups_for_gain(0.04, 0.05, 0.95, 0.8) == 126
    assert groups_for_gain(0.04, 0.1, 0.95, 0.8) == 32
    random = np.random.default_rng(0)
    drawn = random.normal(0.05, 0.2, (4000, 126))
    error = drawn.std(axis=1, ddof=1) / np.sqrt(126)
    assert np.mean(drawn.mean(axis=1) > 1.96 * error) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("aim", [EscapeWeighted(weight=1.0), Prior(positives=0.1)])
def test_other_objectives_are_scored_as_they_say(luck, aim):
    made = luck.simulate(100, np.random.default_rng(4))
    options = CrossFitOptions(resamples=20)
    done = tune_thresholds(made.histograms[:, :, None], made.groups, [luck.POOR], [aim], options)
    (one,) = done.classes
    pairs = ClassSearch(made.histograms, None, luck.POOR, aim).pairs(one.best)
    predicted, true, shared = pairs.predicted[:, 0], pairs.truth[:, 0], pairs.shared[:, 0]
    scores = np.where(predicted + true == 0, 1, 2 * shared / np.maximum(predicted + true, 1))
    if aim.kind == "prior":
        expected = 0.1 * scores[true > 0].mean() + 0.9 * scores[true == 0].mean()
    else:
        expected = scores.mean() - np.mean((true > 0) & (predicted == 0))
    assert one.fit.scores.in_sample == pytest.approx(expected)


def test_a_gate_of_the_class_is_tuned_with_its_thresholds(luck):
    made = luck.simulate(120, np.random.default_rng(5))
    start = luck.POOR._replace(gate=0.9)
    options = CrossFitOptions(resamples=20)
    done = tune_thresholds(
        made.histograms[:, :, None],
        made.groups,
        [start],
        [MeanDice()],
        options,
        class_probabilities=made.probabilities[:, None],
    )
    (one,) = done.classes
    assert one.tuned
    assert one.used.gate < 0.9
    assert {each.name for each in one.plateau.tolerances} == {"gate", "label", "pixel", "area"}


def test_a_gate_of_the_image_is_tuned_after_the_classes(luck):
    made = luck.simulate(200, np.random.default_rng(6))
    probabilities = np.where(made.histograms[:, 1].any(axis=1), 0.7, 0.2)
    options = CrossFitOptions(resamples=20)
    alarms = luck.POOR._replace(pixel=0.3, label=0.3)
    how = {"class_probabilities": probabilities[:, None], "image_gate": 0.9}
    done = tune_thresholds(
        made.histograms[:, :, None], made.groups, [alarms], [MeanDice()], options, **how
    )
    gate = done.image_gate
    assert gate.tuned
    assert 0.2 <= gate.used < 0.7
    assert gate.default == 0.9
    used = done.used.scores
    expected = done.classes[0].fit.scores.default + gate.fit.gain.value
    if not done.classes[0].tuned:
        assert used.out_of_sample == pytest.approx(expected)
    assert used.out_of_sample > used.default + 0.1


def test_thresholds_that_follow_from_the_expected_dice():
    table = {0.5: 0.667, 0.6: 0.625, 0.65: 0.606, 0.7: 0.588, 0.8: 0.556}  # SOLUTIONS, section 1
    assert {d: round(decision_threshold(d), 3) for d in table} == table
    assert (decision_threshold(0), decision_threshold(1)) == (1, 0.5)
    with pytest.raises(InputError):
        decision_threshold(1.2)
    assert dice_if_predicted(np.array([0.5, 0.9, 0.1]), np.array([1.0, 1, 0])) == pytest.approx(0.7)
    assert dice_if_predicted(np.array([0.5]), np.array([0.0])) is None


def test_predicting_pays_above_that_threshold_and_not_below():
    """Strips with calibrated probabilities: the best threshold is 1 / (1 + d)."""
    random = np.random.default_rng(7)
    chance, d = random.random(200_000), 0.7
    there = random.random(200_000) < chance
    at = np.arange(30, 95) / 100
    scores = [np.where(chance > t, there * d, ~there).mean() for t in at]
    assert abs(at[int(np.argmax(scores))] - decision_threshold(d)) <= 0.03


def test_the_decision_rule_sets_the_gate_or_else_the_label(luck):
    made = luck.simulate(150, np.random.default_rng(8))
    every = np.ones((1, 150))
    start = ClassThresholds(None, 0.9, 0.3, 40)
    plain = ClassSearch(made.histograms, None, start, MeanDice(), by="auto")
    (best,) = plain.choose(every)
    true = made.histograms[:, 1].sum(axis=1)
    predicted, shared = (
        made.histograms[:, part, 77:].sum(axis=1) for part in (0, 1)
    )  # 77/255 > 0.3
    dice = (2 * shared[true > 0] / (predicted + true)[true > 0]).mean()
    assert best == start._replace(label=round(1 / (1 + dice), 3))
    gated = ClassSearch(
        made.histograms, made.probabilities, start._replace(gate=0.1), MeanDice(), by="auto"
    )
    (derived,) = gated.choose(every)
    assert derived == start._replace(gate=best.label)


def test_a_worse_setting_is_reported_and_no_gate_of_the_image_is_derived(luck):
    made = luck.simulate(400, np.random.default_rng(11))
    start = ClassThresholds(None, 0.95, 0.3, 0)
    options = CrossFitOptions(by="auto", resamples=20)
    how = {"class_probabilities": made.probabilities[:, None], "image_gate": 0.0}
    done = tune_thresholds(
        made.histograms[:, :, None], made.groups, [start], [MeanDice()], options, **how
    )
    (one,) = done.classes
    assert done.image_gate is None
    assert not one.tuned
    assert one.fit.gain.high < 0
    assert one.reason.startswith("the best setting is worse")


def test_a_tolerance_contains_the_values_that_are_as_good_as_the_one_used(luck):
    made = luck.simulate(120, np.random.default_rng(9))
    search = ClassSearch(made.histograms, None, luck.POOR, MeanDice())
    (used,) = search.choose(np.ones((1, 120)))
    found = plateau(search, used, made.groups)
    for tolerance in found.tolerances:
        assert tolerance.low <= tolerance.used <= tolerance.high
        at = tolerance.values.index(tolerance.used)
        mine = search.strip_scores(used)[:, 0].mean()
        assert tolerance.scores[at] == pytest.approx(mine)
        for value, score in zip(tolerance.values, tolerance.scores, strict=True):
            other = used._replace(**{tolerance.name: value})
            assert score == pytest.approx(search.strip_scores(other)[:, 0].mean())
    label, pixel = found.labels.index(0.4), found.pixels.index(0.25)
    other = used._replace(label=0.4, pixel=0.25)
    assert found.scores[label, pixel] == pytest.approx(search.strip_scores(other)[:, 0].mean())


def test_noise_is_measured_over_groups():
    differences = np.array([-0.1, 0.06, -0.1, 0.06])
    assert as_good(differences, np.arange(4))
    assert not as_good(np.full(30, -0.01), np.arange(30))
    worse = np.repeat([-1.0, 0.3, -1.0, 0.3], 16)
    alone, together = as_good(worse, np.arange(64)), as_good(worse, np.repeat(np.arange(4), 16))
    assert not alone
    assert together


def test_the_same_seed_gives_the_same_tuning(luck):
    made = luck.simulate(60, np.random.default_rng(10))
    one, two, other = (
        tune_thresholds(
            made.histograms[:, :, None],
            made.groups,
            [luck.POOR],
            [MeanDice()],
            CrossFitOptions(resamples=20, seed=seed),
        ).best
        for seed in (3, 3, 4)
    )
    assert one.gain == two.gain
    assert one.gain != other.gain
    assert isclose(one.scores.in_sample, other.scores.in_sample)


def test_thresholds_as_text():
    numbers = ClassThresholds(0.25, 0.8, 0.3, 100)
    assert thresholds_text(numbers, "threshold") == "gate 0.25, label 0.80, pixel 0.30, area 100"
    assert thresholds_text(numbers._replace(gate=None), "triplet") == (
        "top 0.80, bottom 0.30, area above top 100"
    )
