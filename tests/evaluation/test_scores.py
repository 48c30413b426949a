"""The five numbers against loops; intervals against explicit resampling and simulation."""

import json
from math import isnan

import numpy as np
import pytest

from steelscan.evaluation.metrics import Pairs, Scores, class_rows, dice, score
from steelscan.evaluation.statistics.bootstrap import resample_weights
from steelscan.strip import Classes
from steelscan.strip.errors import InputError

NUMBERS = ("mean_dice", "defect_dice", "clean_kept", "escapes", "overkill")


def pairs_at_random(random, strips, classes=3, true_rate=0.3, found_rate=0.3):
    truth = random.integers(1, 50, (strips, classes)) * (
        random.random((strips, classes)) < true_rate
    )
    predicted = random.integers(1, 50, (strips, classes)) * (
        random.random((strips, classes)) < found_rate
    )
    shared = (np.minimum(truth, predicted) * random.random((strips, classes))).astype(np.int64)
    return Pairs(predicted, truth, shared)


def values_of(scores):
    return [getattr(scores, name).value for name in NUMBERS]


def five_numbers_by_loops(pairs):
    every, where_defect, kept, escaped, stopped = [], [], [], [], []
    for guesses, trues, shares in zip(
        pairs.predicted.tolist(), pairs.truth.tolist(), pairs.shared.tolist(), strict=True
    ):
        for guess, true, shared in zip(guesses, trues, shares, strict=True):
            value = 1.0 if guess == true == 0 else 2 * shared / (guess + true)
            every.append(value)
            if true:
                where_defect.append(value)
            else:
                kept.append(guess == 0)
        if any(trues):
            escaped.append(not any(guesses))
        else:
            stopped.append(any(guesses))
    return [sum(each) / len(each) for each in (every, where_defect, kept, escaped, stopped)]


@pytest.mark.parametrize("seed", range(10))
def test_the_five_numbers_equal_those_of_loops(seed):
    pairs = pairs_at_random(np.random.default_rng(seed), 40)
    assert values_of(score(pairs)) == pytest.approx(five_numbers_by_loops(pairs), abs=1e-13)


def test_escapes_and_overkill_count_whole_strips():
    truth = np.array([[5, 5], [5, 0], [5, 0], [0, 0], [0, 0]], np.int64)
    predicted = np.array([[5, 0], [0, 5], [0, 0], [0, 1], [0, 0]], np.int64)
    scores = score(Pairs(predicted, truth, np.minimum(truth, predicted)))
    # The second strip is found though as the wrong class: it does not escape.
    assert (scores.escaped, scores.defective) == (1, 3)
    assert (scores.stopped, scores.clean) == (1, 2)
    assert (scores.defect_pairs, scores.clean_pairs) == (4, 6)
    assert scores.defect_dice.value == 1 / 4
    assert scores.clean_kept.value == 4 / 6


def test_intervals_equal_an_explicit_resampling_of_whole_groups():
    random = np.random.default_rng(1)
    pairs = pairs_at_random(random, 30)
    groups = random.integers(100, 112, 30)
    names = np.unique(groups)
    drawn = []
    for weights in np.concatenate(list(resample_weights(len(names), 200, seed=5))):
        rows = [
            row
            for name, times in zip(names, weights, strict=True)
            for _ in range(int(times))
            for row in np.flatnonzero(groups == name)
        ]
        drawn.append(five_numbers_by_loops(pairs.select(rows)))
    expected = np.quantile(np.array(drawn), [0.025, 0.975], axis=0).T
    scores = score(pairs, groups, resamples=200, seed=5)
    found = [(getattr(scores, name).low, getattr(scores, name).high) for name in NUMBERS]
    assert np.array(found) == pytest.approx(expected, abs=1e-12)
    assert (expected[:, 0] < expected[:, 1]).all()


def test_every_resample_draws_as_many_groups_as_there_are():
    weights = np.concatenate(list(resample_weights(7, 1000, seed=0)))
    assert weights.shape == (1000, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(7), abs=0.15)
    assert weights.var() == pytest.approx(6 / 7, abs=0.1)  # of a multinomial, n = 7, p = 1/7


def test_intervals_depend_on_the_seed_alone_and_not_on_the_steps_of_the_work(monkeypatch):
    pairs = pairs_at_random(np.random.default_rng(2), 50)
    first = score(pairs, seed=3)
    assert score(pairs, seed=3) == first
    assert score(pairs, seed=4) != first
    monkeypatch.setattr("steelscan.evaluation.statistics.bootstrap._DRAWS_AT_ONCE", 1000)
    assert score(pairs, seed=3) == first


def test_groups_of_duplicates_widen_the_interval():
    pairs = pairs_at_random(np.random.default_rng(3), 60)
    copies = pairs.select(np.repeat(np.arange(60), 4))
    alone, grouped = score(copies), score(copies, np.repeat(np.arange(60), 4))
    assert values_of(alone) == pytest.approx(values_of(grouped), abs=1e-12)
    for name in NUMBERS:
        one, other = getattr(alone, name), getattr(grouped, name)
        assert 1.6 < (other.high - other.low) / (one.high - one.low) < 2.5  # sqrt(4) = 2
    assert (alone.groups, grouped.groups) == (240, 60)


