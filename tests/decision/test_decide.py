"""From what the networks say to masks: gates, rules, and the numbers that can be tuned."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelscan.data import Folds, WholeStrip
from steelscan.decision import (
    HardGate,
    RuleInput,
    SoftGate,
    StepOutput,
    consult,
    numbers,
    passing,
    weighed,
    with_numbers,
)
from steelscan.decision.decide import decide, gated
from steelscan.evaluation.tuning import Thresholds
from steelscan.losses import BCE, BothHeads
from steelscan.models import Classifier, TwoHeaded, Unet
from steelscan.postprocess import MinArea, RemoveSmallComponents, Threshold, clean
from steelscan.prediction import Ensemble, Member
from steelscan.recipes import Classify, KeepPresent, Recipe, Segment
from steelscan.strip import Frame, RecipeError
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


def test_a_class_that_no_network_judges_passes():
    says = np.array([0.1, np.nan, 0.9], np.float32)
    step = CLASSIFY.but(threshold=(0.5, 1.0, 0.5), gate="class")
    assert passing(step, says).tolist() == [False, True, True]
    step = CLASSIFY.but(threshold=0.95, gate="image")
    assert passing(step, says).tolist() == [True] * 3


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
    masks = decide(RuleInput(gated(levels, np.array(passes)), None), rules)
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


TWO = TwoHeaded(segmenter=Unet(encoder="resnet10t"))
SEGMENT = Segment(
    ensemble=Ensemble(
        members=(
            Member(network=TWO, stages=(STAGE.but(loss=BothHeads(masks=BCE(), classes=BCE())),)),
        )
    )
)


@given(st.integers(0, 99), shares)
def test_a_soft_gate_multiplies_pixels_by_their_class(seed, says):
    levels = maps(seed)
    answer = weighed(SEGMENT.but(gate=SoftGate()), StepOutput(levels, np.array(says, np.float32)))
    assert answer.dtype == np.uint8
    for plane, before, says_class in zip(answer, levels, says, strict=True):
        for after, level in zip(plane.ravel().tolist(), before.ravel().tolist(), strict=True):
            assert abs(after - level * says_class) <= 0.5
    assert np.array_equal(levels, maps(seed))


@given(st.integers(0, 99), shares, shares)
def test_a_hard_gate_closes_classes_that_are_not_above_their_threshold(seed, says, thresholds):
    levels, step = maps(seed), SEGMENT.but(gate=HardGate(threshold=thresholds))
    answer = weighed(step, StepOutput(levels, np.array(says, np.float32)))
    for plane, before, said, least in zip(answer, levels, says, thresholds, strict=True):
        assert np.array_equal(plane, before if said > least else np.zeros_like(before))


@pytest.mark.parametrize("gate", [SoftGate(), HardGate(threshold=0.0)])
def test_a_gate_closes_a_class_of_which_nothing_is_said(gate):
    """No network knows it, so that its pixels are 0 by then."""
    levels = maps()
    levels[1] = 0
    classes = np.array([1.0, np.nan, 1.0], np.float32)
    assert np.array_equal(weighed(SEGMENT.but(gate=gate), StepOutput(levels, classes)), levels)


def test_thresholds_of_a_gate_for_other_classes_are_refused():
    step = SEGMENT.but(gate=HardGate(threshold=(0.5, 0.5)))
    with pytest.raises(RecipeError, match=r"HardGate\.threshold: holds 2 values"):
        weighed(step, StepOutput(maps(), np.ones(3, np.float32)))


FRAME = Frame(6, 7)
ROUNDS = Recipe(
    name="rounds",
    folds=Folds(),
    steps=(
        CLASSIFY.but(threshold=0.25, gate="class"),
        CLASSIFY.but(threshold=0.5),
        SEGMENT,
        Threshold(label=0.0, pixel=0.75),
        MinArea(pixels=9),
        KeepPresent(),
        CLASSIFY.but(threshold=0.125, gate="class"),
        SEGMENT.but(gate=SoftGate()),
        Threshold(label=0.0, pixel=0.5),
    ),
)


def test_steps_have_names_and_stand_in_rounds():
    assert list(ROUNDS.named) == ["classify", "classify2", "segment", "classify3", "segment2"]
    assert tuple(ROUNDS.named.values()) == ROUNDS.asking
    first, second = ROUNDS.rounds
    assert [name for name, _ in first.classifies] == ["classify", "classify2"]
    assert first.segment == ("segment", SEGMENT)
    assert first.rules == ROUNDS.steps[3:5]
    assert second.classifies == (("classify3", ROUNDS.steps[6]),)
    assert second.segment[0] == "segment2"
    assert second.rules == ROUNDS.rules == ROUNDS.steps[8:]


@given(st.integers(0, 2**32 - 1))
def test_rounds_narrow_the_classes_that_may_be_outlined(seed):
    """Against a loop over classes and pixels; nothing is asked once all classes are closed."""
    rng = np.random.default_rng(seed)
    says = {name: (rng.integers(0, 9, 3) / 8).astype(np.float32) for name in ROUNDS.named}
    drawn = {name: rng.integers(0, 256, (3, *FRAME)).astype(np.uint8) for name in ROUNDS.named}
    asked, opens = [], {}

    def ask(name, classes):
        asked.append(name)
        opens[name] = classes.tolist()
        outlines = name.startswith("segment")
        return StepOutput(drawn[name] if outlines else None, says[name])

    opened = consult(ROUNDS, ask, 3, FRAME)
    levels = opened.levels
    expected, found = np.zeros((3, *FRAME), np.uint8), []
    for index in range(3):
        if says["classify"][index] <= 0.25 or max(says["classify2"]) <= 0.5:
            continue
        pixels = [level for level in drawn["segment"][index].ravel() if level / 255 > 0.75]
        if len(pixels) < 9:
            continue
        found.append(index)
        if says["classify3"][index] <= 0.125:
            continue
        for place in np.ndindex(FRAME):
            product = float(drawn["segment2"][index][place]) * float(says["segment2"][index])
            expected[index][place] = round(product)  # halves go to even numbers here and there
    assert levels.dtype == np.uint8
    assert np.array_equal(levels, expected)
    assert asked == list(ROUNDS.named)[: len(asked)]
    assert ("classify3" in asked) == bool(found)
    if found:
        assert opens["classify3"] == [index in found for index in range(3)]
    masks = decide(opened, ROUNDS.rules)
    assert np.array_equal(masks, expected / 255 > 0.5)


def test_a_strip_without_open_classes_has_no_masks_and_no_rule_is_asked():
    assert not decide(RuleInput(np.zeros((2, 3, 4), np.uint8), None), ()).any()
