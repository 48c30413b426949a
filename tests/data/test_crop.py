"""Crops: within the strip, with a defect if requested, padded by mirroring."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from steelscan.data import (
    Crop,
    RandomCrop,
    SteelCrop,
    WholeStrip,
    crop_frame,
    cut,
    pad,
    padded_frame,
)
from steelscan.strip import Frame

sides = st.integers(1, 150)


def numbered(height, width):
    """Return a picture whose values encode positions, and a mask of the odd ones."""
    picture = (np.arange(height)[:, None] * 16 + np.arange(width)).astype(np.uint8)
    return picture, (picture % 2 == 1)[None]


def mirrored_index(at, size):
    """Return the position that a pixel beyond the edge mirrors."""
    forth_and_back = [*range(size), *reversed(range(size))]
    return forth_and_back[at % (2 * size)]


@given(sides, sides, sides, sides)
def test_crops_are_never_larger_than_the_largest_strip_rounded_up(height, width, tall, wide):
    largest = Frame(tall, wide)
    whole = padded_frame(largest)
    for side, rounded in zip(largest, whole, strict=True):
        assert side <= rounded < side + 32
        assert rounded % 32 == 0
    frame = crop_frame(RandomCrop(height=32 * height, width=32 * width), largest)
    assert frame == (min(32 * height, whole.height), min(32 * width, whole.width))
    assert crop_frame(WholeStrip(), largest) == whole


@settings(max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 90), st.integers(0, 90))
def test_padding_mirrors_to_the_right_and_downwards(height, width, down, right):
    picture, _ = numbered(height, width)
    padded = pad(picture, Frame(height + down, width + right))
    assert padded.dtype == np.uint8
    rows = [mirrored_index(at, height) for at in range(height + down)]
    columns = [mirrored_index(at, width) for at in range(width + right)]
    assert padded.tolist() == [[int(picture[row, at]) for at in columns] for row in rows]


@pytest.mark.parametrize("crop", [WholeStrip(), RandomCrop(height=64, width=64, defect=1.0)])
@pytest.mark.parametrize("shape", [(1, 1), (5, 90), (64, 20), (33, 33)])
def test_picture_and_masks_are_padded_alike(crop, shape):
    picture, masks = numbered(*shape)
    for seed in range(5):
        window, planes = cut(picture, masks, crop, Frame(64, 64), np.random.default_rng(seed))
        assert window.shape == (64, 64)
        assert planes.shape == (1, 64, 64)
        assert planes.dtype == np.bool_
        assert np.array_equal(planes[0], window % 2 == 1)


def test_crops_are_uniform_over_the_positions():
    picture, masks = numbered(7, 9)
    crop, rng = RandomCrop(height=32, width=32), np.random.default_rng(0)
    corners = Counter()
    for _ in range(3200):
        window, planes = cut(picture, masks, crop, Frame(4, 6), rng)
        corner = divmod(int(window[0, 0]), 16)
        corners[corner] += 1
        expected = picture[corner[0] : corner[0] + 4, corner[1] : corner[1] + 6]
        assert np.array_equal(window, expected)
        assert np.array_equal(planes[0], expected % 2 == 1)
    assert set(corners) == {(top, left) for top in range(4) for left in range(4)}
    assert all(140 < count < 260 for count in corners.values())  # 200 each, give or take 4 sigma


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(0, 29), st.integers(0, 39))
def test_a_crop_with_a_requested_defect_has_one(seed, row, column):
    picture, masks = np.zeros((30, 40), np.uint8), np.zeros((3, 30, 40), np.bool_)
    masks[seed % 3, row, column] = True
    picture[row, column] = 200
    crop, rng = RandomCrop(height=32, width=32, defect=1.0), np.random.default_rng(seed)
    window, planes = cut(picture, masks, crop, Frame(8, 5), rng)
    assert planes.sum() == 1
    assert np.array_equal(planes[seed % 3], window == 200)


def test_every_window_with_the_defect_is_possible():
    picture, _ = numbered(12, 14)
    masks = np.zeros((1, 12, 14), np.bool_)
    masks[0, 1, 6] = True  # near the top, where windows are pushed back inside
    crop, rng = RandomCrop(height=32, width=32, defect=1.0), np.random.default_rng(0)
    corners = set()
    for _ in range(600):
        window, _ = cut(picture, masks, crop, Frame(4, 3), rng)
        corners.add(divmod(int(window[0, 0]), 16))
    assert corners == {(top, left) for top in (0, 1) for left in (4, 5, 6)}


def test_all_defect_pixels_are_equally_likely():
    masks = np.zeros((2, 8, 100), np.bool_)
    masks[0, 2:5, 2:5] = masks[1, 4, 90] = True  # nine pixels of one class, one of the other
    crop, rng = RandomCrop(height=32, width=32, defect=1.0), np.random.default_rng(0)
    picture = np.zeros((8, 100), np.uint8)
    present = [cut(picture, masks, crop, Frame(8, 8), rng)[1].any((1, 2)) for _ in range(1000)]
    assert all(classes.sum() == 1 for classes in present)
    assert 60 < sum(classes[1] for classes in present) < 140


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_of_crops_with_a_defect_is_the_requested_one(share):
    picture, masks = np.zeros((8, 800), np.uint8), np.zeros((1, 8, 800), np.bool_)
    masks[0, 4, 400] = True
    crop, rng = RandomCrop(height=32, width=32, defect=share), np.random.default_rng(1)
    held = sum(cut(picture, masks, crop, Frame(8, 8), rng)[1].any() for _ in range(1000))
    by_chance = 8 / 793
    assert held / 1000 == pytest.approx(share + (1 - share) * by_chance, abs=0.06)


def test_crops_of_a_clean_strip_are_uniform():
    picture, masks = numbered(4, 9)
    crop, rng = RandomCrop(height=32, width=32, defect=1.0), np.random.default_rng(0)
    empty = np.zeros_like(masks)
    lefts = {int(cut(picture, empty, crop, Frame(4, 4), rng)[0][0, 0]) for _ in range(200)}
    assert lefts == set(range(6))


def test_the_source_is_not_changed():
    picture, masks = numbered(20, 20)
    before = picture.copy(), masks.copy()
    cut(picture, masks, WholeStrip(), Frame(32, 32), np.random.default_rng(0))
    assert np.array_equal(picture, before[0])
    assert np.array_equal(masks, before[1])


@pytest.mark.parametrize("kind", [RandomCrop, SteelCrop])
def test_sides_that_are_no_multiple_of_32_are_refused(kind):
    assert kind(height=32, width=1568)
    for sides in ({"height": 48, "width": 64}, {"height": 32, "width": 0}):
        with pytest.raises(ValidationError, match=r"multiple of 32|greater than 0"):
            kind(**sides)


@pytest.mark.parametrize("crop", [WholeStrip(), RandomCrop(height=64, width=32, defect=0.5)])
def test_settings_go_to_json_and_back(crop):
    adapter = TypeAdapter(Crop)
    assert adapter.validate_json(adapter.dump_json(crop)) == crop


def half_black(seen=120):
    """A strip of 32x1600 whose left end is black, and steel from one column on."""
    picture = np.random.default_rng(0).integers(60, 200, (32, 1600)).astype(np.uint8)
    picture[:, :-seen] = 3
    return picture, (np.arange(1600)[None] % 7 == 0).repeat(32, 0)[None]


STEEL = SteelCrop(height=32, width=512)


def left_of(picture, crop=STEEL, tries=200):
    """Return the left columns of many windows, from a picture with numbered columns."""
    masks = np.zeros((11, *picture.shape), np.bool_)
    for bit in range(11):
        masks[bit] = np.arange(picture.shape[1]) >> bit & 1
    lefts = []
    for seed in range(tries):
        frame = Frame(32, 512)
        _, planes = cut(picture, masks, crop, frame, np.random.default_rng(seed))
        lefts.append(sum(int(planes[bit, 0, 0]) << bit for bit in range(11)))
    return lefts


def test_black_windows_are_replaced_by_the_end_with_steel():
    right, _ = half_black(seen=600)
    for left in left_of(right):
        # 15 % of a window must be steel, and the black left end never is: the right end is taken
        assert left == 1600 - 512 or np.mean(right[:, left : left + 512] < 10) <= 0.85
    assert 1600 - 512 in left_of(right)
    mirrored = np.ascontiguousarray(right[:, ::-1])
    for left in left_of(mirrored):
        assert left == 0 or np.mean(mirrored[:, left : left + 512] < 10) <= 0.85
    assert 0 in left_of(mirrored)


def test_windows_of_steel_are_kept():
    picture = np.full((32, 1600), 90, np.uint8)
    lefts = left_of(picture)
    assert len(set(lefts)) > 150
    assert 0 <= min(lefts) < 30
    assert 1060 < max(lefts) <= 1600 - 512
    dim = np.full((32, 1600), 12, np.uint8)  # under the mean of 15, and no pixel under 10
    assert set(left_of(dim)) == {0}
    assert left_of(dim, STEEL.but(mean=11.0)) == lefts


def test_the_right_end_of_a_black_strip_is_used():
    assert set(left_of(np.zeros((32, 1600), np.uint8))) == {1600 - 512}
