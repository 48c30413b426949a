"""Pixel counts and Dice against a definition in plain loops."""

import numpy as np
import polars as pl
import pytest

from steelscan.evaluation.metrics import Pairs, count_pixels, dice, score
from steelscan.strip.errors import MaskError


def masks_at_random(random, strips, classes, height=6, width=9):
    """Random masks of which about half are empty, some full."""
    masks = random.random((strips, classes, height, width)) < random.random((strips, classes, 1, 1))
    masks &= random.random((strips, classes, 1, 1)) < 0.6
    return masks


def dice_by_definition(predicted, truth):
    """Loops over the pixels of one mask; no array arithmetic."""
    shared = size = other = 0
    for guess_row, true_row in zip(predicted.tolist(), truth.tolist(), strict=True):
        for guess, true in zip(guess_row, true_row, strict=True):
            shared += guess and true
            size += guess
            other += true
    if size + other == 0:
        return 1.0
    return 2 * shared / (size + other)


@pytest.mark.parametrize("seed", range(5))
def test_mean_dice_is_the_mean_of_all_strips_and_classes_by_definition(seed):
    random = np.random.default_rng(seed)
    predicted, truth = (masks_at_random(random, 12, 3) for _ in range(2))
    pairs = Pairs.of([count_pixels(*both) for both in zip(predicted, truth, strict=True)])
    expected = [
        [dice_by_definition(*both) for both in zip(*strip, strict=True)]
        for strip in zip(predicted, truth, strict=True)
    ]
    assert dice(pairs).tolist() == pytest.approx(np.array(expected), abs=1e-15)
    flat = [value for strip in expected for value in strip]
    assert score(pairs).mean_dice.value == pytest.approx(sum(flat) / len(flat), abs=1e-14)


def test_dice_is_not_flattened_over_classes_or_strips():
    truth = np.zeros((2, 4, 5), np.bool_)
    truth[0, :2] = True
    predicted = truth.copy()
    predicted[1, 0, 0] = True  # one wrong pixel spoils its whole pair, and no other
    values = dice(Pairs.of([count_pixels(predicted, truth)]))
    assert values.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(
    ("guess", "true", "expected"),
    [([], [], 1.0), ([1], [], 0.0), ([], [1], 0.0), ([0, 1, 2], [2, 3], 2 * 1 / 5)],
    ids=["both empty", "false alarm", "missed", "overlap"],
)
def test_the_four_cases_of_truth(guess, true, expected):
    predicted, truth = np.zeros((2, 1, 2, 3), np.bool_)
    predicted.reshape(-1)[guess] = truth.reshape(-1)[true] = True
    assert dice(Pairs.of([count_pixels(predicted, truth)]))[0, 0] == expected


def test_empty_predictions_score_as_in_the_competition(real_data):
    labels = pl.read_csv(real_data / "severstal" / "labels.csv")
    truth = labels.select(f"has{index}" for index in range(1, 5)).to_numpy().astype(np.int64)
    assert truth.shape == (12568, 4)
    full = Pairs(truth, truth, truth)
    assert score(full, resamples=0).mean_dice.value == 1
    empty = score(full.emptied(), resamples=0)
    assert round(empty.mean_dice.value, 6) == 0.858868
    assert (empty.defective, empty.clean, empty.escaped, empty.stopped) == (6666, 5902, 6666, 0)


def test_selecting_takes_rows_in_their_order():
    counts = np.arange(12, dtype=np.int64).reshape(6, 2)
    pairs = Pairs(counts, counts, counts)
    assert pairs.select([4, 0, 4]).truth.tolist() == [[8, 9], [0, 1], [8, 9]]
    assert len(pairs.select(np.arange(6) % 2 == 0)) == 3
    assert len(pairs.select(slice(0))) == 0
    assert pairs.emptied().truth.tolist() == counts.tolist()
    assert not pairs.emptied().predicted.any()
    assert not pairs.emptied().shared.any()


@pytest.mark.parametrize(
    ("predicted", "truth"),
    [
        (np.zeros((2, 3, 4), np.uint8), np.zeros((2, 3, 4), np.bool_)),
        (np.zeros((2, 3, 4), np.bool_), np.zeros((2, 3, 4), np.float32)),
        (np.zeros((2, 4, 3), np.bool_), np.zeros((2, 3, 4), np.bool_)),
        (np.zeros((1, 3, 4), np.bool_), np.zeros((2, 3, 4), np.bool_)),
        (np.zeros((3, 4), np.bool_), np.zeros((3, 4), np.bool_)),
    ],
)
def test_other_shapes_and_types_are_refused(predicted, truth):
    with pytest.raises(MaskError):
        count_pixels(predicted, truth)


def test_impossible_counts_are_refused():
    ones, zeros = np.ones((2, 2), np.int64), np.zeros((2, 2), np.int64)
    with pytest.raises(MaskError, match="more shared than"):
        Pairs(ones, zeros, ones)
    with pytest.raises(MaskError, match="int64"):
        Pairs(ones, ones[:1], ones)
    with pytest.raises(MaskError, match="int64"):
        Pairs(ones, ones, ones.astype(np.float64))
    with pytest.raises(MaskError, match="no strip"):
        Pairs.of([])
    with pytest.raises(MaskError, match="differ"):
        Pairs.of([np.zeros((3, 1), np.int64), np.zeros((3, 2), np.int64)])
