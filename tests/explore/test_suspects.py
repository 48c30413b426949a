"""Suspicious labels: the parts of masks, odd sizes, and near-duplicates labelled differently."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from steelscan.analysis.audit import write_audit
from steelscan.data import open_dataset
from steelscan.explore import explore, explored_dataset, measure
from steelscan.explore.near_pairs import NearPair, label_differences, overlapping
from steelscan.explore.shape import shape_of
from steelscan.explore.suspects import size_deviations, speck_limit
from steelscan.mill import Mill, write_mill
from steelscan.strip import decode, encode
from steelscan.strip.tables import read_mask_table, write_mask_table

masks = arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 12)))
EIGHT = np.ones((3, 3))


def sizes(mask, structure=None):
    labels, count = ndimage.label(mask, structure)
    return sorted(int((labels == number).sum()) for number in range(1, count + 1))


@given(masks.filter(np.any))
def test_parts_of_a_mask_are_those_of_scipy(mask):
    shape = shape_of(mask)
    assert shape.pieces[:, 0].tolist() == sizes(mask, EIGHT)
    enclosed = ndimage.binary_fill_holes(mask) & ~mask
    assert shape.holes[:, 0].tolist() == sizes(enclosed)
    padded = np.pad(mask, 2)
    opened = ndimage.binary_opening(padded, np.ones((2, 2)))[2:-2, 2:-2]
    lines = [size for size in sizes(mask & ~opened, EIGHT) if size >= 8]
    assert shape.slivers[:, 0].tolist() == lines


def test_parts_have_boxes():
    mask = np.zeros((20, 30), np.bool_)
    mask[2:12, 3:13] = True
    mask[5, 13:24] = True
    assert shape_of(mask).slivers.tolist() == [[11, 5, 13, 1, 11]]
    mask[7, 7] = False
    assert shape_of(mask).holes.tolist() == [[1, 7, 7, 1, 1]]


@pytest.mark.parametrize(
    ("pixels", "limit"), [(256 * 1600, 150), (200 * 200, 15), (64 * 320, 7), (10 * 10, 2)]
)
def test_the_speck_limit_is_relative_to_the_picture(pixels, limit):
    assert speck_limit(pixels) == limit
    assert speck_limit(pixels, 33) == 33


@pytest.fixture
def wrong(tmp_path) -> Path:
    """Strips of 256x1600 with a speck, a whisker, a pinhole, shared pixels and an odd size."""
    data = tmp_path / "wrong"
    mill = Mill(strips=24, seed=1, height=256, width=1600, duplicate_share=0.3, faint_share=0.0)
    write_mill(mill, data)
    dataset = open_dataset(data)
    changed = np.zeros((4, 256, 1600), np.bool_)
    changed[0, 40:80, 100:300] = True
    changed[0, 60, 200] = False
    changed[1, 100:105, 700:705] = True  # a speck of 25 pixels
    changed[2, 150:180, 900:940] = True
    changed[2, 160, 940:980] = True  # a whisker of 40 pixels
    changed[3, 170:200, 920:960] = True
    rows = [
        (name, [encode(mask) for mask in (dataset.masks(row) if row else changed)])
        for row, name in enumerate(dataset.names)
    ]
    write_mask_table(data / "train.csv", rows, "columns")
    return data


def test_explore_and_audit_list_the_same_suspects(wrong, tmp_path):
    exploration = explore(wrong, tmp_path / "explored")
    audited = write_audit(wrong, tmp_path / "audited")
    first = audited.dataset.names[0]
    explored = {
        (each.image, each.kind, each.class_name, each.reason) for each in exploration.suspects
    }
    assert explored == {
        (strip.name, each.kind, each.class_name, each.reason)
        for strip in audited.suspects
        for each in strip.reasons
    }
    of_first = {(kind, name) for image, kind, name, _ in explored if image == first}
    assert {
        ("speck", "2"),
        ("sliver", "3"),
        ("pinhole", "1"),
        ("shared pixels", None),
    } <= of_first
    reasons = [reason for image, _, _, reason in explored if image == first]
    assert "class 2 has 1 speck under 150 pixels; the smallest has 25" in reasons
    assert "class 3 has 1 sliver one pixel wide; the shortest has 40 pixels" in reasons
    listed = [
        {(row["image"], row["kind"], row["class"], row["reason"]) for row in rows_of(path)}
        for path in (tmp_path / "explored", tmp_path / "audited")
    ]
    assert listed[0] == listed[1]


def rows_of(folder):
    with (folder / "suspects.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_size_is_odd_if_it_is_far_from_the_median_of_its_class():
    rng = np.random.default_rng(0)
    shares = np.exp(rng.normal(-5, 0.5, 200))
    shares[:2] = 1e-5, 0.9
    deviations = size_deviations(shares)
    assert deviations[0] < -3.5
    assert deviations[1] > 3.5
    assert (np.abs(deviations[2:]) < 3.5).mean() > 0.99
    logs = np.log(shares)
    off = logs - np.median(logs)
    assert deviations == pytest.approx(off / (1.4826 * np.median(np.abs(off))))
    few = np.array([0.01] * 18 + [0.9])
    assert not size_deviations(few).any()
    equal = size_deviations(np.array([0.01] * 20 + [0.012, 0.9]))
    assert np.flatnonzero(np.abs(equal) >= 3.5).tolist() == [21]


@given(st.integers(-5, 5), st.integers(-9, 9))
def test_the_overlap_of_two_pictures_is_the_same_steel(down, right):
    steel = np.random.default_rng(0).random((2, 40, 60)) < 0.5
    one = steel[:, 8:28, 12:44]
    other = steel[:, 8 - down : 28 - down, 12 - right : 44 - right]
    first, second = overlapping(one, other, down, right)
    assert first.shape == (2, 20 - abs(down), 32 - abs(right))
    assert np.array_equal(first, second)


def test_labels_differ_if_a_class_is_missing_or_at_another_place():
    label = np.zeros((4, 3, 20, 30), np.bool_)
    label[:2, 0, 2:10, 3:12] = True
    label[0, 1, 12:18, 3:12] = True
    label[0, 2, 1:9, 15:25], label[1, 2, 10:18, 15:25] = True, True
    pairs = [NearPair(0, 1, 0.9, 0, 0), NearPair(2, 3, 0.9, 0, 0)]
    differences = [tuple(each) for each in label_differences(pairs, lambda row: label[row])]
    assert differences == [(0, 1, 1, 0.0, (54, 0)), (0, 1, 2, 0.0, (80, 80))]


def test_planted_differences_between_copies_of_the_mill_are_found_and_no_others(tmp_path):
    mill = Mill(strips=24, seed=1, height=128, width=320, duplicate_share=0.5, faint_share=0.0)
    write_mill(mill, tmp_path / "mill")
    before = open_dataset(tmp_path / "mill")
    pairs = measure(explored_dataset(before)).near_pairs
    assert len(pairs) >= 4
    assert not list(label_differences(pairs, before.masks))
    pair, at = next(
        (pair, at)
        for pair in pairs
        for at in np.flatnonzero(before.masks(pair.one).any((1, 2))).tolist()
    )
    table = read_mask_table(tmp_path / "mill" / "train.csv")
    name = before.names[pair.one]
    texts = {image: list(table.texts(image, 4)) for image in before.names}
    assert decode(texts[name][at], before.frames[pair.one]).any()
    texts[name][at] = encode(np.zeros(before.frames[pair.one], np.bool_))
    write_mask_table(tmp_path / "mill" / "train.csv", texts.items(), "columns")
    after = open_dataset(tmp_path / "mill")
    differences = list(label_differences(measure(explored_dataset(after)).near_pairs, after.masks))
    assert differences
    assert all(each.class_index == at and pair.one in each[:2] for each in differences)
    assert {each.dice for each in differences} == {0.0}
