"""Adversarial validation: what can be told apart is, what cannot is not, and groups stay whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelscan.data import like_test, like_test_folds, looks
from steelscan.data.adversarial import area_under_curve
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


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_the_area_is_the_chance_that_a_positive_is_above_a_negative(drawn):
    scores = np.array([float(value) for value, _ in drawn])
    positive = np.array([flag for _, flag in drawn])
    if positive.all() or not positive.any():
        return
    wins = [
        (one > other) + (one == other) / 2
        for one in scores[positive]
        for other in scores[~positive]
    ]
    assert area_under_curve(scores, positive) == pytest.approx(np.mean(wins))


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
