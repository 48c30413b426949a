"""Who is asked: with networks left out the masks are those of all networks, to the bit."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from steelscan.bundle.cascade import Consultation, may_be_found
from steelscan.decision.decide import decide

from steelscan.bundle import Deployed, Graph, Judge, Manifest, Outline
from steelscan.bundle.engines import OnnxModel
from steelscan.data import Shrink
from steelscan.decision import HardGate, SoftGate, consult
from steelscan.postprocess import (
    FillHoles,
    MinArea,
    OneClassAPixel,
    RemoveSmallComponents,
    ScaledMinArea,
    Threshold,
    Triplet,
    clean,
)
from steelscan.prediction import LogitMean, Mean, PowerMean
from steelscan.strip import Classes, Frame

CLASSES = 3
FRAME = Frame(32, 64)
AVERAGES = [Mean(), LogitMean(), PowerMean(t=0.5, form="raw"), PowerMean(t=2.0, form="true")]
RULES = [
    (Threshold(label=0.7, pixel=0.4),),
    (Threshold(label=0.3, pixel=0.5), MinArea(pixels=(0, 40, 300))),
    (Triplet(top=0.6, area=20, bottom=0.3), RemoveSmallComponents(pixels=9), FillHoles()),
    (Threshold(), FillHoles(), MinArea(pixels=9)),
    (Threshold(), ScaledMinArea(pixels=200), OneClassAPixel()),
]


def graph(file, heads, classes=None, resize=None):
    return Graph(file=file, heads=heads, classes=classes, resize=resize)


def draw_voters(rng, step, heads, logits, count):
    """Networks that say anything of a strip, mostly little; some know some classes only."""
    models = []
    for number in range(count):
        known = None
        if number and rng.random() < 0.4:
            known = tuple(sorted(rng.choice([1, 2, 3], rng.integers(1, 3), replace=False).tolist()))
        resize = Shrink(pixels=1024) if rng.random() < 0.3 else None
        planes = len(known) if known else CLASSES
        most = rng.random() ** 0.5
        maps = (most * rng.random((1, 1, planes, *FRAME))).astype(np.float32)
        words = (rng.random((1, 1, planes)) ** 2).astype(np.float32)
        if logits:
            maps, words = (np.log(each + 1e-6) - np.log1p(1e-6 - each) for each in (maps, words))
        said = {"masks": maps.astype(np.float32), "classes": words.astype(np.float32)}
        own = graph(f"{step}-{number}", heads, known, resize)
        models.append(
            OnnxModel(
                own,
                lambda strips, said=said, heads=heads: [
                    said[head][..., : strips.shape[-2], : strips.shape[-1]]
                    if head == "masks"
                    else said[head]
                    for head in heads
                ],
            )
        )
    return models


def drawn(seed):
    """A bundle of any shape, and what its networks say of one strip."""
    rng = np.random.default_rng(seed)

    def pick(choices):
        return choices[rng.integers(len(choices))]

    average = pick(AVERAGES)
    logits = isinstance(average, LogitMean)
    models, deployed = {}, []
    for at in range(rng.integers(1, 3)):
        judges = []
        if rng.random() < 0.7 or not at:
            name = f"classify{at}"
            models[name] = draw_voters(rng, name, ("classes",), logits, rng.integers(1, 4))
            judges.append(
                Judge(
                    name=name,
                    graphs=tuple(each.graph for each in models[name]),
                    views=("identity",),
                    average=average,
                    threshold=tuple(rng.choice([0.1, 0.3, 0.6], CLASSES).tolist()),
                    gate=pick(["image", "class"]),
                )
            )
        gate = pick([None, SoftGate(), HardGate(threshold=0.3)])
        heads = ("masks",) if gate is None else ("masks", "classes")
        name = f"segment{at}"
        models[name] = draw_voters(rng, name, heads, logits, rng.integers(1, 6))
        outline = Outline(
            name=name,
            graphs=tuple(each.graph for each in models[name]),
            views=("identity",),
            average=average,
            gate=gate,
        )
        deployed.append(Deployed(judges=tuple(judges), outline=outline, rules=pick(RULES)))
    manifest = Manifest(
        made_with="0",
        recipe="drawn",
        classes=Classes(names=("a", "b", "c")),
        layout="joined",
        frame=tuple(FRAME),
        deployed=tuple(deployed),
    )
    return manifest, models


def answered(manifest, models, *, cascade):
    picture = np.zeros(FRAME, np.uint8)
    asking = Consultation(manifest, models, picture, cascade=cascade)
    opened = consult(manifest, asking, CLASSES, FRAME)
    return decide(opened, manifest.rules), asking.asked


@pytest.mark.parametrize("block", range(4))
def test_masks_are_those_of_all_networks_and_fewer_are_asked(block):
    saved, asked = 0, Counter()
    for seed in range(100 * block, 100 * block + 100):
        manifest, models = drawn(seed)
        every, all_asked = answered(manifest, models, cascade=False)
        some, some_asked = answered(manifest, models, cascade=True)
        assert np.array_equal(every, some), seed
        assert not Counter(some_asked) - Counter(all_asked)
        saved += len(all_asked) - len(some_asked)
        asked[bool(every.any())] += 1
    assert saved > 25  # and not by clearing all: some strips are defective
    assert asked[True] > 10
    assert asked[False] > 10


def test_without_the_cascade_every_network_of_an_open_step_is_asked():
    manifest, models = drawn(5)
    _, asked = answered(manifest, models, cascade=False)
    for name, each in models.items():
        own = [file for file in asked if file.startswith(f"{name}-")]
        assert own in ([], [voter.graph.file for voter in each])


@given(st.integers(0, 2**32 - 1), st.sampled_from(RULES[:4]))
def test_what_may_be_found_is_all_that_lower_maps_leave(seed, rules):
    rng = np.random.default_rng(seed)
    high = rng.integers(0, 256, (CLASSES, 12, 20)).astype(np.uint8)
    high[rng.random(high.shape) < 0.7] = 0
    low = (high * rng.random(high.shape)).astype(np.uint8)
    found = may_be_found(high, rules)
    left = clean(low, rules).any((1, 2))
    assert not (left & ~found).any()


def judged(words, threshold, gate="image", rules=RULES[0]):
    """A bundle whose judges say these words, one list a judge, and whose segmenter says nothing."""
    models = {
        "classify": [
            OnnxModel(
                graph(f"classify-{at}", ("classes",)),
                lambda _, word=word: [np.array(word, np.float32)[None, None]],
            )
            for at, word in enumerate(words)
        ],
        "segment": [
            OnnxModel(
                graph("segment-0", ("masks",)),
                lambda strips: [np.ones((1, 1, CLASSES, *strips.shape[2:]), np.float32)],
            )
        ],
    }
    common = {"views": ("identity",), "average": Mean()}
    judge = Judge(
        name="classify",
        graphs=tuple(each.graph for each in models["classify"]),
        threshold=threshold,
        gate=gate,
        **common,
    )
    outline = Outline(name="segment", graphs=(models["segment"][0].graph,), **common)
    manifest = Manifest(
        made_with="0",
        recipe="judged",
        classes=Classes(names=("a", "b", "c")),
        layout="joined",
        frame=tuple(FRAME),
        deployed=(Deployed(judges=(judge,), outline=outline, rules=rules),),
    )
    return manifest, models


def test_judges_stop_once_the_others_cannot_clear_or_open_a_strip():
    low, high = [0.0, 0.1, 0.0], [0.0, 1.0, 0.0]
    manifest, models = judged([low, low, low, low, high], 0.6)
    masks, asked = answered(manifest, models, cascade=True)
    # three of five at 0.1 and two at 1 make 0.46: after three nothing can pass 0.6 any more
    assert asked == ["classify-0", "classify-1", "classify-2"]
    assert not masks.any()
    manifest, models = judged([high, high, high, low, low], 0.55)
    masks, asked = answered(manifest, models, cascade=True)
    assert asked == ["classify-0", "classify-1", "classify-2", "segment-0"]
    assert masks.all()


def test_a_word_that_a_rule_asks_for_is_that_of_all_judges():
    high, low = [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]
    manifest, models = judged([high, high, high, low], 0.5, rules=RULES[4])
    _, asked = answered(manifest, models, cascade=True)
    assert asked[:4] == [f"classify-{at}" for at in range(4)]


def test_networks_that_know_closed_classes_only_are_not_asked():
    manifest, models = judged([[0.9, 0.1, 0.1]], 0.5, gate="class")
    binary = [
        OnnxModel(
            graph(f"segment-{known}", ("masks",), (known,)),
            lambda strips: [np.ones((1, 1, 1, *strips.shape[2:]), np.float32)],
        )
        for known in (1, 2, 3)
    ]
    outline = manifest.deployed[0].outline.but(graphs=tuple(each.graph for each in binary))
    manifest = manifest.but(deployed=(manifest.deployed[0].but(outline=outline),))
    masks, asked = answered(manifest, {**models, "segment": binary}, cascade=True)
    assert asked == ["classify-0", "segment-1"]
    assert masks.any((1, 2)).tolist() == [True, False, False]


def test_a_class_that_only_a_later_network_knows_keeps_a_strip_open():
    manifest, models = judged([[0.9, 0.9, 0.9]], 0.5)
    says = {1: 0.0, 2: 0.0, 3: 1.0}
    binary = [
        OnnxModel(
            graph(f"segment-{known}", ("masks",), (known,)),
            lambda strips, share=share: [np.full((1, 1, 1, *strips.shape[2:]), share, np.float32)],
        )
        for known, share in says.items()
    ]
    outline = manifest.deployed[0].outline.but(graphs=tuple(each.graph for each in binary))
    manifest = manifest.but(deployed=(manifest.deployed[0].but(outline=outline),))
    masks, asked = answered(manifest, {**models, "segment": binary}, cascade=True)
    assert asked == ["classify-0", "segment-1", "segment-2", "segment-3"]
    assert masks.any((1, 2)).tolist() == [False, False, True]


def outlined(manifest, models, shares, early, rules):
    """The same with segmenters that give all pixels these probabilities."""
    segmenters = [
        OnnxModel(
            graph(f"segment-{at}", ("masks",)),
            lambda strips, share=share: [
                np.full((1, 1, CLASSES, *strips.shape[2:]), share, np.float32)
            ],
        )
        for at, share in enumerate(shares)
    ]
    (deployed,) = manifest.deployed
    graphs = tuple(each.graph for each in segmenters)
    outline = deployed.outline.but(graphs=graphs, early=early)
    manifest = manifest.but(deployed=(deployed.but(outline=outline, rules=rules),))
    return manifest, {**models, "segment": segmenters}


def test_a_strip_leaves_early_where_the_first_network_finds_nothing_above_its_level():
    bundle = judged([[0.9, 0.9, 0.9]], 0.5)
    for early, count in ((None, 3), (24, 3), (26, 1)):
        own = outlined(*bundle, (0.1, 1.0, 1.0), early, (Threshold(pixel=0.5),))
        masks, asked = answered(*own, cascade=True)
        assert len(asked) == 1 + count
        assert masks.any() == (count == 3)


def test_what_sums_may_be_rounded_by_closes_no_strip():
    """(0.0529 + 1 + 1) / 3 is 174.5 of 255: 174 where the two are added at once, 175 one by one."""
    least = 174.5 / 255
    first, rules = 0.052941177040338516, (Threshold(label=least, pixel=least),)
    own = outlined(*judged([[0.9, 0.9, 0.9]], 0.5), (first, 1.0, 1.0), None, rules)
    masks, asked = answered(*own, cascade=True)
    assert masks.all()
    assert len(asked) == 4
