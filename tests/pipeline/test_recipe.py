"""The order of a recipe's steps, checked against a pattern over their names."""

import re
from itertools import product
from typing import get_args

import pytest
from pydantic import ValidationError

from steelscan.data import Folds, WholeStrip
from steelscan.losses import BCE
from steelscan.models import Classifier, Unet
from steelscan.pipeline import Classify, Recipe, Segment
from steelscan.pipeline.recipe import Step
from steelscan.postprocess import MinArea, RemoveSmallComponents, Threshold
from steelscan.prediction import EncoderOf, Ensemble, Member
from steelscan.training import AdamW, Training

STAGE = Training(crop=WholeStrip(), loss=BCE(), optimizer=AdamW(lr=1e-3), batch=1, epochs=1)
FOLDS = Folds(count=3, validation=(0,), holdout=(2,))


def ensemble(network, members=1):
    return Ensemble(members=(Member(network=network, stages=(STAGE,)),) * members)


CLASSIFY = Classify(ensemble=ensemble(Classifier(encoder="resnet10t")))
SEGMENT = Segment(ensemble=ensemble(Unet(encoder="resnet10t"), members=2))
STEPS = {
    "c": CLASSIFY,
    "s": SEGMENT,
    "t": Threshold(),
    "a": MinArea(pixels=9),
    "k": RemoveSmallComponents(pixels=4),
}


def recipe(letters):
    return Recipe(name="ours", folds=FOLDS, steps=tuple(STEPS[letter] for letter in letters))


def test_the_suite_holds_every_kind_of_step():
    assert {type(step) for step in STEPS.values()} == set(get_args(get_args(Step)[0]))
    assert len(STEPS) == 5


@pytest.mark.parametrize("length", range(6))
def test_the_steps_stand_in_one_order_and_all_others_are_refused(length):
    for letters in map("".join, product(STEPS, repeat=length)):
        if re.fullmatch("c?st[ak]*", letters):
            assert recipe(letters).steps == tuple(STEPS[letter] for letter in letters)
        else:
            with pytest.raises(ValidationError, match=r"a recipe begins with|after the masks"):
                recipe(letters)


def test_a_refusal_says_what_stands_there():
    with pytest.raises(ValidationError, match="steps are threshold, segment; a recipe begins"):
        recipe("ts")
    with pytest.raises(ValidationError, match="steps are none; a recipe begins"):
        recipe("")
    with pytest.raises(ValidationError, match="step classify stands after the masks are made"):
        recipe("stac")


def test_the_steps_are_found_by_their_work():
    whole = recipe("cstkaa")
    assert whole.classify == CLASSIFY
    assert whole.segment == SEGMENT
    assert whole.rules == tuple(STEPS[letter] for letter in "tkaa")
    assert recipe("st").classify is None
    assert recipe("st").rules == (Threshold(),)


def test_a_changed_copy_is_checked_again():
    with pytest.raises(ValidationError, match="a recipe begins with"):
        recipe("st").but(steps=(Threshold(),))
    assert recipe("st").but(name="mine").steps == recipe("st").steps
    with pytest.raises(ValidationError, match="tuner"):
        recipe("st").but(tuner=None)


def test_random_weights_are_given_to_every_network_and_to_nothing_else():
    before = recipe("csta")
    bare = before.with_random_weights()
    networks = [
        member.network for step in (bare.classify, bare.segment) for member in step.ensemble.members
    ]
    assert [network.weights for network in networks] == ["random"] * 3
    assert before.classify.ensemble.members[0].network.weights == "imagenet"
    assert bare.rules == before.rules
    assert bare.folds == before.folds


@pytest.mark.parametrize("letters", ["st", "cstak"])
def test_a_recipe_goes_to_json_and_back(letters):
    whole = recipe(letters)
    assert Recipe.model_validate_json(whole.model_dump_json()) == whole


@pytest.mark.parametrize(
    ("start", "encoder", "refusal"),
    [
        (EncoderOf(step="segment", member=1), "resnet10t", None),
        (EncoderOf(step="segment", member=2), "resnet10t", "not there, or not first"),
        (EncoderOf(step="classify"), "resnet10t", "not there, or not first"),  # from itself
        (EncoderOf(step="segment"), "resnet34", "another encoder"),
    ],
)
def test_a_member_starts_from_one_that_is_there_with_the_same_encoder(start, encoder, refusal):
    member = Member(network=Classifier(encoder=encoder), stages=(STAGE,), start=start)
    steps = (Classify(ensemble=Ensemble(members=(member,))), SEGMENT, Threshold())
    if refusal is None:
        assert recipe("cst").but(steps=steps).classify.ensemble.members[0].start == start
    else:
        with pytest.raises(ValidationError, match=refusal):
            recipe("cst").but(steps=steps)
