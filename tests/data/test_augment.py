"""Every augmentation: what it may do to picture and masks, and that only its seed decides."""

import pickle
from collections import Counter
from typing import get_args

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from steelscan.data import Augment, Augmenter, BrightnessContrast, HFlip, Turn, VFlip
from steelscan.strip import RecipeError

KINDS = tuple(kind for kind in get_args(get_args(Augment)[0]) if kind.built)
every_kind = pytest.mark.parametrize("kind", KINDS)
MIRRORS = {HFlip: np.fliplr, VFlip: np.flipud}


def sample(classes=3, height=10, width=14, seed=0):
    """A picture of all sorts of grey, and masks that stand where single greys are."""
    picture = np.random.default_rng(seed).permutation(height * width).reshape(height, width)
    picture = picture.astype(np.uint8)
    return picture, np.stack([picture % 7 == at for at in range(classes)])


def apply(augments, picture, masks, seed=0):
    return Augmenter(augments)(picture, masks, np.random.default_rng(seed))


def test_the_suite_holds_every_kind_of_augmentation():
    assert set(KINDS) == {*MIRRORS, BrightnessContrast}
    assert len(KINDS) == 3
    assert len(get_args(get_args(Augment)[0])) == 22


def test_what_has_no_code_is_refused():
    with pytest.raises(RecipeError, match="Turn: has no code yet"):
        Augmenter((HFlip(), Turn()))


@every_kind
@pytest.mark.parametrize("classes", [1, 2, 3, 4, 5, 9])
def test_shapes_and_types_stay_for_any_number_of_classes(kind, classes):
    picture, masks = sample(classes)
    before = picture.copy(), masks.copy()
    changed, planes = apply((kind(p=1.0),), picture, masks)
    assert (changed.dtype, changed.shape) == (np.uint8, picture.shape)
    assert (planes.dtype, planes.shape) == (np.bool_, masks.shape)
    assert not np.array_equal(changed, picture)
    assert np.array_equal(picture, before[0])  # what came in is left alone
    assert np.array_equal(masks, before[1])


@every_kind
def test_with_probability_nought_nothing_happens(kind):
    picture, masks = sample()
    for seed in range(20):
        changed, planes = apply((kind(p=0.0),), picture, masks, seed)
        assert np.array_equal(changed, picture)
        assert np.array_equal(planes, masks)


@pytest.mark.parametrize("kind", MIRRORS)
@pytest.mark.parametrize("classes", [1, 4, 6])
def test_a_mirror_is_a_mirror_of_picture_and_every_mask(kind, classes):
    picture, masks = sample(classes)
    changed, planes = apply((kind(p=1.0),), picture, masks)
    assert np.array_equal(changed, MIRRORS[kind](picture))
    assert np.array_equal(planes, [MIRRORS[kind](mask) for mask in masks])


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_mirrors_come_as_often_as_asked_and_apart_from_each_other(p):
    picture, masks = sample(1)
    augmenter, rng = Augmenter((HFlip(p=p), VFlip(p=p))), np.random.default_rng(0)
    ways = {
        picture.tobytes(): "as it was",
        np.fliplr(picture).tobytes(): "left and right",
        np.flipud(picture).tobytes(): "top and bottom",
        np.flipud(np.fliplr(picture)).tobytes(): "both",
    }
    counts = Counter(ways[augmenter(picture, masks, rng)[0].tobytes()] for _ in range(1000))
    assert counts["left and right"] / 1000 == pytest.approx(p * (1 - p), abs=0.06)
    assert counts["top and bottom"] / 1000 == pytest.approx(p * (1 - p), abs=0.06)
    assert counts["both"] / 1000 == pytest.approx(p * p, abs=0.06)


def test_brightness_changes_whether_mirrored_or_not():
    picture, masks = sample(1)
    augmenter = Augmenter((HFlip(), BrightnessContrast()))
    rng = np.random.default_rng(0)
    counts = Counter()
    for _ in range(1000):
        changed, planes = augmenter(picture, masks, rng)
        mirrored = not np.array_equal(planes, masks)
        greys = picture[:, ::-1] if mirrored else picture
        counts[mirrored, not np.array_equal(changed, greys)] += 1
    assert len(counts) == 4
    assert all(count == pytest.approx(250, abs=60) for count in counts.values())


def test_brightness_and_contrast_are_one_straight_line_within_their_limits():
    greys, masks = sample(2)
    greys = (greys.astype(int) // 2 + 60).astype(np.uint8)  # far from black and white
    lines = []
    for seed in range(150):
        spec = BrightnessContrast(brightness=0.1, contrast=0.2, p=1.0)
        changed, planes = apply((spec,), greys, masks, seed)
        assert np.array_equal(planes, masks)
        slope, offset = np.polyfit(greys.ravel(), changed.ravel(), 1)
        assert np.abs(changed - (slope * greys + offset)).max() <= 1.01
        lines.append((slope, offset))
    slopes, offsets = np.transpose(lines)
    assert 0.79 < slopes.min() < 0.83
    assert 1.17 < slopes.max() < 1.21
    assert -27 < offsets.min() < -19  # a tenth of 255
    assert 19 < offsets.max() < 27
    assert abs(slopes.mean() - 1) < 0.04
    assert abs(offsets.mean()) < 4


def test_brightness_stops_at_black_and_white():
    for value, spec in ((255, BrightnessContrast(p=1.0)), (0, BrightnessContrast(p=1.0))):
        flat = np.full((4, 4), value, np.uint8)
        for seed in range(20):
            changed, _ = apply((spec,), flat, flat[None] > 0, seed)
            assert len(np.unique(changed)) == 1
            assert abs(int(changed[0, 0]) - value) <= 0.4 * 255 + 1  # and never wraps around


@pytest.mark.parametrize("augments", [(), tuple(kind(p=0.5) for kind in KINDS)])
def test_only_the_generator_decides(augments):
    picture, masks = sample()
    augmenter = Augmenter(augments)
    fresh = [apply(augments, picture, masks, seed) for seed in range(12)]
    for seed in reversed(range(12)):  # in another order, on one that was used, and on a copy
        copy = pickle.loads(pickle.dumps(augmenter))
        for other in (augmenter, copy):
            changed, planes = other(picture, masks, np.random.default_rng(seed))
            assert np.array_equal(changed, fresh[seed][0])
            assert np.array_equal(planes, fresh[seed][1])
    if augments:
        assert len({changed.tobytes() for changed, _ in fresh}) > 4


def test_the_random_state_of_others_is_left_alone():
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random(2).tolist()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    Augmenter((HFlip(), BrightnessContrast()))(*sample(), np.random.default_rng(0))
    assert np.random.random(2).tolist() == expected  # noqa: NPY002


def test_views_of_larger_arrays_are_taken():
    picture, masks = sample(2)
    window, planes = picture[2:8, 3:11], masks[:, 2:8, 3:11]
    changed, turned = apply((HFlip(p=1.0),), window[:, ::-1], planes[:, :, ::-1])
    assert np.array_equal(changed, window)
    assert np.array_equal(turned, planes)


@every_kind
def test_settings_go_to_json_and_back_and_shares_are_shares(kind):
    adapter = TypeAdapter(Augment)
    assert adapter.validate_json(adapter.dump_json(kind(p=0.25))) == kind(p=0.25)
    with pytest.raises(ValidationError):
        kind(p=1.5)
