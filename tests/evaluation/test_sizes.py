"""Defects by size, against a flood fill and plain loops."""

import numpy as np
import pytest

from steelscan.evaluation.metrics import by_size, measure_defects
from steelscan.strip.errors import InputError, MaskError


def pieces(mask):
    """The 8-connected pieces of a mask as sets of pixels, by a flood fill."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    found = []
    while left:
        grown, front = set(), [left.pop()]
        while front:
            y, x = front.pop()
            grown.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            front += near
        found.append(grown)
    return found


def test_every_piece_is_measured_as_by_a_flood_fill() -> None:
    random = np.random.default_rng(0)
    for _ in range(15):
        truth = random.random((3, 14, 20)) < 0.25
        guess = random.random((3, 14, 20)) < 0.3
        expected = [
            (index, len(piece), sum(bool(guess[index][at]) for at in piece))
            for index in range(3)
            for piece in pieces(truth[index])
        ]
        assert sorted(map(tuple, measure_defects(guess, truth).tolist())) == sorted(expected)


def test_a_prediction_of_another_class_does_not_count() -> None:
    truth = np.zeros((2, 5, 5), np.bool_)
    truth[0, 1:3, 1:3] = True
    assert measure_defects(truth[::-1], truth).tolist() == [[0, 4, 0]]
    assert measure_defects(truth, truth).tolist() == [[0, 4, 4]]
    assert measure_defects(truth, np.zeros_like(truth)).shape == (0, 3)
    with pytest.raises(MaskError):
        measure_defects(truth[:1], truth)


DEFECTS = [
    np.array([[0, 5, 0], [1, 200, 101]]),  # a speck missed beside a large one that is found
    np.array([[0, 8, 8]]),
    np.array([[0, 9, 0]]),
    np.empty((0, 3), np.int64),
]
ESCAPED = np.array([False, False, True, True])


def test_ranges_of_sizes_by_hand() -> None:
    rows = by_size(DEFECTS, ESCAPED, np.arange(4))
    assert [row.title("px") for row in rows] == [
        "below 10 px",
        "10 to 30 px",
        "30 to 100 px",
        "100 px and more",
    ]
    small, large = rows[0], rows[-1]
    assert (small.defects, small.strips) == (3, 2)
    assert small.missed.value == pytest.approx(2 / 3)
    assert small.escapes.value == 0.5
    assert (large.defects, large.strips, large.missed.value) == (1, 1, 0)
    assert large.uncovered.value == 0
    assert large.escapes.value == 0
    assert sum(row.defects for row in rows) == 4
    assert sum(row.strips for row in rows) == 3  # the clean strip is in none


def test_half_covered_differs_from_touched() -> None:
    rows = by_size([np.array([[0, 8, 3]])], np.array([False]), np.arange(1))
    assert (rows[0].missed.value, rows[0].uncovered.value) == (0, 1)


def test_sizes_in_mm2_are_the_same_defects_in_other_ranges() -> None:
    in_mm = by_size(DEFECTS, ESCAPED, np.arange(4), mm_per_pixel=0.5)
    assert in_mm[0].title("mm2") == "below 3 mm2"  # 9 pixels of a quarter mm2 each
    assert (in_mm[0].defects, in_mm[0].strips) == (3, 2)
    assert sum(row.defects for row in in_mm) == 4
    for side in (0, -1, float("inf"), float("nan")):
        with pytest.raises(InputError, match="mm per pixel"):
            by_size(DEFECTS, ESCAPED, np.arange(4), mm_per_pixel=side)


@pytest.mark.parametrize("clean", [0, 20])
def test_intervals_resample_groups_not_defects(clean: int) -> None:
    """All groups are drawn, also those without a defect."""
    random = np.random.default_rng(1)
    strips = [np.array([[0, 50, 50 * hit]] * 8) for hit in (random.random(40) < 0.6).tolist()]
    escaped = np.array([strip[0, 2] == 0 for strip in strips] + [True] * clean)
    strips += [np.empty((0, 3), np.int64)] * clean
    row = by_size(strips, escaped, np.arange(40 + clean))[0]
    assert row.missed.value == row.escapes.value
    assert row.missed.low == pytest.approx(row.escapes.low)
    assert row.missed.high == pytest.approx(row.escapes.high)


def test_no_defect_gives_no_row_and_other_lengths_are_refused() -> None:
    assert by_size([np.empty((0, 3), np.int64)], np.array([True]), np.arange(1)) == []
    with pytest.raises(InputError, match="are of 4, 3 and 4 strips"):
        by_size(DEFECTS, ESCAPED[:3], np.arange(4))
