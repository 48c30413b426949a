"""Resizing, compared with exact sums over the area of each pixel."""

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelscan.data import Shrink, resize_masks, resize_picture
from steelscan.strip import Frame


def coverage(at, small, large):
    """Return the ``large`` pixels that pixel ``at`` of ``small`` covers, and the share of each."""
    begin, end = Fraction(at * large, small), Fraction((at + 1) * large, small)
    return {
        pixel: min(end, Fraction(pixel + 1)) - max(begin, Fraction(pixel))
        for pixel in range(floor(begin), ceil(end))
    }


def exact_means(plane, frame):
    """Return the mean over the area of each pixel of a smaller frame, as fractions."""
    rows = [coverage(at, frame.height, plane.shape[0]) for at in range(frame.height)]
    columns = [coverage(at, frame.width, plane.shape[1]) for at in range(frame.width)]
    area = Fraction(plane.size, frame.pixels)
    return [
        [
            sum(
                int(plane[y, x]) * tall * wide
                for y, tall in row.items()
                for x, wide in column.items()
            )
            / area
            for column in columns
        ]
        for row in rows
    ]


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 500_000))
def test_a_strip_keeps_its_shape_and_never_grows(height, width, pixels):
    frame, limit = Frame(height, width), Shrink(pixels=pixels)
    seen = limit.frame(frame)
    assert 1 <= seen.height <= height
    assert 1 <= seen.width <= width
    if frame.pixels <= pixels:
        assert seen == frame
        return
    exact = (pixels / frame.pixels) ** 0.5
    assert abs(seen.height - max(1, height * exact)) <= 0.5 + 1e-6
    assert abs(seen.width - max(1, width * exact)) <= 0.5 + 1e-6


def test_the_frame_of_the_competition_at_a_quarter():
    assert Shrink(pixels=128 * 800).frame(Frame(256, 1600)) == (128, 800)
    assert Shrink(pixels=64 * 400).frame(Frame(256, 1600)) == (64, 400)


frames = st.tuples(st.integers(1, 14), st.integers(1, 14), st.integers(1, 14), st.integers(1, 14))


@settings(max_examples=60, deadline=None)
@given(frames, st.integers(0, 2**32))
def test_a_smaller_picture_is_the_mean_over_the_area_of_each_pixel(sizes, seed):
    height, width, tall, wide = sizes
    frame = Frame(min(height, tall), min(width, wide))
    plane = np.random.default_rng(seed).integers(0, 256, (tall, wide)).astype(np.uint8)
    resized = resize_picture(plane, frame)
    assert resized.dtype == np.uint8
    assert resized.shape == frame
    difference = resized - np.array(exact_means(plane, frame), np.float64)
    assert np.abs(difference).max() <= 0.5 + 1e-3


@settings(max_examples=60, deadline=None)
@given(frames, st.integers(0, 2**32))
def test_a_mask_pixel_is_set_if_half_of_its_area_is(sizes, seed):
    height, width, tall, wide = sizes
    frame = Frame(min(height, tall), min(width, wide))
    random = np.random.default_rng(seed)
    masks = random.random((3, tall, wide)) < np.array([0.5, 0.1, 0.0]).reshape(3, 1, 1)
    resized = resize_masks(masks, frame)
    assert resized.dtype == np.bool_
    assert resized.shape == (3, *frame)
    for mask, plane in zip(masks, resized, strict=True):
        for row, expected in zip(plane.tolist(), exact_means(mask, frame), strict=True):
            for kept, share in zip(row, expected, strict=True):
                if abs(share - Fraction(1, 2)) > Fraction(1, 1000):
                    assert kept == (share > Fraction(1, 2))


@pytest.mark.parametrize(("tall", "wide"), [(2, 1), (1, 2), (2, 2), (4, 1), (2, 3), (4, 4)])
def test_exactly_half_is_enough(tall, wide):
    random = np.random.default_rng(0)
    half = np.arange(tall * wide) < tall * wide // 2
    blocks = [[random.permutation(half).reshape(tall, wide) for _ in range(5)] for _ in range(4)]
    assert resize_masks(np.block(blocks)[None], Frame(4, 5)).all()
    for line in blocks:
        for block in line:
            block[tuple(np.argwhere(block)[0])] = False
    assert not resize_masks(np.block(blocks)[None], Frame(4, 5)).any()


def test_a_picture_of_the_right_size_is_returned_unchanged():
    picture = np.random.default_rng(0).integers(0, 256, (9, 7)).astype(np.uint8)
    masks = picture[None] > 100
    assert resize_picture(picture, Frame(9, 7)) is picture
    assert resize_masks(masks, Frame(9, 7)) is masks


def test_a_thin_bright_scratch_stays_visible():
    picture = np.zeros((64, 64), np.uint8)
    picture[:, 21] = 240
    assert (resize_picture(picture, Frame(16, 16)).max(1) == 60).all()


def test_picture_and_masks_stay_aligned():
    picture = np.zeros((60, 90), np.uint8)
    picture[20:40, 30:75] = 255
    for frame in (Frame(30, 45), Frame(23, 31), Frame(7, 50)):
        masks = resize_masks(picture[None] > 0, frame)
        assert np.array_equal(masks[0], resize_picture(picture, frame) >= 128)
