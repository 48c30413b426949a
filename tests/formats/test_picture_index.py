"""Pictures found by the names that annotations give them, wherever tools put them."""

import sys
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from layouts import coco, draw, refused, taken
from PIL import Image

from steelscan import cli
from steelscan.data import open_dataset
from steelscan.data.files import open_files
from steelscan.formats import FORMATS, AnnotatedPicture, convert
from steelscan.formats.picture_index import PictureIndex
from steelscan.formats.target_names import TargetNames
from steelscan.strip import (
    Classes,
    Frame,
)

# One look-up of pictures


NFD = unicodedata.normalize("NFD", "Blech ä")
PLACES = {
    "same folder": ("labels.json", "{}.png", "{}.png", "{}.png"),
    "images": ("annotations.json", "{}.png", "images/{}.png", "{}.png"),
    "fiftyone": ("labels.json", "{}.png", "data/{}.png", "{}.png"),
    "coco": (
        "annotations/instances_train2017.json",
        "{}.png",
        "train2017/{}.png",
        "{}.png",
    ),
    "datumaro": ("annotations/instances_train.json", "{}.png", "images/train/{}.png", "{}.png"),
    "subset first": ("annotations/instances_val.json", "{}.png", "val/images/{}.png", "{}.png"),
    "roboflow": ("train/_annotations.coco.json", "{}.png", "train/{}.png", "{}.png"),
    "any folder": ("a.json", "{}.png", "strips/of/may/{}.png", "{}.png"),
    "other folder": ("a.json", "old/{}.png", "images/{}.png", "old__{}.png"),
    "prefix": ("a.json", "images/{}.png", "images/{}.png", "{}.png"),
    "windows": ("a.json", "images\\{}.png", "images/{}.png", "{}.png"),
    "windows below": ("a.json", "coil 1\\{}.png", "images/coil 1/{}.png", "coil 1__{}.png"),
    "up": ("annotations/a.json", "../images/{}.png", "images/{}.png", "{}.png"),
    "up in windows": ("annotations/a.json", "..\\pictures\\{}.png", "pictures/{}.png", "pic"),
    "up and down": ("a.json", "images/x/../{}.png", "images/{}.png", "{}.png"),
    "up too far": ("a.json", "../../images/{}.png", "images/{}.png", "{}.png"),
    "absolute": ("a.json", "/home/me/{}.png", "images/{}.png", "{}.png"),
    "drive": ("a.json", "C:\\steel\\images\\{}.png", "images/{}.png", "{}.png"),
    "share": ("a.json", "\\\\nas\\steel\\{}.png", "images/{}.png", "{}.png"),
    "address": ("a.json", "https://host/x/{}.png?v=1", "images/{}.png", "{}.png"),
    "bucket": ("a.json", "s3://steel/coil 1/{}.png", "images/coil 1/{}.png", "coil 1__{}.png"),
    "dots": ("a.json", "./images//{}.png", "images/{}.png", "{}.png"),
    "case": ("a.json", "{}.PNG", "images/{}.png", "{}.PNG"),
    "no ending": ("a.json", "{}", "images/{}.png", "{}.png"),
    "no ending below": ("a.json", "job1/{}", "images/job1/{}.PNG", "job1__{}.PNG"),
    "percent": ("a.json", "a%20{}.png", "images/a {}.png", "a%20{}.png"),
    "unicode": ("a.json", "Blech ä{}.png", f"images/{NFD}{{}}.png", "Blech ä{}.png"),
}


@pytest.mark.parametrize("place", PLACES)
def test_pictures_are_found_where_tools_put_them(place: str, tmp_path: Path) -> None:
    file, written, lies, becomes = PLACES[place]
    root = tmp_path / "set"
    coco(root / file, written.format("p0"), written.format("p1"))
    for at in range(2):
        draw(root / lies.format(f"p{at}"), at)
    source = root if root.joinpath(file).parent in (root, root / "annotations") else root / file
    becomes = "pictures__{}.png" if becomes == "pic" else becomes
    assert taken(source, tmp_path / "out") == [becomes.format("p0"), becomes.format("p1")]


def test_a_folder_of_the_name_is_preferred(tmp_path: Path) -> None:
    """``train/a.png`` is that of train in either layout, though val has a picture of that name."""
    for number, lies in enumerate(("images/{}/a.png", "{}/images/a.png", "x/{}/y/a.png")):
        root = tmp_path / str(number)
        coco(root / "a.json", "train/a.png", "val/a.png")
        for at, part in enumerate(("train", "val")):
            draw(root / lies.format(part), at)
        assert taken(root, tmp_path / f"out{number}") == ["train__a.png", "val__a.png"]
        train = open_dataset(tmp_path / f"out{number}").picture(0)
        with Image.open(root / lies.format("train")) as image:
            assert np.array_equal(train, np.asarray(image))


def test_a_name_that_may_mean_two_pictures(tmp_path: Path) -> None:
    coco(tmp_path / "set/a.json", "a.png")
    for at, part in enumerate(("left", "right")):
        draw(tmp_path / f"set/{part}/a.png", at)
    error = refused(tmp_path / "set", tmp_path / "out")
    assert "left/a.png and right/a.png" in error.problem
    assert "--images" in error.remedy
    assert taken(tmp_path / "set", tmp_path / "out", images=tmp_path / "set/left") == ["a.png"]


