"""The strips that an epoch draws: how often, in which order, on incomplete data sets too."""

from collections import Counter
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pydantic import TypeAdapter

from steelscan.strip.errors import RecipeError
from steelscan.training import (
    AllStrips,
    BalancedSampler,
    CycledSampler,
    DefectiveStrips,
    EveryStrip,
    SuspectStrips,
    WeightedSampler,
)
from steelscan.training.sampling import Sampler, StripSelection, draw, insert_share, select_strips

present_at_random = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12))


def set_of(*strips, classes=3):
    """Which classes each strip holds, from tuples of class numbers counted from 0."""
    return np.array([[at in held for at in range(classes)] for held in strips])


def drawn(spec, present, seed=0):
    return draw(spec, present, np.random.default_rng(seed)).tolist()


@given(present_at_random, st.integers(0, 2**32))
def test_every_strip_is_drawn_once(present, seed):
    assert sorted(drawn(EveryStrip(), present, seed)) == list(range(len(present)))


@settings(max_examples=200)
@given(present_at_random, st.integers(1, 40), st.floats(0, 1), st.integers(0, 2**32))
def test_a_balanced_sampler_draws_its_number_from_any_data_set(present, samples, clean, seed):
    rows = drawn(BalancedSampler(samples=samples, clean=clean), present, seed)
    assert len(rows) == samples
    assert all(0 <= row < len(present) for row in rows)


@settings(max_examples=200)
@given(present_at_random, st.integers(1, 40), st.floats(0, 1), st.integers(0, 2**32))
def test_clean_strips_have_their_share(present, samples, clean, seed):
    empty = ~present.any(1)
    rows = drawn(BalancedSampler(samples=samples, clean=clean), present, seed)
    count = sum(bool(empty[row]) for row in rows)
    if empty.all() or not empty.any():
        assert count == (samples if empty.all() else 0)
    else:
        assert abs(count - clean * samples) < 1 + 1e-9


