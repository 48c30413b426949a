"""Adversarial validation: different strips are separated, equal ones are not, groups stay whole."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelscan.evaluation.adversarial import (
    appearance_differences,
    appearance_features,
    like_test_folds,
    likeness_to_test,
)
from steelscan.evaluation.adversarial.likeness import cross_parts
from steelscan.strip.errors import InputError


def strips(count, seed, black=0.1, light=100):
    """Yield small strips with a black end, of a given brightness."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        picture = random.normal(light * random.uniform(0.8, 1.2), 20, (24, 160))
        width = int(160 * min(0.9, random.exponential(black)))
        side = random.random() < 0.5
        picture[:, :width] = np.where(side, 2, picture[:, :width])
        picture[:, 160 - width :] = np.where(side, picture[:, 160 - width :], 2)
        yield np.clip(picture, 0, 255).astype(np.uint8)


def scored(train, test, seed=0):
    groups = np.arange(len(train)) // 2
    return likeness_to_test(train, test, groups, seed)


def test_strips_of_the_same_rolls_are_not_separable():
    same = [
        scored(appearance_features(strips(120, seed)), appearance_features(strips(80, 50 + seed)))
        for seed in range(12)
    ]
    assert np.mean([scores.auc for scores in same]) == pytest.approx(0.5, abs=0.03)
    assert sum(scores.separable for scores in same) == 0


def test_black_ends_separate_test_strips_and_rank_the_training_strips():
    plain, darker = (
        appearance_features(strips(150, 1, black=0.03)),
        appearance_features(strips(40, 2, black=0.5)),
    )
    train = np.concatenate([plain, darker])
    scores = scored(train, appearance_features(strips(100, 3, black=0.5)))
    assert scores.separable
    assert scores.auc > 0.7
    assert scores.likeness.shape == (190,)
    assert ((scores.likeness >= 0) & (scores.likeness <= 1)).all()
    assert np.median(scores.likeness[150:]) > np.quantile(scores.likeness[:150], 0.8)


def test_near_duplicates_are_in_one_part():
    """A copy in another group would leak into the training of its copy."""
    random = np.random.default_rng(0)
    base = random.normal(size=(60, 15))
    copies = np.concatenate([base, base])
    together = likeness_to_test(copies, random.normal(size=(60, 15)), np.tile(np.arange(60), 2))
    assert np.allclose(together.likeness[:60], together.likeness[60:])
    apart = likeness_to_test(copies, random.normal(size=(60, 15)), np.arange(120))
    assert not np.allclose(apart.likeness[:60], apart.likeness[60:])


def test_the_same_seed_gives_the_same_scores():
    train, test = appearance_features(strips(40, 1)), appearance_features(strips(40, 2))
    assert np.array_equal(scored(train, test, 3).likeness, scored(train, test, 3).likeness)
    assert not np.array_equal(scored(train, test, 3).likeness, scored(train, test, 4).likeness)


def test_a_handful_of_strips_is_refused():
    with pytest.raises(InputError, match="10 of each"):
        likeness_to_test(np.zeros((9, 15)), np.zeros((50, 15)), np.arange(9))


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 40), (40, 1), (256, 1600)])
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_every_picture_has_features(shape, grey):
    assert np.isfinite(appearance_features([np.full(shape, grey, np.uint8)])).all()


def test_equal_strips_are_separable_as_rarely_as_the_interval_allows():
    """At most one interval in forty is above 0.5, also with groups of copies."""
    rng, separable = np.random.default_rng(0), 0
    for seed in range(100):
        base = rng.normal(size=(60, 15))
        copies = base[rng.integers(0, 3, 120) + 3 * np.repeat(np.arange(20), 6)]
        groups = np.repeat(np.arange(20), 6)
        train, test = copies[:72], copies[72:]
        scores = likeness_to_test(train, test, groups[:72], seed, test_groups=groups[72:])
        separable += scores.separable
    assert separable <= 6  # of 100 with a chance of 1/40 each: more once in 1,000 times


@given(st.integers(0, 999), st.integers(2, 30), st.integers(2, 30), st.integers(2, 6))
def test_parts_have_whole_groups_of_training_and_test_strips(seed, trains, tests, most):
    rng = np.random.default_rng(seed)
    groups = np.concatenate([np.repeat(np.arange(trains), 5), np.repeat(np.arange(tests), 5) + 40])
    rng.shuffle(groups)
    is_test = groups >= 40
    parts = cross_parts(groups, is_test, seed, most)
    assert len(parts) == min(most, trains, tests)
    assert (np.sum(parts, axis=0) == 1).all()
    for part in parts:
        assert is_test[part].any()
        assert not is_test[part].all()
        assert not set(groups[part].tolist()) & set(groups[~part].tolist())


@pytest.mark.parametrize(
    ("how", "name", "phrase"),
    [
        ({"black": 0.6}, "black area", "have more black area"),
        ({"light": 60}, "brightness", "are darker"),
        ({"blurred": True}, "sharpness", "are less sharp, or have less noise"),
    ],
)
def test_differences_have_a_phrase(how, name, phrase):
    blurred = how.pop("blurred", False)
    train = appearance_features(strips(60, 1, black=0.05))
    test = list(strips(50, 2, **{"black": 0.05, **how}))
    if blurred:
        test = [cv2.GaussianBlur(each, (0, 0), 2) for each in test]
    found = appearance_differences(train, appearance_features(test), np.arange(110))
    (difference,) = [each for each in found if each.name == name]
    assert difference.certain
    assert difference.phrase == phrase
    assert (difference.test < difference.train) == ("less" in phrase or "darker" in phrase)
    assert found[0].auc.value >= difference.auc.value > 0.7


def test_equal_strips_have_no_certain_difference():
    for seed in range(10):
        values = np.random.default_rng(seed).normal(size=(80, 15))
        found = appearance_differences(values[:40], values[40:], np.arange(80))
        assert len(found) == 15
        assert not any(each.certain for each in found)


def test_a_different_variance_is_found_if_the_medians_are_equal():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(100, 15)), rng.normal(size=(100, 15))
    test[:, 3] *= 5
    first = appearance_differences(train, test, np.arange(200))[0]
    assert first.phrase == "vary more in brightness"
    assert first.certain


@given(st.integers(2, 60), st.integers(1, 12), st.floats(0.01, 0.99), st.integers(0, 99))
def test_validation_has_whole_groups_of_the_strips_most_like_the_test(count, sizes, share, seed):
    random = np.random.default_rng(seed)
    groups = random.integers(0, max(2, count // sizes), count)
    groups[:2] = 0, 1
    likeness = random.random(count)
    folds = like_test_folds(likeness, groups, share)
    assert set(folds.tolist()) == {0, 1}
    means = {group: likeness[groups == group].mean() for group in set(groups.tolist())}
    of_group = {group: set(folds[groups == group].tolist()) for group in means}
    assert all(len(found) == 1 for found in of_group.values())
    validation = [means[group] for group, found in of_group.items() if found == {0}]
    training = [means[group] for group, found in of_group.items() if found == {1}]
    assert min(validation) >= max(training)
    largest = max(np.bincount(groups))
    assert np.mean(folds == 0) <= share + largest / count + 1e-9 or len(validation) == 1
