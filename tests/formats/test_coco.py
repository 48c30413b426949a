"""COCO: a sample written by hand, damaged files, and pycocotools as a second reader."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from steelscan.formats import FORMATS, AnnotatedPicture
from steelscan.strip.errors import DatasetError, Fault, FaultLog, InputError, MaskError

# pycocotools 2.0.11 hands NumPy 2 arrays that do not support the copy keyword.
PYCOCOTOOLS_IS_OLD = "ignore:__array__ implementation:DeprecationWarning"


SAMPLE = (Path(__file__).parent / "samples/coco.json").read_text(encoding="utf-8")


def dice(one: np.ndarray, other: np.ndarray) -> float:
    both = one.sum() + other.sum()
    return float(2 * (one & other).sum() / both) if both else 1.0


def test_coco_sample(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(SAMPLE)
    first, clean = FORMATS["coco"].read(tmp_path / "a.json")
    assert first.classes.names == ("scratch", "hole")
    assert (first.image, first.frame, first.clipped) == ("a.jpg", (3, 4), 0)
    assert first.by_class()["scratch"].tolist() == [[0, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]]
    assert first.by_class()["hole"].tolist() == [[1, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1]]
    assert clean.image == "b.jpg"
    assert not clean.masks.any()


@pytest.mark.filterwarnings(PYCOCOTOOLS_IS_OLD)
def test_pycocotools_reads_the_same_masks(
    tmp_path: Path,
    annotated: Callable[..., AnnotatedPicture],
    mill_masks: Callable[..., np.ndarray],
) -> None:
    each = annotated("a.jpg", mill_masks(0, 128, 400))
    ring = each.masks.copy()
    ring[0] = False
    ring[0, 10:60, 10:60], ring[0, 30:40, 30:40] = True, False
    written = [each, annotated("b.jpg", ring)]
    FORMATS["coco"].write(tmp_path / "a.json", written)
    kinds = [
        type(one["segmentation"])
        for one in json.loads((tmp_path / "a.json").read_text())["annotations"]
    ]
    assert {list, dict} == set(kinds)
    theirs = COCO(tmp_path / "a.json")
    for one, image in zip(written, theirs.imgs, strict=True):
        for class_id, mask in zip(one.classes.ids, one.masks, strict=True):
            annotations = theirs.loadAnns(theirs.getAnnIds(image, class_id))
            drawn = [theirs.annToMask(annotation) for annotation in annotations]
            assert dice(np.any([np.zeros(one.frame), *drawn], axis=0), mask) > 0.995


def sample_coco(**changes: object) -> str:
    return json.dumps({**json.loads(SAMPLE), **changes})


def coco_shape(shape: object) -> str:
    annotation = {"id": 1, "image_id": 7, "category_id": 5, "segmentation": shape}
    return sample_coco(annotations=[annotation])


def coco_images(*names: str) -> str:
    images = [
        {"id": at, "file_name": name, "height": 3, "width": 4} for at, name in enumerate(names)
    ]
    return sample_coco(images=images, annotations=[])


DAMAGE: dict[str, tuple[str, type[InputError], str]] = {
    "empty": ("", DatasetError, "is not valid JSON: EOF"),
    "cut off": (SAMPLE[:300], DatasetError, "EOF"),
    "no images": ('{"annotations": [], "categories": []}', DatasetError, "images Field required"),
    "a list": ("[]", DatasetError, "is not as expected"),
    "no classes": (sample_coco(categories=[], annotations=[]), DatasetError, "names no class"),
    "class twice": (
        sample_coco(categories=[{"id": 2, "name": "a"}, {"id": 5, "name": "a"}]),
        DatasetError,
        "a class twice",
    ),
    "too many classes": (
        sample_coco(categories=[{"id": at, "name": f"c{at}"} for at in range(256)]),
        DatasetError,
        "256 classes. Keep at most 255",
    ),
    "id twice": (
        sample_coco(categories=[{"id": 2, "name": "a"}, {"id": 2, "name": "b"}]),
        DatasetError,
        "the same id",
    ),
    "unknown class": (
        sample_coco(categories=[{"id": 2, "name": "a"}]),
        MaskError,
        "annotation 1: belongs to category 5, which is not listed",
    ),
    "image missing": (sample_coco(images=[]), DatasetError, "image 7"),
    "picture twice": (coco_images("a.jpg", "a.jpg"), DatasetError, r"a\.jpg twice"),
    "outside": (coco_images("../a.jpg"), DatasetError, "outside the data set"),
    "absolute": (coco_images("/etc/a.jpg"), DatasetError, "outside the data set"),
    "backslash": (coco_images("..\\a.jpg"), DatasetError, "outside the data set"),
    "drive": (coco_images("C:a.jpg"), DatasetError, "outside the data set"),
    "no name": (coco_images(""), DatasetError, "is empty"),
    "no size": (
        sample_coco(images=[{"id": 7, "file_name": "a", "height": 0, "width": 4}]),
        MaskError,
        "height of 0",
    ),
    "vast": (
        sample_coco(images=[{"id": 7, "file_name": "a", "height": 10**6, "width": 10**6}]),
        MaskError,
        "height of 1000000",
    ),
    "box": (coco_shape([]), MaskError, "annotation 1: has no segmentation"),
    "two corners": (coco_shape([[1, 1, 2, 2]]), MaskError, "polygon has 2 corners"),
    "odd": (coco_shape([[1, 1, 2, 2, 3]]), MaskError, "odd count"),
    "other size": (
        coco_shape({"size": [4, 3], "counts": [12]}),
        MaskError,
        "is 4x3, its picture is 3x4",
    ),
    "short": (
        coco_shape({"size": [3, 4], "counts": [11]}),
        MaskError,
        "cover 11 pixels, the mask has 12",
    ),
    "negative": (coco_shape({"size": [3, 4], "counts": [14, -2]}), MaskError, "cover 12 pixels"),
    "long": (coco_shape({"size": [3, 4], "counts": [10**30]}), MaskError, "cover far too many"),
    "short string": (coco_shape({"size": [3, 4], "counts": "11"}), MaskError, "cover 2 pixels"),
    "no string": (coco_shape({"size": [3, 4], "counts": "1 1"}), MaskError, "contain ' '"),
    "endless string": (coco_shape({"size": [3, 4], "counts": "o" * 10**5}), MaskError, "endless"),
    "string cut off": (coco_shape({"size": [3, 4], "counts": "1P"}), MaskError, "end too early"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_coco(damage: str, tmp_path: Path, refused: Callable[..., None]) -> None:
    text, kind, message = DAMAGE[damage]
    (tmp_path / "a.json").write_text(text)
    refused(lambda: list(FORMATS["coco"].read(tmp_path / "a.json")), kind, rf"a\.json.*{message}")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"area": 6', '"area": NaN'),
        ('"area": 6', '"area": 1e999'),
        ('"info": {}', '"info": "Walzwerk S\xfcd"'),
        ('"iscrowd": 0', '"category_id": 5'),
    ],
    ids=["NaN", "huge number", "not UTF-8", "key twice"],
)
def test_a_field_that_is_not_needed_spoils_nothing(old: str, new: str, tmp_path: Path) -> None:
    """Programs write such JSON, and strict parsers refuse the whole file."""
    assert old in SAMPLE
    path = tmp_path / "a.json"
    path.write_text(SAMPLE)
    whole = [one.masks.tobytes() for one in FORMATS["coco"].read(path)]
    path.write_bytes(SAMPLE.replace(old, new).encode("latin-1"))
    assert [one.masks.tobytes() for one in FORMATS["coco"].read(path)] == whole


def test_a_nan_in_one_shape_leaves_out_that_shape_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(SAMPLE.replace("[[1, 1, 4, 1, 4, 3, 1, 3]]", "[[1, NaN, 4, 1, 4, 3]]"))
    skipping = FaultLog(skips=True)
    first, _ = FORMATS["coco"].read(path, skipping)
    assert [error.fault for error in skipping.errors] == [Fault.POLYGON]
    assert first.masks.any(axis=(1, 2)).tolist() == [True, True]  # annotations 2 and 3
