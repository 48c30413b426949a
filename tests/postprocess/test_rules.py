"""The cleaning rules against loops over pixels and a flood fill that know nothing of arrays."""

from fractions import Fraction
from itertools import product
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from steelscan.evaluation import Pairs, Thresholds, count_levels, count_pixels, pairs_at
from steelscan.postprocess import (
    MinArea,
    RemoveSmallComponents,
    Rule,
    Threshold,
    clean,
    lowest_level,
    min_area,
    remove_small_components,
    threshold,
)
from steelscan.strip import RecipeError

CLEANERS = {MinArea: min_area, RemoveSmallComponents: remove_small_components}
ALL_LEVELS = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
small_masks = arrays(np.bool_, (2, 7, 9), elements=st.booleans())


def flood_fill(mask):
    """The 8-connected components of a mask, each a set of ``(row, column)``."""
    left = {(row, at) for row, line in enumerate(mask.tolist()) for at, on in enumerate(line) if on}
    components = []
    while left:
        waiting, component = [left.pop()], set()
        while waiting:
            row, at = waiting.pop()
            component.add((row, at))
            around = {(row + down, at + right) for down, right in product((-1, 0, 1), repeat=2)}
            waiting += around & left
            left -= around
        components.append(component)
    return components


def test_there_are_three_rules_with_code_and_each_goes_to_json_and_back():
    rules = get_args(get_args(Rule)[0])
    assert len(rules) == 6
    rules = [rule for rule in rules if rule.built]
    assert set(rules) == {Threshold, *CLEANERS}
    for rule in rules:
        spec = rule()
        assert rule.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize("value", [0.0, 0.2, 0.3, 0.5, 0.55, 0.6, 0.7, 0.8, 0.95, 1.0])
def test_levels_decide_as_the_probabilities_they_stand_for(value):
    rule = Threshold(label=0.0, pixel=value)
    as_float = threshold((np.arange(256) / 255).astype(np.float32).reshape(1, 16, 16), rule)
    from_level = threshold(ALL_LEVELS, rule)
    exact = [Fraction(level, 255) > Fraction(str(value)) for level in range(256)]
    assert from_level.ravel().tolist() == exact
    assert as_float.ravel().tolist() == exact
    assert lowest_level(value) == exact.index(True) if any(exact) else lowest_level(value) == 256


@pytest.mark.parametrize("level", range(256))
def test_a_threshold_at_a_level_leaves_that_level_out_and_takes_the_next(level):
    assert lowest_level(level / 255) == level + 1
    assert np.count_nonzero(threshold(ALL_LEVELS, Threshold(pixel=level / 255))) == 255 - level


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_a_class_whose_highest_probability_is_not_above_the_label_is_empty(dtype):
    highest, at = (51, 51 / 255) if dtype == np.uint8 else (0.25, 0.25)
    maps = np.zeros((2, 3, 4), dtype)
    maps[:, 1, 2] = highest
    for label, expected in ((at, 0), (at - 1e-6, 1), (at + 1e-6, 0)):
        masks = threshold(maps, Threshold(label=(label, 0.0), pixel=0.1))
        assert masks.sum((1, 2)).tolist() == [expected, 1]


def test_each_class_has_its_own_numbers():
    maps = np.stack([ALL_LEVELS[0]] * 3)
    masks = threshold(maps, Threshold(label=(0.9, 1.0, 0.0), pixel=(0.5, 0.0, 0.8)))
    assert masks.sum((1, 2)).tolist() == [128, 0, 51]
    masks = np.ones((3, 2, 5), np.bool_)
    assert min_area(masks, MinArea(pixels=(10, 11, 0))).sum((1, 2)).tolist() == [10, 0, 10]
    rule = RemoveSmallComponents(pixels=(11, 10, 0))
    assert remove_small_components(masks, rule).sum((1, 2)).tolist() == [0, 10, 10]


@given(small_masks, st.tuples(st.integers(0, 40), st.integers(0, 40)))
def test_min_area_empties_a_class_or_leaves_it_whole(masks, pixels):
    cleaned = min_area(masks, MinArea(pixels=pixels))
    for before, after, least in zip(masks.tolist(), cleaned.tolist(), pixels, strict=True):
        size = sum(pixel for line in before for pixel in line)
        assert after == (before if size >= least else [[False] * 9] * 7)


