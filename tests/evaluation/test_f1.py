"""Thresholds of best F1, against all thresholds counted one by one."""

import numpy as np
import pytest

from steelscan.evaluation.tuning import CrossFitOptions, Tune, tune_f1
from steelscan.evaluation.tuning.crossfit import assign_parts, crossfit
from steelscan.evaluation.tuning.f1 import F1Search

OPTIONS = CrossFitOptions(parts=4, repeats=2, resamples=0, seed=3)


def f1(passes, present, times=None):
    """2 TP / (2 TP + FP + FN), counted strip by strip."""
    times = np.ones(len(present)) if times is None else times
    hits = alarms = misses = 0
    for one, truth, count in zip(passes, present, times, strict=True):
        hits += count * (one and truth)
        alarms += count * (one and not truth)
        misses += count * (truth and not one)
    return 2 * hits / (2 * hits + alarms + misses)


def brute_force(values, present, times=None):
    """The best F1 of all thresholds: below all values, and between any two of them."""
    cuts = [0.0, *sorted(set(values.tolist()))]
    return max(f1(values > cut, present, times) for cut in cuts[:-1])


def random_strips(seed, strips=80, levels=None, share=0.3, noise=0.5):
    """Probabilities that are higher for strips with the class; ``levels`` makes equal ones."""
    random = np.random.default_rng(seed)
    present = random.random(strips) < share
    present[:2] = True, False
    logits = random.normal(0, 2 * noise, strips) + np.where(present, 0.5, -1.5)
    values = 1 / (1 + np.exp(-logits))
    if levels:
        values = np.round(values * levels) / levels
    return values.astype(np.float32), present


@pytest.mark.parametrize("levels", [None, 7, 2])
@pytest.mark.parametrize("seed", range(6))
def test_the_threshold_has_the_best_f1_of_all(seed, levels):
    values, present = random_strips(seed, levels=levels)
    search = F1Search(values, present, 0.5)
    times = np.random.default_rng(seed).integers(0, 4, (5, 80)).astype(float)
    times[0] = 1
    times[:, 0] = 1  # a strip with the class
    for each, chosen in zip(times, search.choose(times), strict=True):
        assert 0 <= chosen <= 1
        counted = f1(values > chosen, present, each)
        assert counted == pytest.approx(brute_force(values, present, each), abs=1e-12)
        assert search.total(each, search.strip_scores(chosen)) == pytest.approx(counted, abs=1e-12)


def test_of_equally_good_thresholds_the_nearest_to_the_recipes_is_taken():
    values = np.array([0.9, 0.8, 0.3, 0.2], np.float32)
    present = np.array([True, True, False, False])
    for default, expected in ((0.5, 0.5), (0.31, 0.31), (0.9, 0.55), (0.0, 0.55)):
        (chosen,) = F1Search(values, present, default).choose(np.ones((1, 4)))
        assert chosen == pytest.approx(expected)
    (low,) = F1Search(values, ~present, 0.5).choose(np.ones((1, 4)))
    assert low < 0.2  # all pass: 2 of 4 are right
    nothing = F1Search(np.zeros(4, np.float32), present, 0.5)
    assert list(nothing.choose(np.ones((1, 4)))) == [0.5]


def test_f1_on_other_strips_is_counted_with_thresholds_chosen_without_them():
    values, present = random_strips(5, strips=120)
    groups = np.random.default_rng(5).integers(0, 40, 120)
    fit = crossfit(F1Search(values, present, 0.5), groups, OPTIONS)
    hits = passed = 0.0
    for repeat in range(2):
        part_of = assign_parts(groups, present, 4, 3 + repeat)
        for part in range(4):
            held = part_of == part
            best = brute_force(values[~held], present[~held])
            chosen = fit.chosen_without_part[4 * repeat + part]
            assert f1(values[~held] > chosen, present[~held]) == pytest.approx(best, abs=1e-12)
            hits += (present & held & (values > chosen)).sum() / 2
            passed += (held & (values > chosen)).sum() / 2
    assert fit.scores.out_of_sample == pytest.approx(2 * hits / (passed + present.sum()))
    assert fit.scores.default == pytest.approx(f1(values > 0.5, present))
    assert fit.scores.in_sample == pytest.approx(brute_force(values, present))
    assert fit.scores.in_sample >= fit.scores.out_of_sample


def tuned(values, present, default=0.5, options=OPTIONS, groups=None):
    groups = np.arange(len(values)) if groups is None else groups
    (choice,) = tune_f1(values[:, None], present[:, None], groups, [default], options)
    return choice


def test_a_poor_threshold_is_replaced_and_each_strip_has_one_chosen_without_it():
    values, present = random_strips(1, strips=200)
    choice = tuned(values / 4, present)  # nothing passes 0.5
    assert choice.used == choice.best < 0.25
    assert choice.fit.scores.default == 0
    assert choice.reason.startswith("F1 0.000 -> ")
    part_of = assign_parts(np.arange(200), present, 4, 3)
    for part in range(4):
        others = part_of != part
        (own,) = set(choice.without_own[~others].tolist())
        best = brute_force(values[others] / 4, present[others])
        assert f1(values[others] / 4 > own, present[others]) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize(
    ("count", "reason"),
    [
        (0, "no strip has this class, 8 are needed"),
        (1, "one strip has this class, 8 are needed"),
        (7, "7 strips have this class, 8 are needed"),
    ],
)
def test_with_too_few_strips_of_the_class_the_recipes_threshold_stays(count, reason):
    values, _ = random_strips(2)
    choice = tuned(values, np.arange(80) < count, default=0.3)
    assert (choice.used, choice.best, choice.fit, choice.reason) == (0.3, 0.3, None, reason)
    assert set(choice.without_own.tolist()) == {0.3}


def test_a_gain_that_may_be_chance_changes_nothing():
    """Probabilities without meaning: whatever is best here is not better elsewhere."""
    random = np.random.default_rng(4)
    changed = []
    for _ in range(30):
        values, present = random.random(60).astype(np.float32), random.random(60) < 0.5
        options = CrossFitOptions(parts=4, repeats=1, resamples=20)
        (default,) = F1Search(values, present, 0.05).choose(np.ones((1, 60)))
        choice = tuned(values, present, default=default, options=options)
        assert choice.used == choice.best == default  # nothing is better than the best
        low = tuned(values, present, default=0.1, options=options)
        changed.append(low.used != 0.1)
    assert np.mean(changed) < 0.2


def test_classes_that_no_network_predicts_and_single_groups_are_kept():
    values, present = random_strips(3)
    both = np.stack([np.full(80, np.nan, np.float32), values], axis=1)
    truth = np.stack([present, present], axis=1)
    unknown, known = tune_f1(both, truth, np.arange(80), [0.4, 0.9], OPTIONS)
    assert (unknown.used, unknown.reason) == (0.4, "no network predicts this class")
    assert known.used != 0.9
    one = tuned(values, present, 0.9, groups=np.zeros(80, np.int64))
    assert (one.used, one.reason) == (0.9, "too few groups with this class to search")
    partly = values.copy()
    partly[10:20] = np.nan
    rest = np.r_[0:10, 20:80]
    choice, alone = tuned(partly, present), tuned(values[rest], present[rest], groups=rest)
    assert choice.best == alone.best
    assert set(choice.without_own[10:20].tolist()) == {0.5}


def test_the_spec_tells_whether_masks_are_tuned():
    assert Tune().gates == "keep"
    assert Tune().masks
    assert not Tune(label=False, pixel=False, area=False, gates="f1").masks
    assert Tune(label=False, area=False).masks
