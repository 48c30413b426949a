"""Paired differences against loops and explicit resampling; intervals against simulation."""

from math import isnan

import numpy as np
import pytest

from steelscan.evaluation.metrics import (
    Pairs,
    class_rows,
    merged_groups,
    paired_differences,
    score,
)
from steelscan.evaluation.statistics.bootstrap import resample_weights
from steelscan.strip import Classes
from steelscan.strip.errors import InputError

NUMBERS = ("mean_dice", "defect_dice", "clean_kept", "escapes", "overkill")


def answer(random, truth, found_rate=0.7, false_rate=0.2, hardness=None):
    """A prediction that is right on a share of pairs, which may depend on the strip."""
    rate = found_rate if hardness is None else found_rate * hardness[:, None]
    found = random.random(truth.shape) < np.where(truth > 0, rate, false_rate)
    predicted = random.integers(1, 50, truth.shape) * found
    shared = (np.minimum(truth, predicted) * random.random(truth.shape)).astype(np.int64)
    return Pairs(predicted, truth, shared)


def truth_at_random(random, strips, classes=3):
    held = random.random((strips, classes)) < 0.3
    return random.integers(1, 50, (strips, classes)) * held


def two_answers(seed, strips=40):
    random = np.random.default_rng(seed)
    truth = truth_at_random(random, strips)
    return answer(random, truth), answer(random, truth)


def intervals(found):
    return np.array([[getattr(found, name).low, getattr(found, name).high] for name in NUMBERS])


@pytest.mark.parametrize("seed", range(5))
def test_a_difference_is_that_of_the_two_scores(seed):
    one, other = two_answers(seed)
    found, first, second = paired_differences(one, other), score(one), score(other)
    for name in NUMBERS:
        number = getattr(found, name)
        before, after = getattr(first, name).value, getattr(second, name).value
        expected = pytest.approx((before, after, after - before), abs=1e-12)
        assert (number.one, number.other, number.value) == expected
    assert (found.strips, found.groups) == (40, 40)


