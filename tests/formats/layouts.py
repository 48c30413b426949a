"""Data sets for the tests: pictures, COCO and YOLO files, and the result of a conversion."""

import io
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from steelscan.data import open_dataset
from steelscan.formats import FORMATS, AnnotatedPicture, check, convert
from steelscan.strip import Classes, Frame
from steelscan.strip.errors import DatasetError, SteelscanError

NAMES = ("scratch", "Riß")

SQUARE = [[4.0, 2.0, 12.0, 2.0, 12.0, 8.0, 4.0, 8.0]]
SHAPES = [{"id": 1, "image_id": 0, "category_id": 1, "segmentation": SQUARE}]
YOLO_SQUARE = "0 .125 .125 .375 .125 .375 .5 .125 .5\n"
"""The same in shares of a picture of 16x32."""


def only(pictures: Iterable[AnnotatedPicture]) -> AnnotatedPicture:
    (one,) = pictures
    return one


def png(array: np.ndarray, **how: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG", **how)
    return file.getvalue()


WRONG_SIZE = png(np.zeros((3, 3), np.uint8))
GREY = png(np.arange(96 * 320).reshape(96, 320).astype(np.uint8))


def draw(path: Path, seed: int = 1, size: tuple[int, int] = (16, 32)) -> None:
    """A picture, each seed another one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 255, size).astype(np.uint8)
    kind = path.suffix.lower() if path.suffix.lower() in Image.registered_extensions() else ".png"
    Image.fromarray(values).save(path, Image.registered_extensions()[kind])


def coco(path: Path, *names: str, **changes: object) -> None:
    """A COCO file; the first picture has a square, the others are clean."""
    images = [
        {"id": at, "file_name": name, "height": 16, "width": 32} for at, name in enumerate(names)
    ]
    content = {
        "images": images,
        "annotations": SHAPES,
        "categories": [{"id": 1, "name": "scratch"}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | changes))


def yolo(root: Path, pictures: str, texts: str, *names: str) -> None:
    for at, name in enumerate(names):
        draw(root / pictures.format(name), at)
        text = root / texts.format(name)
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text(YOLO_SQUARE if at == 0 else "")


def taken(source: Path, target: Path, images: Path | None = None) -> list[str]:
    """Names of the strips that a data set becomes, of which the first alone has the square."""
    assert check(source, images=images).errors == 0
    convert(source, target, "index_pngs", images=images)
    dataset = open_dataset(target)
    (index,) = (at for at in range(len(dataset)) if dataset.masks(at).any())
    assert np.argwhere(dataset.masks(index)[0]).tolist() == [
        [row, column] for row in range(2, 8) for column in range(4, 12)
    ]
    return [dataset.names[index], *(dataset.names[:index] + dataset.names[index + 1 :])]


def refused(source: Path, target: Path, images: Path | None = None) -> SteelscanError:
    """By both verbs, in one line each."""
    with pytest.raises(SteelscanError) as caught:
        convert(source, target, "index_pngs", images=images)
    assert "\n" not in str(caught.value)
    assert not target.exists()
    try:
        assert check(source, images=images).errors > 0
    except DatasetError as error:
        assert str(error) == str(caught.value)  # noqa: PT017
    return caught.value


def lay(root: Path, name: str, pictures: Iterable[tuple[str, np.ndarray]]) -> None:
    """A data set with grey pictures, written without the code under test."""
    form = FORMATS[name]
    labelled = []
    for image, masks in pictures:
        place = root / form.pictures / image
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", masks.shape[:0:-1], 90).save(place)
        labelled.append(
            AnnotatedPicture(image, Frame(*masks.shape[1:]), masks, Classes(names=NAMES))
        )
    FORMATS[name].write(root / form.file, labelled)


def content(root: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }
