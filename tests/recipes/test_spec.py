"""The order of a recipe's steps, and which networks and losses fit them."""

import re
from itertools import product
from typing import get_args

import pytest
from pydantic import ValidationError

from steelscan.augment import Mixup
from steelscan.data import Folds, WholeStrip
from steelscan.decision import HardGate
from steelscan.evaluation.tuning import Tune
from steelscan.losses import (
    BCE,
    BothHeads,
    CrossEntropy,
    Dice,
    Lovasz,
    Mix,
    SoftmaxFocal,
    WherePresent,
)
from steelscan.models import Classifier, TwoHeaded, Unet
from steelscan.postprocess import (
    FillEdges,
    FillHoles,
    MinArea,
    OneClassPerPixel,
    Polygons,
    RemoveSmallComponents,
    ScaledMinArea,
    Threshold,
    Triplet,
)
from steelscan.prediction import EncoderFittedFor, EncoderOf, Ensemble, Member
from steelscan.recipes import (
    Classify,
    ConfidentStrips,
    KeepPresent,
    PseudoLabels,
    Recipe,
    Segment,
    Step,
    with_random_weights,
)
from steelscan.training import AdamW, SuspectStrips, Training

STAGE = Training(crop=WholeStrip(), loss=BCE(), optimizer=AdamW(lr=1e-3), batch=1, epochs=1)
TWO = TwoHeaded(segmenter=Unet(encoder="resnet10t"))
HEADS = BothHeads(masks=BCE(), classes=BCE())
FOLDS = Folds(count=3, validation=(0,), holdout=(2,))


def ensemble(network, members=1):
    return Ensemble(members=(Member(network=network, stages=(STAGE,)),) * members)


CLASSIFY = Classify(ensemble=ensemble(Classifier(encoder="resnet10t")))
SEGMENT = Segment(ensemble=ensemble(Unet(encoder="resnet10t"), members=2))
STEPS = {
    "c": CLASSIFY,
    "s": SEGMENT,
    "t": Threshold(),
    "T": Triplet(top=0.7, area=9, bottom=0.3),
    "a": MinArea(pixels=9),
    "k": RemoveSmallComponents(pixels=4),
    "h": FillHoles(),
    "e": FillEdges(),
    "S": ScaledMinArea(pixels=9),
    "p": Polygons(),
    "o": OneClassPerPixel(),
    "f": KeepPresent(),
}


def recipe(letters):
    return Recipe(name="ours", folds=FOLDS, steps=tuple(STEPS[letter] for letter in letters))


def test_the_suite_holds_every_kind_of_step():
    assert {type(step) for step in STEPS.values()} == set(get_args(get_args(Step)[0]))
    assert len(STEPS) == 12


ROUND = "c*s[tT][akheSpo]*"


@pytest.mark.parametrize("length", range(5))
def test_steps_in_a_working_order_are_accepted_and_all_others_refused(length):
    for letters in map("".join, product(STEPS, repeat=length)):
        if re.fullmatch(f"({ROUND}f)*{ROUND}", letters):
            if re.search("^[^c]*S", letters):
                with pytest.raises(
                    ValidationError, match="needs a classifier, and no step has one"
                ):
                    recipe(letters)
            else:
                assert recipe(letters).steps == tuple(STEPS[letter] for letter in letters)
        else:
            with pytest.raises(ValidationError, match=r"but gets \w+|the steps end with"):
                recipe(letters)


def test_a_scaled_area_needs_aux_heads_or_any_classifier_before():
    two = only(SEGMENT, network=TWO, stages=(STAGE.but(loss=HEADS),))
    area = STEPS["S"]
    with pytest.raises(ValidationError, match="scaled_min_area needs a classifier"):
        recipe("st").but(steps=(two, Threshold(), area))
    assert recipe("st").but(steps=(two.but(gate=HardGate()), Threshold(), area))
    assert recipe("cstfstS")


def test_suspect_strips_need_a_classifier_that_is_fitted_first():
    suspects = only(SEGMENT, stages=(STAGE.but(strips=SuspectStrips()),))
    before = EncoderFittedFor(
        network=Classifier(encoder="resnet10t"), stages=(STAGE.but(strips=SuspectStrips()),)
    )
    for segment in (suspects, only(SEGMENT, start=before)):
        with pytest.raises(ValidationError, match="segment 1 needs a classifier, and none is fit"):
            recipe("st").but(steps=(segment, Threshold()))
        assert recipe("st").but(steps=(CLASSIFY, segment, Threshold()))
        lent = only(CLASSIFY, start=EncoderOf(step="segment", member="1"))
        with pytest.raises(ValidationError, match="segment 1 needs a classifier, and none is fit"):
            recipe("st").but(steps=(lent, segment, Threshold()))
    own = only(CLASSIFY, stages=(STAGE.but(strips=SuspectStrips()),))
    with pytest.raises(ValidationError, match="classify 1 needs a classifier"):
        recipe("st").but(steps=(own, SEGMENT, Threshold()))
    later = (SEGMENT, Threshold(), KeepPresent(), CLASSIFY)
    assert recipe("st").but(steps=(*later, suspects, Threshold()))
    with pytest.raises(ValidationError, match="segment 1 needs a classifier, and none is fitted"):
        recipe("st").but(steps=(suspects, *later[1:], SEGMENT, Threshold()))


