"""One PNG per class, index pictures and run lengths: samples, and damaged folders."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from layouts import GREY, WRONG_SIZE, only, png
from PIL import Image

from steelscan.formats import FORMATS, AnnotatedPicture
from steelscan.strip.errors import DatasetError, InputError, MaskError, TableError


def test_class_png_sample(tmp_path: Path) -> None:
    for folder in ("images", "masks/hole", "masks/dent"):
        (tmp_path / folder).mkdir(parents=True)
    Image.new("L", (2, 2)).save(tmp_path / "images/a.jpg")
    (tmp_path / "masks/hole/a.png").write_bytes(png(np.array([[0, 1], [0, 0]], np.uint8)))
    (tmp_path / "masks/dent/a.png").write_bytes(png(np.array([[255, 255], [0, 0]], np.uint8)))
    one = only(FORMATS["class_pngs"].read(tmp_path))
    assert {name: mask.tolist() for name, mask in one.by_class().items()} == {
        "dent": [[True, True], [False, False]],
        "hole": [[False, True], [False, False]],
    }


def test_own_samples(tmp_path: Path) -> None:
    for folder in ("images", "masks", "train_images"):
        (tmp_path / folder).mkdir()
    for folder in ("images", "train_images"):
        Image.new("L", (3, 2)).save(tmp_path / folder / "a.jpg")
    (tmp_path / "classes.csv").write_text("value,name\n1,hole\n2,dent\n")
    (tmp_path / "masks/a.png").write_bytes(png(np.array([[0, 1, 2], [0, 1, 0]], np.uint8)))
    indexed = only(FORMATS["index_pngs"].read(tmp_path))
    (tmp_path / "train.csv").write_text("ImageId_ClassId,EncodedPixels\na.jpg_1,3 2\na.jpg_2,5 1\n")
    lengths = only(FORMATS["run_lengths"].read(tmp_path))
    for one in (indexed, lengths):
        assert one.masks.astype(int).tolist() == [[[0, 1, 0], [0, 1, 0]], [[0, 0, 1], [0, 0, 0]]]
        assert one.classes.names == ("hole", "dent")


DAMAGE: dict[str, tuple[str, bytes | str | None, type[InputError], str]] = {
    "missing": ("masks/hole/s1.png", None, MaskError, r"hole/s1\.png: is missing"),
    "stray": ("images/s1.jpg", None, DatasetError, "picture that is missing"),
    "size": ("masks/hole/s1.png", WRONG_SIZE, MaskError, r"hole/s1\.png: is 3x3"),
    "grey": ("masks/hole/s1.png", GREY, MaskError, "several values"),
    "class": ("classes.csv", "value,name\n1,scratch\n", DatasetError, "is not a class of classes"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_class_pngs(damage: str, refuse_damaged: Callable[..., None]) -> None:
    refuse_damaged("class_pngs", *DAMAGE[damage])


def test_values_that_no_class_has(
    milled: list[AnnotatedPicture],
    tmp_path: Path,
    round_trip: Callable[..., object],
    refused: Callable[..., None],
) -> None:
    each = FORMATS["index_pngs"]
    round_trip(tmp_path, each, milled[:3])
    (tmp_path / "masks/s1.png").write_bytes(png(np.full((96, 320), 255, np.uint8)))
    refused(lambda: list(each.read(tmp_path)), MaskError, "values 255, which are not")


def test_a_table_of_other_columns(
    milled: list[AnnotatedPicture],
    tmp_path: Path,
    round_trip: Callable[..., object],
    refused: Callable[..., None],
) -> None:
    each = FORMATS["run_lengths"]
    round_trip(tmp_path, each, milled[:3])
    (tmp_path / "train.csv").write_text("a,b\n1,2\n")
    refused(lambda: list(each.read(tmp_path)), TableError, "columns")
