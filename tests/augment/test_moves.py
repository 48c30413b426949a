"""Augmentations that move steel: picture and masks move together."""

import numpy as np
import pytest
from tests.augment.samples import MOVES, apply, centre, marked, on_flat, sample

from steelscan.augment import (
    Augmenter,
    Elastic,
    GridDistortion,
    OpticalDistortion,
    ShiftScaleRotate,
)
from steelscan.augment.functional import distort_like_lens


@pytest.mark.parametrize("spec", MOVES, ids=lambda spec: spec.kind)
@pytest.mark.parametrize("classes", [1, 4, 6])
def test_picture_and_masks_move_together(spec, classes):
    places = [(4 + 7 * at, 10 + 12 * at) for at in range(classes)]
    squares = [marked(64, 96, *place, side=12) for place in places]
    masks = np.stack([square for _, square in squares])
    augmenter = Augmenter((spec.but(p=1.0),))
    for seed in range(8):
        for at, (picture, _) in enumerate(squares):
            changed, planes = augmenter(picture, masks, np.random.default_rng(seed))
            bright = changed > 130
            assert np.hypot(*(centre(bright) - centre(planes[at]))) < 1.5
            assert (bright & planes[at]).sum() / (bright | planes[at]).sum() > 0.8


@pytest.mark.parametrize("spec", MOVES, ids=lambda spec: spec.kind)
def test_no_black_appears_at_the_border(spec):
    for seed in range(20):
        assert set(np.unique(on_flat(spec.but(p=1.0), 77, seed=seed))) == {77}


def coordinates(spec, seed, height=80, width=120):
    """The source of each pixel: float ``(2, height, width)``, rows and columns."""
    planes = np.mgrid[:height, :width].astype(np.uint8)
    nothing = np.zeros((1, height, width), bool)
    return np.stack([apply((spec,), plane, nothing, seed)[0] for plane in planes]).astype(float)


def test_shift_scale_rotate_is_a_similarity_within_its_limits():
    shifts, scales, angles = [], [], []
    middle = np.s_[:, 25:55, 35:85]
    at = np.mgrid[:80, :120][middle].reshape(2, -1) - np.array([[39.5], [59.5]])
    design = np.vstack([at, np.ones(at.shape[1])]).T
    for seed in range(100):
        spec = ShiftScaleRotate(shift=0.1, scale=0.2, degrees=10.0, p=1.0)
        moved = coordinates(spec, seed)[middle].reshape(2, -1).T
        fitted, *_ = np.linalg.lstsq(design, moved, rcond=None)
        matrix = np.linalg.inv(fitted[:2].T)
        scale = np.sqrt(np.linalg.det(matrix))
        assert np.allclose(matrix @ matrix.T, scale**2 * np.eye(2), atol=0.03)  # both sides alike
        shifts.append((-matrix @ (fitted[2] - [39.5, 59.5])) / [80, 120])
        scales.append(scale)
        angles.append(np.degrees(np.arctan2(matrix[0, 1], matrix[0, 0])))
    assert np.abs(shifts).max(0) == pytest.approx([0.1, 0.1], abs=0.015)
    assert min(scales) == pytest.approx(0.8, abs=0.03)
    assert max(scales) == pytest.approx(1.2, abs=0.03)
    assert min(angles) == pytest.approx(-10, abs=1)
    assert max(angles) == pytest.approx(10, abs=1)


def test_the_elastic_bend_of_the_14th_moves_pixels_by_about_three():
    inner = np.s_[:, 30:50, 30:90]
    moved = np.stack(
        [(coordinates(Elastic(p=1.0), seed) - np.mgrid[:80, :120])[inner] for seed in range(20)]
    )
    assert moved.std() == pytest.approx(3.2, abs=0.6)
    assert abs(moved.mean()) < 0.6


@pytest.mark.parametrize(("height", "width"), [(80, 120), (24, 127), (83, 29), (20, 20)])
def test_the_grid_keeps_the_order_of_rows_and_columns_and_its_ends(height, width):
    furthest = 0
    for seed in range(20):
        rows, columns = coordinates(GridDistortion(p=1.0), seed, height, width)
        for moved, axis, last in ((rows, 0, height - 1), (columns, 1, width - 1)):
            ordered = np.moveaxis(moved, axis, 0)
            assert (np.diff(ordered, axis=0) >= 0).all()
            assert ordered[0].max() <= 1
            assert ordered[-1].min() >= last - 2
        furthest = max(furthest, np.abs(columns - np.arange(width)).max() / width)
    assert 0.03 < furthest < 0.2


def test_a_picture_too_small_for_a_grid_is_not_changed():
    picture, masks = sample(2, 19, 64)
    for changed, before in zip(
        apply((GridDistortion(p=1.0),), picture, masks), (picture, masks), strict=True
    ):
        assert np.array_equal(changed, before)


def reflected(index, count):
    """The pixel that a reflecting border shows at an index."""
    index = np.mod(index, 2 * count)
    return np.where(index < count, index, 2 * count - 1 - index)


@pytest.mark.parametrize("shape", [(64, 128), (90, 60), (72, 72)])
@pytest.mark.parametrize("limit", [0.3, 2.0])
def test_the_lens_is_that_of_2019_in_picture_and_masks(shape, limit):
    """By numpy alone: r (1 + k r^2 + k r^4), r in widths of the picture in both directions."""
    height, width = shape
    rows, columns = np.mgrid[:height, :width]
    # linear sampling of a plane is exact, apart from rounding and OpenCV's 32nds of a pixel
    planes = (columns * 255 // (width - 1), rows * 255 // (height - 1))
    mask = (rows // 5 + columns // 7) % 2 == 0
    masks = np.stack([mask, np.zeros_like(mask), ~mask])
    signs = set()
    for seed in range(8):
        k = np.random.default_rng(seed).uniform(-limit, limit)
        x, y = (columns - (width - 1) / 2) / width, (rows - (height - 1) / 2) / width
        square = x**2 + y**2
        factor = 1 + k * square + k * square**2
        from_column = x * factor * width + (width - 1) / 2
        from_row = y * factor * width + (height - 1) / 2
        inside = (from_column >= 0) & (from_column <= width - 1)
        inside &= (from_row >= 0) & (from_row <= height - 1)
        for plane, source, last in zip(
            planes, (from_column, from_row), (width - 1, height - 1), strict=True
        ):
            changed, bent = distort_like_lens(
                plane.astype(np.uint8), masks, np.random.default_rng(seed), limit=limit
            )
            off = np.abs(changed - 255 * source / last)[inside]
            assert off.max() < 2 + 255 / last / 16
        near = np.zeros(shape, bool)
        for source in (from_column, from_row):
            near |= np.abs(source % 1 - 0.5) < 1 / 16
        nearest = (
            reflected(np.rint(from_row).astype(int), height),
            reflected(np.rint(from_column).astype(int), width),
        )
        assert near.mean() < 0.5
        assert np.array_equal(bent[0][~near], mask[nearest][~near])
        assert np.array_equal(bent[2][~near], ~mask[nearest][~near])
        assert not bent[1].any()
        signs.add(k > 0)
    assert signs == {True, False}


def test_a_lens_without_strength_changes_nothing_and_both_signs_are_drawn():
    picture, masks = sample(3, 24, 37)
    changed, planes = apply((OpticalDistortion(limit=1e-9, p=1.0),), picture, masks)
    assert np.array_equal(changed, picture)
    assert np.array_equal(planes, masks)
    moved = [coordinates(OpticalDistortion(p=1.0), seed)[1, 40, 100] for seed in range(30)]
    assert min(moved) < 98.5
    assert max(moved) > 101.5
