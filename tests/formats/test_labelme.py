"""LabelMe: a sample written by hand, and damaged files."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from layouts import only

from steelscan.formats import FORMATS
from steelscan.strip.errors import DatasetError, MaskError

SAMPLE = (Path(__file__).parent / "samples/labelme.json").read_text(encoding="utf-8")


def test_labelme_sample(tmp_path: Path) -> None:
    (tmp_path / "roll").mkdir()
    (tmp_path / "roll/a.json").write_text(SAMPLE)
    one = only(FORMATS["labelme"].read(tmp_path))
    assert (one.image, one.frame, one.classes.names) == ("roll/a.jpg", (3, 4), ("hole", "scratch"))
    assert np.argwhere(one.masks[0]).tolist() == [[1, 1], [2, 2]]
    assert np.argwhere(one.masks[1]).tolist() == [[0, 0], [0, 1]]
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\nscratch\nhole\ndent\n")
    assert only(FORMATS["labelme"].read(tmp_path)).classes.names == ("scratch", "hole", "dent")


MASK_64 = json.loads(SAMPLE)["shapes"][1]["mask"]


DAMAGE = {
    "cut off": ('"imageHeight": 3, "imageWidth": 4}', "", DatasetError, "EOF"),
    "no path": ('"imagePath"', '"path"', DatasetError, "imagePath Field required"),
    "outside": ('"a.jpg"', '"../a.jpg"', DatasetError, "outside the data set"),
    "circle": ('"polygon"', '"circle"', MaskError, "shape 1: is a circle"),
    "two corners": ("[[0.0, 0.0], [2.2, 0.0], ", "[", MaskError, "polygon has 2 corners"),
    "other corners": ("[[1.0, 1.0]", "[[0.0, 1.0]", MaskError, "has a mask of 2x2"),
    "leaves": (
        "[[1.0, 1.0], [2.0, 2.0]]",
        "[[3.0, 1.0], [4.0, 2.0]]",
        MaskError,
        "outside the picture of 3x4",
    ),
    "no base64": (MASK_64, "?", MaskError, "no base64"),
    "no png": (MASK_64, "AAAA", MaskError, "is no JPEG"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_labelme(damage: str, tmp_path: Path, refused: Callable[..., None]) -> None:
    old, new, kind, message = DAMAGE[damage]
    text = SAMPLE
    assert old in text
    (tmp_path / "a.json").write_text(text.replace(old, new))
    refused(lambda: list(FORMATS["labelme"].read(tmp_path)), kind, rf"a\.json.*{message}")


def test_labelme_classes_and_pictures(tmp_path: Path, refused: Callable[..., None]) -> None:
    refused(lambda: list(FORMATS["labelme"].read(tmp_path)), DatasetError, "holds no JSON files")
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(SAMPLE)
    refused(lambda: list(FORMATS["labelme"].read(tmp_path)), DatasetError, r"a\.jpg twice")
    (tmp_path / "b.json").unlink()
    (tmp_path / "labels.txt").write_text("hole\n")
    refused(
        lambda: list(FORMATS["labelme"].read(tmp_path)),
        MaskError,
        "class 'scratch', but the classes are hole",
    )
