"""Properties of all rules: JSON round trip, shapes, types, order, classes, errors."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from steelscan.evaluation.metrics import Pairs, count_pixels
from steelscan.evaluation.tuning import Thresholds, pairs_at, strip_histograms
from steelscan.postprocess import (
    Binarizer,
    Cleaner,
    FillEdges,
    FillHoles,
    MinArea,
    OneClassPerPixel,
    Polygons,
    RemoveSmallComponents,
    Rule,
    ScaledMinArea,
    Threshold,
    Triplet,
    clean,
    threshold,
)
from steelscan.postprocess.areas import min_area, one_class_per_pixel, scaled_min_area
from steelscan.postprocess.components import fill_holes, remove_small_components
from steelscan.postprocess.outlines import fill_edges, polygons
from steelscan.postprocess.thresholds import triplet
from steelscan.strip.errors import InputError, RecipeError

BINARIZERS = {Threshold: threshold, Triplet: triplet}
CLASSES = np.array([0.25, 1.0], np.float32)
CLEANERS = {
    MinArea: lambda masks, rule, _: min_area(masks, rule),
    ScaledMinArea: lambda masks, rule, _: scaled_min_area(masks, rule, CLASSES),
    RemoveSmallComponents: lambda masks, rule, _: remove_small_components(masks, rule),
    FillHoles: lambda masks, rule, _: fill_holes(masks, rule),
    FillEdges: lambda masks, rule, _: fill_edges(masks, rule),
    Polygons: lambda masks, rule, _: polygons(masks, rule),
    OneClassPerPixel: lambda masks, _, maps: one_class_per_pixel(masks, maps),
}
SAMPLES = (
    Threshold(label=0.6, pixel=0.4),
    Triplet(top=0.6, area=3, bottom=0.3),
    MinArea(pixels=20),
    ScaledMinArea(pixels=10),
    RemoveSmallComponents(pixels=3),
    FillHoles(pixels=3),
    FillEdges(pixels=3),
    Polygons(),
    OneClassPerPixel(),
)
OTHERS = {
    ("threshold", "label"): 0.95,
    ("threshold", "pixel"): 0.8,
    ("triplet", "top"): 0.9,
    ("triplet", "area"): 30,
    ("triplet", "bottom"): 0.7,
    ("min_area", "pixels"): 45,
    ("scaled_min_area", "pixels"): 3,
    ("scaled_min_area", "factor"): 1.0,
    ("remove_small_components", "pixels"): 12,
    ("fill_holes", "pixels"): 2,
    ("fill_edges", "pixels"): 9,
    ("polygons", "eps"): 2.5,
}
CUT = Threshold(label=0.0, pixel=0.5)
maps = arrays(np.uint8, (2, 9, 13), elements=st.sampled_from([0, 90, 127, 128, 140, 200, 255]))


def rules_for(rule):
    """A list of rules with this one: a binarizer alone, a cleaner after one."""
    return [rule] if isinstance(rule, Binarizer) else [CUT, rule]


def kind(rule):
    return rule.kind


def test_nine_rules_round_trip_through_json():
    assert get_args(get_args(Rule)[0]) == tuple(map(type, SAMPLES))
    assert len(SAMPLES) == 9
    assert set(get_args(Binarizer)) == set(BINARIZERS)
    assert set(get_args(Cleaner)) == set(CLEANERS)
    assert len({rule.kind for rule in SAMPLES}) == 9
    for rule in SAMPLES:
        assert type(rule).model_validate_json(rule.model_dump_json()) == rule
    assert FillHoles.model_validate_json(FillHoles().model_dump_json()) == FillHoles(pixels=None)
    fields = {(rule.kind, name) for rule in SAMPLES for name in type(rule).model_fields}
    assert {(kind, name) for kind, name in fields if name != "kind"} == set(OTHERS)


@pytest.mark.parametrize("rule", SAMPLES, ids=kind)
@settings(max_examples=25)
@given(maps_u8=maps)
def test_uint8_and_float32_give_the_same_masks_and_are_not_changed(rule, maps_u8):
    before = maps_u8.copy()
    floats = (maps_u8 / 255).astype(np.float32)
    masks = clean(maps_u8, rules_for(rule), CLASSES)
    assert masks.dtype == np.bool_
    assert masks.shape == maps_u8.shape
    assert np.array_equal(clean(floats, rules_for(rule), CLASSES), masks)
    assert np.array_equal(maps_u8, before)
    assert np.array_equal(floats, (before / 255).astype(np.float32))
    if isinstance(rule, Binarizer):
        assert np.array_equal(BINARIZERS[type(rule)](maps_u8, rule), masks)
    else:
        # on the whole plane, while `clean` uses only the box of the predicted pixels
        plain = threshold(maps_u8, CUT)
        before_rule = plain.copy()
        cleaned = CLEANERS[type(rule)](plain, rule, maps_u8)
        assert np.array_equal(cleaned, masks)
        assert not np.shares_memory(cleaned, plain)
        assert np.array_equal(plain, before_rule)
        turned = np.asfortranarray(plain)
        assert np.array_equal(CLEANERS[type(rule)](turned, rule, maps_u8), masks)


@pytest.mark.parametrize("shape", [(2, 9, 13), (2, 1, 1), (2, 1, 40), (2, 40, 1)])
@pytest.mark.parametrize("rule", SAMPLES, ids=kind)
def test_empty_masks_stay_empty_and_full_ones_full(rule, shape):
    assert not clean(np.zeros(shape, np.uint8), rules_for(rule), CLASSES).any()
    full = clean(np.full(shape, 255, np.uint8), rules_for(rule), CLASSES)
    size = shape[1] * shape[2]
    match rule:
        case OneClassPerPixel():
            expected = [size, 0]  # of equals the lower id
        case ScaledMinArea(pixels=least):
            expected = [size if size >= each * least else 0 for each in (4, 1)]
        case MinArea(pixels=least) | RemoveSmallComponents(pixels=least) | FillEdges(pixels=least):
            expected = [size if size >= least else 0] * 2
        case Triplet(area=least):
            expected = [size if size >= least else 0] * 2
        case _:
            expected = [size] * 2
    assert full.sum((1, 2)).tolist() == expected


@pytest.mark.parametrize("place", OTHERS, ids=".".join)
@settings(max_examples=25)
@given(maps_u8=maps)
def test_each_class_has_its_own_numbers(place, maps_u8):
    name, field = place
    rule = next(rule for rule in SAMPLES if rule.kind == name)
    values = getattr(rule, field), OTHERS[place]
    masks = clean(maps_u8, rules_for(rule.but(**{field: values})), CLASSES)
    for index, value in enumerate(values):
        alone = clean(maps_u8, rules_for(rule.but(**{field: value})), CLASSES)
        assert np.array_equal(masks[index], alone[index])


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("place", OTHERS, ids=".".join)
def test_a_wrong_number_of_values_is_refused_by_field(place, level, count):
    name, field = place
    rule = next(rule for rule in SAMPLES if rule.kind == name)
    wrong = rule.but(**{field: (OTHERS[place],) * count})
    found = rf"{type(rule).__name__}\.{field}: holds {count} values"
    with pytest.raises(RecipeError, match=found):
        clean(np.full((2, 4, 4), level, np.uint8), rules_for(wrong), CLASSES)


def test_rules_are_applied_in_order():
    maps_u8 = np.zeros((1, 4, 9), np.uint8)
    maps_u8[0, 0, :3] = maps_u8[0, 3, ::2] = 255  # a part of three pixels and five of one
    speck, whole = RemoveSmallComponents(pixels=2), MinArea(pixels=8)
    assert clean(maps_u8, [Threshold(), whole, speck]).sum() == 3
    assert clean(maps_u8, [Threshold(), speck, whole]).sum() == 0


@settings(max_examples=150)
@given(maps, st.lists(st.sampled_from(SAMPLES[2:]), max_size=4))
def test_cleaning_is_one_rule_after_the_other(maps_u8, rules):
    masks = threshold(maps_u8, CUT)
    for rule in rules:
        masks = CLEANERS[type(rule)](masks, rule, maps_u8)
    assert np.array_equal(clean(maps_u8, [CUT, *rules], CLASSES), masks)


@pytest.mark.parametrize("first", SAMPLES[:2], ids=kind)
def test_only_one_threshold_at_the_beginning_is_allowed(first):
    maps_u8 = np.zeros((1, 4, 4), np.uint8)
    for rules in ([], [MinArea()], [MinArea(), first]):
        with pytest.raises(RecipeError, match="Put Threshold first, or Triplet"):
            clean(maps_u8, rules)
    for second in SAMPLES[:2]:
        with pytest.raises(RecipeError, match="second threshold"):
            clean(maps_u8, [first, MinArea(), second])


def test_class_probabilities_are_required_only_by_the_rule_that_uses_them():
    maps_u8 = np.full((2, 4, 4), 255, np.uint8)
    assert clean(maps_u8, [Threshold(), MinArea()]).all()
    with pytest.raises(RecipeError, match=r"ScaledMinArea: needs .* Classify first"):
        clean(maps_u8, [Threshold(), ScaledMinArea(pixels=1)])
    for wrong in (np.ones(3, np.float32), np.ones((2, 1), np.float32)):
        with pytest.raises(InputError, match="Give one probability per class"):
            clean(maps_u8, [Threshold()], wrong)


@pytest.mark.parametrize("seed", range(8))
def test_cleaned_maps_have_the_pixel_counts_of_their_histograms(seed):
    random = np.random.default_rng(seed)
    label, pixel = (tuple((random.integers(0, 17, 3) / 20).tolist()) for _ in range(2))
    area = tuple(random.integers(0, 40, 3).tolist())
    rules = [Threshold(label=label, pixel=pixel), MinArea(pixels=area)]
    strips = []
    for _ in range(20):
        highest = random.integers(1, 257, (3, 1, 1))
        drawn = random.integers(0, highest, (3, 8, 11)).astype(np.uint8)
        strips.append((drawn, random.random((3, 8, 11)) < random.random((3, 1, 1)) - 0.3))
    maps_u8 = np.stack([strip_histograms(*strip) for strip in strips])
    found = pairs_at(maps_u8, Thresholds(label=label, pixel=pixel, area=area))
    expected = Pairs.of([count_pixels(clean(drawn, rules), truth) for drawn, truth in strips])
    for field in ("predicted", "truth", "shared"):
        assert np.array_equal(getattr(found, field), getattr(expected, field))
    assert expected.predicted.any()
