"""Scores in one pass: the same numbers as exact ones, similar intervals, constant memory."""

import tracemalloc
from math import isnan

import numpy as np
import pytest

from steelscan.evaluation.metrics import Pairs, RunningScores, class_rows, overlaps, score
from steelscan.evaluation.metrics.running import mixed
from steelscan.strip import Classes
from steelscan.strip.errors import InputError

CLASSES = Classes(names=("a", "b", "c"))
FIVE = ("mean_dice", "defect_dice", "clean_kept", "escapes", "overkill")


def pairs_at_random(strips: int, seed: int = 0) -> Pairs:
    random = np.random.default_rng(seed)
    truth = random.integers(1, 50, (strips, 3)) * (random.random((strips, 3)) < 0.25)
    predicted = random.integers(1, 50, (strips, 3)) * (random.random((strips, 3)) < 0.1)
    predicted = np.where(random.random((strips, 3)) < 0.6, truth, predicted)
    shared = (random.random((strips, 3)) * (np.minimum(predicted, truth) + 1)).astype(np.int64)
    return Pairs(predicted, truth, np.minimum(shared, np.minimum(predicted, truth)))


def added(pairs: Pairs, block: int, **settings) -> RunningScores:
    found = RunningScores(CLASSES, **settings)
    for start in range(0, len(pairs), block):
        found.add(pairs.select(slice(start, start + block)))
    return found


def test_numbers_counts_classes_and_overlap_are_the_exact_ones() -> None:
    pairs = pairs_at_random(700)
    found = added(pairs, 64)
    exact = score(pairs)
    for name in FIVE:
        assert getattr(found.scores(), name).value == pytest.approx(getattr(exact, name).value)
        empty = getattr(score(pairs.emptied()), name)
        assert getattr(found.empty(), name).value == pytest.approx(empty.value)
    for name in ("strips", "groups", "defect_pairs", "clean_pairs", "defective", "clean"):
        assert getattr(found.scores(), name) == getattr(exact, name)
    assert (found.scores().escaped, found.scores().stopped) == (exact.escaped, exact.stopped)
    for one, other in zip(found.class_rows(), class_rows(pairs, CLASSES), strict=True):
        assert vars(one) == pytest.approx(vars(other))
    for one, other in zip(found.overlaps(), overlaps(pairs, CLASSES), strict=True):
        assert vars(one) == pytest.approx(vars(other))


def test_blocks_of_any_size_give_the_same_intervals() -> None:
    pairs = pairs_at_random(600)
    whole, single = added(pairs, 600).scores(), added(pairs, 7).scores()
    for name in FIVE:
        one, other = getattr(whole, name), getattr(single, name)
        assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-6)
    assert added(pairs, 600, seed=1).scores() != whole


def test_intervals_are_those_of_the_exact_bootstrap() -> None:
    pairs = pairs_at_random(1500, 2)
    shuffled = np.random.default_rng(0).permutation(len(pairs))
    exact = score(pairs, resamples=4000)
    found = added(pairs.select(shuffled), 100, resamples=4000).scores()
    for name in FIVE:
        one_number, other = getattr(exact, name), getattr(found, name)
        width = one_number.high - one_number.low
        assert other.low == pytest.approx(one_number.low, abs=0.1 * width)
        assert other.high == pytest.approx(one_number.high, abs=0.1 * width)
    assert found.groups == exact.groups == 1500


def test_no_error_has_the_bound_of_the_exact_scores() -> None:
    pairs = pairs_at_random(80)
    perfect = Pairs(pairs.truth, pairs.truth, pairs.truth)
    exact, found = score(perfect), added(perfect, 30).scores()
    for name in FIVE:
        one, other = getattr(exact, name), getattr(found, name)
        assert (one.low, one.high) == pytest.approx((other.low, other.high))
    nothing = RunningScores(CLASSES).scores()
    assert isnan(nothing.mean_dice.value)
    assert isnan(nothing.mean_dice.low)


def test_weights_are_poisson_and_depend_on_the_number_alone() -> None:
    found = RunningScores(CLASSES, resamples=1000)
    weights = found._weights(np.arange(3000, dtype=np.uint64))
    assert weights.shape == (3000, 1000)
    shares = np.bincount(weights.ravel(), minlength=6)[:6] / weights.size
    expected = np.exp(-1) / np.array([1, 1, 2, 6, 24, 120])
    assert shares == pytest.approx(expected, abs=1e-3)
    centred = weights - 1.0
    between = (centred[:-1] * centred[1:]).mean(axis=1)
    assert abs(between.mean()) < 0.005
    assert np.abs((centred.T[:50] @ centred[:, 50:100]) / 3000).max() < 0.1
    twice = found._weights(np.array([5, 5], np.uint64))
    assert np.array_equal(twice[0], twice[1])


def test_hashes_do_not_collide() -> None:
    assert len(np.unique(mixed(np.arange(200_000, dtype=np.uint64)))) == 200_000


def test_memory_does_not_grow_with_strips() -> None:
    block = pairs_at_random(2000)

    def most(blocks: int) -> int:
        tracemalloc.start()
        found = RunningScores(CLASSES, resamples=200)
        for _ in range(blocks):
            found.add(block)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    most(1)
    assert most(12) < 1.05 * most(2)


def test_wrong_shapes_are_refused() -> None:
    found = RunningScores(CLASSES)
    pairs = pairs_at_random(4)
    with pytest.raises(InputError, match="the pairs have 2"):
        found.add(Pairs(*(each[:, :2] for each in (pairs.predicted, pairs.truth, pairs.shared))))
    with pytest.raises(InputError, match="resamples"):
        RunningScores(CLASSES, resamples=1)
