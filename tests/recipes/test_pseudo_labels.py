"""Which answers teach: hand-made cases for the rule of each solution."""

from typing import get_args

import numpy as np
import pytest
from pydantic import TypeAdapter

from steelscan.recipes import (
    Answer,
    ConfidentAndAgreed,
    ConfidentClasses,
    ConfidentPixels,
    ConfidentStrips,
    PseudoRule,
    teaches,
)
from steelscan.strip import RecipeError

RULES = [
    ConfidentAndAgreed(),
    ConfidentStrips(),
    ConfidentPixels(),
    ConfidentClasses(least=(0.85, 0.0, 0.75, 0.0)),
]


def answer(classes, found=(), pixels=None):
    """What was said of a strip; classes that were found count from 0."""
    if pixels is None:
        pixels = np.zeros((len(classes), 8, 8))
    return Answer(
        np.array(classes, np.float32),
        np.asarray(pixels, np.float32),
        np.isin(np.arange(len(classes)), found),
    )


def test_the_suite_holds_every_rule():
    kinds = get_args(get_args(PseudoRule)[0])
    assert len(kinds) == 4
    assert {type(rule) for rule in RULES} == set(kinds)


@pytest.mark.parametrize(
    ("classes", "found", "taken"),
    [
        ((0.01, 0.02, 0.97, 0.0), (2,), True),
        ((0.01, 0.02, 0.03, 0.0), (), True),
        ((0.01, 0.02, 0.97, 0.0), (), False),  # the segmenter does not agree
        ((0.01, 0.02, 0.03, 0.0), (0,), False),
        ((0.01, 0.02, 0.94, 0.0), (2,), False),  # not sure enough
        ((0.06, 0.02, 0.97, 0.0), (2,), False),
        ((0.05, 0.02, 0.97, 0.0), (2,), False),  # below, not at
    ],
)
def test_the_first_takes_strips_of_which_both_networks_are_sure(classes, found, taken):
    assert teaches(ConfidentAndAgreed(low=0.05, high=0.95), answer(classes, found)) == taken


@pytest.mark.parametrize(
    ("classes", "taken"),
    [
        ((0.0, 0.0, 1.0, 0.0), True),
        ((0.05, 0.05, 0.95, 0.05), True),
        ((0.05, 0.05, 0.9, 0.05), False),
        ((0.0, 0.0, 0.8, 0.0), True),  # 0.45 on the mean
        ((0.5, 0.5, 0.5, 0.5), False),
    ],
)
def test_the_twelfth_takes_strips_whose_classes_lie_far_from_one_half(classes, taken):
    assert teaches(ConfidentStrips(apart=0.4499), answer(classes)) == taken


def test_the_tenth_takes_strips_whose_unsure_pixels_are_only_boundaries():
    plane = np.full((40, 60), 0.02)
    plane[10:30, 20:50] = 0.95
    plane[8:10, 20:50] = plane[10:30, 50:52] = 0.5  # a boundary of two pixels
    whole = answer((0.5,), pixels=plane[None])
    assert not teaches(ConfidentPixels(grown=0, least=0.99), whole)
    assert teaches(ConfidentPixels(grown=0, least=0.9), whole)
    assert teaches(ConfidentPixels(grown=1, least=1.0), whole)  # grown from both of its sides
    wide = plane.copy()
    wide[0:20, 0:19] = 0.5  # no boundary: an area of which nothing is known
    assert not teaches(ConfidentPixels(grown=2, least=0.99), answer((0.5,), pixels=wide[None]))
    both = answer((0.5, 0.5), pixels=np.stack([plane, wide]))
    assert not teaches(ConfidentPixels(grown=2, least=0.99), both)
    assert teaches(ConfidentPixels(grown=(2, 20), least=0.99), both)
    edge = answer((0.5,), pixels=np.full((1, 4, 4), 0.2))
    assert not teaches(ConfidentPixels(grown=0), edge)  # neither below 0.2 nor above 0.8


@pytest.mark.parametrize(
    ("classes", "found", "taken"),
    [
        ((0.9, 0.0, 0.9, 0.0), (0, 2), True),
        ((0.8, 0.0, 0.9, 0.0), (0, 2), False),
        ((0.8, 0.0, 0.9, 0.0), (2,), True),  # class 1 was not found, so its doubt does no harm
        ((0.0, 0.0, 0.7, 0.0), (2,), False),
        ((0.0, 0.1, 0.0, 0.1), (1, 3), True),
        ((0.85, 0.0, 0.75, 0.0), (0, 2), True),
    ],
)
def test_the_fourteenth_leaves_out_found_classes_that_are_in_doubt(classes, found, taken):
    given = answer(np.array(classes, np.float64), found)
    given = Answer(np.array(classes, np.float64), given.pixels, given.found)
    assert teaches(ConfidentClasses(least=(0.85, 0.0, 0.75, 0.0)), given) == taken


def test_settings_a_class_fit_the_classes():
    with pytest.raises(RecipeError, match="4 values, the data set has 2"):
        teaches(ConfidentClasses(least=(0.85, 0.0, 0.75, 0.0)), answer((0.5, 0.5)))


@pytest.mark.parametrize("rule", RULES)
def test_settings_go_to_json_and_back(rule):
    adapter = TypeAdapter(PseudoRule)
    assert adapter.validate_json(adapter.dump_json(rule)) == rule