def test_a_network_trains_on_pseudo_labels_if_it_or_the_source_of_its_encoder_does():
    never = STAGE.but(pseudo=0.0)
    learner, other = (
        Member(network=SEGMENT.ensemble.members[0].network, stages=(stage,))
        for stage in (STAGE, never)
    )
    classifier = Classifier(encoder="resnet10t")
    for source in (learner, other):
        lent = Member(
            network=classifier, stages=(never,), start=EncoderOf(step="segment", member="1")
        )
        made = recipe("cst").but(
            steps=(
                Classify(ensemble=Ensemble(members=(lent,))),
                Segment(ensemble=Ensemble(members=(source,))),
                Threshold(),
            )
        )
        assert made.trains_on_pseudo_labels(source) == (source is learner)
        assert made.trains_on_pseudo_labels(lent) == (source is learner)
    fitted_for = EncoderFittedFor(network=classifier, stages=(STAGE,))
    assert recipe("st").trains_on_pseudo_labels(other.but(start=fitted_for))
    assert not recipe("st").trains_on_pseudo_labels(
        other.but(start=fitted_for.but(stages=(never,)))
    )
    assert recipe("st").trains_on_pseudo_labels(other.but(stages=(never, STAGE.but(pseudo=0.3))))


def test_no_recipe_tunes_on_strips_that_its_networks_depend_on():
    """Networks of all folds carry the truth of each fold into pseudo-labels, and so into others."""
    everyone, own = (
        PseudoLabels(rule=ConfidentStrips(), predicted_by=by) for by in ("all", "fold")
    )
    assert recipe("st").but(tune=Tune(), pseudo_labels=own)
    assert recipe("st").but(tune=None, pseudo_labels=everyone)
    with pytest.raises(ValidationError, match='set predicted_by to "fold", or tune to null'):
        recipe("st").but(tune=Tune(), pseudo_labels=everyone)


def test_the_order_of_the_12th_place():
    assert len(recipe("cstkhafst").steps) == 9
    with pytest.raises(ValidationError, match="the steps end with pictures"):
        recipe("cstkhaf")


def test_a_refusal_names_what_a_step_needs_and_gets():
    with pytest.raises(ValidationError, match="threshold needs probabilities, but gets pictures"):
        recipe("ts")
    with pytest.raises(
        ValidationError, match="the steps end with pictures; a recipe must end with m"
    ):
        recipe("")
    with pytest.raises(ValidationError, match="classify needs pictures, but gets masks"):
        recipe("stac")


def test_the_steps_of_a_recipe_by_kind():
    whole = recipe("cstkaa")
    assert whole.classify == CLASSIFY
    assert whole.segment == SEGMENT
    assert whole.rules == tuple(STEPS[letter] for letter in "tkaa")
    assert recipe("st").classify is None
    assert recipe("st").rules == (Threshold(),)


def test_a_changed_copy_is_checked_again():
    with pytest.raises(ValidationError, match="threshold needs probabilities"):
        recipe("st").but(steps=(Threshold(),))
    assert recipe("st").but(name="mine").steps == recipe("st").steps
    with pytest.raises(ValidationError, match="tuner"):
        recipe("st").but(tuner=None)


def test_random_weights_are_given_to_every_network_and_to_nothing_else():
    before = recipe("csta")
    bare = with_random_weights(before)
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


def test_an_encoder_is_fitted_for_a_network_that_has_the_same():
    start = EncoderFittedFor(network=Classifier(encoder="resnet10t"), stages=(STAGE,))
    assert recipe("st").but(steps=(only(SEGMENT, start=start), Threshold()))
    for change in ({"encoder": "resnet34"}, {"channels": 3}, {"stem": "deep"}):
        other = start.but(network=start.network.but(**change))
        with pytest.raises(ValidationError, match="another encoder"):
            recipe("st").but(steps=(only(SEGMENT, start=other), Threshold()))


@pytest.mark.parametrize(
    ("start", "encoder", "refusal"),
    [
        (EncoderOf(step="segment", member="2"), "resnet10t", None),
        (EncoderOf(step="segment", member="3"), "resnet10t", "does not exist"),
        (EncoderOf(step="classify", member="1"), "resnet10t", "itself starts from"),
        (EncoderOf(step="segment", member="1"), "resnet34", "another encoder"),
    ],
)
def test_a_member_starts_from_an_existing_one_with_the_same_encoder(start, encoder, refusal):
    member = Member(network=Classifier(encoder=encoder), stages=(STAGE,), start=start)
    steps = (Classify(ensemble=Ensemble(members=(member,))), SEGMENT, Threshold())
    if refusal is None:
        assert recipe("cst").but(steps=steps).classify.ensemble.members[0].start == start
    else:
        with pytest.raises(ValidationError, match=refusal):
            recipe("cst").but(steps=steps)


