"""Planted roll marks are found with their periods and members; random maps have none.

The second computations are plain loops over defects and turns, and simulated random directions.
"""

import cmath
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelscan.inspection.roll_marks import (
    RollSearch,
    _log_bound,
    _statistic,
    find_roll_marks,
    least_repeats,
)
from steelscan.strip.errors import InputError, TableError

LENGTH, WIDTH = 150.0, 1000.0
ROLLS = RollSearch(rolls_mm=(300, 420, 700))


def table(along, across, side="top", class_id=1):
    along, across = np.asarray(along, float), np.asarray(across, float)
    return pl.DataFrame(
        {
            "side": [side] * along.size,
            "class": np.full(along.size, class_id),
            "start_m": along - 0.01,
            "end_m": along + 0.01,
            "left_mm": across - 5,
            "right_mm": across + 5,
        }
    )


def planted(rng, period, share=0.7, lane_mm=440, first=0.2):
    """Return the places of a mark of which a share of the repeats is there."""
    repeats = np.arange(first, LENGTH, period)
    repeats = repeats[rng.random(repeats.size) < share]
    return repeats + rng.normal(0, 0.002, repeats.size), np.full(repeats.size, lane_mm)


def with_background(rng, mark, count):
    """Return a shuffled table and the rows of the mark."""
    along = np.concatenate([mark[0], rng.uniform(0, LENGTH, count)])
    across = np.concatenate([mark[1], rng.uniform(0, WIDTH, count)])
    order = rng.permutation(along.size)
    rows = np.flatnonzero(order < mark[0].size)
    return table(along[order], across[order]), set(rows.tolist())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("search", [ROLLS, RollSearch()], ids=["rolls", "unknown"])
def test_a_mark_with_missing_repeats_is_found(search, seed):
    rng = np.random.default_rng(seed)
    period = math.pi * 0.42 * rng.uniform(0.985, 1.015)
    defects, rows = with_background(rng, planted(rng, period), 150)
    mark, *others = find_roll_marks(defects, LENGTH, WIDTH, search)
    assert not others
    assert mark.period_m == pytest.approx(period, rel=0.01)
    assert abs(mark.period_m - period) < 3 * mark.tolerance_m
    assert mark.tolerance_m < 0.001 * period
    assert mark.left_mm <= 440 <= mark.right_mm == mark.left_mm + WIDTH / 8
    assert mark.roll_mm == (420 if search.rolls_mm else None)
    assert mark.false_alarm_rate <= search.false_alarm_rate
    found = set(mark.members)
    assert rows <= found
    assert len(found - rows) <= 0.1 * len(rows)
    turns = [round((defects["start_m"][row] - 0.2) / period) for row in mark.members]
    assert turns == sorted(turns)
    assert mark.expected == turns[-1] - turns[0] + 1
    assert mark.missing == mark.expected - len(set(turns))


@pytest.mark.parametrize("period", [0.65, 1.0, 1.9, 3.5])
def test_the_fundamental_is_reported_not_its_half_or_double(period):
    rng = np.random.default_rng(3)
    marks = find_roll_marks(table(*planted(rng, period, share=1)), LENGTH, WIDTH)
    assert [mark.period_m for mark in marks] == pytest.approx([period], rel=0.01)
    assert marks[0].missing == 0


def test_half_of_a_period_that_no_roll_has_is_not_reported():
    rng = np.random.default_rng(4)
    mark = table(*planted(rng, 2 * math.pi * 0.42, share=1))
    assert find_roll_marks(mark, LENGTH, WIDTH, RollSearch(rolls_mm=(420,))) == []
    assert len(find_roll_marks(mark, LENGTH, WIDTH, RollSearch(rolls_mm=(840, 420)))) == 1


def test_marks_of_two_rolls_sides_and_classes_are_separated():
    rng = np.random.default_rng(5)
    parts = [
        table(*planted(rng, math.pi * 0.42), side="top", class_id=1),
        table(*planted(rng, math.pi * 0.7, share=0.9), side="top", class_id=1),
        table(*planted(rng, math.pi * 0.3, lane_mm=900), side="bottom", class_id=2),
    ]
    marks = find_roll_marks(pl.concat(parts), LENGTH, WIDTH, ROLLS)
    assert {(mark.side, mark.class_id, mark.roll_mm) for mark in marks} == {
        ("top", 1, 420),
        ("top", 1, 700),
        ("bottom", 2, 300),
    }
    rates = [mark.false_alarm_rate for mark in marks]
    assert rates == sorted(rates)
    assert len({row for mark in marks for row in mark.members}) == sum(
        len(mark.members) for mark in marks
    )


def nothing(rng):
    return rng.uniform(0, LENGTH, 300), rng.uniform(0, WIDTH, 300)


def in_clusters(rng):
    parents = rng.uniform(0, LENGTH, 150)
    return np.repeat(parents, 8) + rng.normal(0, 0.05, 1200), np.full(1200, 300.0)


def in_a_burst(rng):
    return np.append(rng.uniform(0, LENGTH, 50), 70 + rng.uniform(0, 0.4, 400)), np.full(450, 300.0)


