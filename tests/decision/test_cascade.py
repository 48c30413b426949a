"""The cascade: with networks skipped the masks are those of all networks, to the bit."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelscan.data import Shrink
from steelscan.decision import (
    ClassifyStep,
    Decision,
    Detector,
    HardGate,
    SegmentStep,
    SoftGate,
    Stage,
    masks_of,
    run_steps,
)
from steelscan.decision.cascade import classes_above
from steelscan.postprocess import (
    FillHoles,
    MinArea,
    OneClassPerPixel,
    RemoveSmallComponents,
    ScaledMinArea,
    Threshold,
    Triplet,
    clean,
)
from steelscan.prediction import LogitMean, Mean, ModelOutputs, PowerMean
from steelscan.strip import Frame

CLASSES = 3
FRAME = Frame(32, 64)
AVERAGES = [Mean(), LogitMean(), PowerMean(t=0.5, form="raw"), PowerMean(t=2.0, form="true")]
RULES = [
    (Threshold(label=0.7, pixel=0.4),),
    (Threshold(label=0.3, pixel=0.5), MinArea(pixels=(0, 40, 300))),
    (Triplet(top=0.6, area=20, bottom=0.3), RemoveSmallComponents(pixels=9), FillHoles()),
    (Threshold(), FillHoles(), MinArea(pixels=9)),
    (Threshold(), ScaledMinArea(pixels=200), OneClassPerPixel()),
]


@dataclass(frozen=True)
class Fixed:
    """A model with the same output for every strip: maps, cut to its size, and classes."""

    maps: np.ndarray | None = None
    of_classes: np.ndarray | None = None
    classes: tuple[int, ...] | None = None
    resize: Shrink | None = None
    tiles: None = None
    softmax: bool = False

    def predict(self, strip, *_):
        maps = None if self.maps is None else self.maps[..., : strip.shape[0], : strip.shape[1]]
        return ModelOutputs(maps, self.of_classes)


def fixed_pixels(probability, classes=None):
    """A model that gives all pixels of its classes the same probability."""
    planes = len(classes) if classes else CLASSES
    return Fixed(np.full((1, planes, 99, 199), probability, np.float32), classes=classes)


def fixed_classes(*probabilities):
    return Fixed(of_classes=np.array([probabilities], np.float32))


def draw_models(rng, heads, logits, count):
    """Models with any outputs, mostly low; some predict some classes only."""
    models = []
    for number in range(count):
        ids = None
        if number and rng.random() < 0.4:
            ids = tuple(sorted(rng.choice([1, 2, 3], rng.integers(1, 3), replace=False).tolist()))
        resize = Shrink(pixels=1024) if rng.random() < 0.3 else None
        planes = len(ids) if ids else CLASSES
        most = rng.random() ** 0.5
        maps = (most * rng.random((1, planes, *FRAME))).astype(np.float32)
        classes = (rng.random((1, planes)) ** 2).astype(np.float32)
        if logits:
            maps, classes = (np.log(p + 1e-6) - np.log1p(1e-6 - p) for p in (maps, classes))
        models.append(
            Fixed(
                maps.astype(np.float32) if "masks" in heads else None,
                classes.astype(np.float32) if "classes" in heads else None,
                ids,
                resize,
            )
        )
    return models


def drawn(seed):
    """A decision of any shape, and its models."""
    rng = np.random.default_rng(seed)

    def pick(choices):
        return choices[rng.integers(len(choices))]

    average = pick(AVERAGES)
    logits = isinstance(average, LogitMean)
    models, stages = {}, []
    for at in range(rng.integers(1, 3)):
        classifiers = []
        if rng.random() < 0.7 or not at:
            name = f"classify{at}"
            models[name] = draw_models(rng, ("classes",), logits, rng.integers(1, 4))
            classifiers.append(
                ClassifyStep(
                    name=name,
                    average=average,
                    threshold=tuple(rng.choice([0.1, 0.3, 0.6], CLASSES).tolist()),
                    gate=pick(["image", "class"]),
                )
            )
        gate = pick([None, SoftGate(), HardGate(threshold=0.3)])
        heads = ("masks",) if gate is None else ("masks", "classes")
        name = f"segment{at}"
        models[name] = draw_models(rng, heads, logits, rng.integers(1, 6))
        segmenter = SegmentStep(name=name, average=average, gate=gate)
        stages.append(Stage(classifiers=tuple(classifiers), segmenter=segmenter, rules=pick(RULES)))
    return Detector(Decision(stages=tuple(stages)), models, CLASSES)


def predicted(detector, *, cascade):
    """The masks of a strip, and the models that predicted it."""
    outputs = detector.outputs(np.zeros(FRAME, np.uint8), cascade=cascade)
    found = run_steps(detector.decision, outputs, CLASSES, FRAME)
    return masks_of(found, detector.decision.last.rules), outputs.used


@pytest.mark.parametrize("block", range(4))
def test_masks_are_those_of_all_networks_and_fewer_predict(block):
    saved, strips = 0, Counter()
    for seed in range(100 * block, 100 * block + 100):
        detector = drawn(seed)
        every, all_used = predicted(detector, cascade=False)
        some, some_used = predicted(detector, cascade=True)
        assert np.array_equal(every, some), seed
        assert np.array_equal(every, detector.masks(np.zeros(FRAME, np.uint8)))
        assert not Counter(some_used) - Counter(all_used)
        saved += len(all_used) - len(some_used)
        strips[bool(every.any())] += 1
    assert saved > 25  # and not because all strips are clean
    assert strips[True] > 10
    assert strips[False] > 10


def test_without_the_cascade_every_network_of_an_open_step_predicts():
    detector = drawn(5)
    _, used = predicted(detector, cascade=False)
    for name, models in detector.models.items():
        own = [at for step, at in used if step == name]
        assert own in ([], list(range(len(models))))


@given(st.integers(0, 2**32 - 1), st.sampled_from(RULES[:4]))
def test_classes_above_are_all_that_lower_maps_leave(seed, rules):
    rng = np.random.default_rng(seed)
    high = rng.integers(0, 256, (CLASSES, 12, 20)).astype(np.uint8)
    high[rng.random(high.shape) < 0.7] = 0
    low = (high * rng.random(high.shape)).astype(np.uint8)
    found = classes_above(high, rules)
    left = clean(low, rules).any((1, 2))
    assert not (left & ~found).any()


def classified(outputs, threshold, gate="image", rules=RULES[0], segmenters=None, early_exit=None):
    """A detector whose classifiers have these outputs, and whose segmenter finds all classes."""
    models = {
        "classify": [fixed_classes(*each) for each in outputs],
        "segment": segmenters or [fixed_pixels(1.0)],
    }
    stage = Stage(
        classifiers=(ClassifyStep(name="classify", threshold=threshold, gate=gate),),
        segmenter=SegmentStep(name="segment", early_exit=early_exit),
        rules=rules,
    )
    return Detector(Decision(stages=(stage,)), models, CLASSES)


def test_classifiers_stop_once_the_others_cannot_close_or_open_a_strip():
    low, high = [0.0, 0.1, 0.0], [0.0, 1.0, 0.0]
    masks, used = predicted(classified([low, low, low, low, high], 0.6), cascade=True)
    # three of five at 0.1 and two at 1 make 0.46: after three nothing can pass 0.6 any more
    assert used == [("classify", at) for at in range(3)]
    assert not masks.any()
    masks, used = predicted(classified([high, high, high, low, low], 0.55), cascade=True)
    assert used == [*(("classify", at) for at in range(3)), ("segment", 0)]
    assert masks.all()


def test_a_probability_that_a_rule_uses_is_that_of_all_classifiers():
    high, low = [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]
    _, used = predicted(classified([high, high, high, low], 0.5, rules=RULES[4]), cascade=True)
    assert used[:4] == [("classify", at) for at in range(4)]


def test_networks_that_predict_closed_classes_only_are_skipped():
    binary = [fixed_pixels(1.0, (class_id,)) for class_id in (1, 2, 3)]
    detector = classified([[0.9, 0.1, 0.1]], 0.5, gate="class", segmenters=binary)
    masks, used = predicted(detector, cascade=True)
    assert used == [("classify", 0), ("segment", 0)]
    assert masks.any((1, 2)).tolist() == [True, False, False]


def test_a_class_that_only_a_later_network_predicts_keeps_a_strip_open():
    binary = [fixed_pixels(each, (at,)) for at, each in enumerate((0.0, 0.0, 1.0), start=1)]
    detector = classified([[0.9, 0.9, 0.9]], 0.5, segmenters=binary)
    masks, used = predicted(detector, cascade=True)
    assert used == [("classify", 0), *(("segment", at) for at in range(3))]
    assert masks.any((1, 2)).tolist() == [False, False, True]


def test_the_early_exit_calls_a_strip_clean_after_the_first_segmenter():
    segmenters = [fixed_pixels(each) for each in (0.1, 1.0, 1.0)]
    for early_exit, count in ((None, 3), (24, 3), (26, 1)):
        detector = classified(
            [[0.9, 0.9, 0.9]],
            0.5,
            rules=(Threshold(pixel=0.5),),
            segmenters=segmenters,
            early_exit=early_exit,
        )
        masks, used = predicted(detector, cascade=True)
        assert len(used) == 1 + count
        assert masks.any() == (count == 3)
        whole, _ = predicted(detector, cascade=False)
        assert whole.all()  # the early exit is part of the cascade


def test_rounding_of_sums_closes_no_strip():
    """(0.0529 + 1 + 1) / 3 is 174.5 of 255: 174 if the two are added at once, 175 one by one."""
    least = 174.5 / 255
    segmenters = [fixed_pixels(each) for each in (0.052941177040338516, 1.0, 1.0)]
    rules = (Threshold(label=least, pixel=least),)
    detector = classified([[0.9, 0.9, 0.9]], 0.5, rules=rules, segmenters=segmenters)
    masks, used = predicted(detector, cascade=True)
    assert masks.all()
    assert len(used) == 4
