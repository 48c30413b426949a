"""Measurements of one mask and one picture, compared with plain loops over all pixels."""

from itertools import product

import numpy as np
import pytest

from steelscan.explore.counts import count_pictures
from steelscan.explore.exposure import exposure_of
from steelscan.explore.masks import area_facts, by_pieces, piece_facts, share_below
from steelscan.explore.shape import coverage, heat_frame, shape_of, shared_by, sliver_length
from steelscan.strip import Frame

Pixel = tuple[int, int]


def pieces_of(pixels: set[Pixel], corners: bool) -> list[set[Pixel]]:
    """Find components, one pixel after the other."""
    steps = [
        (down, right) for down, right in product((-1, 0, 1), repeat=2) if (down, right) != (0, 0)
    ]
    steps = steps if corners else [step for step in steps if 0 in step]
    left, pieces = set(pixels), []
    while left:
        piece, edge = set(), [left.pop()]
        while edge:
            row, column = edge.pop()
            piece.add((row, column))
            near = {(row + down, column + right) for down, right in steps} & left
            left -= near
            edge += near
        pieces.append(piece)
    return pieces


def part_of(pixels: set[Pixel]) -> list[int]:
    """Pixels, top, left, height and width."""
    rows, columns = zip(*pixels, strict=True)
    top, left = min(rows), min(columns)
    return [len(pixels), top, left, max(rows) - top + 1, max(columns) - left + 1]


def random_mask(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 14, 2)
    return rng.random((height, width)) < rng.uniform(0.1, 0.9)


@pytest.mark.parametrize("seed", range(60))
def test_a_shape_is_that_of_loops_over_all_pixels(seed: int) -> None:
    mask = random_mask(seed)
    height, width = mask.shape
    pixels = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    shape = shape_of(mask)
    if not pixels:
        assert shape is None
        return
    assert shape is not None
    pieces = pieces_of(pixels, corners=True)
    assert shape.pieces.tolist() == sorted(map(part_of, pieces))
    assert shape.pixels == len(pixels)
    assert shape.share == pytest.approx(len(pixels) / (height * width))

    def square(row: int, column: int) -> bool:
        return all(
            (row + down, column + right) in pixels for down, right in product((0, 1), repeat=2)
        )

    covered = {
        (row + down, column + right)
        for row, column in pixels
        if square(row, column)
        for down, right in product((0, 1), repeat=2)
    }
    lines = [line for line in pieces_of(pixels - covered, corners=True) if len(line) >= 8]
    assert shape.slivers.tolist() == sorted(map(part_of, lines))
    background = {(row, column) for row in range(-1, height + 1) for column in range(-1, width + 1)}
    holes = [part for part in pieces_of(background - pixels, False) if (-1, -1) not in part]
    assert shape.holes.tolist() == sorted(map(part_of, holes))
    rows, columns = zip(*pixels, strict=True)
    edges = (0 in rows, height - 1 in rows, 0 in columns, width - 1 in columns)
    assert tuple(shape.touches) == edges


@pytest.mark.parametrize("seed", range(10))
def test_shared_pixels_are_those_that_two_classes_have(seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = rng.random((4, 9, 7)) < 0.15
    masks[1] = False
    expected = {
        (one, other): sum(
            bool(masks[one, row, column] and masks[other, row, column])
            for row in range(9)
            for column in range(7)
        )
        for one in range(4)
        for other in range(one + 1, 4)
    }
    assert shared_by(masks) == {pair: pixels for pair, pixels in expected.items() if pixels}
    apart = np.eye(4, dtype=bool)[rng.integers(0, 4, (9, 7))].transpose(2, 0, 1)
    assert shared_by(apart) == {}


def test_a_heat_map_keeps_how_much_is_covered_and_where() -> None:
    mask = np.zeros((40, 80), bool)
    mask[:10, 70:] = True
    heat = coverage(mask, Frame(4, 8))
    assert heat.shape == (4, 8)
    assert heat[0, 7] == 1
    assert heat.sum() == 1
    rng = np.random.default_rng(0)
    ragged = rng.random((37, 61)) < 0.3
    assert coverage(ragged, Frame(5, 9)).mean() == pytest.approx(ragged.mean(), abs=1e-3)
    assert coverage(ragged, Frame(37, 61)).tolist() == ragged.tolist()


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([(256, 1600)] * 3, (16, 100)),
        ([(200, 200)], (40, 40)),
        ([(1, 1)], (1, 1)),
        ([(300, 3), (500, 4)], (300, 3)),
        ([(100, 100), (100, 100), (2, 900)], (2, 100)),
    ],
)
def test_a_heat_map_has_the_proportions_and_never_more_cells_than_pixels(
    frames: list[tuple[int, int]], expected: tuple[int, int]
) -> None:
    cells = heat_frame(tuple(Frame(*frame) for frame in frames))
    assert cells == expected