@given(st.integers(0, 2**32), st.tuples(st.integers(0, 12), st.integers(0, 12)))
def test_small_components_are_those_of_a_flood_fill(seed, pixels):
    random = np.random.default_rng(seed)
    masks = random.random((2, 7, 9)) < random.uniform(0.1, 0.6)  # dense: many touch at corners
    cleaned = remove_small_components(masks, RemoveSmallComponents(pixels=pixels))
    for before, after, least in zip(masks, cleaned, pixels, strict=True):
        kept = [part for part in flood_fill(before) if len(part) >= least]
        expected = set().union(*kept)
        assert {(int(row), int(at)) for row, at in np.argwhere(after)} == expected


def test_components_touch_at_corners_and_not_around_the_edge():
    mask = np.zeros((1, 4, 6), np.bool_)
    mask[0, [0, 1, 2], [0, 1, 2]] = True  # one diagonal of three
    mask[0, [0, 3], [5, 5]] = True  # two single pixels, neighbours only around the edge
    cleaned = remove_small_components(mask, RemoveSmallComponents(pixels=2))
    assert np.argwhere(cleaned[0]).tolist() == [[0, 0], [1, 1], [2, 2]]


@pytest.mark.parametrize("kind", CLEANERS)
@settings(max_examples=50)
@given(masks=small_masks, pixels=st.integers(0, 30))
def test_cleaning_only_removes_and_a_second_time_changes_nothing(kind, masks, pixels):
    before = masks.copy()
    cleaned = CLEANERS[kind](masks, kind(pixels=pixels))
    assert np.array_equal(masks, before)  # what came in is left alone
    assert cleaned.dtype == np.bool_
    assert not (cleaned & ~masks).any()
    assert np.array_equal(CLEANERS[kind](cleaned, kind(pixels=pixels)), cleaned)
    assert np.array_equal(CLEANERS[kind](masks, kind(pixels=0)), masks)


def test_rules_are_applied_in_the_order_they_stand_in():
    levels = np.zeros((1, 4, 9), np.uint8)
    levels[0, 0, :3] = levels[0, 3, ::2] = 255  # a part of three pixels and five of one
    speck, whole = RemoveSmallComponents(pixels=2), MinArea(pixels=8)
    assert clean(levels, [Threshold(), whole, speck]).sum() == 3
    assert clean(levels, [Threshold(), speck, whole]).sum() == 0


def test_other_orders_than_one_threshold_first_are_refused():
    levels = np.zeros((1, 4, 4), np.uint8)
    for rules in ([], [MinArea()], [MinArea(), Threshold()]):
        with pytest.raises(RecipeError, match="Put Threshold first"):
            clean(levels, rules)
    with pytest.raises(RecipeError, match="second threshold"):
        clean(levels, [Threshold(), MinArea(), Threshold()])


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        (Threshold(label=(0.5, 0.5, 0.5)), "Threshold.label"),
        (Threshold(pixel=(0.5,)), "Threshold.pixel"),
        (MinArea(pixels=(1, 2, 3)), "MinArea.pixels"),
        (RemoveSmallComponents(pixels=(1,)), "RemoveSmallComponents.pixels"),
    ],
)
def test_numbers_for_other_classes_are_refused_by_their_field(rule, field):
    rules = [rule] if isinstance(rule, Threshold) else [Threshold(), rule]
    with pytest.raises(RecipeError, match=field):
        clean(np.full((2, 4, 4), 255, np.uint8), rules)


@pytest.mark.parametrize("seed", range(8))
def test_cleaned_maps_have_the_pixel_counts_of_their_histograms(seed):
    random = np.random.default_rng(seed)
    label, pixel = (tuple((random.integers(0, 17, 3) / 20).tolist()) for _ in range(2))
    area = tuple(random.integers(0, 40, 3).tolist())
    rules = [Threshold(label=label, pixel=pixel), MinArea(pixels=area)]
    strips = []
    for _ in range(20):
        highest = random.integers(1, 257, (3, 1, 1))
        maps = random.integers(0, highest, (3, 8, 11)).astype(np.uint8)
        strips.append((maps, random.random((3, 8, 11)) < random.random((3, 1, 1)) - 0.3))
    levels = np.stack([count_levels(*strip) for strip in strips])
    found = pairs_at(levels, Thresholds(label=label, pixel=pixel, area=area))
    expected = Pairs.of([count_pixels(clean(maps, rules), truth) for maps, truth in strips])
    for field in ("predicted", "truth", "shared"):
        assert np.array_equal(getattr(found, field), getattr(expected, field))
    assert expected.predicted.any()
