"""What is drawn: one of several, some of several, and only by the generator."""

import pickle
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from pydantic import TypeAdapter
from tests.augment.samples import KINDS, MIRRORS, MOVES, apply, every_kind, make, sample

from steelscan.augment import (
    Augment,
    Augmenter,
    Blur,
    BrightnessContrast,
    Clahe,
    DefectBlackout,
    Gamma,
    HFlip,
    IsoNoise,
    Jpeg,
    OneOf,
    Rotate180,
    SaltPepper,
    SteelShift,
    UpTo,
    VFlip,
)


def test_one_of_several_is_drawn_by_the_ratios_of_their_probabilities():
    picture, masks = sample(1)
    spec = OneOf(of=(HFlip(p=0.3), VFlip(p=0.15), Rotate180(p=0.05), Gamma(p=0.0)), p=0.8)
    augmenter, rng = Augmenter((spec,)), np.random.default_rng(0)
    ways = {MIRRORS[kind](picture).tobytes(): kind for kind in MIRRORS}
    ways[picture.tobytes()] = None
    counts = Counter(ways[augmenter(picture, masks, rng)[0].tobytes()] for _ in range(2000))
    for kind, share in ((HFlip, 0.48), (VFlip, 0.24), (Rotate180, 0.08), (None, 0.2)):
        assert counts[kind] / 2000 == pytest.approx(share, abs=0.03)


def test_none_to_several_are_drawn_uniformly():
    picture, masks = sample(1, 9, 13)
    flips = (HFlip(p=1.0), VFlip(p=1.0), Gamma(limit=0.9, p=1.0))
    augmenter, rng = Augmenter((UpTo(count=2, of=flips),)), np.random.default_rng(0)
    ways = {
        masks.tobytes(): (),
        masks[:, :, ::-1].tobytes(): (0,),
        masks[:, ::-1].tobytes(): (1,),
        masks[:, ::-1, ::-1].tobytes(): (0, 1),
    }
    counts = Counter()
    for _ in range(1800):
        changed, planes = augmenter(picture, masks, rng)
        greys = not np.array_equal(np.sort(changed.ravel()), np.sort(picture.ravel()))
        counts[(*ways[planes.tobytes()], *((2,) if greys else ()))] += 1
    assert counts[()] / 1800 == pytest.approx(1 / 3, abs=0.04)
    for count in (1, 2):
        for drawn in combinations(range(3), count):
            assert counts[drawn] / 1800 == pytest.approx(1 / 9, abs=0.03)
    assert sum(counts.values()) == sum(counts[key] for key in counts if len(key) <= 2)


def test_what_is_drawn_is_applied_in_order_and_by_its_own_probability():
    picture, masks = sample(1)
    augmenter = Augmenter((UpTo(count=1, of=(HFlip(p=0.5),)),))
    rng = np.random.default_rng(0)
    same = [np.array_equal(augmenter(picture, masks, rng)[0], picture) for _ in range(600)]
    assert np.mean(same) == pytest.approx(0.75, abs=0.06)
    point = np.zeros((9, 9), np.uint8)
    point[4, 4] = 255
    blurred_last = UpTo(count=2, of=(SaltPepper(amount=0.0, p=1.0), Blur(side=3, p=1.0)))
    for seed in range(20):
        assert apply((blurred_last,), point, masks[:, :9, :9], seed)[0].max() in {255, 28}


NESTED = (
    OneOf(
        of=(
            UpTo(count=2, of=(HFlip(), OneOf(of=(Blur(p=0.3), Jpeg(p=0.0)), p=0.5), SteelShift())),
            DefectBlackout(p=0.2),
        ),
        p=0.9,
    ),
    UpTo(count=1, of=(OneOf(of=(Rotate180(),), p=1.0), UpTo(count=1, of=(VFlip(),)))),
)


@pytest.mark.parametrize(
    "augments",
    [(), tuple(make(kind, 0.5) for kind in KINDS), NESTED, (UpTo(count=9, of=MOVES[:9] + NESTED),)],
)
def test_only_the_generator_decides(augments):
    picture, masks = sample(3, 24, 37)
    augmenter = Augmenter(augments)
    fresh = [apply(augments, picture, masks, seed) for seed in range(12)]
    for seed in reversed(range(12)):  # in another order, with a used augmenter and with a copy
        copy = pickle.loads(pickle.dumps(augmenter))
        for other in (augmenter, copy):
            changed, planes = other(picture, masks, np.random.default_rng(seed))
            assert np.array_equal(changed, fresh[seed][0])
            assert np.array_equal(planes, fresh[seed][1])
    if augments:
        assert len({changed.tobytes() for changed, _ in fresh}) > 4


@every_kind
def test_the_effect_of_a_kind_depends_only_on_the_generator(kind):
    # strengths of Clahe differ visibly only in tiles of some hundred pixels
    picture, masks = sample(3, *((128, 256) if kind is Clahe else (24, 37)))
    augmenter = Augmenter((make(kind),))
    results = set()
    for seed in range(10):
        first = augmenter(picture, masks, np.random.default_rng(seed))
        again = apply((make(kind),), picture, masks, seed)
        assert np.array_equal(first[0], again[0])
        assert np.array_equal(first[1], again[1])
        results.add(first[0].tobytes())
    assert len(results) == 1 if kind in MIRRORS else len(results) > 1


@pytest.mark.parametrize("augments", [(HFlip(), BrightnessContrast()), NESTED, (make(IsoNoise),)])
def test_the_global_random_state_is_not_changed(augments):
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random(2).tolist()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    Augmenter(augments)(*sample(), np.random.default_rng(0))
    assert np.random.random(2).tolist() == expected  # noqa: NPY002


def test_views_of_larger_arrays_are_accepted():
    picture, masks = sample(2)
    window, planes = picture[2:8, 3:11], masks[:, 2:8, 3:11]
    changed, turned = apply((HFlip(p=1.0),), window[:, ::-1], planes[:, :, ::-1])
    assert np.array_equal(changed, window)
    assert np.array_equal(turned, planes)


def test_nested_settings_round_trip_through_json():
    adapter = TypeAdapter(tuple[Augment, ...])
    assert adapter.validate_json(adapter.dump_json(NESTED)) == NESTED
