"""IoU by three definitions, and the expected Dice at other class frequencies."""

from math import isnan

import numpy as np
import pytest

from steelscan.evaluation.metrics import (
    Expected,
    Pairs,
    count_pixels,
    dice,
    expected_dice,
    overlaps,
    score,
)
from steelscan.strip import Classes
from steelscan.strip.errors import InputError

NAMES = Classes(names=("a", "b", "c"))


def masks_at_random(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    made = random.random((2, 12, 3, 6, 9)) < random.random((2, 12, 3, 1, 1))
    made &= random.random((2, 12, 3, 1, 1)) < 0.6
    return made[0], made[1]


def pairs_of(predicted: np.ndarray, truth: np.ndarray) -> Pairs:
    return Pairs.of([count_pixels(*each) for each in zip(predicted, truth, strict=True)])


@pytest.mark.parametrize("seed", range(4))
def test_all_three_definitions_equal_those_on_sets_of_pixels(seed: int) -> None:
    predicted, truth = masks_at_random(seed)
    rows = overlaps(pairs_of(predicted, truth), NAMES)
    for index, row in enumerate(rows[:-1]):
        whole = [set(zip(*np.nonzero(each[:, index]), strict=True)) for each in (predicted, truth)]
        assert row.over_pixels == pytest.approx(len(whole[0] & whole[1]) / len(whole[0] | whole[1]))
        strips = []
        for guess, true in zip(predicted[:, index], truth[:, index], strict=True):
            one, other = (set(zip(*np.nonzero(each), strict=True)) for each in (guess, true))
            strips.append((len(one & other) / max(len(one | other), 1), bool(one), bool(other)))
        either = [value for value, one, other in strips if one or other]
        there = [value for value, _, other in strips if other]
        assert row.over_strips == pytest.approx(sum(either) / len(either))
        assert row.where_true == pytest.approx(sum(there) / len(there))
        hits = [one for _, one, other in strips if other]
        assert row.hit_rate == pytest.approx(sum(hits) / len(hits))
    assert rows[-1].over_pixels == pytest.approx(np.mean([row.over_pixels for row in rows[:-1]]))


def test_an_absent_class_is_undefined_and_not_in_the_mean() -> None:
    counts = np.array([[4, 0], [6, 0]])
    rows = overlaps(Pairs(counts, counts, counts // 2), Classes(names=("a", "b")))
    assert isnan(rows[1].over_pixels)
    assert rows[-1].over_pixels == rows[0].over_pixels == pytest.approx(5 / 15)
    with pytest.raises(InputError, match="the pairs have 2"):
        overlaps(Pairs(counts, counts, counts), NAMES)


def test_the_expected_dice_at_the_same_frequencies_is_the_mean_dice() -> None:
    """With the same frequencies nothing changes."""
    pairs = pairs_of(*masks_at_random(7))
    own = Expected(tuple((pairs.truth > 0).sum(axis=0).tolist()), len(pairs))
    assert expected_dice(pairs, own) == pytest.approx(score(pairs, resamples=0).mean_dice.value)
    twice = Expected(tuple(2 * count for count in own.positives), 2 * len(pairs))
    assert expected_dice(pairs, twice) == pytest.approx(expected_dice(pairs, own))


def test_the_published_formula() -> None:
    """(clean kept x 6172 + the sum of Dice x positives) / 7204, for 128, 43, 741, 120 of 1801."""
    random = np.random.default_rng(3)
    truth = random.integers(0, 3, (40, 4))
    predicted = random.integers(0, 3, (40, 4))
    pairs = Pairs(predicted, truth, np.minimum(predicted, truth))
    values, true = dice(pairs), truth > 0
    kept = (predicted[~true] == 0).mean()
    total = kept * 6172 + sum(
        count * values[true[:, at], at].mean() for at, count in enumerate((128, 43, 741, 120))
    )
    assert expected_dice(pairs, Expected((128, 43, 741, 120), 1801)) == pytest.approx(total / 7204)


def test_an_empty_prediction_scores_the_share_of_clean_pairs() -> None:
    truth = np.array([[1, 1], [0, 0]])
    empty = Pairs(truth, truth, truth).emptied()
    assert expected_dice(empty, Expected((128, 43), 1801)) == pytest.approx(1 - 171 / 3602)


def test_a_class_without_strips_has_no_expected_dice() -> None:
    truth = np.array([[1, 0], [0, 0]])
    pairs = Pairs(truth, truth, truth)
    assert isnan(expected_dice(pairs, Expected((1, 1), 5)))
    assert expected_dice(pairs, Expected((1, 0), 5)) == 1
    with pytest.raises(InputError, match="has 1 classes"):
        expected_dice(pairs, Expected((1,), 5))
    with pytest.raises(InputError, match="none above the number"):
        Expected((9,), 5)
