"""Agreement of several predictions, against masks and hand numbers."""

from itertools import combinations
from math import isnan

import numpy as np
import pytest

from steelscan.evaluation.metrics import Pairs, count_pixels, majority
from steelscan.evaluation.metrics.agreement import agreement
from steelscan.strip import Frame, decode, encode, parse_runs
from steelscan.strip.errors import InputError

FRAME = Frame(6, 9)


def as_text(runs: np.ndarray) -> str:
    return " ".join(f"{start + 1} {length}" for start, length in runs.tolist())


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("ties", [False, True])
def test_the_majority_is_that_of_the_pixels(count: int, ties: bool) -> None:
    random = np.random.default_rng(count)
    for _ in range(30):
        share = random.random((count, 1, 1))
        masks = random.random((count, *FRAME)) < share * (random.random((count, 1, 1)) < 0.8)
        votes = masks.sum(axis=0)
        expected = 2 * votes > count
        if ties:
            expected |= (2 * votes == count) & (votes > 0)
        runs = majority([parse_runs(encode(mask), FRAME) for mask in masks], ties=ties)
        assert as_text(runs) == encode(expected)
        assert np.array_equal(decode(as_text(runs), FRAME), expected)


def test_the_majority_of_empty_masks_is_empty() -> None:
    assert majority([np.empty((0, 2), np.int64)] * 3).shape == (0, 2)


def random_predictions(count: int) -> np.ndarray:
    random = np.random.default_rng(0)
    made = random.random((count, 25, 2, 5, 6)) < 0.4
    return made & (random.random((count, 25, 2, 1, 1)) < 0.5)


def test_agreement_is_that_of_plain_loops() -> None:
    masks = random_predictions(3)
    pairs = {
        (one, other): Pairs.of(
            [count_pixels(*each) for each in zip(masks[one], masks[other], strict=True)]
        )
        for one, other in combinations(range(3), 2)
    }
    found = agreement(3, pairs)
    assert found.strips == 25
    for one, other in combinations(range(3), 2):
        for at in range(2):
            a = [bool(mask[at].any()) for mask in masks[one]]
            b = [bool(mask[at].any()) for mask in masks[other]]
            same = sum(x == y for x, y in zip(a, b, strict=True)) / 25
            chance = (sum(a) * sum(b) + (25 - sum(a)) * (25 - sum(b))) / 625
            assert found.decisions[one, other, at] == found.decisions[other, one, at]
            assert found.decisions[one, other, at] == pytest.approx(same)
            assert found.kappa[one, other, at] == pytest.approx((same - chance) / (1 - chance))
            each = [
                2 * (x[at] & y[at]).sum() / (x[at].sum() + y[at].sum())
                for x, y in zip(masks[one], masks[other], strict=True)
                if x[at].any() or y[at].any()
            ]
            assert found.dice[one, other, at] == pytest.approx(np.mean(each))
        any_one, any_other = (masks[each].any(axis=(1, 2, 3)) for each in (one, other))
        assert found.decisions[one, other, -1] == pytest.approx((any_one == any_other).mean())
    for each in range(3):
        assert (
            found.predicted[each, :2].tolist() == masks[each].any(axis=(2, 3)).sum(axis=0).tolist()
        )
        assert found.predicted[each, -1] == masks[each].any(axis=(1, 2, 3)).sum()


def test_a_class_that_neither_predicts_has_no_dice() -> None:
    counts = np.array([[3, 0], [0, 0]])
    found = agreement(2, {(0, 1): Pairs(counts, counts, counts)})
    assert found.decisions[0, 1].tolist() == [1, 1, 1]
    assert found.dice[0, 1, 0] == found.dice[0, 1, -1] == 1
    assert isnan(found.dice[0, 1, 1])
    assert isnan(found.kappa[0, 1, 1])


def test_one_prediction_or_a_missing_pair_is_refused() -> None:
    counts = np.array([[3, 0]])
    with pytest.raises(InputError, match="are 1"):
        agreement(1, {})
    with pytest.raises(InputError, match="are 3"):
        agreement(3, {(0, 1): Pairs(counts, counts, counts)})
