"""Outlines change the picture only along the border of masks."""

import cv2
import numpy as np
import pytest

from steelscan.pages import class_color
from steelscan.pages.outline import outline
from steelscan.strip.errors import MaskError, PictureError


def picture_at_random(height=60, width=90):
    return np.random.default_rng(0).integers(40, 200, (height, width), dtype=np.uint8)


def masks_with(*boxes, height=60, width=90):
    masks = np.zeros((len(boxes), height, width), np.bool_)
    for mask, (top, bottom, left, right) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    return masks


def colored(drawn):
    return (drawn.max(axis=2).astype(int) - drawn.min(axis=2)) > 40


def test_the_picture_stays_grey_away_from_the_border_of_a_mask():
    picture, masks = picture_at_random(), masks_with((10, 50, 20, 70))
    drawn = outline(picture, masks)
    border = masks[0] & ~cv2.erode(masks[0].view(np.uint8), np.ones((3, 3))).astype(bool)
    near = cv2.dilate(border.astype(np.uint8), np.ones((9, 9))).astype(bool)
    assert (drawn[~near] == picture[~near][:, None]).all()
    assert near.sum() < masks[0].sum()  # inside it, the picture is unchanged, too
    assert colored(drawn)[border].all()


def test_without_masks_the_picture_is_unchanged():
    picture = picture_at_random()
    assert (outline(picture, np.zeros((4, 60, 90), np.bool_)) == picture[..., None]).all()
    assert (outline(picture, np.zeros((0, 60, 90), np.bool_)) == picture[..., None]).all()
    before = picture.copy()
    outline(picture, masks_with((10, 50, 20, 70)))
    assert (picture == before).all()


def test_each_class_has_its_color():
    drawn = outline(np.zeros((60, 90), np.uint8), masks_with((5, 25, 5, 40), (30, 55, 45, 85)))
    for index, place in enumerate([(5, 20), (30, 60)]):
        assert np.abs(drawn[place].astype(int) - class_color(index)).max() < 60
        assert np.abs(drawn[place].astype(int) - class_color(1 - index)).max() > 60


@pytest.mark.parametrize("width", [30, 90, 333])
def test_scaling_keeps_the_outline_in_place_and_shows_a_single_pixel(width):
    masks = masks_with((10, 50, 20, 70), (30, 31, 80, 81))
    drawn = outline(np.zeros((60, 90), np.uint8), masks, width=width)
    scale = width / 90
    assert drawn.shape == (round(60 * scale), width, 3)
    rows, columns = np.nonzero(colored(drawn) & (np.arange(width) < 75 * scale))
    assert columns.min() == pytest.approx(20.5 * scale, abs=3)
    assert columns.max() == pytest.approx(69.5 * scale, abs=3)
    assert rows.min() == pytest.approx(10.5 * scale, abs=3)
    assert rows.max() == pytest.approx(49.5 * scale, abs=3)
    rows, columns = np.nonzero(colored(drawn) & (np.arange(width) > 75 * scale))
    assert columns.mean() == pytest.approx(80.5 * scale, abs=2)
    assert rows.mean() == pytest.approx(30.5 * scale, abs=2)


def test_holes_are_outlined_too():
    masks = masks_with((5, 55, 10, 80))
    masks[0, 20:40, 30:60] = False
    assert colored(outline(np.zeros((60, 90), np.uint8), masks))[18:22, 45].any()


def test_colors_of_many_classes_differ():
    colors = [class_color(index) for index in range(20)]
    assert all(0 <= channel <= 255 for color in colors for channel in color)
    apart = [
        sum(abs(a - b) for a, b in zip(colors[i], colors[j], strict=True))
        for i in range(20)
        for j in range(i)
    ]
    assert min(apart) > 20


def test_other_shapes_and_types_are_refused():
    picture, masks = picture_at_random(), masks_with((1, 2, 3, 4))
    with pytest.raises(PictureError):
        outline(picture.astype(np.float32), masks)
    with pytest.raises(PictureError):
        outline(np.dstack([picture] * 3), masks)
    with pytest.raises(MaskError):
        outline(picture, masks[:, :-1])
    with pytest.raises(MaskError):
        outline(picture, masks.astype(np.uint8))
    with pytest.raises(MaskError):
        outline(picture, masks[0])
