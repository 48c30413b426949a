"""Leaks of folds, counted pair by pair, and of random folds, by simulation."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelscan.data import make_folds
from steelscan.data.duplicates import leak, random_leak

Case = tuple[np.ndarray, np.ndarray, np.ndarray]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    strips = draw(st.integers(1, 25))
    groups = rng.integers(0, draw(st.integers(1, 25)), strips)
    return rng.integers(0, 4, strips), groups, rng.random((strips, 2)) < 0.4


def by_hand(folds: np.ndarray, groups: np.ndarray, present: np.ndarray) -> tuple[int, int, int]:
    """Count strips, pairs, and pairs of different classes that folds separate."""
    pairs = [
        (one, other)
        for one, other in combinations(range(len(folds)), 2)
        if groups[one] == groups[other] and folds[one] != folds[other]
    ]
    differing = sum((present[one] != present[other]).any() for one, other in pairs)
    return len({at for pair in pairs for at in pair}), len(pairs), differing


@given(cases())
def test_pairs_counted_one_by_one(case: Case) -> None:
    folds, groups, present = case
    actual = leak(folds, groups, present)
    assert (actual.strips, actual.pairs, actual.differing) == by_hand(folds, groups, present)
    one_each = np.arange(len(folds))
    whole = by_hand(one_each, groups, present)
    assert (actual.all_strips, actual.all_pairs, actual.all_differing) == whole
    random = random_leak(groups, present, 3)
    assert (random.all_strips, random.all_pairs, random.all_differing) == whole


@given(cases(), st.integers(2, 5))
def test_new_folds_separate_nothing(case: Case, count: int) -> None:
    _, groups, present = case
    if len(set(groups.tolist())) >= count:
        folds = make_folds(present, groups, count, 0)
        assert leak(folds, groups, present).pairs == 0


@pytest.mark.parametrize("count", [2, 5])
def test_random_folds_separate_as_many_as_expected(count: int) -> None:
    """Compare with 4,000 shuffled lists."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), [1, 1, 1, 2, 2, 2, 3, 4, 5, 2])
    present = rng.random((len(groups), 3)) < 0.3
    even = np.concatenate(
        [np.full(len(part), at) for at, part in enumerate(np.array_split(groups, count))]
    )
    tried = np.array([by_hand(rng.permutation(even), groups, present) for _ in range(4000)])
    expected = random_leak(groups, present, count)
    error = tried.std(axis=0) / np.sqrt(len(tried))
    computed = np.array([expected.strips, expected.pairs, expected.differing])
    assert np.all(np.abs(tried.mean(axis=0) - computed) < 4 * error)
    assert expected.pairs > 0


def test_without_near_duplicates_nothing_leaks() -> None:
    expected = random_leak(np.arange(30), np.zeros((30, 2), np.bool_), 5)
    assert (expected.strips, expected.pairs, expected.differing, expected.all_pairs) == (0, 0, 0, 0)