@pytest.mark.parametrize("clean", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("held", [((), ()), ((0,), (1, 2))], ids=["all clean", "none clean"])
def test_without_clean_or_defective_strips_the_others_take_their_share(clean, held):
    rows = drawn(BalancedSampler(samples=7, clean=clean), set_of(*held))
    assert set(rows) == {0, 1}
    assert len(rows) == 7


def test_classes_have_even_shares_however_rare_they_are():
    held = [()] * 50 + [(0,)] * 40 + [(1,)] * 6 + [(2,)]
    rows = drawn(BalancedSampler(samples=120, clean=0.25), set_of(*held))
    groups = Counter(held[row] for row in rows)
    assert groups == {(): 30, (0,): 30, (1,): 30, (2,): 30}
    assert Counter(rows)[len(held) - 1] == 30  # the only example of its class


def test_a_class_without_strips_leaves_its_share_to_the_other_classes():
    held = [(), (), (0,), (2,)]
    rows = drawn(BalancedSampler(samples=12, clean=0.5), set_of(*held, classes=5))
    assert Counter(held[row] for row in rows) == {(): 6, (0,): 3, (2,): 3}


@pytest.mark.parametrize("seed", range(5))
def test_no_strip_is_drawn_twice_before_all_of_its_kind_are_drawn(seed):
    held = [()] * 7 + [(0,)] * 3 + [(1,)] * 20
    rows = drawn(BalancedSampler(samples=45, clean=1 / 3), set_of(*held, classes=2), seed)
    times = Counter(rows)
    for kind in ((), (0,), (1,)):
        counts = [times[row] for row, holds in enumerate(held) if holds == kind]
        assert sum(counts) == 15
        assert max(counts) - min(counts) <= 1


def test_the_remainder_of_rounding_is_assigned_at_random():
    held = [(), (0,), (1,)]
    totals = Counter()
    for seed in range(600):
        totals.update(drawn(BalancedSampler(samples=2, clean=0.5), set_of(*held, classes=2), seed))
    assert totals.total() == 1200
    assert totals[0] == 600  # its share is whole
    assert 240 < totals[1] < 360  # each has half of the one that is left


def test_the_order_is_mixed_and_depends_on_the_seed_alone():
    held = [()] * 20 + [(0,)] * 20
    for spec in (EveryStrip(), BalancedSampler(samples=40)):
        rows = drawn(spec, set_of(*held, classes=1), 1)
        assert rows == drawn(spec, set_of(*held, classes=1), 1)
        assert rows != drawn(spec, set_of(*held, classes=1), 2)
        assert rows != sorted(rows)
        changes = sum((a < 20) != (b < 20) for a, b in pairwise(rows))
        assert 8 < changes < 32  # kinds alternate as by chance, not in blocks


def samplers():
    return [EveryStrip(), BalancedSampler(samples=3, clean=0.1), WeightedSampler(), CycledSampler()]


def test_the_suite_holds_every_kind():
    kinds = get_args(get_args(Sampler)[0])
    assert len(kinds) == 4
    assert {type(spec) for spec in samplers()} == set(kinds)
    assert len(get_args(get_args(StripSelection)[0])) == 3


@settings(max_examples=60)
@given(present_at_random, st.integers(0, 2**32), st.integers(0, 5))
def test_all_samplers_work_on_any_data_set(present, seed, epoch):
    for spec in [*samplers(), CycledSampler(each_clean_once=False)]:
        rows = draw(spec, present, np.random.default_rng(seed), epoch)
        assert len(rows) >= 1
        assert set(rows.tolist()) <= set(range(len(present)))


def test_a_weighted_sampler_draws_in_proportion_to_its_weights():
    held = [()] * 60 + [(0,)] * 30 + [(1,)] * 8 + [(0, 1)] * 2
    totals = Counter()
    for seed in range(400):
        rows = drawn(WeightedSampler(), set_of(*held, classes=2), seed)
        assert len(rows) == 100
        totals.update(held[row] for row in rows)
    # clean 60 x 1/60; class 0 alone 30 x 1/32; class 1 8 x 1/10; both 2 x 1/10, by the rarer one
    weights = {(): 1.0, (0,): 30 / 32, (1,): 0.8, (0, 1): 0.2}
    for kind, weight in weights.items():
        expected = weight / sum(weights.values())
        assert totals[kind] / totals.total() == pytest.approx(expected, abs=0.01)


def labels_of(rows, held):
    return [held[row] for row in rows]


def test_the_cycle_of_the_text_is_0_1_2_3_4_until_each_clean_strip_was_drawn():
    held = [()] * 6 + [(0,)] * 4 + [(1,)] * 2 + [(2,)] * 9 + [(3,)] * 1
    present = set_of(*held, classes=4)
    rows = drawn(CycledSampler(each_clean_once=True), present)
    assert labels_of(rows, held) == [(), (0,), (1,), (2,), (3,)] * 6
    assert rows[0::5] == [0, 1, 2, 3, 4, 5]
    assert rows[1::5] == [6, 7, 8, 9, 6, 7]  # each class in order, and again from its first
    assert rows[4::5] == [21] * 6
    later = draw(CycledSampler(each_clean_once=True), present, np.random.default_rng(0), 1).tolist()
    assert later[1::5] == [8, 9, 6, 7, 8, 9]  # the next epoch continues


def test_the_cycle_of_the_code_draws_each_clean_strip_once_in_five_epochs():
    held = [()] * 20 + [(0,)] * 3 + [(1,)] * 2 + [(2,)] * 7 + [(3,)] * 4
    present = set_of(*held, classes=4)
    clean = Counter()
    for epoch in range(5):
        rows = draw(
            CycledSampler(each_clean_once=False), present, np.random.default_rng(epoch), epoch
        )
        assert len(rows) == 20
        kinds = Counter(labels_of(rows.tolist(), held))
        assert set(kinds.values()) == {4}
        clean.update(row for row in rows.tolist() if row < 20)
    assert clean == dict.fromkeys(range(20), 1)


def test_a_strip_with_two_classes_is_in_both_lists():
    held = [(), (), (0,), (0, 1)]
    rows = drawn(CycledSampler(), set_of(*held, classes=2))
    assert rows == [0, 2, 3, 1, 3, 3]


def test_the_selected_strips():
    present = set_of((), (0,), (1,), (), classes=2)
    found = np.array([[0.02, 0.0], [0.0, 0.0], [0.0, 0.9], [0.01, 0.009]], np.float32)
    assert select_strips(AllStrips(), present).tolist() == [True] * 4
    assert select_strips(DefectiveStrips(), present).tolist() == [False, True, True, False]
    suspects = SuspectStrips(above=0.01)
    assert select_strips(suspects, present, found).tolist() == [True, True, True, False]
    first = select_strips(suspects, present[:, :1], found[:, :1])
    assert first.tolist() == [True, True, False, False]  # a network of the first class alone
    with pytest.raises(RecipeError, match="no step before it has one"):
        select_strips(suspects, present)


@given(
    st.integers(1, 60),
    st.integers(0, 30),
    st.floats(0.0, 0.9),
    st.integers(0, 2**32 - 1),
)
def test_strips_of_a_pool_are_inserted_as_a_share_of_an_epoch(drawn, pool, share, seed):
    """Drawn strips keep their order; none of the pool is used twice before all are used once."""
    own = np.random.default_rng(seed).integers(0, 1000, drawn)
    others = 1000 + np.arange(pool)
    joined = insert_share(own, others, share, np.random.default_rng(seed))
    assert joined[joined < 1000].tolist() == own.tolist()
    counts = np.bincount(joined[joined >= 1000] - 1000, minlength=pool)
    if pool:
        assert abs(counts.sum() - share * len(joined)) <= 1
        assert counts.max() - counts.min() <= 1
    else:
        assert len(joined) == drawn


@pytest.mark.parametrize("spec", samplers())
def test_settings_go_to_json_and_back(spec):
    adapter = TypeAdapter(Sampler)
    assert adapter.validate_json(adapter.dump_json(spec)) == spec