def test_black_ends_and_the_brightness_between_them() -> None:
    picture = np.full((20, 100), 80, np.uint8)
    picture[:, :25] = 3
    picture[:, 90:] = 9
    picture[2, 10] = picture[3, 95] = 200  # a speck of dust in the dark
    picture[:, 50] = 0  # black, and no end
    exposure = exposure_of(picture)
    assert (exposure.black_left, exposure.black_right) == (0.25, 0.1)
    assert exposure.brightness == pytest.approx(80 * 64 / 65)
    assert exposure_of(picture[:, ::-1])[2:] == (0.1, 0.25)
    dark = exposure_of(np.full((4, 8), 2, np.uint8))
    assert tuple(dark) == (2.0, 0.0, 1.0, 0.0)
    assert exposure_of(np.full((4, 8), 200, np.uint8))[2:] == (0.0, 0.0)


def test_pictures_are_counted_by_hand() -> None:
    rows = [[1, 0, 0], [1, 0, 0], [0, 0, 0], [1, 0, 1], [1, 1, 1], [0, 0, 0], [0, 0, 0]]
    counts = count_pictures(np.array(rows, bool), "masks")
    assert counts.per_class == (4, 1, 2)
    assert counts.per_number == (3, 2, 1, 1)
    assert counts.clean == 3
    assert [(each.classes, each.pictures) for each in counts.combinations] == [
        ((), 3),
        ((0,), 2),
        ((0, 2), 1),
        ((0, 1, 2), 1),
    ]
    assert counts.together == ((4, 1, 2), (1, 1, 1), (2, 1, 2))


def test_areas_and_pieces_are_summed_up_by_hand() -> None:
    facts = area_facts(np.arange(101), np.linspace(0, 1, 101))
    assert facts.pixels == (0, 1, 5, 25, 50, 75, 95, 99, 100)
    assert facts.shares[4] == pytest.approx(0.5)
    assert share_below(np.array([599, 600, 601, 9]), 600) == 0.5
    assert area_facts(None, np.array([])).mean_share is None
    one, two = np.zeros((2, 9, 12), bool)
    one[0, :] = one[4:8, 2:6] = True  # a line at the top, a ring around a hole
    one[5:7, 3:5] = False
    two[8, 0] = True
    shapes = [shape for shape in map(shape_of, (one, two)) if shape is not None]
    summed = piece_facts(shapes, [13, 1])
    assert (summed.masks, summed.pieces, summed.most_pieces) == (2, 3, 2)
    assert (summed.specks, summed.with_specks, summed.slivers) == (2, 1, 2)
    assert (summed.holes, summed.hole_pixels, summed.with_holes) == (1, 4, 1)
    assert (summed.at_edge, summed.at_edges) == (2, (1, 1, 2, 1))
    assert by_pieces(np.array([1, 1, 2, 3, 4, 5, 6, 10, 11, 99])) == (2, 1, 1, 2, 2, 2)


@pytest.mark.parametrize(
    ("frame", "length"), [((64, 320), 8), ((256, 1600), 8), ((1024, 800), 25), ((4096, 4096), 128)]
)
def test_slivers_grow_with_the_picture(frame: tuple[int, int], length: int) -> None:
    assert sliver_length(Frame(*frame)) == length
    for pixels, expected in ((length, 1), (length - 1, 0)):
        mask = np.zeros(frame, bool)
        mask[5:15, 5:15] = True
        mask[8, 15 : 15 + pixels] = True
        shape = shape_of(mask)
        assert shape is not None
        assert len(shape.slivers) == expected
