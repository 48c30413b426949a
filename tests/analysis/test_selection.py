"""Choices among candidates, against brute force and against simulated populations."""

from itertools import chain, combinations
from math import isnan

import numpy as np
import pytest

from steelscan.analysis.ensemble.selection import best_set, choose_honestly, greedy_set, subsets
from steelscan.strip.errors import InputError


def powerset(members):
    sizes = range(1, len(members) + 1)
    return [frozenset(some) for some in chain(*(combinations(members, n) for n in sizes))]


@pytest.mark.parametrize("members", [1, 2, 5])
def test_subsets_are_all_but_the_empty_one_each_once(members):
    sets = subsets(members)
    assert len(sets) == 2**members - 1
    assert {frozenset(each) for each in sets} == set(powerset(range(members)))
    assert all(list(each) == sorted(each) for each in sets)
    assert [len(each) for each in sets] == sorted(len(each) for each in sets)


def test_members_that_stay_are_in_all_sets():
    assert subsets(3, (1,)) == ((1,), (0, 1), (1, 2), (0, 1, 2))
    assert subsets(2, (0, 1)) == ((0, 1),)


@pytest.mark.parametrize("seed", range(20))
def test_the_best_set_is_the_best_of_those_allowed(seed):
    random = np.random.default_rng(seed)
    sets = subsets(4)
    scores, allowed = random.random(len(sets)).round(1), random.random(len(sets)) < 0.6
    allowed[-1] = True
    at = best_set(sets, allowed)(scores)
    assert allowed[at]
    for other, each in enumerate(sets):
        if allowed[other]:
            assert (scores[other], -len(each)) <= (scores[at], -len(sets[at]))


def grown_by_hand(sets, scores, allowed):
    """Forward selection as a loop over the members that are not yet chosen."""
    score = {frozenset(each): value for each, value in zip(sets, scores, strict=True)}
    may = {frozenset(each): value for each, value in zip(sets, allowed, strict=True)}
    grown, path = frozenset(), []
    left = set(chain(*sets))
    while left:
        best = max(sorted(left), key=lambda member: score[grown | {member}])
        grown |= {best}
        left.discard(best)
        path.append(grown)
    return max((each for each in path if may[each]), key=lambda each: (score[each], -len(each)))


@pytest.mark.parametrize("seed", range(20))
def test_the_greedy_set_is_the_best_on_the_way(seed):
    random = np.random.default_rng(seed)
    sets = subsets(5)
    scores, allowed = random.random(len(sets)), random.random(len(sets)) < 0.5
    allowed[-1] = True
    found = sets[greedy_set(sets, allowed)(scores)]
    assert frozenset(found) == grown_by_hand(sets, scores, allowed)


def test_growing_begins_with_those_that_stay():
    sets = subsets(3, (2,))
    scores = np.array([0.5, 0.4, 0.6, 0.55])  # (2,), (0, 2), (1, 2), all
    assert sets[greedy_set(sets, np.ones(4, np.bool_))(scores)] == (1, 2)
    scores[0] = 0.7
    assert sets[greedy_set(sets, np.ones(4, np.bool_))(scores)] == (2,)


def test_excluding_all_sets_is_refused():
    with pytest.raises(InputError, match="all excluded"):
        best_set(subsets(2), np.zeros(3, np.bool_))


def highest(scores):
    return int(scores.argmax())


@pytest.mark.parametrize("spread", [0.0, 0.1])
def test_optimism_is_near_the_true_one(spread):
    """The true means of 30 candidates are known."""
    random = np.random.default_rng(1)
    truly, estimated, honest = [], [], []
    for seed in range(150):
        means = spread * random.standard_normal(30)
        values = means + random.standard_normal((120, 30))
        groups = np.arange(120) // 2
        found = choose_honestly(values, groups, highest, 0, seed=seed, repeats=5, resamples=20)
        apparent = values[:, found.index].mean() - values[:, 0].mean()
        assert found.apparent.value == pytest.approx(apparent)
        assert found.optimism.value == pytest.approx(apparent - found.honest.value)
        truly.append(apparent - (means[found.index] - means[0]))
        estimated.append(found.optimism.value)
        honest.append(found.honest.value)
    assert np.mean(truly) > 0.1  # there is something to find
    assert np.mean(estimated) == pytest.approx(np.mean(truly), abs=0.03)


def test_a_better_candidate_is_chosen_every_time():
    random = np.random.default_rng(2)
    values = random.random((200, 8)) * 0.1
    values[:, 5] += 0.3
    found = choose_honestly(values, np.arange(200), highest, 0)
    assert (found.index, found.often) == (5, 1.0)
    assert found.honest.low > 0.25
    assert found.optimism.value == pytest.approx(0, abs=1e-9)


def test_copies_of_the_baseline_gain_nothing():
    values = np.random.default_rng(3).random((40, 1)).repeat(4, axis=1)
    found = choose_honestly(values, np.arange(40) // 4, highest, 2)
    for score in (found.apparent, found.honest, found.optimism):
        assert (score.value, score.low, score.high) == (0, 0, 0)


def test_strips_of_one_group_are_never_on_both_sides():
    """Each group has its own candidate that is right for this group alone."""
    groups = np.arange(20).repeat(3)
    values = np.zeros((60, 21))
    values[np.arange(60), groups + 1] = 1.0
    found = choose_honestly(values, groups, highest, 0, parts=20, repeats=2)
    assert found.apparent.value == pytest.approx(1 / 20)
    assert found.honest.value == 0.0


def test_one_group_gives_no_gain_and_other_shapes_are_refused():
    found = choose_honestly(np.eye(3), np.zeros(3, np.int64), highest, 0)
    assert found.index == 0
    assert all(isnan(each) for each in (found.apparent.value, found.honest.value, found.often))
    with pytest.raises(InputError, match="values"):
        choose_honestly(np.eye(3), np.zeros(2, np.int64), highest, 0)
    with pytest.raises(InputError, match="values"):
        choose_honestly(np.zeros((0, 3)), np.zeros(0, np.int64), highest, 0)
