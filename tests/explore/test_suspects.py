"""What looks wrong in labels by themselves, beside slow ways that share no code."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from steelscan.data import open_dataset
from steelscan.explore import NearPair, holes, label_differences, odd_sizes, slivers, specks
from steelscan.explore.label_suspects import overlapping
from steelscan.explore.near_pairs import near_pairs
from steelscan.mill import Mill, write_mill
from steelscan.strip import decode, encode, read_mask_table, write_mask_table

masks = arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 12)))
EIGHT = np.ones((3, 3))


def sizes(mask, structure=None):
    labels, count = ndimage.label(mask, structure)
    return sorted(int((labels == number).sum()) for number in range(1, count + 1))


@given(masks, st.integers(1, 8))
def test_specks_are_the_small_parts(mask, below):
    assert sorted(part.pixels for part in specks(mask, below)) == [
        size for size in sizes(mask, EIGHT) if size < below
    ]


@given(masks)
def test_holes_are_what_filling_adds(mask):
    inside = ndimage.binary_fill_holes(mask) & ~mask
    assert sorted(hole.pixels for hole in holes(mask)) == sizes(inside)


@given(masks)
def test_slivers_are_what_an_opening_by_two_pixels_removes(mask):
    padded = np.pad(mask, 2)
    opened = ndimage.binary_opening(padded, np.ones((2, 2)))[2:-2, 2:-2]
    assert sorted(part.pixels for part in slivers(mask, 1)) == sizes(mask & ~opened, EIGHT)


def test_a_part_is_told_with_its_place():
    mask = np.zeros((20, 30), np.bool_)
    mask[2:12, 3:13] = True
    mask[5, 13:24] = True
    assert [tuple(part) for part in slivers(mask)] == [(11, 5, 13, 1, 11)]
    assert specks(mask) == []
    mask[7, 7] = False
    assert [tuple(part) for part in holes(mask)] == [(1, 7, 7, 1, 1)]


def test_a_size_is_odd_when_it_is_far_from_the_others_of_its_class():
    rng = np.random.default_rng(0)
    areas = np.rint(np.exp(rng.normal(8, 0.5, (200, 3)))).astype(np.int64)
    areas[:, 2] = 0
    areas[:5, 2] = 10, 10, 10, 10, 10_000  # too few to say
    areas[0, 0], areas[1, 0], areas[2, 1] = 5, 900_000, 0
    found = odd_sizes(areas)
    assert found[0, 0] < -3.5
    assert found[1, 0] > 3.5
    assert found[2, 1] == 0
    assert not found[:, 2].any()
    assert (np.abs(found[3:, :2]) < 3.5).mean() > 0.99
    logs = np.log(areas[:, 0])
    away = logs - np.median(logs)
    assert found[:, 0] == pytest.approx(away / (1.4826 * np.median(np.abs(away))))


@given(st.integers(-5, 5), st.integers(-9, 9))
def test_what_two_pictures_both_show_lies_on_itself(down, right):
    steel = np.random.default_rng(0).random((2, 40, 60)) < 0.5
    one = steel[:, 8:28, 12:44]
    other = steel[:, 8 - down : 28 - down, 12 - right : 44 - right]
    first, second = overlapping(one, other, down, right)
    assert first.shape == (2, 20 - abs(down), 32 - abs(right))
    assert np.array_equal(first, second)


def test_labels_differ_where_one_has_a_class_or_has_it_elsewhere():
    label = np.zeros((4, 3, 20, 30), np.bool_)
    label[:2, 0, 2:10, 3:12] = True
    label[0, 1, 12:18, 3:12] = True
    label[0, 2, 1:9, 15:25], label[1, 2, 10:18, 15:25] = True, True
    pairs = [NearPair(0, 1, 0.9, 0, 0), NearPair(2, 3, 0.9, 0, 0)]
    found = [tuple(each) for each in label_differences(pairs, lambda row: label[row])]
    assert found == [(0, 1, 1, 0.0, (54, 0)), (0, 1, 2, 0.0, (80, 80))]


def test_planted_differences_between_copies_of_the_mill_are_found_and_no_others(tmp_path):
    mill = Mill(strips=24, seed=1, height=128, width=320, duplicate_share=0.5, faint_share=0.0)
    write_mill(mill, tmp_path / "mill")
    before = open_dataset(tmp_path / "mill")
    pairs = near_pairs(before)
    assert len(pairs) >= 4
    assert not list(label_differences(pairs, before.masks))
    changed = next(
        (pair, at)
        for pair in pairs
        for at in np.flatnonzero(before.masks(pair.one).any((1, 2))).tolist()
    )
    (pair, at), table = changed, read_mask_table(tmp_path / "mill" / "train.csv")
    name = before.names[pair.one]
    texts = {image: list(table.texts(image, 4)) for image in before.names}
    assert decode(texts[name][at], before.frames[pair.one]).any()
    texts[name][at] = encode(np.zeros(before.frames[pair.one], np.bool_))
    write_mask_table(tmp_path / "mill" / "train.csv", texts.items(), "columns")
    after = open_dataset(tmp_path / "mill")
    found = list(label_differences(near_pairs(after), after.masks))
    assert found
    assert all(each.class_index == at and pair.one in each[:2] for each in found)
    assert {each.dice for each in found} == {0.0}
