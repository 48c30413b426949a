"""Adversarial validation: what can be told apart is, what cannot is not, and groups stay whole."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelscan.evaluation.adversarial import cross_parts, like_test_folds, look_differences, looks
from steelscan.evaluation.adversarial.like_test import like_test
from steelscan.strip import InputError


def strips(count, seed, black=0.1, light=100):
    """Small strips with so much black at an end, under such a light."""
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
    return like_test(train, test, groups, seed)


def test_strips_of_the_same_rolls_are_not_told_apart():
    same = [scored(looks(strips(120, seed)), looks(strips(80, 50 + seed))) for seed in range(12)]
    assert np.mean([scores.auc for scores in same]) == pytest.approx(0.5, abs=0.03)
    assert sum(scores.told_apart for scores in same) == 0


def test_more_black_at_the_ends_tells_test_strips_apart_and_ranks_the_training_strips():
    plain, darker = looks(strips(150, 1, black=0.03)), looks(strips(40, 2, black=0.5))
    train = np.concatenate([plain, darker])
    scores = scored(train, looks(strips(100, 3, black=0.5)))
    assert scores.told_apart
    assert scores.auc > 0.7
    assert scores.likeness.shape == (190,)
    assert ((scores.likeness >= 0) & (scores.likeness <= 1)).all()
    assert np.median(scores.likeness[150:]) > np.quantile(scores.likeness[:150], 0.8)


def test_near_duplicates_are_judged_by_one_model_that_has_seen_neither():
    """Copies in one group cannot betray each other; in groups of their own they would."""
    random = np.random.default_rng(0)
    base = random.normal(size=(60, 15))
    copies = np.concatenate([base, base])
    together = like_test(copies, random.normal(size=(60, 15)), np.tile(np.arange(60), 2))
    assert np.allclose(together.likeness[:60], together.likeness[60:])
    apart = like_test(copies, random.normal(size=(60, 15)), np.arange(120))
    assert not np.allclose(apart.likeness[:60], apart.likeness[60:])


def test_the_same_seed_gives_the_same_scores():
    train, test = looks(strips(40, 1)), looks(strips(40, 2))
    assert np.array_equal(scored(train, test, 3).likeness, scored(train, test, 3).likeness)
    assert not np.array_equal(scored(train, test, 3).likeness, scored(train, test, 4).likeness)


def test_a_handful_of_strips_is_refused():
    with pytest.raises(InputError, match="10 of each"):
        like_test(np.zeros((9, 15)), np.zeros((50, 15)), np.arange(9))


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 40), (40, 1), (256, 1600)])
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_every_picture_has_a_look(shape, grey):
    assert np.isfinite(looks([np.full(shape, grey, np.uint8)])).all()


def test_strips_that_do_not_differ_are_told_apart_as_seldom_as_promised():
    """At most one interval in forty lies above a half; with groups of copies, too."""
    rng, told = np.random.default_rng(0), 0
    for seed in range(100):
        base = rng.normal(size=(60, 15))
        copies = base[rng.integers(0, 3, 120) + 3 * np.repeat(np.arange(20), 6)]
        groups = np.repeat(np.arange(20), 6)
        train, test = copies[:72], copies[72:]
        scores = like_test(train, test, groups[:72], seed, test_groups=groups[72:])
        told += scores.told_apart
    assert told <= 6  # of 100 with a chance of 1/40 each: more once in 1,000 times


@given(st.integers(0, 999), st.integers(2, 30), st.integers(2, 30), st.integers(2, 6))
def test_parts_hold_whole_groups_of_both_sides(seed, trains, tests, most):
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
    ("how", "name", "words"),
    [
        ({"black": 0.6}, "black area", "have more black area"),
        ({"light": 60}, "brightness", "are darker"),
        ({"blurred": True}, "sharpness", "are less sharp, or have less noise"),
    ],
)
def test_what_tells_strips_apart_is_said_in_words(how, name, words):
    blurred = how.pop("blurred", False)
    train = looks(strips(60, 1, black=0.05))
    test = list(strips(50, 2, **{"black": 0.05, **how}))
    if blurred:
        test = [cv2.GaussianBlur(each, (0, 0), 2) for each in test]
    found = look_differences(train, looks(test), np.arange(110))
    (said,) = [each for each in found if each.name == name]
    assert said.certain
    assert said.words == words
    assert (said.test < said.train) == ("less" in words or "darker" in words)
    assert found[0].auc.value >= said.auc.value > 0.7


def test_of_strips_alike_no_number_is_named():
    for seed in range(10):
        values = np.random.default_rng(seed).normal(size=(80, 15))
        found = look_differences(values[:40], values[40:], np.arange(80))
        assert len(found) == 15
        assert not any(each.certain for each in found)


def test_more_or_less_spread_is_seen_where_the_middle_is_the_same():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(100, 15)), rng.normal(size=(100, 15))
    test[:, 3] *= 5
    first = look_differences(train, test, np.arange(200))[0]
    assert first.words == "vary more in brightness"
    assert first.certain


@given(st.integers(2, 60), st.integers(1, 12), st.floats(0.01, 0.99), st.integers(0, 99))
def test_whole_groups_of_the_likest_strips_judge(count, sizes, share, seed):
    random = np.random.default_rng(seed)
    groups = random.integers(0, max(2, count // sizes), count)
    groups[:2] = 0, 1
    likeness = random.random(count)
    folds = like_test_folds(likeness, groups, share)
    assert set(folds.tolist()) == {0, 1}
    means = {group: likeness[groups == group].mean() for group in set(groups.tolist())}
    of_group = {group: set(folds[groups == group].tolist()) for group in means}
    assert all(len(found) == 1 for found in of_group.values())
    judging = [means[group] for group, found in of_group.items() if found == {0}]
    teaching = [means[group] for group, found in of_group.items() if found == {1}]
    assert min(judging) >= max(teaching)
    largest = max(np.bincount(groups))
    assert np.mean(folds == 0) <= share + largest / count + 1e-9 or len(judging) == 1