def test_intervals_cover_the_true_value_about_as_often_as_stated():
    random = np.random.default_rng(4)
    escapes_missed = dice_missed = 0
    for seed in range(300):
        group_found = np.repeat(random.random((50, 1)) < 0.7, 2, axis=0)  # two strips a group
        truth = np.full((100, 1), 10, np.int64)
        shared = random.integers(0, 11, (100, 1)) * group_found
        pairs = Pairs(truth * group_found, truth, shared)
        scores = score(pairs, np.repeat(np.arange(50), 2), resamples=300, seed=seed)
        escapes_missed += not scores.escapes.low <= 0.3 <= scores.escapes.high
        dice_missed += not scores.mean_dice.low <= 0.35 <= scores.mean_dice.high
    assert 3 <= escapes_missed <= 33  # 15 expected; 33 is four standard deviations more
    assert 3 <= dice_missed <= 33


def test_no_error_among_few_has_an_upper_bound_above_zero():
    truth = np.full((20, 1), 10, np.int64)
    scores = score(Pairs(truth, truth, truth))
    assert (scores.escapes.value, scores.escapes.low) == (0, 0)
    assert scores.escapes.high == pytest.approx(0.16843, abs=1e-5)  # Clopper-Pearson, 0 of 20
    assert scores.mean_dice.low == pytest.approx(1 - 0.16843, abs=1e-5)
    assert scores.mean_dice.high == 1


def test_clean_sets_and_defective_sets_leave_numbers_undefined_without_a_warning():
    nothing, something = np.zeros((4, 2), np.int64), np.ones((4, 2), np.int64)
    clean = score(Pairs(nothing, nothing, nothing))
    assert isnan(clean.defect_dice.value)
    assert isnan(clean.defect_dice.low)
    assert isnan(clean.escapes.value)
    assert clean.overkill.value == 0
    defective = score(Pairs(something, something, something))
    assert isnan(defective.overkill.value)
    assert isnan(defective.clean_kept.value)
    table = Scores.table({"clean": clean, "defective": defective})
    assert "nan" not in table
    assert table.count("undefined") == 4
    assert "undefined (no defective strip)" in table
    assert json.loads(json.dumps(clean.to_dict(), allow_nan=False))["escapes"]["value"] is None


def test_one_group_or_no_strip_has_no_interval():
    pairs = pairs_at_random(np.random.default_rng(5), 9)
    alone = score(pairs, np.zeros(9, np.int64))
    assert not isnan(alone.mean_dice.value)
    assert all(isnan(getattr(alone, name).low) for name in NUMBERS)
    none = score(pairs.select(slice(0)))
    assert all(isnan(value) for value in values_of(none))
    assert none.strips == 0


def test_groups_of_another_length_are_refused():
    pairs = pairs_at_random(np.random.default_rng(6), 9)
    with pytest.raises(InputError, match=r"groups: have shape \(8,\), there are 9 strips"):
        score(pairs, np.zeros(8, np.int64))


def test_the_table_has_one_column_per_score():
    truth = np.array([[10], [10], [10], [0]], np.int64)
    predicted = np.array([[10], [10], [0], [0]], np.int64)
    pairs = Pairs(predicted, truth, predicted)
    columns = {"quick": score(pairs), "all empty": score(pairs.emptied(), resamples=0)}
    lines = Scores.table(columns).splitlines()
    assert lines[0].split() == ["quick", "all", "empty"]
    assert [line[:17].strip() for line in lines[1:]] == [
        "mean Dice",
        "Dice where defect",
        "clean pairs kept",
        "escapes",
        "overkill",
    ]
    assert "0.7500 [" in lines[1]
    assert lines[1].endswith("]      0.2500")
    assert "1 of 3, 33.3 % [" in lines[4]
    assert lines[4].endswith("3 of 3, 100.0 %")
    assert lines[0].index("all empty") == lines[1].rindex("0.2500")


def test_rows_per_class_equal_those_of_loops():
    pairs = pairs_at_random(np.random.default_rng(7), 40)
    rows = class_rows(pairs, Classes(names=("a", "b", "c")))
    assert [row.name for row in rows] == ["a", "b", "c"]
    for index, row in enumerate(rows):
        triples = [
            (
                int(pairs.predicted[i, index]),
                int(pairs.truth[i, index]),
                int(pairs.shared[i, index]),
            )
            for i in range(40)
        ]
        with_truth = [each for each in triples if each[1]]
        assert row.positives == len(with_truth)
        assert row.predicted == sum(guess > 0 for guess, _, _ in triples)
        assert row.missed == sum(guess == 0 for guess, _, _ in with_truth)
        assert row.false_alarms == sum(guess > 0 and not true for guess, true, _ in triples)
        overlaps = [shared / (guess + true - shared) for guess, true, shared in with_truth]
        assert row.defect_iou == pytest.approx(sum(overlaps) / len(overlaps))
        kept = [guess == 0 for guess, true, _ in triples if not true]
        assert row.clean_kept == pytest.approx(sum(kept) / len(kept))
        one = pairs.select(slice(None))
        alone = Pairs(*(field[:, [index]] for field in (one.predicted, one.truth, one.shared)))
        numbers = five_numbers_by_loops(alone)
        assert (row.mean_dice, row.defect_dice) == pytest.approx(tuple(numbers[:2]))
    assert score(pairs).mean_dice.value == pytest.approx(np.mean([row.mean_dice for row in rows]))
    assert dice(pairs).mean() == pytest.approx(score(pairs).mean_dice.value)


def test_an_absent_class_has_undefined_dice():
    nothing = np.zeros((3, 1), np.int64)
    (row,) = class_rows(Pairs(nothing, nothing, nothing), Classes(names=("rare",)))
    assert isnan(row.defect_dice)
    assert (row.mean_dice, row.clean_kept, row.positives) == (1, 1, 0)
    with pytest.raises(InputError, match="classes: are 2"):
        class_rows(Pairs(nothing, nothing, nothing), Classes(names=("a", "b")))
