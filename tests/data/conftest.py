"""Small data sets built on the spot, in each form that is read."""

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from steelscan.strip import encode

Save = Callable[..., bytes]
BuildSet = Callable[..., Path]


@pytest.fixture(scope="session")
def save() -> Save:
    """Encode an array as a picture file."""

    def save(array: np.ndarray, form: str = "PNG", mode: str | None = None, **how: object) -> bytes:
        image = Image.fromarray(array)
        file = io.BytesIO()
        (image.convert(mode) if mode else image).save(file, form, **how)
        return file.getvalue()

    return save


@pytest.fixture(scope="session")
def strip_picture() -> Callable[[int], np.ndarray]:
    """A textured picture, 24x40 unless told."""

    def strip_picture(seed: int, height: int = 24, width: int = 40) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return rng.integers(40, 200, (height, width)).astype(np.uint8)

    return strip_picture


def index_mask(number: int) -> np.ndarray:
    """Index picture of a strip: clean when its number is a multiple of 3, else one class or two."""
    mask = np.zeros((24, 40), np.uint8)
    if number % 3:
        mask[2:6, 3 + number : 9 + number] = number % 3
    if number % 4 == 1:
        mask[0, 39] = 2
    return mask


@pytest.fixture
def competition(tmp_path: Path, save: Save, strip_picture: Callable[[int], np.ndarray]) -> BuildSet:
    """Build a competition folder of some strips with two classes."""

    def build(layout: str = "columns", strips: int = 8, tests: int = 2) -> Path:
        root = tmp_path / f"competition-{layout}"
        (root / "train_images").mkdir(parents=True)
        (root / "test_images").mkdir()
        rows = []
        for number in range(strips):
            name = f"s{number}.jpg"
            picture = save(strip_picture(number), "JPEG", "RGB", quality=95)
            (root / "train_images" / name).write_bytes(picture)
            texts = [encode(index_mask(number) == value) for value in (1, 2)]
            rows += [
                [f"{name}_{at}", text] if layout == "joined" else [name, at, text]
                for at, text in enumerate(texts, start=1)
                if text or layout == "joined"
            ]
        for number in range(tests):
            picture = save(strip_picture(100 + number), "JPEG")
            (root / "test_images" / f"t{number}.jpg").write_bytes(picture)
        head = ["ImageId_ClassId"] if layout == "joined" else ["ImageId", "ClassId"]
        with (root / "train.csv").open("w", newline="") as file:
            csv.writer(file).writerows([[*head, "EncodedPixels"], *rows])
        return root

    return build


@pytest.fixture
def indexed(tmp_path: Path, save: Save, strip_picture: Callable[[int], np.ndarray]) -> BuildSet:
    """Build a folder of pictures and index masks."""

    def build(strips: int = 8) -> Path:
        root = tmp_path / "indexed"
        (root / "images").mkdir(parents=True)
        (root / "masks").mkdir()
        for number in range(strips):
            (root / "images" / f"s{number}.jpg").write_bytes(save(strip_picture(number), "JPEG"))
            (root / "masks" / f"s{number}.png").write_bytes(save(index_mask(number)))
        (root / "classes.csv").write_text("value,name\n1,scratch\n2,hole\n")
        return root

    return build


@pytest.fixture(scope="session")
def zipped() -> Callable[..., Path]:
    """Pack a folder as a zip, maybe below a top folder, in any order."""

    def zipped(folder: Path, top: str = "", backwards: bool = False) -> Path:
        path = folder.with_name(f"{folder.name}-{top}{backwards}.zip")
        files = sorted((file for file in folder.rglob("*") if file.is_file()), reverse=backwards)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
            for file in files:
                inside = file.relative_to(folder).as_posix()
                out.write(file, f"{top}/{inside}" if top else inside)
                if top:
                    out.writestr(f"__MACOSX/{top}/._{file.name}", b"Mac")
        return path

    return zipped
