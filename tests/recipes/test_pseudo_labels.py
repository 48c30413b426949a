"""Which predictions become pseudo-labels: cases for the rule of each solution."""

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
    accepts,
)
from steelscan.strip.errors import RecipeError

RULES = [
    ConfidentAndAgreed(),
    ConfidentStrips(),
    ConfidentPixels(),
    ConfidentClasses(min_probability=(0.85, 0.0, 0.75, 0.0)),
]


def prediction(classes, present=(), pixels=None):
    """Return the prediction for a strip; present classes count from 0."""
    if pixels is None:
        pixels = np.zeros((len(classes), 8, 8))
    return StripPrediction(
        np.array(classes, np.float32),
        np.asarray(pixels, np.float32),
        np.isin(np.arange(len(classes)), present),
    )


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
    edge = prediction((0.5,), pixels=np.full((1, 4, 4), 0.2))
    assert not accepts(ConfidentPixels(dilation=0), edge)  # neither below 0.2 nor above 0.8


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
    given = StripPrediction(np.array(classes, np.float64), given.pixels, given.present)
    assert accepts(ConfidentClasses(min_probability=(0.85, 0.0, 0.75, 0.0)), given) == accepted


def test_settings_per_class_must_fit_the_classes():
    with pytest.raises(RecipeError, match="4 values, the data set has 2"):
        accepts(ConfidentClasses(min_probability=(0.85, 0.0, 0.75, 0.0)), prediction((0.5, 0.5)))


@pytest.mark.parametrize("rule", RULES)
def test_settings_go_to_json_and_back(rule):
    adapter = TypeAdapter(PseudoRule)
    assert adapter.validate_json(adapter.dump_json(rule)) == rule
