"""Augmentations of our own: blackout of defects, steel rolled along the strip."""

from itertools import product

import numpy as np
import pytest
from tests.augment.samples import apply, sample

from steelscan.augment import Augmenter, DefectBlackout, SteelShift


def components(mask):
    """The 8-connected components of a mask as sets of pixels, by flooding."""
    left, components = set(map(tuple, np.argwhere(mask).tolist())), []
    while left:
        front, whole = [left.pop()], set()
        while front:
            row, column = front.pop()
            whole.add((row, column))
            for pixel in product((row - 1, row, row + 1), (column - 1, column, column + 1)):
                if pixel in left:
                    left.remove(pixel)
                    front.append(pixel)
        components.append(whole)
    return components


def spotted(seed, classes=3, height=30, width=40):
    """Grey steel without black, and classes of scattered spots that do not overlap."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.repeat(rng.integers(-9, classes, (10, 14)), 3, 0), 3, 1)[:height, :width]
    picture = rng.integers(1, 256, (height, width)).astype(np.uint8)
    return picture, np.stack([owner == at for at in range(classes)])


@pytest.mark.parametrize("margin", [0, 1, 4])
@pytest.mark.parametrize("seed", range(12))
def test_blackout_removes_whole_components_and_paints_them_and_their_rim(margin, seed):
    picture, masks = spotted(seed)
    spec = DefectBlackout(component=0.5, margin=margin, p=1.0)
    changed, planes = apply((spec,), picture, masks, seed)
    assert not (planes & ~masks).any()
    expected = picture.copy()
    for mask, plane in zip(masks, planes, strict=True):
        stayed = 0
        for whole in components(mask):
            values = {bool(plane[pixel]) for pixel in whole}
            assert len(values) == 1  # a component is removed as a whole or not at all
            if values == {True}:
                stayed += 1
                continue
            for row, column in whole:
                expected[
                    max(row - margin, 0) : row + margin + 1,
                    max(column - margin, 0) : column + margin + 1,
                ] = 0
        assert plane.any() == (stayed > 0)  # the label goes with the last component
    kept = planes.any(0)
    expected[kept] = picture[kept]
    assert np.array_equal(changed, expected)


def test_components_are_removed_independently_and_as_often_as_set():
    picture, masks = spotted(3)
    augmenter, rng = Augmenter((DefectBlackout(component=0.3, p=1.0),)), np.random.default_rng(0)
    firsts = [min(whole) for whole in components(masks[1])]
    gone = np.array(
        [
            [not augmented[1][pixel] for pixel in firsts]
            for augmented in (augmenter(picture, masks, rng)[1] for _ in range(400))
        ]
    )
    assert np.allclose(gone.mean(0), 0.3, atol=0.1)
    assert np.abs(np.corrcoef(gone.T) - np.eye(len(firsts))).max() < 0.25
    for share in (0.0, 1.0):
        changed, planes = apply((DefectBlackout(component=share, p=1.0),), picture, masks)
        assert np.array_equal(planes, masks & (share == 0))
        assert np.array_equal(changed, picture) == (share == 0)


def test_pixels_that_touch_at_a_corner_are_removed_together():
    masks = np.zeros((1, 9, 9), bool)
    masks[0, [3, 4, 5], [3, 4, 5]] = True
    sizes = {
        int(apply((DefectBlackout(p=1.0),), *spotted(0, 1, 9, 9)[:1], masks, seed)[1].sum())
        for seed in range(20)
    }
    assert sizes == {0, 3}


def test_a_clean_strip_is_not_blacked_out():
    picture, masks = sample(3)
    changed, planes = apply((DefectBlackout(p=1.0),), picture, np.zeros_like(masks))
    assert np.array_equal(changed, picture)
    assert not planes.any()


@pytest.mark.parametrize(("left", "right"), [(0, 0), (7, 0), (0, 5), (6, 4)])
def test_steel_is_rolled_and_black_ends_stay(left, right):
    picture, masks = sample(3, 12, 30)
    picture = picture // 2 + 60
    end = 30 - right
    picture[:, :left], picture[:, end:] = 3, 8
    masks[:, :, :left] = masks[:, :, end:] = False
    distances = set()
    for seed in range(300):
        changed, planes = apply((SteelShift(p=1.0),), picture, masks, seed)
        for black in (np.s_[:, :left], np.s_[:, end:]):
            assert np.array_equal(changed[black], picture[black])
        (distance,) = (
            step
            for step in range(end - left)
            if np.array_equal(changed[:, left:end], np.roll(picture[:, left:end], step, 1))
        )
        assert np.array_equal(planes[:, :, left:end], np.roll(masks[:, :, left:end], distance, 2))
        distances.add(distance)
    assert distances == set(range(1, end - left))


@pytest.mark.parametrize(
    "steel", [np.s_[:, :0], np.s_[:, 4:5], np.s_[:, ::2], np.s_[:, [1, 2, 8, 9]]]
)
def test_a_strip_without_contiguous_steel_is_not_changed(steel):
    picture, masks = sample(2, 12, 14)
    strip = np.zeros_like(picture)
    strip[steel] = picture[steel] // 2 + 60
    changed, planes = apply((SteelShift(p=1.0),), strip, masks)
    assert np.array_equal(changed, strip)
    assert np.array_equal(planes, masks)


def test_the_least_mean_of_a_column_of_steel_is_a_setting():
    strip = np.full((4, 10), 40, np.uint8)
    strip[:, 5:] = np.arange(100, 105)
    nothing = np.zeros((1, 4, 10), bool)
    changed, _ = apply((SteelShift(dark=41, p=1.0),), strip, nothing)
    assert np.array_equal(changed[:, :5], strip[:, :5])
    assert not np.array_equal(changed, strip)
    changed, _ = apply((SteelShift(dark=40, p=1.0),), strip, nothing)
    assert not np.array_equal(changed[:, :5], strip[:, :5])
