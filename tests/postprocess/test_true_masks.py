"""The rules change true masks, of every tenth strip, little and only as documented."""

from collections import defaultdict

import cv2
import numpy as np
import pytest

from steelscan.evaluation.metrics import count_pixels
from steelscan.postprocess import (
    FillEdges,
    FillHoles,
    MinArea,
    OneClassPerPixel,
    Polygons,
    RemoveSmallComponents,
    ScaledMinArea,
    Threshold,
    Triplet,
    clean,
)
from steelscan.strip import Frame, decode
from steelscan.strip.tables import read_mask_table

pytestmark = pytest.mark.slow
SEVERSTAL = Frame(256, 1600)
CLASSES = np.array([1.0, 0.75, 0.5, 0.0], np.float32)


@pytest.fixture(scope="module")
def strips(real_data):
    table = read_mask_table(real_data / "severstal" / "masks.csv.gz")
    images = list(table.rows)[::10]
    decoded = [
        np.stack([decode(text, SEVERSTAL, image) for text in table.texts(image, 4)])
        for image in images
    ]
    assert len(decoded) == 286
    return decoded


def after(strips, *rules):
    """Yield masks before and after the rules; True becomes 200 of 255, False 40."""
    first = Threshold(label=0.6, pixel=0.5)
    for masks in strips:
        maps_u8 = np.where(masks, np.uint8(200), np.uint8(40))
        yield masks, clean(maps_u8, [first, *rules], CLASSES)


def dice_by_class(strips, rule):
    """The mean Dice of each class before and after a rule, over strips with the class."""
    found = defaultdict(list)
    for masks, cleaned in after(strips, rule):
        predicted, truth, shared = count_pixels(cleaned, masks)
        for index in np.flatnonzero(truth):
            found[index].append(2 * shared[index] / (predicted[index] + truth[index]))
    assert sorted(found) == [0, 1, 2, 3]
    return np.array([np.mean(found[index]) for index in range(4)])


@pytest.mark.parametrize(
    "rule",
    [
        MinArea(pixels=(600, 600, 900, 2000)),
        ScaledMinArea(pixels=600),
        RemoveSmallComponents(pixels=150),
        OneClassPerPixel(),
    ],
    ids=lambda rule: rule.kind,
)
def test_these_rules_only_remove_and_only_once(strips, rule):
    changed = 0
    for masks, cleaned in after(strips, rule):
        assert not (cleaned & ~masks).any()
        changed += not np.array_equal(cleaned, masks)
        [(_, again)] = after([cleaned], rule)
        assert np.array_equal(again, cleaned)
    assert changed == 0 if isinstance(rule, OneClassPerPixel) else 0 < changed < len(strips) / 4


@pytest.mark.parametrize("rule", [FillHoles(), FillHoles(pixels=50), FillEdges(pixels=0)], ids=repr)
def test_these_rules_only_add(strips, rule):
    changed = 0
    for masks, cleaned in after(strips, rule):
        assert not (masks & ~cleaned).any()
        changed += not np.array_equal(cleaned, masks)
        if isinstance(rule, FillHoles):
            [(_, again)] = after([cleaned], rule)
            assert np.array_equal(again, cleaned)
    assert changed < len(strips) / 4


def test_small_components_agree_with_labels(strips):
    for masks, cleaned in after(strips, RemoveSmallComponents(pixels=1000)):
        for mask, found in zip(masks, cleaned, strict=True):
            _, labels = cv2.connectedComponents(mask.view(np.uint8))
            enough = np.bincount(labels.ravel()) >= 1000
            enough[0] = False
            assert np.array_equal(enough[labels], found)


def test_filled_holes_are_what_a_flood_from_outside_does_not_reach(strips):
    for masks, filled in after(strips, FillHoles()):
        for mask, found in zip(masks, filled, strict=True):
            plane = np.pad(mask.view(np.uint8), 1)
            cv2.floodFill(plane, None, (0, 0), 2)
            assert np.array_equal(plane[1:-1, 1:-1] != 2, found)


def test_true_masks_survive_the_filling_of_their_edges(strips):
    scores = dice_by_class(strips, FillEdges())
    assert (scores >= (0.966, 0.927, 0.969, 0.988)).all()  # the author's method with padding
    assert (scores > 0.999).all()


def test_true_masks_are_polygons(strips):
    assert (dice_by_class(strips, Polygons()) > 0.993).all()
    assert (dice_by_class(strips, Polygons(eps=0.0)) == 1).all()
    for masks, drawn in after(strips, Polygons()):
        changed = masks ^ drawn
        for mask, off in zip(masks, changed, strict=True):
            room = np.pad(mask, 1).view(np.uint8)
            side = cv2.morphologyEx(room, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
            assert (off <= side[1:-1, 1:-1]).all()  # only pixels next to the outline change


def test_a_triplet_of_true_masks_is_the_mask_or_nothing(strips):
    for masks in strips:
        maps_u8 = np.where(masks, np.uint8(200), np.uint8(40))
        found = clean(maps_u8, [Triplet(top=0.7, area=2000, bottom=0.3)])
        enough = masks.sum((1, 2)) >= 2000
        assert np.array_equal(found, masks & enough[:, None, None])
