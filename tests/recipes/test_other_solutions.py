"""The format of submissions, and the areas of the 55th place."""

import numpy as np

from steelscan.postprocess import ScaledMinArea, Threshold, clean
from steelscan.strip import Frame, decode, encode

STRIP = Frame(256, 1600)


def test_masks_at_the_border_of_a_strip_are_the_run_lengths_of_the_competition(blocks, maps_of):
    """Pixels are numbered from 1, down each column first; the last one is 409600."""
    full = blocks((0, 0, 256, 1600))
    corners = blocks((0, 0, 1, 1), (255, 1599, 1, 1))
    edges = blocks((0, 3, 1, 2), (255, 3, 1, 1))
    maps = maps_of((full, corners, edges, ~full), 1.0)
    masks = clean(maps, [Threshold()])
    expected = ["1 409600", "1 1 409600 1", "769 1 1024 2", ""]
    assert [encode(mask) for mask in masks] == expected
    for text, mask in zip(expected, masks, strict=True):
        assert np.array_equal(decode(text, STRIP), mask)
        assert np.array_equal(np.flatnonzero(mask.T), pixels_of(text))


def pixels_of(text):
    """Return the numbers of the pixels, from 0, by the definition of run lengths."""
    numbers = [int(number) for number in text.split()]
    runs = zip(numbers[::2], numbers[1::2], strict=True)
    return [start - 1 + step for start, length in runs for step in range(length)]


def test_the_area_of_the_55th_is_scaled_by_one_to_five(maps_of):
    """Its code: t = t0 * f - t0 * (f - 1) * p with f = 5; areas 600, 600, 1000, 2000."""
    least = (600, 600, 1000, 2000)
    rules = (Threshold(), ScaledMinArea(pixels=least))
    for probability, factor in ((1.0, 1), (0.5, 3), (0.0, 5)):
        probabilities = np.full(4, probability, np.float32)
        for pixels, stays in ((0, True), (-1, False)):
            masks = np.zeros((4, 100 * 200), np.bool_)
            for mask, area in zip(masks, least, strict=True):
                mask[: factor * area + pixels] = True
            found = clean(maps_of(masks.reshape(4, 100, 200), 1.0), rules, probabilities)
            assert found.any((1, 2)).tolist() == [stays] * 4