def test_a_prediction_does_not_differ_from_itself():
    one, _ = two_answers(1)
    found = paired_differences(one, one, np.arange(40) // 3)
    for name in NUMBERS:
        number = getattr(found, name)
        assert (number.value, number.low, number.high, number.differing) == (0, 0, 0, 0)
        assert number.verdict == "not distinguishable"


def test_intervals_equal_an_explicit_resampling_of_both_together():
    one, other = two_answers(2, strips=60)
    groups = np.random.default_rng(3).integers(100, 125, 60)
    names = np.unique(groups)
    drawn = []
    for weights in np.concatenate(list(resample_weights(len(names), 150, seed=7))):
        rows = [
            row
            for name, times in zip(names, weights, strict=True)
            for _ in range(int(times))
            for row in np.flatnonzero(groups == name)
        ]
        both = [score(each.select(rows), resamples=0) for each in (one, other)]
        drawn.append([getattr(both[1], n).value - getattr(both[0], n).value for n in NUMBERS])
    expected = np.nanquantile(np.array(drawn), [0.025, 0.975], axis=0).T
    found = paired_differences(one, other, groups, resamples=150, seed=7)
    assert all(getattr(found, name).differing >= 6 for name in NUMBERS)
    assert intervals(found) == pytest.approx(expected, abs=1e-12)


def test_swapping_both_changes_all_signs():
    one, other = two_answers(4)
    there, back = paired_differences(one, other), paired_differences(other, one)
    assert intervals(there) == pytest.approx(-intervals(back)[:, ::-1], abs=1e-12)
    assert there.mean_dice.value == -back.mean_dice.value


def test_simulated_gains_and_losses_have_the_right_sign():
    truth = np.zeros((80, 1), np.int64)
    truth[:40] = 10
    poor, good = truth.copy(), truth.copy()
    poor[:15] = 0  # escapes
    poor[40:55] = 5  # overkill
    found = paired_differences(*(Pairs(e, truth, np.minimum(e, truth)) for e in (poor, good)))
    back = paired_differences(*(Pairs(e, truth, np.minimum(e, truth)) for e in (good, poor)))
    for name in NUMBERS:
        assert getattr(found, name).verdict == "better"
        assert getattr(back, name).verdict == "worse"
    assert found.escapes.value == -15 / 40
    assert found.overkill.high < 0 < found.mean_dice.low
    assert (found.mean_dice.differing, found.escapes.differing) == (30, 15)


@pytest.mark.parametrize(("gained", "verdict"), [(5, "not distinguishable"), (6, "better")])
def test_a_few_strips_that_all_favour_one_side_may_be_chance(gained, verdict):
    """Five coins are all equal in 1 of 16 throws, six in 1 of 32: under 5 %."""
    truth = np.full((1000, 1), 10, np.int64)
    better = truth.copy()
    worse = truth.copy()
    worse[:gained] = 0
    found = paired_differences(Pairs(worse, truth, worse), Pairs(better, truth, better))
    assert found.escapes.verdict == verdict
    assert found.mean_dice.verdict == verdict


def test_pairing_narrows_the_interval_if_the_same_strips_are_difficult():
    random = np.random.default_rng(5)
    truth = np.full((300, 1), 100, np.int64)
    hardness = random.random((300, 1))
    shared = [(100 * np.clip(hardness + noise, 0, 1)).astype(np.int64) for noise in (0.0, 0.03)]
    one, other = (Pairs(truth, truth, each) for each in shared)
    paired = paired_differences(one, other).mean_dice
    alone = [score(each).mean_dice for each in (one, other)]
    unpaired = np.hypot(*(each.high - each.low for each in alone))
    assert paired.high - paired.low < unpaired / 10
    assert paired.verdict == "better"
    assert alone[0].high > alone[1].low  # two intervals side by side would not tell


def test_intervals_cover_the_true_difference_about_as_often_as_stated():
    random = np.random.default_rng(6)
    missed = claimed = 0
    for seed in range(300):
        truth = np.full((120, 1), 10, np.int64)
        groups = np.repeat(np.arange(60), 2)
        hard = np.repeat(random.random((60, 1)), 2, axis=0)
        one, other, same = (
            Pairs(truth * found, truth, truth * found)
            for found in (
                np.repeat(random.random((60, 1)) < rate * hard[::2], 2, axis=0)
                for rate in (0.6, 0.9, 0.6)
            )
        )
        found = paired_differences(one, other, groups, resamples=300, seed=seed).escapes
        missed += not found.low <= -0.15 <= found.high  # the mean of hard is one half
        null = paired_differences(one, same, groups, resamples=300, seed=seed).escapes
        claimed += null.verdict != "not distinguishable"
    assert 3 <= missed <= 33  # 15 expected; 33 is four standard deviations more
    assert 1 <= claimed <= 33


def test_groups_of_copies_count_as_one_strip_each():
    one, other = two_answers(8, strips=60)
    rows = np.repeat(np.arange(60), 4)
    copies = one.select(rows), other.select(rows)
    alone, grouped = (
        intervals(paired_differences(*copies)),
        intervals(paired_differences(*copies, rows)),
    )
    ratio = np.diff(grouped)[:, 0] / np.diff(alone)[:, 0]
    assert (ratio > 1.5).all()
    assert grouped == pytest.approx(intervals(paired_differences(one, other)), abs=1e-12)


def test_a_class_alone_has_the_numbers_of_its_row():
    one, other = two_answers(9)
    rows = [class_rows(each, Classes(names=("a", "b", "c"))) for each in (one, other)]
    for index, (before, after) in enumerate(zip(*rows, strict=True)):
        found = paired_differences(one.of_class(index), other.of_class(index))
        assert found.mean_dice.one == pytest.approx(before.mean_dice)
        assert found.defect_dice.other == pytest.approx(after.defect_dice)
        assert found.escapes.other == pytest.approx(after.missed / after.positives)
        clean = before.strips - before.positives
        assert found.overkill.one == pytest.approx(before.false_alarms / clean)


def test_one_group_has_no_interval_and_an_absent_class_no_number():
    truth = np.zeros((4, 1), np.int64)
    one, other = Pairs(truth, truth, truth), Pairs(truth + 1, truth, truth)
    found = paired_differences(one, other, np.zeros(4, np.int64))
    assert found.overkill.value == 1
    assert isnan(found.overkill.low)
    assert found.overkill.verdict == "not distinguishable"
    assert isnan(found.escapes.value)
    none = paired_differences(one.select(slice(0)), other.select(slice(0)))
    assert isnan(none.mean_dice.value)


def test_other_truths_and_wrong_groups_are_refused():
    one, other = two_answers(10)
    with pytest.raises(InputError, match="different truths"):
        paired_differences(one, other.select(slice(39)))
    with pytest.raises(InputError, match="different truths"):
        paired_differences(one, two_answers(11)[0])
    with pytest.raises(InputError, match=r"shape \(3,\), there are 40 strips"):
        paired_differences(one, other, np.arange(3))


def connected(one, other):
    """Groups by walking from strip to strip, as sets of strips."""
    left, found = set(range(len(one))), []
    while left:
        reached, waiting = set(), [left.pop()]
        while waiting:
            strip = waiting.pop()
            reached.add(strip)
            near = {s for s in left if one[s] == one[strip] or other[s] == other[strip]}
            left -= near
            waiting += near
        found.append(frozenset(reached))
    return set(found)


@pytest.mark.parametrize("seed", range(10))
def test_merged_groups_are_those_found_by_walking(seed):
    random = np.random.default_rng(seed)
    one, other = random.integers(0, 25, 40), random.integers(-30, 0, 40)
    merged = merged_groups(one, other)
    sets = {frozenset(np.flatnonzero(merged == name).tolist()) for name in set(merged.tolist())}
    assert sets == connected(one.tolist(), other.tolist())
    assert all(merged[row] <= row for row in range(40))


def test_a_chain_through_both_is_one_group():
    assert merged_groups(np.array([0, 0, 1, 1, 2]), np.array([5, 6, 6, 7, 7])).tolist() == [0] * 5
    assert merged_groups(np.arange(3), np.arange(3)).tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="groups: have shapes"):
        merged_groups(np.arange(3), np.arange(4))
