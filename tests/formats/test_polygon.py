"""Polygons and masks: against a slow implementation by the definition."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from steelscan.formats.polygon import box, crosses_itself, ellipse, fill, outlines
from steelscan.strip import Frame
from steelscan.strip.errors import MaskError

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))


def closed(mask: np.ndarray) -> np.ndarray:
    """A mask with its holes filled: all that the outside does not reach by its sides."""
    outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    _, numbers = cv2.connectedComponents(outside, connectivity=4)
    return (numbers != numbers[0, 0])[1:-1, 1:-1]


def naive_fill(
    points: Sequence[tuple[float, float]], frame: Frame
) -> tuple[np.ndarray, np.ndarray]:
    """Even-odd by the definition, and which centres lie so near a side that rounding decides."""
    mask, near = np.zeros(frame, np.bool_), np.zeros(frame, np.bool_)
    for row, column in np.ndindex(*frame):
        x, y = column + 0.5, row + 0.5
        for (x0, y0), (x1, y1) in zip(points, (*points[1:], points[0]), strict=True):
            if (y0 <= y) != (y1 <= y):
                crossed = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
                mask[row, column] ^= crossed <= x
                near[row, column] |= abs(crossed - x) < 1e-9
    return mask, near


@given(
    st.lists(st.tuples(*[st.integers(-20, 60).map(lambda at: at / 4)] * 2), min_size=3, max_size=8)
)
@settings(max_examples=60, deadline=None)
def test_polygons_are_filled_by_pixel_centres(points: list[tuple[float, float]]) -> None:
    frame = Frame(7, 9)
    mask = np.zeros(frame, np.bool_)
    filled = fill(mask, points, "here")
    other, near = naive_fill(points, frame)
    assert np.array_equal(mask | near, other | near)
    assert filled.pixels == mask.sum()
    xs, ys = zip(*points, strict=True)
    assert filled.outside == (min(xs) < 0 or max(xs) > 9 or min(ys) < 0 or max(ys) > 7)


def test_neighbours_share_no_pixel_and_leave_none() -> None:
    parts = [np.zeros((8, 8), np.bool_) for _ in range(4)]
    corners = [(0, 0), (8, 0), (8, 8), (0, 8)]
    for at, part in enumerate(parts):  # the sides run through centres
        fill(part, [corners[at], corners[(at + 1) % 4], (4, 4)], "here")
    assert (np.sum(parts, axis=0) == 1).all()


@pytest.mark.parametrize(
    "points",
    [
        [(0, 0), (1, 1)],
        [],
        [(0, 0, 0)] * 3,
        [(0, 0), (1, float("nan")), (1, 1)],
        [(0, 0), (1e12, 0), (1, 1)],
        ["a"],
    ],
)
def test_no_polygon(points: object) -> None:
    with pytest.raises(MaskError, match=r"polygon|pairs of x and y"):
        fill(np.zeros((3, 3), np.bool_), points, "here")


@given(MASKS)
def test_outlines_give_the_mask_with_its_holes_closed(mask: np.ndarray) -> None:
    polygons, holes = outlines(mask)
    drawn = np.zeros_like(mask)
    for corners in polygons:
        assert not fill(drawn, corners, "here").outside
    assert np.array_equal(drawn, closed(mask))
    assert holes == (closed(mask) != mask).any()
    assert len(polygons) <= cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 1


def test_areas_enclosed_twice_are_outside() -> None:
    mask = np.zeros((6, 6), np.bool_)
    fill(
        mask,
        [(0, 0), (6, 0), (6, 6), (0, 6), (0, 0), (2, 2), (4, 2), (4, 4), (2, 4), (2, 2)],
        "here",
    )
    assert np.argwhere(~mask).tolist() == [[2, 2], [2, 3], [3, 2], [3, 3]]
    assert fill(mask, [(0, 0), (3, 0), (3, 3), (0, 3)] * 2, "here").pixels == 0


def naive_crossing(corners: list[tuple[int, int]]) -> bool:
    def side(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> int:
        turn = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        return (turn > 0) - (turn < 0)

    sides = list(zip(corners, corners[1:] + corners[:1], strict=True))
    return any(
        side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
        for at, (a, b) in enumerate(sides)
        for c, d in sides[at + 1 :]
    )


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=9))
def test_crossings_are_those_of_all_pairs(corners: list[tuple[int, int]]) -> None:
    assert crosses_itself(corners) == naive_crossing(corners)


def test_many_sides_are_compared_in_blocks() -> None:
    turn = np.linspace(0, 2 * np.pi, 6000, endpoint=False)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1) * 100
    assert not crosses_itself(circle)
    knotted = circle.copy()
    knotted[[2000, 2002]] = knotted[[2002, 2000]]
    assert crosses_itself(knotted)


def test_a_turned_box_turns_as_on_a_picture() -> None:
    """Clockwise: the right end of a wide box goes down."""
    assert np.allclose(box(0, 4, 10, 6, 90), [[6, 0], [6, 10], [4, 10], [4, 0]])
    assert ellipse(5, 5, 5, 1, 30)[0] == pytest.approx([5 + 5 * 3**0.5 / 2, 7.5])
