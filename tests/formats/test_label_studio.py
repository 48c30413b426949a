"""Label Studio: a sample written by hand, and damaged files."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from layouts import only
from PIL import Image

from steelscan.formats import FORMATS
from steelscan.strip.errors import DatasetError, MaskError

SAMPLE = (Path(__file__).parent / "samples/label_studio.json").read_text(encoding="utf-8")


def test_label_studio_sample(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(SAMPLE)
    one = only(FORMATS["label_studio"].read(tmp_path / "a.json"))
    assert (one.image, one.frame) == ("ab12-a b.jpg", (1, 2))
    assert one.classes.names == ("hole", "scratch")
    assert one.masks.tolist() == [[[False, True]], [[True, False]]]


def test_size_of_a_clean_task_is_read_from_its_picture(tmp_path: Path) -> None:
    tasks = json.loads(SAMPLE)
    tasks.append({"id": 4, "data": {"image": "c.png"}, "annotations": [{"result": []}]})
    (tmp_path / "a.json").write_text(json.dumps(tasks))
    with pytest.raises(MaskError, match=r"c\.png: .*do not give its size"):
        list(FORMATS["label_studio"].read(tmp_path / "a.json"))
    (tmp_path / "images").mkdir()
    Image.new("L", (6, 5)).save(tmp_path / "images/c.png")
    assert [one.frame for one in FORMATS["label_studio"].read(tmp_path / "a.json")] == [
        (1, 2),
        (5, 6),
    ]


DAMAGE = {
    "cut off": (SAMPLE[:200], DatasetError, "EOF"),
    "twice": ('"was_cancelled": true', '"was_cancelled": false', DatasetError, "annotated 2 times"),
    "never": ('"was_cancelled": false', '"was_cancelled": true', DatasetError, "names no class"),
    "turned": (
        '"image_rotation": 0',
        '"image_rotation": 90',
        MaskError,
        "region 1: was drawn on a rotated",
    ),
    "no label": ('["hole"]', "[]", MaskError, "region 1: has no class"),
    "size": (
        '"original_width": 2',
        '"original_width": 3',
        MaskError,
        "8 values of 8 bits, its picture has 12",
    ),
    "key point": (
        '"points"',
        '"x"',
        MaskError,
        "type polygonlabels, which has a position",
    ),
    "corners": ("[50, 0], ", "", None, ""),
    "two corners": ("[50, 100], [0, 100]", "[0, 1, 2]", MaskError, "where pairs of x and y"),
    "a number as corners": (
        "[[0, 0], [50, 0], [50, 100], [0, 100]]",
        "5",
        MaskError,
        "has 5 where",
    ),
    "bytes": ("[0, 0, 0, 8,", "[0, 0, 0, 800,", MaskError, "other than bytes"),
    "other sizes": (
        '"original_height": 1, "image_rotation": 0,\n',
        '"original_height": 2, "image_rotation": 0,\n',
        MaskError,
        "several sizes",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_label_studio(damage: str, tmp_path: Path, refused: Callable[..., None]) -> None:
    *change, kind, message = DAMAGE[damage]
    text = SAMPLE.replace(*change) if len(change) == 2 else change[0]
    assert text != SAMPLE
    (tmp_path / "a.json").write_text(text)
    if kind is None:  # three corners are enough
        assert only(FORMATS["label_studio"].read(tmp_path / "a.json")).image
        return
    refused(
        lambda: list(FORMATS["label_studio"].read(tmp_path / "a.json")),
        kind,
        rf"a\.json.*{message}",
    )