def test_two_names_of_one_file_are_refused(tmp_path: Path) -> None:
    coco(tmp_path / "set/a.json", "one/a.png", "two/a.png")
    draw(tmp_path / "set/images/a.png")
    assert "one/a.png and for two/a.png" in str(refused(tmp_path / "set", tmp_path / "out"))
    done = convert(tmp_path / "set", tmp_path / "out", "index_pngs", on_error="skip")
    assert done.pictures == 1
    assert any("one/a.png and for two/a.png" in note for note in done.notes)


def test_missing_pictures_are_reported_with_a_remedy(tmp_path: Path) -> None:
    coco(tmp_path / "set/a.json", "p0.png", "p1.png")
    for at in range(2):
        draw(tmp_path / f"elsewhere/p{at}.png", at)
    error = refused(tmp_path / "set", tmp_path / "out")
    assert "2 of 2 pictures" in error.problem
    assert "--images" in error.remedy
    pictures = taken(tmp_path / "set", tmp_path / "out", images=tmp_path / "elsewhere")
    assert pictures == ["p0.png", "p1.png"]


def test_a_picture_missing_from_its_folder_is_not_taken_from_another(tmp_path: Path) -> None:
    coco(tmp_path / "set/a.json", "train/a.png", "train/b.png")
    draw(tmp_path / "set/train/a.png")
    draw(tmp_path / "set/val/b.png")
    assert "train/b.png: does not exist" in str(refused(tmp_path / "set", tmp_path / "out"))


@pytest.mark.parametrize(
    "name", ["../secret.png", "{}/secret.png", "..\\secret.png", "x/../../secret.png"]
)
def test_nothing_outside_the_data_set_is_read(name: str, tmp_path: Path) -> None:
    above = tmp_path / "above"
    draw(above / "secret.png")
    root = above / "set"
    draw(root / "images/a.png")
    written = name.format(above)
    coco(root / "a.json", written)
    assert "outside the data set" in str(refused(root, tmp_path / "out"))
    assert taken(root, tmp_path / "out", images=above) == ["secret.png"]


def test_pictures_elsewhere_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For each format, as a folder and as a zip."""
    strips = tmp_path / "strips"
    masks = np.zeros((1, 16, 32), np.bool_)
    masks[0, 2:8, 4:12] = True
    names = ("a.png", "b.png")
    for at, name in enumerate(names):
        draw(strips / name, at)
    with zipfile.ZipFile(tmp_path / "strips.zip", "w") as packed:
        for name in names:
            packed.write(strips / name, name)
    for each in FORMATS.values():
        root = tmp_path / each.name
        clean = np.zeros_like(masks)
        labelled = [
            AnnotatedPicture(name, Frame(16, 32), mask, Classes(names=("scratch",)))
            for name, mask in zip(names, (masks, clean), strict=True)
        ]
        root.mkdir()
        FORMATS[each.name].write(root / each.file, labelled)
        for number, images in enumerate((strips, tmp_path / "strips.zip")):
            target = tmp_path / f"{each.name}{number}"
            arguments = [str(root), "--images", str(images)]
            for verb in (["convert", str(target), "--to", "index_pngs"], ["check"]):
                line = ["steelscan", verb[0], arguments[0], *verb[1:], *arguments[1:]]
                monkeypatch.setattr(sys, "argv", line)
                with pytest.raises(SystemExit) as end:
                    cli.main()
                assert not end.value.code, (each.name, capsys.readouterr())
            dataset = open_dataset(target)
            assert [dataset.names[at] for at in range(2) if dataset.masks(at).any()] == ["a.png"]


def test_pictures_behind_links(tmp_path: Path) -> None:
    draw(tmp_path / "disk/may/a.png")
    root = tmp_path / "set"
    root.mkdir()
    (root / "images").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/may/again").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/may/up").symlink_to(tmp_path)
    coco(root / "a.json", "a.png")
    assert taken(root, tmp_path / "out") == ["a.png"]
    assert list(PictureIndex(open_files(root)).own) == ["images/may/a.png"]


# Names in the target


def test_flat_names_stay_apart() -> None:
    names = TargetNames(flat=True)
    given = ["train__a.png", "train/a.png", "train/a.jpg", "images/b.png", "b", "x/b.png"]
    new_names = [names.of(name, "b.jpg" if name == "b" else name) for name in given]
    assert new_names == [
        "train__a.png",
        "train__a_2.png",
        "train__a_3.jpg",
        "b.png",
        "b.jpg",
        "x__b.png",
    ]
    assert "4 names" in names.notes()[0]
    assert "2 of them" in names.notes()[0]
    kept = TargetNames(flat=False)
    assert [kept.of(name, name) for name in given[:2]] == given[:2]
    assert kept.notes() == []


def test_groups_follow_flattened_names(tmp_path: Path) -> None:
    root = tmp_path / "set"
    coco(root / "a.json", *(f"{part}/{name}.png" for part in "pq" for name in "ab"))
    for at, part in enumerate("pq"):
        for other, name in enumerate("ab"):
            draw(root / f"images/{part}/{name}.png", 2 * at + other)
    groups = "image;group\np/a.png;0\np/b;0\nq/a.png;1\nq/b.png;2\n"
    (root / "groups.csv").write_text(groups)
    done = convert(root, tmp_path / "out", "run_lengths")
    assert open_dataset(tmp_path / "out").group_labels == ("0", "0", "1", "2")
    assert any("for example p/a.png to p__a.png" in note for note in done.notes)
    convert(root, tmp_path / "kept", "voc")
    assert (tmp_path / "kept/groups.csv").read_text() == groups
