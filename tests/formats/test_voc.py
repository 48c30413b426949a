"""Pascal VOC: samples written by hand, the palette, and damaged folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import GREY, WRONG_SIZE, only, png
from PIL import Image

from steelscan.formats import FORMATS, AnnotatedPicture
from steelscan.formats.voc import colour
from steelscan.strip.errors import DatasetError, InputError, MaskError


def test_voc_samples(tmp_path: Path) -> None:
    for folder in ("JPEGImages", "SegmentationClass"):
        (tmp_path / folder).mkdir()
    Image.new("L", (3, 2)).save(tmp_path / "JPEGImages/a.jpg")
    labels = (
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nhole:128,0,0::\nscratch:0,128,0::\n"
    )
    (tmp_path / "labelmap.txt").write_text(labels)
    index = np.array([[0, 1, 255], [2, 2, 0]], np.uint8)
    table = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 255: (224, 224, 192)}
    coloured = np.array([[table[value] for value in row] for row in index.tolist()], np.uint8)
    palette = Image.fromarray(index)
    palette.putpalette([part for at in range(256) for part in table.get(at, (9, 9, 9))])
    for image in (Image.fromarray(index), Image.fromarray(coloured), palette):
        image.save(tmp_path / "SegmentationClass/a.png")
        one = only(FORMATS["voc"].read(tmp_path))
        assert (one.image, one.ignored, one.classes.names) == ("a.jpg", 1, ("hole", "scratch"))
        assert np.argwhere(one.masks).tolist() == [[0, 0, 1], [1, 1, 0], [1, 1, 1]]


def test_voc_pictures_hold_class_ids_in_vocs_palette(
    tmp_path: Path, round_trip: Callable[..., Any], annotated: Callable[..., AnnotatedPicture]
) -> None:
    each = FORMATS["voc"]
    masks = np.zeros((3, 2, 4), np.bool_)
    masks[[0, 1, 2], [0, 1, 1], [0, 1, 3]] = True
    round_trip(tmp_path, each, [annotated("a.jpg", masks)])
    with Image.open(tmp_path / "SegmentationClass/a.png") as image:
        assert image.mode == "P"
        assert np.asarray(image).tolist() == [[1, 0, 0, 0], [0, 2, 0, 3]]
        assert image.convert("RGB").getpixel((3, 1)) == (128, 128, 0)


def test_voc_colours() -> None:
    """The first and last ones of the palette in VOC's development kit."""
    known = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        3: (128, 128, 0),
        8: (64, 0, 0),
        20: (0, 64, 128),
    }
    assert {value: colour(value) for value in known} == known
    assert colour(255) == (224, 224, 192)
    assert len({colour(value) for value in range(256)}) == 256


DAMAGE: dict[str, tuple[str, bytes | str | None, type[InputError], str]] = {
    "missing": ("SegmentationClass/s1.png", None, MaskError, r"s1\.png: is missing"),
    "stray": ("JPEGImages/s1.jpg", None, DatasetError, "picture that is missing"),
    "size": (
        "SegmentationClass/s1.png",
        WRONG_SIZE,
        MaskError,
        r"is 3x3, its picture s1\.jpg is 96x320",
    ),
    "value": ("SegmentationClass/s1.png", GREY, MaskError, r"has the value 4 at \d+ pixels"),
    "colour": (
        "SegmentationClass/s1.png",
        png(np.full((96, 320, 3), 7, np.uint8)),
        MaskError,
        "has the value 7,7,7",
    ),
    "text": ("SegmentationClass/s1.png", "text", MaskError, "is no JPEG"),
    "cut off": ("SegmentationClass/s1.png", GREY[:200], MaskError, "damaged"),
    "labels": ("labelmap.txt", "scratch", DatasetError, "has the line 'scratch'"),
    "colours": ("labelmap.txt", "a:1,1,1::\nb:1,1,1::", DatasetError, "one colour"),
    "no labels": ("labelmap.txt", None, DatasetError, r"labelmap\.txt: is missing"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_folders(damage: str, refuse_damaged: Callable[..., None]) -> None:
    refuse_damaged("voc", *DAMAGE[damage])
