"""Rules on probabilities and areas, against exact fractions and loops over pixels."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from steelscan.postprocess import (
    FillHoles,
    MinArea,
    OneClassPerPixel,
    RemoveSmallComponents,
    ScaledMinArea,
    Threshold,
    Triplet,
    clean,
    lowest_u8_above,
    threshold,
)
from steelscan.postprocess.areas import min_area, one_class_per_pixel, scaled_area, scaled_min_area
from steelscan.postprocess.components import remove_small_components
from steelscan.postprocess.thresholds import triplet

ALL_VALUES = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
VALUES = [0.0, 0.2, 0.3, 0.5, 0.55, 0.6, 0.7, 0.8, 0.95, 1.0]
three_maps = arrays(np.uint8, (3, 5, 6), elements=st.sampled_from([0, 77, 128, 129, 255]))
shares = st.sampled_from(VALUES)


@pytest.mark.parametrize("value", VALUES)
def test_uint8_and_float32_probabilities_decide_alike(value):
    exact = [Fraction(level, 255) > Fraction(str(value)) for level in range(256)]
    floats = (np.arange(256) / 255).astype(np.float32).reshape(1, 16, 16)
    for maps in (floats, ALL_VALUES):
        masks = threshold(maps, Threshold(label=0.0, pixel=value))
        assert masks.ravel().tolist() == exact
        masks = triplet(maps, Triplet(top=0.0, area=1, bottom=value))
        assert masks.ravel().tolist() == exact
        # the number of pixels above the top decides, to the pixel
        passes = Triplet(top=value, area=sum(exact), bottom=0.5)
        assert triplet(maps, passes).sum() == 128
        assert not triplet(maps, passes.but(area=sum(exact) + 1)).any()
    assert (
        lowest_u8_above(value) == exact.index(True) if any(exact) else lowest_u8_above(value) == 256
    )


@pytest.mark.parametrize("level", range(256))
def test_a_threshold_equal_to_a_uint8_value_excludes_it(level):
    assert lowest_u8_above(level / 255) == level + 1
    assert np.count_nonzero(threshold(ALL_VALUES, Threshold(pixel=level / 255))) == 255 - level


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_a_class_whose_highest_probability_is_not_above_the_label_is_empty(dtype):
    highest, at = (51, 51 / 255) if dtype == np.uint8 else (0.25, 0.25)
    maps = np.zeros((2, 3, 4), dtype)
    maps[:, 1, 2] = highest
    for label, expected in ((at, 0), (at - 1e-6, 1), (at + 1e-6, 0)):
        masks = threshold(maps, Threshold(label=(label, 0.0), pixel=0.1))
        assert masks.sum((1, 2)).tolist() == [expected, 1]


def test_each_class_has_its_own_numbers():
    maps = np.stack([ALL_VALUES[0]] * 3)
    masks = threshold(maps, Threshold(label=(0.9, 1.0, 0.0), pixel=(0.5, 0.0, 0.8)))
    assert masks.sum((1, 2)).tolist() == [128, 0, 51]
    masks = triplet(maps, Triplet(top=(0.5, 0.5, 0.8), area=(128, 129, 51), bottom=(0.8, 0.0, 0.5)))
    assert masks.sum((1, 2)).tolist() == [51, 0, 128]
    masks = np.ones((3, 2, 5), np.bool_)
    assert min_area(masks, MinArea(pixels=(10, 11, 0))).sum((1, 2)).tolist() == [10, 0, 10]
    rule = RemoveSmallComponents(pixels=(11, 10, 0))
    assert remove_small_components(masks, rule).sum((1, 2)).tolist() == [0, 10, 10]


@given(three_maps, shares, shares, st.integers(0, 31))
def test_triplets_are_those_of_a_loop_over_pixels(maps_u8, top, bottom, area):
    masks = triplet(maps_u8, Triplet(top=top, area=area, bottom=bottom))
    for plane, mask in zip(maps_u8.tolist(), masks.tolist(), strict=True):
        exact = [[Fraction(level, 255) for level in line] for line in plane]
        passes = sum(p > Fraction(str(top)) for line in exact for p in line) >= area
        assert mask == [[passes and p > Fraction(str(bottom)) for p in line] for line in exact]


@given(three_maps, shares, shares)
def test_a_triplet_of_one_pixel_is_a_threshold_and_of_none_has_no_top(maps_u8, top, bottom):
    one = triplet(maps_u8, Triplet(top=top, area=1, bottom=bottom))
    assert np.array_equal(one, threshold(maps_u8, Threshold(label=top, pixel=bottom)))
    none = triplet(maps_u8, Triplet(top=top, area=0, bottom=bottom))
    assert np.array_equal(none, triplet(maps_u8, Triplet(top=0.0, area=0, bottom=bottom)))


@given(arrays(np.bool_, (3, 5, 6), elements=st.booleans()), three_maps)
def test_one_class_per_pixel_is_the_most_probable_of_those_predicted(masks, maps_u8):
    cleaned = one_class_per_pixel(masks, maps_u8)
    floats = (maps_u8 / 255).astype(np.float32)
    assert np.array_equal(one_class_per_pixel(masks, floats), cleaned)
    for row, at in np.ndindex(5, 6):
        predicted = [index for index in range(3) if masks[index, row, at]]
        best = max(predicted, key=lambda index: (maps_u8[index, row, at], -index), default=None)
        expected = [index == best for index in range(3)]
        assert cleaned[:, row, at].tolist() == expected
    assert np.array_equal(one_class_per_pixel(cleaned, maps_u8), cleaned)


def test_one_class_per_pixel_uses_the_masks_of_the_rules_before_it():
    maps_u8 = np.zeros((2, 5, 5), np.uint8)
    maps_u8[1, 1:4, 1:4], maps_u8[1, 2, 2] = 200, 0  # a ring
    maps_u8[0, 2, 2] = 150
    rules = [Threshold(), OneClassPerPixel()]
    assert clean(maps_u8, rules).sum((1, 2)).tolist() == [1, 8]
    assert clean(maps_u8, [*rules, FillHoles()]).sum((1, 2)).tolist() == [1, 9]
    assert clean(maps_u8, [rules[0], FillHoles(), rules[1]]).sum((1, 2)).tolist() == [1, 8]
    speckless = [rules[0], FillHoles(), MinArea(pixels=2), rules[1]]
    assert clean(maps_u8, speckless).sum((1, 2)).tolist() == [0, 9]


def test_the_area_at_probabilities_of_zero_half_and_one():
    for least in (0, 1, 600, 2000):
        assert scaled_area(least, 1.0) == least
        assert scaled_area(least, 0.0) == 5 * least
        assert scaled_area(least, 0.5) == 3 * least
        assert scaled_area(least, 0.0, 1.0) == scaled_area(least, 1.0, 7.5) == least


@given(st.integers(0, 5000), st.fractions(0, 1, max_denominator=99), st.fractions(1, 9))
def test_the_area_is_the_formula_of_the_55th_and_falls_with_the_probability(least, p, factor):
    found = scaled_area(least, float(p), float(factor))
    assert found == pytest.approx(float(least * factor - least * (factor - 1) * p), abs=1e-6)
    assert found >= scaled_area(least, 1.0, float(factor)) - 1e-6


@given(arrays(np.bool_, (2, 7, 9)), st.integers(0, 40), st.integers(0, 4), st.integers(0, 4))
def test_a_scaled_area_is_a_minimum_area_per_class(masks, least, one, other):
    classes = np.array([one, other], np.float32) / 4  # these areas are whole numbers
    areas = tuple(5 * least - least * each for each in (one, other))
    found = scaled_min_area(masks, ScaledMinArea(pixels=least), classes)
    assert np.array_equal(found, min_area(masks, MinArea(pixels=areas)))


def test_the_area_of_a_class_that_is_not_classified_is_not_scaled():
    masks = np.ones((3, 2, 5), np.bool_)
    classes = np.array([np.nan, 0, 1], np.float32)
    for least, left in ((10, [10, 0, 10]), (11, [0, 0, 0]), (2, [10, 10, 10])):
        found = scaled_min_area(masks, ScaledMinArea(pixels=least), classes)
        assert found.sum((1, 2)).tolist() == left
