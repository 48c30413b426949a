"""From the outputs of steps to masks: gates, rules, and the numbers that can be tuned."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from steelscan.data import Folds, WholeStrip
from steelscan.decision import (
    ClassifyStep,
    Decision,
    HardGate,
    OpenClasses,
    RuleInput,
    SegmentStep,
    SoftGate,
    Stage,
    StepOutput,
    gated,
    masks_of,
    rule_input,
    rules_with,
    run_steps,
    thresholds_of,
)
from steelscan.decision.steps import passing
from steelscan.evaluation.tuning import Thresholds
from steelscan.losses import BCE, BothHeads
from steelscan.models import Classifier, TwoHeaded, Unet
from steelscan.postprocess import (
    MinArea,
    RemoveSmallComponents,
    ScaledMinArea,
    Threshold,
    clean,
)
from steelscan.prediction import Ensemble, Member
from steelscan.recipes import Classify, KeepPresent, Recipe, Segment
from steelscan.strip import Frame
from steelscan.strip.errors import RecipeError
from steelscan.training import AdamW, Training

STAGE = Training(crop=WholeStrip(), loss=BCE(), optimizer=AdamW(lr=1e-3), batch=1, epochs=1)
CLASSIFY = Classify(
    ensemble=Ensemble(members=(Member(network=Classifier(encoder="resnet10t"), stages=(STAGE,)),))
)
shares = st.tuples(*[st.integers(0, 8).map(lambda eighths: eighths / 8)] * 3)


STEP = ClassifyStep(name="classify", threshold=0.5, gate="image")


def only(pixels, open_classes):
    """Pixels behind a segmenter without a gate, with these classes open."""
    before = OpenClasses(np.array(open_classes), None)
    return rule_input(None, StepOutput(pixels, None), before).pixels


def maps(seed=0, classes=3):
    return np.random.default_rng(seed).integers(0, 256, (classes, 6, 7)).astype(np.uint8)


@given(shares, shares)
def test_a_class_passes_if_it_is_above_its_own_threshold(probabilities, thresholds):
    step = STEP.but(threshold=thresholds, gate="class")
    above = [one > least for one, least in zip(probabilities, thresholds, strict=True)]
    classes = np.array(probabilities, np.float32)
    assert passing(step, classes).tolist() == above
    step = STEP.but(threshold=thresholds, gate="image")
    assert passing(step, classes).tolist() == [any(above)] * 3


def test_a_class_that_no_network_predicts_passes():
    classes = np.array([0.1, np.nan, 0.9], np.float32)
    step = STEP.but(threshold=(0.5, 1.0, 0.5), gate="class")
    assert passing(step, classes).tolist() == [False, True, True]
    step = STEP.but(threshold=0.95, gate="image")
    assert passing(step, classes).tolist() == [True] * 3


def test_one_threshold_is_that_of_every_class():
    classes = np.array([0.5, 0.75, 0.25], np.float32)
    step = STEP.but(threshold=0.5, gate="class")
    assert passing(step, classes).tolist() == [False, True, False]


def test_thresholds_for_other_classes_are_refused():
    with pytest.raises(RecipeError, match=r"Classify\.threshold: holds 2 values"):
        passing(STEP.but(threshold=(0.5, 0.5)), np.zeros(3, np.float32))


@given(st.lists(st.booleans(), min_size=3, max_size=3), st.integers(0, 99))
def test_closed_classes_are_emptied_and_the_others_stay(passes, seed):
    pixels = maps(seed)
    closed = only(pixels, passes)
    assert closed.dtype == np.uint8
    for before, after, is_open in zip(pixels, closed, passes, strict=True):
        assert np.array_equal(after, before if is_open else np.zeros_like(before))
    assert np.array_equal(pixels, maps(seed))


@pytest.mark.parametrize("lowest", [0.0, 0.5])
@pytest.mark.parametrize("passes", [(True, False, True), (False, False, False)])
def test_masks_are_the_cleaned_ones_of_open_classes(passes, lowest):
    rules = (Threshold(label=lowest, pixel=lowest), RemoveSmallComponents(pixels=3), MinArea())
    pixels = maps()
    masks = masks_of(RuleInput(only(pixels, passes), None), rules)
    expected = clean(pixels, rules)
    assert expected.any((1, 2)).all()
    for mask, whole, is_open in zip(masks, expected, passes, strict=True):
        assert np.array_equal(mask, whole if is_open else np.zeros_like(whole))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((Threshold(label=0.7, pixel=(0.1, 0.2)),), ((0.7, 0.7), (0.1, 0.2), (0, 0))),
        ((Threshold(), MinArea(pixels=(5, 6))), ((0.5, 0.5), (0.5, 0.5), (5, 6))),
    ],
)
def test_the_numbers_of_the_rules_are_read_and_put_back(rules, expected):
    found = thresholds_of(rules, 2)
    assert (found.label, found.pixel, found.area) == expected
    again = rules_with(found)
    pixels = maps(classes=2)
    assert np.array_equal(clean(pixels, again), clean(pixels, rules))
    assert thresholds_of(again, 2) == found


def test_tuned_numbers_become_a_threshold_and_an_area():
    found = Thresholds(label=(0.3, 0.9), pixel=(0.2, 0.4), area=(7, 0))
    assert rules_with(found) == (
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
def test_rules_that_the_search_cannot_tune_are_refused(rules):
    with pytest.raises(RecipeError, match="Tune threshold and min_area, or set tune to null"):
        thresholds_of(rules, 3)


def test_numbers_for_other_classes_are_refused_by_their_field():
    with pytest.raises(RecipeError, match=r"MinArea\.pixels: holds 2 values"):
        thresholds_of((Threshold(), MinArea(pixels=(1, 2))), 3)


TWO = TwoHeaded(segmenter=Unet(encoder="resnet10t"))
SEGMENT = Segment(
    ensemble=Ensemble(
        members=(
            Member(network=TWO, stages=(STAGE.but(loss=BothHeads(masks=BCE(), classes=BCE())),)),
        )
    )
)


@given(st.integers(0, 99), shares)
def test_a_soft_gate_multiplies_pixels_by_their_class(seed, classes):
    pixels = maps(seed)
    after_gate = gated(SoftGate(), StepOutput(pixels, np.array(classes, np.float32)))
    assert after_gate.dtype == np.uint8
    for plane, before, of_class in zip(after_gate, pixels, classes, strict=True):
        for after, pixel in zip(plane.ravel().tolist(), before.ravel().tolist(), strict=True):
            assert abs(after - pixel * of_class) <= 0.5
    assert np.array_equal(pixels, maps(seed))


@given(st.integers(0, 99), shares, shares)
def test_a_hard_gate_closes_classes_that_are_not_above_their_threshold(seed, classes, thresholds):
    pixels, gate = maps(seed), HardGate(threshold=thresholds)
    after_gate = gated(gate, StepOutput(pixels, np.array(classes, np.float32)))
    for plane, before, one, least in zip(after_gate, pixels, classes, thresholds, strict=True):
        assert np.array_equal(plane, before if one > least else np.zeros_like(before))


@pytest.mark.parametrize("gate", [SoftGate(), HardGate(threshold=0.0)])
def test_a_gate_closes_a_class_without_a_probability(gate):
    """No network predicts it, so its pixels are 0 already."""
    pixels = maps()
    pixels[1] = 0
    classes = np.array([1.0, np.nan, 1.0], np.float32)
    assert np.array_equal(gated(gate, StepOutput(pixels, classes)), pixels)


def test_thresholds_of_a_gate_for_other_classes_are_refused():
    gate = HardGate(threshold=(0.5, 0.5))
    with pytest.raises(RecipeError, match=r"HardGate\.threshold: holds 2 values"):
        gated(gate, StepOutput(maps(), np.ones(3, np.float32)))


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


def test_steps_have_names_and_stand_in_stages():
    assert list(ROUNDS.named) == ["classify", "classify2", "segment", "classify3", "segment2"]
    decision = ROUNDS.decision
    assert list(decision.steps) == list(ROUNDS.named)
    first, second = decision.stages
    assert [step.name for step in first.classifiers] == ["classify", "classify2"]
    assert [step.threshold for step in first.classifiers] == [0.25, 0.5]
    assert (first.segmenter.name, first.segmenter.gate) == ("segment", None)
    assert first.rules == ROUNDS.steps[3:5]
    assert [step.name for step in second.classifiers] == ["classify3"]
    assert (second.segmenter.name, second.segmenter.gate) == ("segment2", SoftGate())
    assert second.rules == ROUNDS.rules == ROUNDS.steps[8:]
    assert Decision.model_validate_json(decision.model_dump_json()) == decision


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rules": (MinArea(),)}, "rules begin with a threshold"),
        ({"rules": (Threshold(), Threshold())}, "rules begin with a threshold"),
        ({"rules": (Threshold(), ScaledMinArea(pixels=4, factor=1.0))}, "needs a classifier"),
        ({"classifiers": (STEP.but(name="segment"),)}, "'segment' is listed twice"),
    ],
)
def test_decisions_that_contradict_themselves_are_refused(change, message):
    segmenter = SegmentStep(name="segment")
    stage = Stage(segmenter=segmenter, rules=(Threshold(),))
    with pytest.raises(ValidationError, match=message):
        Decision(stages=(stage.but(**change),))


def test_only_the_last_stage_can_exit_early():
    early = Stage(segmenter=SegmentStep(name="one", early_exit=3), rules=(Threshold(),))
    last = Stage(segmenter=SegmentStep(name="two"), rules=(Threshold(),))
    with pytest.raises(ValidationError, match="only possible in the last stage"):
        Decision(stages=(early, last))
    assert Decision(stages=(last, early)).with_early_exit(None).last.segmenter.early_exit is None


class Outputs:
    """Given outputs; keeps which steps were wanted, and with which open classes."""

    def __init__(self, classes, pixels):
        self.classes, self.pixels, self.used = classes, pixels, {}

    def output(self, step, open_classes):
        self.used[step] = open_classes.tolist()
        pixels = self.pixels[step] if step.startswith("segment") else None
        return StepOutput(pixels, self.classes[step])


@given(st.integers(0, 2**32 - 1))
def test_stages_close_classes(seed):
    """Against a loop over classes and pixels; no step predicts once all classes are closed."""
    rng = np.random.default_rng(seed)
    classes = {name: (rng.integers(0, 9, 3) / 8).astype(np.float32) for name in ROUNDS.named}
    drawn = {name: rng.integers(0, 256, (3, *FRAME)).astype(np.uint8) for name in ROUNDS.named}
    outputs = Outputs(classes, drawn)
    result = run_steps(ROUNDS.decision, outputs, 3, FRAME)
    expected, kept = np.zeros((3, *FRAME), np.uint8), []
    for index in range(3):
        if classes["classify"][index] <= 0.25 or max(classes["classify2"]) <= 0.5:
            continue
        pixels = [pixel for pixel in drawn["segment"][index].ravel() if pixel / 255 > 0.75]
        if len(pixels) < 9:
            continue
        kept.append(index)
        if classes["classify3"][index] <= 0.125:
            continue
        for place in np.ndindex(FRAME):
            product = float(drawn["segment2"][index][place]) * float(classes["segment2"][index])
            expected[index][place] = round(product)  # halves go to even numbers in both
    assert result.pixels.dtype == np.uint8
    assert np.array_equal(result.pixels, expected)
    assert list(outputs.used) == list(ROUNDS.named)[: len(outputs.used)]
    assert ("classify3" in outputs.used) == bool(kept)
    if kept:
        assert outputs.used["classify3"] == [index in kept for index in range(3)]
    assert np.array_equal(masks_of(result, ROUNDS.rules), expected / 255 > 0.5)


def test_a_strip_without_open_classes_has_no_masks_and_no_rule_is_applied():
    assert not masks_of(RuleInput(np.zeros((2, 3, 4), np.uint8), None), ()).any()
