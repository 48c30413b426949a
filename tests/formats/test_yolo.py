"""YOLO: a sample written by hand, and damaged folders."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from layouts import WRONG_SIZE
from PIL import Image

from steelscan.formats import FORMATS
from steelscan.strip.errors import DatasetError, InputError, MaskError, PictureError


def test_yolo_sample(tmp_path: Path) -> None:
    for folder in ("images/val", "labels/val"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("a", "clean"):
        Image.new("L", (8, 4)).save(tmp_path / f"images/val/{name}.png")
    square, wide, thin = (
        ".25 .25 .75 .25 .75 .75 .25 .75",
        "0 0 1.5 0 1.5 .25 0 .25",
        "0 0 .01 0 0 .01",
    )
    (tmp_path / "labels/val/a.txt").write_text(f"1 {square}\n\n0 {wide}\n1 {thin}\n")
    expect = np.zeros((2, 4, 8), np.bool_)
    expect[1, 1:3, 2:6], expect[0, 0] = True, True
    for names in ("names: [hole, scratch]", "nc: 2\nnames:\n  0: hole\n  1: scratch\n"):
        (tmp_path / "data.yaml").write_text(f"path: .\ntrain: images\n{names}\n")
        one, clean = FORMATS["yolo"].read(tmp_path)
        assert np.array_equal(one.masks, expect)
        assert (one.image, one.clipped, one.dropped) == ("val/a.png", 1, 1)
        assert (clean.image, clean.masks.any(), clean.clipped) == ("val/clean.png", False, 0)
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "classes.txt").write_text("hole\nscratch\n")
    assert next(FORMATS["yolo"].read(tmp_path)).classes.names == ("hole", "scratch")


DAMAGE: dict[str, tuple[str, bytes | str | None, type[InputError], str]] = {
    "class": (
        "labels/s1.txt",
        "3 0 0 1 0 1 1",
        MaskError,
        r"s1\.txt, line 1: names the class '3', but the classes are 0 to 2",
    ),
    "endless class": ("labels/s1.txt", "9" * 5000 + " 0 0 1 0 1 1", MaskError, "names the class"),
    "box": ("labels/s1.txt", "\n0 .5 .5 .1", MaskError, "line 2: has 3 numbers"),
    "odd": ("labels/s1.txt", "0 0 0 1 0 1 1 1", MaskError, "has 7 numbers"),
    "corners": ("labels/s1.txt", "0 0 0", MaskError, "has 2 numbers"),
    "text": ("labels/s1.txt", "0 0 0 1 0 1 a", MaskError, "where numbers are expected"),
    "infinite": ("labels/s1.txt", "0 0 0 1 0 1 inf", MaskError, "far outside the picture"),
    "bytes": ("labels/s1.txt", b"\xff\xfe0", DatasetError, "is not UTF-8 text"),
    "stray": ("labels/t.txt", "", DatasetError, "picture that is missing"),
    "picture": ("images/s1.jpg", "text", PictureError, "is no JPEG"),
    "stems": ("images/s1.png", WRONG_SIZE, DatasetError, "only in its ending"),
    "no names": ("data.yaml", "nc: 3", DatasetError, "names no classes"),
    "yaml": ("data.yaml", "names: [", DatasetError, "cannot be read as YAML"),
    "numbers": ("data.yaml", "names: {1: a}", DatasetError, "from 0 up"),
    "no yaml": ("data.yaml", None, DatasetError, r"data\.yaml: is missing"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_folders(damage: str, refuse_damaged: Callable[..., None]) -> None:
    refuse_damaged("yolo", *DAMAGE[damage])
