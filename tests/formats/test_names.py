"""Tables that name pictures otherwise than their files are called."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from steelscan.data import open_dataset
from steelscan.data.files import matched
from steelscan.data.folds import read_folds
from steelscan.strip.errors import DatasetError, MaskError

NAMES = ["Käse.png", "b.JPG", "B2.png", "x.png", "X.jpeg"]


def test_forms_endings_and_case() -> None:
    for form in ("NFC", "NFD"):
        listed = [unicodedata.normalize(form, name) for name in ("käse.png", "B", "b2.PNG")]
        for written in ("NFC", "NFD"):
            names = [unicodedata.normalize(written, name) for name in NAMES]
            assert matched(listed, names, "a table") == dict(zip(names, listed, strict=False))


def test_what_may_mean_two_pictures_means_none() -> None:
    assert matched(["x"], NAMES, "a table") == {"x.png": "x"}  # exactly, but for the ending
    assert matched(["X.PNG", "X.JPEG"], NAMES, "a table") == {"x.png": "X.PNG", "X.jpeg": "X.JPEG"}
    assert matched(["KÄSE", "käse.PNG"], NAMES, "a table") == {}
    assert matched(["A", "a"], ["a.png"], "a table") == {"a.png": "a"}


@pytest.mark.parametrize("other", ["Käse", unicodedata.normalize("NFD", "Käse.png")])
def test_a_picture_that_a_table_names_in_two_ways_is_refused(other: str) -> None:
    with pytest.raises(DatasetError, match=r"a table: names Käse\.png twice"):
        matched(["Käse.png", other], NAMES, "a table")


@pytest.fixture
def accented(competition: Callable[..., Path]) -> Path:
    root = competition()
    for path in sorted((root / "train_images").iterdir()):
        path.rename(path.with_name(unicodedata.normalize("NFD", f"Gerüst {path.name}")))
    table = (root / "train.csv").read_text()
    (root / "train.csv").write_text(table.replace("\ns", "\nGERÜST S").replace(".jpg", ""))
    return root


def test_masks_groups_and_folds_of_a_mac_are_found(accented: Path) -> None:
    rows = "".join(f"gerüst s{at},{at % 3}\n" for at in range(8))
    (accented / "groups.csv").write_text(f"image,group\n{rows}\n,\n")
    dataset = open_dataset(accented)
    assert np.flatnonzero(~dataset.present.any(axis=1)).tolist() == [0, 3, 6]
    assert dataset.group_labels == tuple(str(at % 3) for at in range(8))
    folds = accented / "folds.csv"
    folds.write_text(
        "image,group,fold\n" + "".join(f"Gerüst s{at},g{at},{at}\n" for at in range(8))
    )
    assert read_folds(folds, dataset.names).tolist() == list(range(8))


def test_a_name_that_means_no_picture_is_still_refused(accented: Path) -> None:
    with (accented / "train.csv").open("a") as file:
        file.write("Gerüst s99,1,1 1\n")
    with pytest.raises(MaskError, match=r"Gerüst s99: is listed in .* no such picture"):
        open_dataset(accented)
    folds = accented / "folds.csv"
    folds.write_text("image,group,fold\na,b,1\n")
    with pytest.raises(DatasetError, match="has no fold for 1 of 1"):
        read_folds(folds, ["c"])
