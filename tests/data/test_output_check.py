"""No verb writes into a folder of pictures that it reads."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from steelscan.analysis.audit import write_audit
from steelscan.analysis.shift import check_outputs as shift_outputs
from steelscan.data.files import check_outside, picture_folders
from steelscan.decision import distinct_pictures
from steelscan.explore import explore
from steelscan.formats import convert
from steelscan.strip.errors import InputError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    for folder in ("train_images", "test_images"):
        (root / folder).mkdir(parents=True)
        Image.new("L", (64, 64)).save(root / folder / f"{folder}.png")
    (root / "train.csv").write_text("ImageId,ClassId,EncodedPixels\n")
    return root


VERBS: dict[str, Callable[[Path, Path], object]] = {
    "explore": explore,
    "audit": write_audit,
    "shift": shift_outputs,
    "convert": lambda data, out: convert(data, out, "coco"),
    "predict": lambda data, out: distinct_pictures(str(data), out),
}


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_writes_among_the_pictures(verb: str, data: Path) -> None:
    before = sorted(data.rglob("*"))
    for inner in ("train_images", "train_images/ex", "test_images/a/b", "out/../train_images/x"):
        with pytest.raises(InputError, match=r"folder of (the )?pictures"):
            VERBS[verb](data, data / inner)
    assert sorted(data.rglob("*")) == before


@pytest.mark.parametrize("verb", ["explore", "audit", "shift", "convert"])
def test_no_verb_writes_into_its_data_set(verb: str, data: Path) -> None:
    before = sorted(data.rglob("*"))
    with pytest.raises(InputError, match="is the data set"):
        VERBS[verb](data, data)
    assert sorted(data.rglob("*")) == before


def test_folders_of_pictures_in_options_are_no_outputs(data: Path, tmp_path: Path) -> None:
    camera = tmp_path / "camera"
    camera.mkdir()
    with pytest.raises(InputError, match="inside a folder of pictures"):
        shift_outputs(data, camera / "out", camera)
    with pytest.raises(InputError, match="inside a folder of pictures"):
        convert(data / "train.csv", camera / "out", "coco", images=camera)
    assert not list(camera.iterdir())


def test_the_picture_folders_of_a_data_set(data: Path, tmp_path: Path) -> None:
    folders = [data / "train_images", data / "test_images"]
    (tmp_path / "link").symlink_to(folders[0], target_is_directory=True)
    with zipfile.ZipFile(tmp_path / "set.zip", "w"):
        pass
    assert picture_folders(data) == picture_folders(tmp_path) == folders
    assert picture_folders(data / "train.csv") == folders
    assert picture_folders(folders[0]) == folders[:1]
    assert picture_folders(tmp_path / "set.zip") == []
    with pytest.raises(InputError):
        check_outside(tmp_path / "link" / "out", folders)
    for elsewhere in (data / "explored", data / "train_images2", tmp_path / "out"):
        check_outside(elsewhere, folders)
