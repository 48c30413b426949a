"""Which predictions become pseudo-labels: cases for the rule of each solution."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from pydantic import TypeAdapter

from steelscan.recipes import (
    ConfidentAndAgreed,
    ConfidentClasses,
    ConfidentPixels,
    ConfidentStrips,
    PseudoRule,
    StripPrediction,
    accepted_classes,
)
from steelscan.recipes.catalog import load
from steelscan.strip import RecipeError

RULES = [
    ConfidentAndAgreed(),
    ConfidentStrips(),
    ConfidentPixels(),
    ConfidentClasses(min_probability=(0.85, 0.0, 0.75, 0.0)),
]


def prediction(classes, present=(), pixels=None, segmented=None):
    """Return the prediction for a strip; present classes count from 0."""
    if pixels is None:
        pixels = np.zeros((len(classes), 8, 8))
    return StripPrediction(
        np.array(classes, np.float32),
        np.asarray(pixels, np.float32),
        np.isin(np.arange(len(classes)), present),
        np.ones(len(classes), np.bool_) if segmented is None else np.array(segmented),
    )


def accepts(rule, given):
    """Return whether a rule accepts all classes of a strip; one of whole strips: all or none."""
    accepted = accepted_classes(rule, given)
    assert (accepted.dtype, accepted.shape) == (np.bool_, given.classes.shape)
    assert isinstance(rule, ConfidentPixels) or len(set(accepted.tolist())) == 1
    return bool(accepted.all())


def test_the_suite_holds_every_rule():
    kinds = get_args(get_args(PseudoRule)[0])
    assert len(kinds) == 4
    assert {type(rule) for rule in RULES} == set(kinds)


@pytest.mark.parametrize(
    ("classes", "present", "accepted"),
    [
        ((0.01, 0.02, 0.97, 0.0), (2,), True),
        ((0.01, 0.02, 0.03, 0.0), (), True),
        ((0.01, 0.02, 0.97, 0.0), (), False),  # the segmenter does not agree
        ((0.01, 0.02, 0.03, 0.0), (0,), False),
        ((0.01, 0.02, 0.94, 0.0), (2,), False),  # not confident enough
        ((0.06, 0.02, 0.97, 0.0), (2,), False),
        ((0.05, 0.02, 0.97, 0.0), (2,), False),  # below, not at
    ],
)
def test_the_first_accepts_strips_with_two_confident_networks(classes, present, accepted):
    assert (
        accepts(ConfidentAndAgreed(low=0.05, high=0.95), prediction(classes, present)) == accepted
    )


@pytest.mark.parametrize(
    ("classes", "accepted"),
    [
        ((0.0, 0.0, 1.0, 0.0), True),
        ((0.05, 0.05, 0.95, 0.05), True),
        ((0.05, 0.05, 0.9, 0.05), False),
        ((0.0, 0.0, 0.8, 0.0), True),  # 0.45 on the mean
        ((0.5, 0.5, 0.5, 0.5), False),
    ],
)
def test_the_twelfth_accepts_strips_with_probabilities_far_from_one_half(classes, accepted):
    assert accepts(ConfidentStrips(margin=0.4499), prediction(classes)) == accepted


def test_the_tenth_accepts_strips_if_only_boundaries_are_uncertain():
    plane = np.full((40, 60), 0.02)
    plane[10:30, 20:50] = 0.95
    plane[8:10, 20:50] = plane[10:30, 50:52] = 0.5  # a boundary of two pixels
    whole = prediction((0.5,), pixels=plane[None])
    assert not accepts(ConfidentPixels(dilation=0, min_share=0.99), whole)
    assert accepts(ConfidentPixels(dilation=0, min_share=0.9), whole)
    assert accepts(ConfidentPixels(dilation=1, min_share=1.0), whole)  # dilated from both sides
    wide = plane.copy()
    wide[0:20, 0:19] = 0.5  # no boundary, but a large uncertain area
    assert not accepts(
        ConfidentPixels(dilation=2, min_share=0.99), prediction((0.5,), pixels=wide[None])
    )
    both = prediction((0.5, 0.5), pixels=np.stack([plane, wide]))
    assert not accepts(ConfidentPixels(dilation=2, min_share=0.99), both)
    assert accepts(ConfidentPixels(dilation=(2, 20), min_share=0.99), both)
    by_class = accepted_classes(ConfidentPixels(dilation=2, min_share=0.99), both)
    assert by_class.tolist() == [True, False]
    edge = prediction((0.5,), pixels=np.full((1, 4, 4), 0.2))
    assert not accepts(ConfidentPixels(dilation=0), edge)  # neither below 0.2 nor above 0.8


def test_the_tenth_accepts_each_class_of_a_strip_by_itself():
    """K:114465: a network per class; a pixel is confident below 0.2 or above 0.8."""
    rule = load("tenth_place").pseudo_labels.rule
    planes = np.full((4, 40, 500), 0.02)
    planes[0] = 0.5
    planes[2, :, :250] = 0.95
    planes[3, :10, :11] = 0.5  # 110 of 20,000 pixels are 0.55 %, but within the dilation
    planes[1] = 0.0
    given = prediction(
        (0.5, 0.0, 0.95, 0.5), (2,), pixels=planes, segmented=(True, False, True, True)
    )
    assert accepted_classes(rule, given).tolist() == [False, False, True, True]
    assert rule.min_share == 0.995
    shares = {0.81: True, 0.79: False, 0.21: False, 0.19: True}
    for value, accepted in shares.items():
        plane = prediction((value,), pixels=np.full((1, 40, 500), value))
        assert accepted_classes(rule.but(dilation=0), plane).tolist() == [accepted]


def test_a_class_without_segmenter_is_never_a_clean_pseudo_label():
    lax = ConfidentPixels(min_share=0.0)
    given = prediction((0.0, 0.0), segmented=(False, True))
    assert accepted_classes(lax, given).tolist() == [False, True]


@pytest.mark.parametrize(
    ("probability", "pixel", "accepted"),
    [(0.1, 0.0, True), (0.2, 0.0, False), (0.45, 0.0, False), (0.45, 0.05, True)],
)
def test_a_closed_class_is_a_clean_pseudo_label_if_the_classifier_is_confident(
    probability, pixel, accepted
):
    """A gate at one half closes it for 0.45, which is not below 0.2; no segmenter predicted it."""
    given = prediction((probability,), pixels=np.full((1, 8, 8), pixel))
    assert accepted_classes(ConfidentPixels(), given).tolist() == [accepted]


@pytest.mark.parametrize(
    ("classes", "present", "accepted"),
    [
        ((0.9, 0.0, 0.9, 0.0), (0, 2), True),
        ((0.8, 0.0, 0.9, 0.0), (0, 2), False),
        (
            (0.8, 0.0, 0.9, 0.0),
            (2,),
            True,
        ),  # class 1 is not predicted, so its probability does not matter
        ((0.0, 0.0, 0.7, 0.0), (2,), False),
        ((0.0, 0.1, 0.0, 0.1), (1, 3), True),
        ((0.85, 0.0, 0.75, 0.0), (0, 2), True),
    ],
)
def test_the_fourteenth_refuses_strips_with_an_uncertain_predicted_class(
    classes, present, accepted
):
    given = prediction(np.array(classes, np.float64), present)
    given = replace(given, classes=np.array(classes, np.float64))
    assert accepts(ConfidentClasses(min_probability=(0.85, 0.0, 0.75, 0.0)), given) == accepted


def test_settings_per_class_must_fit_the_classes():
    with pytest.raises(RecipeError, match="4 values, the data set has 2"):
        accepts(ConfidentClasses(min_probability=(0.85, 0.0, 0.75, 0.0)), prediction((0.5, 0.5)))


@pytest.mark.parametrize("rule", RULES)
def test_settings_go_to_json_and_back(rule):
    adapter = TypeAdapter(PseudoRule)
    assert adapter.validate_json(adapter.dump_json(rule)) == rule
