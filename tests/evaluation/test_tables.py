"""Pixel counts from run lengths are those of decoded masks."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from steelscan.evaluation.metrics import Pairs, count_pixels, pairs_of_tables, score
from steelscan.evaluation.metrics.tables import shared_pixels
from steelscan.strip import Frame, decode, encode, parse_runs
from steelscan.strip.errors import MaskError, TableError
from steelscan.strip.tables import MaskTable, read_mask_table

SEVERSTAL = Frame(256, 1600)


def table(layout="columns", **rows):
    return MaskTable({name: dict(row) for name, row in rows.items()}, layout)


def pairs_by_decoding(truth, predicted, frame, names, classes):
    return Pairs.of(
        [
            count_pixels(
                *(
                    np.stack([decode(text, frame) for text in each.texts(name, classes)])
                    for each in (predicted, truth)
                )
            )
            for name in names
        ]
    )


def same(one, other):
    return all(
        np.array_equal(getattr(one, field), getattr(other, field))
        for field in ("predicted", "truth", "shared")
    )


@pytest.mark.parametrize("seed", range(20))
def test_shared_pixels_of_random_masks_equal_those_of_decoded_masks(seed):
    random = np.random.default_rng(seed)
    frame = Frame(*random.integers(1, 20, 2).tolist())
    one, other = (random.random(frame) < random.random() for _ in range(2))
    runs = [parse_runs(encode(mask), frame) for mask in (one, other)]
    assert shared_pixels(*runs) == (one & other).sum()
    assert shared_pixels(runs[0], runs[0]) == one.sum()


def test_every_real_mask_against_itself_moved_equals_decoding(real_data):
    masks = read_mask_table(real_data / "severstal" / "masks.csv.gz")
    random = np.random.default_rng(0)
    compared = sharing = 0
    for row in masks.rows.values():
        for text in row.values():
            mask = decode(text, SEVERSTAL)
            moved = np.roll(mask, tuple(random.integers(-30, 31, 2)), (0, 1))
            runs = [parse_runs(each, SEVERSTAL) for each in (text, encode(moved))]
            expected = np.count_nonzero(mask & moved)
            assert shared_pixels(*runs) == shared_pixels(*runs[::-1]) == expected
            compared, sharing = compared + 1, sharing + (0 < expected < runs[0][:, 1].sum())
    assert compared > 2854
    assert sharing > 2000


def test_real_submissions_score_against_each_other(real_data):
    files = sorted((real_data / "severstal" / "submissions").iterdir())
    tables = [read_mask_table(file) for file in files]
    assert len(tables) == 4
    agreements = []
    for one, other in combinations(tables, 2):
        pairs = pairs_of_tables(one, other, SEVERSTAL)
        assert pairs.truth.shape == (1801, 4)
        back = pairs_of_tables(other, one, SEVERSTAL)
        assert same(back, Pairs(pairs.truth, pairs.predicted, pairs.shared))
        agreements.append(score(pairs, resamples=0).mean_dice.value)
    assert min(agreements) > 0.85
    assert max(agreements) < 1
    both = pairs_of_tables(tables[0], tables[0], SEVERSTAL)
    assert score(both, resamples=0).mean_dice.value == 1
    names = sorted(tables[0].rows)[:150]
    some = [replace(each, rows={name: each.rows[name] for name in names}) for each in tables[:2]]
    assert same(pairs_of_tables(*some, SEVERSTAL), pairs_by_decoding(*some, SEVERSTAL, names, 4))


def test_images_of_either_table_count_in_sorted_order():
    truth, predicted = table(a={1: "1 3"}), table(b={2: "2 2"})
    pairs = pairs_of_tables(truth, predicted, Frame(4, 5))
    assert pairs.truth.tolist() == [[3, 0], [0, 0]]
    assert pairs.predicted.tolist() == [[0, 0], [0, 2]]


@pytest.mark.parametrize("bad", ["1 2 3", "19 5", "0 1", "5 3 6 1", "1 -2", "one two"])
def test_errors_of_run_lengths_name_table_image_and_class(bad):
    good, broken = table(a={1: "1 3"}), table(a={1: "1 3"}, strip7={2: bad})
    with pytest.raises(MaskError, match="prediction, image strip7, class 2"):
        pairs_of_tables(good, broken, Frame(4, 5))
    with pytest.raises(MaskError, match="truth, image strip7, class 2"):
        pairs_of_tables(broken, good, Frame(4, 5))


def test_a_table_of_all_pairs_must_have_every_image():
    truth = table(a={1: "1 3"}, b={1: "1 3"})
    silent = table("joined", a={1: ""})
    with pytest.raises(TableError, match="has no rows for 1 of 2 images, such as b"):
        pairs_of_tables(truth, silent, Frame(4, 5))


def test_tables_without_images_are_refused():
    with pytest.raises(TableError, match="lists no image"):
        pairs_of_tables(table(), table(), Frame(4, 5))
