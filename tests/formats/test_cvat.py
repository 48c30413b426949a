"""CVAT: a sample written by hand, and damaged files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from layouts import only

from steelscan.formats import FORMATS, convert
from steelscan.strip.errors import DatasetError, InputError, MaskError

SAMPLE = (Path(__file__).parent / "samples/cvat.xml").read_text(encoding="utf-8")


def test_cvat_sample(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(SAMPLE)
    one = only(FORMATS["cvat"].read(tmp_path / "a.xml"))
    assert (one.image, one.frame, one.classes.names) == ("a/b.jpg", (4, 5), ("scratch", "hole"))
    assert np.argwhere(one.masks[0]).tolist() == [[2, 1], [3, 1], [3, 2]]
    assert np.argwhere(one.masks[1]).tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]


DAMAGE = {
    "cut off": (SAMPLE[:400], DatasetError, "not valid XML"),
    "other XML": ("<html/>", DatasetError, "is XML of html"),
    "video": ("<annotations><track/></annotations>", DatasetError, "video"),
    "no labels": ("<annotations><meta/></annotations>", DatasetError, "names no class"),
    "unknown": (
        SAMPLE.replace('label="hole"', 'label="dent"'),
        MaskError,
        "class 'dent', but the classes are scratch, hole",
    ),
    "line": (SAMPLE.replace("polygon", "polyline"), MaskError, "shape 1: is a polyline"),
    "box": (SAMPLE.replace("polygon", "box"), MaskError, "shape 1: has .* where numbers"),
    "endless": (SAMPLE.replace('left="1"', f'left="{"9" * 5000}"'), MaskError, "gives left"),
    "points": (SAMPLE.replace("3.00,0.00", "3.00"), MaskError, "where pairs of x and y"),
    "leaves": (
        SAMPLE.replace('left="1"', 'left="4"'),
        MaskError,
        "2x2 at row 2, column 4 reaches outside the picture of 4x5",
    ),
    "above": (SAMPLE.replace('top="2"', 'top="-1"'), MaskError, "row -1"),
    "rle": (
        SAMPLE.replace("0, 1, 1, 2", "0, 1, 1"),
        MaskError,
        "cover 2 pixels, the mask has 4",
    ),
    "text": (SAMPLE.replace("0, 1, 1, 2", "0, a"), MaskError, "other than counts"),
    "no width": (SAMPLE.replace('width="5"', ""), MaskError, "gives width as ''"),
    "outside": (
        SAMPLE.replace("a/b.jpg", "a/../../b.jpg"),
        DatasetError,
        "outside the data set",
    ),
    "bomb": (
        '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
        + "".join(f'<!ENTITY {chr(98 + at)} "{f"&{chr(97 + at)};" * 10}">' for at in range(9))
        + "]><annotations>&j;</annotations>",
        DatasetError,
        "contains a DOCTYPE",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_cvat(damage: str, tmp_path: Path, refused: Callable[..., None]) -> None:
    text, kind, message = DAMAGE[damage]
    (tmp_path / "a.xml").write_text(text)
    refused(lambda: list(FORMATS["cvat"].read(tmp_path / "a.xml")), kind, rf"a\.xml.*{message}")


@pytest.mark.parametrize("encoding", ["tf-8", "utf-7", "shift_jis", ""])
def test_unknown_xml_encodings_are_refused(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "annotations.xml"
    path.write_bytes(f'<?xml version="1.0" encoding="{encoding}"?><annotations/>'.encode())
    with pytest.raises(DatasetError, match=r"annotations\.xml"):
        list(FORMATS["cvat"].read(path))
    with pytest.raises(InputError):
        convert(path, tmp_path / "out", "coco")