def only(step, **changes):
    """Return a step with only its first member, with some fields changed."""
    member = step.ensemble.members[0].but(**changes)
    return step.but(ensemble=Ensemble(members=(member,)))


def test_members_have_unique_names_by_default_their_positions():
    first, second = SEGMENT.ensemble.members
    assert [first.name, second.name] == ["1", "2"]
    ensemble = Ensemble(members=(second.but(name=""), second.but(name="pyramid")))
    assert [member.name for member in ensemble.members] == ["1", "pyramid"]
    assert ensemble.member("pyramid") == ensemble.members[1]
    assert ensemble.member("2") is None
    with pytest.raises(ValidationError, match="two members have the name a"):
        Ensemble(members=(first.but(name="a"), first.but(name="a")))
    for names, expected in (
        (("1", "1", "1"), ["1", "2", "3"]),
        (("2", ""), ["2", "1"]),
        (("1", "3"), ["1", "3"]),
        (("3", "1", "3"), ["3", "1", "2"]),
    ):
        ensemble = Ensemble(members=tuple(first.but(name=name) for name in names))
        assert [member.name for member in ensemble.members] == expected


def test_members_are_fitted_for_their_own_validation_folds():
    folds = Folds(count=4, validation=(0, 1, 2))
    both = Segment(
        ensemble=Ensemble(
            members=(
                SEGMENT.ensemble.members[0].but(folds=(0, 1)),
                SEGMENT.ensemble.members[1].but(folds=(2,)),
            )
        )
    )
    whole = recipe("st").but(folds=folds, steps=(both, Threshold()))
    assert [whole.folds_of(member) for member in both.ensemble.members] == [(0, 1), (2,)]
    assert whole.folds_of(SEGMENT.ensemble.members[0]) == (0, 1, 2)
    with pytest.raises(ValidationError, match="segment 1 has folds that are not validation folds"):
        whole.but(steps=(only(SEGMENT, folds=(0, 1, 2, 3)), Threshold()))
    with pytest.raises(
        ValidationError, match="no member of segment is fitted for validation fold 2"
    ):
        whole.but(steps=(only(SEGMENT, folds=(0, 1)), Threshold()))


def test_networks_fit_their_step():
    classifier = Segment(ensemble=CLASSIFY.ensemble)
    with pytest.raises(ValidationError, match="segment 1 is a classifier"):
        recipe("st").but(steps=(classifier, Threshold()))
    with pytest.raises(ValidationError, match="segment 1 has no aux head"):
        recipe("st").but(steps=(SEGMENT.but(gate=HardGate()), Threshold()))
    two = only(SEGMENT, network=TWO, stages=(STAGE.but(loss=HEADS),))
    assert recipe("st").but(steps=(two.but(gate=HardGate()), Threshold()))


@pytest.mark.parametrize(
    ("network", "changes", "refusal"),
    [
        (Classifier(encoder="resnet10t"), {"loss": Dice()}, "classifier cannot use the loss dice"),
        (
            Classifier(encoder="resnet10t"),
            {"monitor": "defect_dice"},
            "has no defect_dice to monitor",
        ),
        (TWO, {"loss": BCE()}, "two_headed cannot use the loss bce"),
        (TWO, {"loss": HEADS.but(masks=CrossEntropy())}, "cross_entropy is not for output sigm"),
        (Unet(encoder="resnet10t"), {"loss": HEADS}, "unet cannot use the loss both_heads"),
        (Unet(encoder="resnet10t"), {"loss": SoftmaxFocal()}, "not for output sigmoid"),
        (Unet(encoder="resnet10t", output="softmax"), {"loss": BCE()}, "not for output softmax"),
        (TWO, {"loss": HEADS}, None),
        (Unet(encoder="resnet10t", output="softmax"), {"loss": CrossEntropy()}, None),
        (Unet(encoder="resnet10t"), {"loss": WherePresent(loss=BCE())}, None),
        (Classifier(encoder="resnet10t"), {"loss": Mix(parts=((1.0, BCE()),))}, None),
    ],
)
def test_a_network_is_fitted_with_losses_for_its_outputs(network, changes, refusal):
    stages = (STAGE.but(**changes),)
    if refusal is None:
        assert Member(network=network, stages=stages)
    else:
        with pytest.raises(ValidationError, match=f"stage 1: .*{refusal}"):
            Member(network=network, stages=stages)


def test_lovasz_refuses_mixup():
    with pytest.raises(ValidationError, match="lovasz does not take blended masks"):
        STAGE.but(mixup=Mixup(), loss=Mix(parts=((1.0, BCE()), (1.0, Lovasz()))))
    assert STAGE.but(mixup=Mixup())
