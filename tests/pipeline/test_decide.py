"""From what the networks say to masks: gates, rules, and the numbers that can be tuned."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelscan.data import WholeStrip
from steelscan.evaluation import Thresholds
from steelscan.losses import BCE
from steelscan.models import Classifier
from steelscan.pipeline import Classify
from steelscan.pipeline.decide import decide, gated, numbers, passing, with_numbers
from steelscan.postprocess import MinArea, RemoveSmallComponents, Threshold, clean
from steelscan.prediction import Ensemble, Member
from steelscan.strip import RecipeError
from steelscan.training import AdamW, Training

STAGE = Training(crop=WholeStrip(), loss=BCE(), optimizer=AdamW(lr=1e-3), batch=1, epochs=1)
CLASSIFY = Classify(
    ensemble=Ensemble(members=(Member(network=Classifier(encoder="resnet10t"), stages=(STAGE,)),))
)
shares = st.tuples(*[st.integers(0, 8).map(lambda eighths: eighths / 8)] * 3)


def maps(seed=0, classes=3):
    return np.random.default_rng(seed).integers(0, 256, (classes, 6, 7)).astype(np.uint8)


@given(shares, shares)
def test_a_class_passes_when_it_is_above_its_own_threshold(says, thresholds):
    step = CLASSIFY.but(threshold=thresholds, gate="class")
    above = [said > least for said, least in zip(says, thresholds, strict=True)]
    assert passing(step, np.array(says, np.float32)).tolist() == above
    step = CLASSIFY.but(threshold=thresholds, gate="image")
    assert passing(step, np.array(says, np.float32)).tolist() == [any(above)] * 3


def test_without_a_classifier_all_classes_pass():
    assert passing(None, np.zeros(4, np.float32)).tolist() == [True] * 4


def test_one_threshold_is_that_of_every_class():
    says = np.array([0.5, 0.75, 0.25], np.float32)
    step = CLASSIFY.but(threshold=0.5, gate="class")
    assert passing(step, says).tolist() == [False, True, False]


def test_thresholds_for_other_classes_are_refused():
    with pytest.raises(RecipeError, match=r"Classify\.threshold: holds 2 values"):
        passing(CLASSIFY.but(threshold=(0.5, 0.5)), np.zeros(3, np.float32))


@given(st.lists(st.booleans(), min_size=3, max_size=3), st.integers(0, 99))
def test_the_gate_empties_closed_classes_and_leaves_the_others(passes, seed):
    levels = maps(seed)
    closed = gated(levels, np.array(passes))
    assert closed.dtype == np.uint8
    for before, after, opened in zip(levels, closed, passes, strict=True):
        assert np.array_equal(after, before if opened else np.zeros_like(before))
    assert np.array_equal(levels, maps(seed))


@pytest.mark.parametrize("lowest", [0.0, 0.5])
@pytest.mark.parametrize("passes", [(True, False, True), (False, False, False)])
def test_decided_masks_are_the_cleaned_ones_of_open_classes(passes, lowest):
    rules = (Threshold(label=lowest, pixel=lowest), RemoveSmallComponents(pixels=3), MinArea())
    levels = maps()
    masks = decide(levels, np.array(passes), rules)
    expected = clean(levels, rules)
    assert expected.any((1, 2)).all()
    for mask, whole, opened in zip(masks, expected, passes, strict=True):
        assert np.array_equal(mask, whole if opened else np.zeros_like(whole))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((Threshold(label=0.7, pixel=(0.1, 0.2)),), ((0.7, 0.7), (0.1, 0.2), (0, 0))),
        ((Threshold(), MinArea(pixels=(5, 6))), ((0.5, 0.5), (0.5, 0.5), (5, 6))),
    ],
)
def test_the_numbers_of_the_rules_are_read_and_put_back(rules, expected):
    found = numbers(rules, 2)
    assert (found.label, found.pixel, found.area) == expected
    again = with_numbers(found)
    levels = maps(classes=2)
    assert np.array_equal(clean(levels, again), clean(levels, rules))
    assert numbers(again, 2) == found


def test_tuned_numbers_become_a_threshold_and_an_area():
    found = Thresholds(label=(0.3, 0.9), pixel=(0.2, 0.4), area=(7, 0))
    assert with_numbers(found) == (
        Threshold(label=(0.3, 0.9), pixel=(0.2, 0.4)),
        MinArea(pixels=(7, 0)),
    )


@pytest.mark.parametrize(
    "rules",
    [
        (),
        (MinArea(),),
        (Threshold(), MinArea(), MinArea()),
        (Threshold(), RemoveSmallComponents()),
        (Threshold(), MinArea(), RemoveSmallComponents()),
    ],
)
def test_rules_that_the_search_does_not_know_are_refused(rules):
    with pytest.raises(RecipeError, match="Tune threshold and min_area, or set tune to null"):
        numbers(rules, 3)


def test_numbers_for_other_classes_are_refused_by_their_field():
    with pytest.raises(RecipeError, match=r"MinArea\.pixels: holds 2 values"):
        numbers((Threshold(), MinArea(pixels=(1, 2))), 3)