def along_an_edge(rng):
    return rng.uniform(0, LENGTH, 800), rng.uniform(0, 20, 800)


@pytest.mark.parametrize("kind", [nothing, in_clusters, in_a_burst, along_an_edge])
def test_random_maps_have_no_roll_marks(kind):
    found = 0
    for seed in range(8):
        for search in (ROLLS, RollSearch()):
            places = table(*kind(np.random.default_rng(seed)))
            found += bool(find_roll_marks(places, LENGTH, WIDTH, search))
    assert found == 0


def plain_statistic(positions, frequency):
    """Return the statistic by loops over the defects and the turns."""
    total = sum(cmath.exp(2j * cmath.pi * each * frequency) for each in positions)
    middle = cmath.phase(total) / (2 * cmath.pi)
    turns = {}
    for each in positions:
        vector = cmath.exp(2j * cmath.pi * (each * frequency - middle))
        turns.setdefault(math.floor(each * frequency - middle + 0.5), []).append(vector)
    means = [sum(vectors) / len(vectors) for vectors in turns.values()]
    along = max(sum(mean.real for mean in means), 0)
    return along**2 / sum(abs(mean) ** 2 for mean in means)


@pytest.mark.parametrize("seed", range(10))
def test_the_statistic_equals_plain_loops(seed):
    rng = np.random.default_rng(seed)
    positions, frequency = rng.uniform(0, 40, 60), rng.uniform(0.3, 2)
    expected = plain_statistic(positions.tolist(), frequency)
    assert _statistic(positions, frequency) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("lengths", [np.ones(3), np.ones(30), np.linspace(0.05, 1, 12)])
def test_the_bound_is_above_the_share_of_random_directions(lengths):
    rng = np.random.default_rng(1)
    turns = np.exp(2j * np.pi * rng.random((100_000, lengths.size)))
    statistics = np.abs(turns @ lengths) ** 2 / (lengths**2).sum()
    for level in (0.5, 1, 2, 3, 5):
        assert (statistics >= level).mean() <= math.exp(_log_bound(level)) + 0.005
    assert math.exp(_log_bound(5)) < 10 * math.exp(-5)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.floats(-0.3, 0.3))
def test_bursts_in_a_turn_count_once(seed, phase):
    rng = np.random.default_rng(seed)
    ones = np.arange(20) + phase + rng.uniform(-0.1, 0.1, 20)
    many = np.concatenate([ones, np.full(500, ones[7])])
    assert _statistic(many, 1.0) <= 20 + 1e-6
    assert _statistic(ones, 1.0) == pytest.approx(_statistic(np.repeat(ones, 3), 1.0))


@pytest.mark.parametrize("rolls", [(300, 420, 700), (420,), ()])
def test_the_least_number_of_repeats_is_found_and_fewer_are_not(rolls):
    search = RollSearch(rolls_mm=rolls)
    least = least_repeats(LENGTH, WIDTH, search)
    found = {}
    for count in (least - 2, least + 3):
        # a mark in the middle of one lane only: at the edge of the strip
        along = 1.0 + math.pi * 0.42 * np.arange(count)
        found[count] = find_roll_marks(table(along, np.full(count, 10.0)), LENGTH, WIDTH, search)
    assert [len(marks) for marks in found.values()] == [0, 1]
    assert all(mark.expected == least + 3 for mark in found[least + 3])
    with_more = least_repeats(LENGTH, WIDTH, search, groups=8)
    assert least < with_more < least + 5


def test_the_order_of_the_rows_changes_only_their_numbers():
    rng = np.random.default_rng(6)
    defects, _ = with_background(rng, planted(rng, math.pi * 0.42), 100)
    (mark,) = find_roll_marks(defects, LENGTH, WIDTH, ROLLS)
    (turned,) = find_roll_marks(defects.reverse(), LENGTH, WIDTH, ROLLS)
    assert {defects.height - 1 - row for row in turned.members} == set(mark.members)
    assert turned.period_m == pytest.approx(mark.period_m)


def test_tables_without_or_with_one_defect_have_no_marks():
    assert find_roll_marks(table([], []), LENGTH, WIDTH) == []
    assert find_roll_marks(table([3], [3]), LENGTH, WIDTH) == []
    assert find_roll_marks(table([3] * 9, [3] * 9), LENGTH, WIDTH) == []
    assert find_roll_marks(table([0.1, 0.2], [3, 3]), 0.3, WIDTH) == []


def test_bad_input_is_a_clear_error():
    with pytest.raises(TableError, match="row 1"):
        find_roll_marks(table([1, math.nan], [1, 1]), LENGTH, WIDTH)
    for length, width in ((0, 1), (1, -1), (math.inf, 1), (1, math.nan)):
        with pytest.raises(InputError, match="over 0"):
            find_roll_marks(table([1], [1]), length, width)
    with pytest.raises(InputError, match="shorter period first"):
        find_roll_marks(table([1], [1]), LENGTH, WIDTH, RollSearch(periods_m=(2, 1)))
    with pytest.raises(InputError, match="units"):
        find_roll_marks(table([1], [1]), 1e9, WIDTH)
