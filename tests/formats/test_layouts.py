"""Data sets as annotation tools lay them out: where files lie, and how names are found."""

import json
import os
import resource
import subprocess
import sys
import unicodedata
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from steelscan import cli
from steelscan.data import check_trainable, open_dataset, open_files
from steelscan.formats.check import check
from steelscan.formats.class_names import class_names
from steelscan.formats.convert import convert
from steelscan.formats.labelled import Labelled
from steelscan.formats.registry import FORMATS, WRITERS, Format
from steelscan.formats.shelf import Shelf
from steelscan.formats.target_names import TargetNames
from steelscan.strip import (
    Classes,
    DatasetError,
    Fault,
    Frame,
    OutputError,
    SteelscanError,
    temporary_folder,
)

SQUARE = [[4.0, 2.0, 12.0, 2.0, 12.0, 8.0, 4.0, 8.0]]
SHAPES = [{"id": 1, "image_id": 0, "category_id": 1, "segmentation": SQUARE}]
YOLO_SQUARE = "0 .125 .125 .375 .125 .375 .5 .125 .5\n"
"""The same in shares of a picture of 16x32."""


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


def taken(source: Path, target: Path, images: Path | None = None) -> list[str]:
    """Names of the strips that a data set becomes, of which the first alone has the square."""
    assert check(source, images=images).count("error") == 0
    convert(source, target, "index_pngs", images=images)
    dataset = open_dataset(target)
    (found,) = (at for at in range(len(dataset)) if dataset.masks(at).any())
    assert np.argwhere(dataset.masks(found)[0]).tolist() == [
        [row, column] for row in range(2, 8) for column in range(4, 12)
    ]
    return [dataset.names[found], *(dataset.names[:found] + dataset.names[found + 1 :])]


# One look-up of pictures


NFD = unicodedata.normalize("NFD", "Blech ä")
PLACES = {
    "beside": ("labels.json", "{}.png", "{}.png", "{}.png"),
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


def refused(source: Path, target: Path, images: Path | None = None) -> SteelscanError:
    """By both verbs, in one line each."""
    with pytest.raises(SteelscanError) as caught:
        convert(source, target, "index_pngs", images=images)
    assert "\n" not in str(caught.value)
    assert not target.exists()
    try:
        assert check(source, images=images).count("error") > 0
    except DatasetError as error:
        assert str(error) == str(caught.value)  # noqa: PT017
    return caught.value


def test_a_name_that_may_mean_two_pictures(tmp_path: Path) -> None:
    coco(tmp_path / "set/a.json", "a.png")
    for at, part in enumerate(("left", "right")):
        draw(tmp_path / f"set/{part}/a.png", at)
    error = refused(tmp_path / "set", tmp_path / "out")
    assert "left/a.png and right/a.png" in error.problem
    assert "--images" in error.remedy
    assert taken(tmp_path / "set", tmp_path / "out", images=tmp_path / "set/left") == ["a.png"]


def test_two_names_are_never_one_picture(tmp_path: Path) -> None:
    coco(tmp_path / "set/a.json", "one/a.png", "two/a.png")
    draw(tmp_path / "set/images/a.png")
    assert "one/a.png and for two/a.png" in str(refused(tmp_path / "set", tmp_path / "out"))
    done = convert(tmp_path / "set", tmp_path / "out", "index_pngs", on_error="skip")
    assert done.pictures == 1
    assert any("one/a.png and for two/a.png" in note for note in done.notes)


def test_missing_pictures_are_told_with_the_way_out(tmp_path: Path) -> None:
    coco(tmp_path / "set/a.json", "p0.png", "p1.png")
    for at in range(2):
        draw(tmp_path / f"elsewhere/p{at}.png", at)
    error = refused(tmp_path / "set", tmp_path / "out")
    assert "2 of 2 pictures" in error.problem
    assert "--images" in error.remedy
    found = taken(tmp_path / "set", tmp_path / "out", images=tmp_path / "elsewhere")
    assert found == ["p0.png", "p1.png"]


def test_a_picture_missing_from_its_folder_is_not_taken_from_another(tmp_path: Path) -> None:
    coco(tmp_path / "set/a.json", "train/a.png", "train/b.png")
    draw(tmp_path / "set/train/a.png")
    draw(tmp_path / "set/val/b.png")
    assert "train/b.png: does not exist" in str(refused(tmp_path / "set", tmp_path / "out"))


@pytest.mark.parametrize(
    "name", ["../secret.png", "{}/secret.png", "..\\secret.png", "x/../../secret.png"]
)
def test_nothing_outside_is_read(name: str, tmp_path: Path) -> None:
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
    for each in FORMATS:
        root = tmp_path / each.name
        clean = np.zeros_like(masks)
        labelled = [
            Labelled(name, Frame(16, 32), mask, Classes(names=("scratch",)))
            for name, mask in zip(names, (masks, clean), strict=True)
        ]
        root.mkdir()
        WRITERS[each.name](root / each.file, labelled)
        for number, images in enumerate((strips, tmp_path / "strips.zip")):
            target = tmp_path / f"{each.name}{number}"
            arguments = [str(root), "--images", str(images)]
            for verb in (["convert", str(target), "--to", "index_pngs"], ["check"]):
                line = ["steelscan", verb[0], arguments[0], *verb[1:], *arguments[1:]]
                monkeypatch.setattr(sys, "argv", line)
                with pytest.raises(SystemExit) as end:
                    cli.main()
                assert not end.value.code, (each.name, capsys.readouterr())
            found = open_dataset(target)
            assert [found.names[at] for at in range(2) if found.masks(at).any()] == ["a.png"]


def test_pictures_behind_links(tmp_path: Path) -> None:
    draw(tmp_path / "disk/may/a.png")
    root = tmp_path / "set"
    root.mkdir()
    (root / "images").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/may/again").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/may/up").symlink_to(tmp_path)
    coco(root / "a.json", "a.png")
    assert taken(root, tmp_path / "out") == ["a.png"]
    assert list(Shelf(open_files(root)).own) == ["images/may/a.png"]


# Names in the target


def test_flat_names_stay_apart() -> None:
    names = TargetNames(flat=True)
    given = ["train__a.png", "train/a.png", "train/a.jpg", "images/b.png", "b", "x/b.png"]
    found = [names.of(name, "b.jpg" if name == "b" else name) for name in given]
    assert found == [
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
    assert any("as p/a.png to p__a.png" in note for note in done.notes)
    convert(root, tmp_path / "kept", "voc")
    assert (tmp_path / "kept/groups.csv").read_text() == groups


# COCO


def test_coco_ids_may_be_names(tmp_path: Path) -> None:
    root = tmp_path / "set"
    images = [
        {"id": name, "file_name": f"{name}.png", "height": 16, "width": 32} for name in ("p", "q")
    ]
    images.append({"id": 7, "file_name": "r.png", "height": 16, "width": 32})
    shape = {"id": "x", "image_id": "q", "category_id": "s", "segmentation": SQUARE}
    kinds = [{"id": "s", "name": "scratch"}, {"id": 3, "name": "hole"}]
    coco(root / "a.json", images=images, annotations=[shape], categories=kinds)
    for at, name in enumerate("pqr"):
        draw(root / f"images/{name}.png", at)
    convert(root, tmp_path / "out", "index_pngs")
    found = open_dataset(tmp_path / "out")
    assert found.present.sum(axis=1).tolist() == [0, 1, 0]
    unknown = [shape | {"category_id": "t"}]
    coco(root / "a.json", images=images, annotations=unknown, categories=kinds)
    assert "belongs to category t, which is not listed" in str(refused(root, tmp_path / "o"))
    lost = [shape | {"image_id": "gone"}]
    coco(root / "a.json", images=images, annotations=lost, categories=kinds)
    assert "belongs to image gone, which is not listed" in str(refused(root, tmp_path / "o"))


def test_coco_without_sizes_asks_the_pictures(tmp_path: Path) -> None:
    root = tmp_path / "set"
    coco(
        root / "a.json",
        images=[{"id": 0, "file_name": "a.png"}, {"id": 1, "file_name": "b.png", "height": None}],
    )
    draw(root / "images/a.png")
    draw(root / "images/b.png", 2)
    assert taken(root, tmp_path / "out") == ["a.png", "b.png"]
    (root / "images/b.png").unlink()
    assert "b.png: does not exist, and nothing says its size" in str(refused(root, tmp_path / "o"))


def test_coco_files_of_other_tasks_are_not_read_as_clean(tmp_path: Path) -> None:
    root = tmp_path / "set"
    masks = root / "annotations/instances_train.json"
    coco(masks, "a.png", "b.png")
    for name in ("a.png", "b.png"):
        draw(root / "images/train" / name, ord(name[0]))
    content = json.loads(masks.read_text())
    others: dict[str, dict[str, object]] = {
        "captions_train": {"annotations": [{"id": 1, "image_id": 1, "caption": "a scratch"}]},
        "image_info_train": {"annotations": []},
        "image_info_test": {},
    }
    del content["annotations"]
    for name, annotations in others.items():
        path = masks.with_name(f"{name}.json")
        path.write_text(json.dumps(content | annotations))
        assert "says nothing of masks" in refused(path, tmp_path / "out").problem
        assert "says nothing of masks" in check(path).text()
    assert taken(root, tmp_path / "out") == ["a.png", "b.png"]
    (masks.with_name("instances_val.json")).write_bytes(masks.read_bytes())
    found = refused(root, tmp_path / "o").problem
    assert found.endswith(
        "holds 2 files of coco: annotations/instances_train.json, annotations/instances_val.json"
    )


def test_roboflows_root_category_is_no_class(tmp_path: Path) -> None:
    root = tmp_path / "set"
    names = {0: "steel", 1: "scratch", 2: "unused"}
    kinds = [
        {"id": at, "name": name, "supercategory": "steel" if at else "none"}
        for at, name in names.items()
    ]
    coco(root / "train/_annotations.coco.json", "a.png", categories=kinds)
    draw(root / "train/a.png")
    (root / "README.roboflow.txt").write_text("exported")
    assert convert(root, tmp_path / "out", "voc").masks == {"scratch": 1, "unused": 0}
    one = [{"id": at, "name": "scratch", "supercategory": "none"} for at in range(2)]
    coco(root / "train/_annotations.coco.json", "a.png", categories=one)
    assert convert(root, tmp_path / "one", "voc").masks == {"scratch": 1}
    other = [kinds[1] | {"supercategory": "none"}, kinds[2] | {"supercategory": "none"}]
    coco(root / "train/_annotations.coco.json", "a.png", categories=other)
    assert convert(root, tmp_path / "two", "voc").masks == {"scratch": 1, "unused": 0}


def test_parts_of_an_export_are_one_data_set(tmp_path: Path) -> None:
    """Roboflow's train/, valid/ and test/, each with a file of its own."""
    root = tmp_path / "set"
    for at, part in enumerate(("train", "valid")):
        coco(root / part / "_annotations.coco.json", "a.png", annotations=[] if at else SHAPES)
        draw(root / part / "a.png", at)
    assert taken(root, tmp_path / "out") == ["train__a.png", "valid__a.png"]
    assert taken(root / "train/_annotations.coco.json", tmp_path / "one") == ["a.png"]
    error = refused(root, tmp_path / "o", images=root / "train")
    assert "train/_annotations.coco.json" in error.remedy
    kinds = [{"id": 1, "name": "hole"}]
    coco(root / "valid/_annotations.coco.json", "a.png", categories=kinds)
    with pytest.raises(DatasetError, match="other classes"):
        convert(root, tmp_path / "o", "voc")


# YOLO


def yolo(root: Path, pictures: str, texts: str, *names: str) -> None:
    for at, name in enumerate(names):
        draw(root / pictures.format(name), at)
        text = root / texts.format(name)
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text(YOLO_SQUARE if at == 0 else "")


YOLO_LAYOUTS = {
    "ultralytics": ("images/train/{}.png", "labels/train/{}.txt", "data.yaml", "train__{}.png"),
    "fiftyone": ("images/val/{}.png", "labels/val/{}.txt", "dataset.yaml", "val__{}.png"),
    "roboflow": ("train/images/{}.png", "train/labels/{}.txt", "data.yaml", "train__{}.png"),
    "one folder": ("images/{}.png", "labels/{}.txt", "my.yaml", "{}.png"),
    "other case": ("images/{}.PNG", "labels/{}.txt", "data.yaml", "{}.PNG"),
    "darknet": (
        "obj_train_data/{}.png",
        "obj_train_data/{}.txt",
        "obj.names",
        "obj_train_data__{}.png",
    ),
}


@pytest.mark.parametrize("layout", YOLO_LAYOUTS)
def test_yolo_layouts(layout: str, tmp_path: Path) -> None:
    pictures, texts, file, becomes = YOLO_LAYOUTS[layout]
    root = tmp_path / "set"
    yolo(root, pictures, texts, "p0", "p1")
    if layout == "other case":
        (root / "labels/p0.txt").rename(root / "labels/P0.txt")
    lines = "scratch\n" if file == "obj.names" else "names: [scratch]\ntrain: ../train/images\n"
    (root / file).write_text(lines)
    assert taken(root, tmp_path / "out") == [becomes.format(f"p{at}") for at in range(2)]
    if layout in ("darknet", "ultralytics"):
        lost = root / texts.format("lost")
        lost.write_text(YOLO_SQUARE)
        assert "lost.txt: annotates a picture that is missing" in str(refused(root, tmp_path / "o"))
    if layout == "roboflow":  # a part of it, by the YAML file above
        assert taken(root / "train", tmp_path / "part") == ["p0.png", "p1.png"]
        (root / file).write_text("names: [scratch]\ntrain: elsewhere/images\n")
        assert "data.yaml: is missing" in str(refused(root / "train", tmp_path / "other"))


def test_yolo_text_files_of_another_case_are_not_passed_over(tmp_path: Path) -> None:
    yolo(tmp_path, "images/{}.png", "labels/{}.txt", "p0", "p1")
    (tmp_path / "data.yaml").write_text("names: [scratch]\n")
    (tmp_path / "labels/p1.txt").unlink()
    (tmp_path / "labels/p1.TXT").write_text(YOLO_SQUARE)
    assert convert(tmp_path, tmp_path / "out", "voc").masks == {"scratch": 2}


def test_yolo_pictures_may_be_listed(tmp_path: Path) -> None:
    root = tmp_path / "set"
    yolo(root, "images/{}.png", "labels/{}.txt", "p0", "p1", "p2")
    (root / "labels/p2.txt").unlink()
    described = "names: {0: scratch}\ntrain: train.txt\nval: [val.txt]\n"
    (root / "data.yaml").write_text(described)
    (root / "train.txt").write_text("./images/p0.png\n\n")
    (root / "val.txt").write_text("C:\\export\\images\\p1.png\n")
    assert taken(root, tmp_path / "out") == ["p0.png", "p1.png"]
    (root / "val.txt").write_text("/etc/p3.png\n")
    assert "outside the data set" in str(refused(root, tmp_path / "o"))
    (root / "val.txt").rename(root / "val.old")
    assert "names a list of pictures that is missing" in str(refused(root, tmp_path / "o"))
    (root / "data.yaml").write_text("names: {0: scratch}\n")
    done = convert(root, tmp_path / "all", "voc")
    assert any("1 times: picture without annotations, as p2.png" in note for note in done.notes)


NAMED = {
    "list": ("data.yaml", "names: [scratch, no]"),
    "map": ("data.yaml", "names:\n  1: no\n  0: scratch\n"),
    "quoted": ("data.yaml", "names: {'0': scratch, '1': 'no'}"),
    "dataset": ("dataset.yaml", "path: /old\nnames: [scratch, no]"),
    "other": ("steel.yml", "names: [scratch, no]"),
    "darknet": ("obj.names", "scratch\nno\n"),
    "lines": ("classes.txt", "\ufeffscratch\r\nno \r\n\r\n"),
    "labelImg": ("labels/classes.txt", "scratch\nno"),
    "labelme": ("class_names.txt", "scratch\nno"),
}


@pytest.mark.parametrize("way", NAMED)
def test_names_of_classes_are_found(way: str, tmp_path: Path) -> None:
    file, text = NAMED[way]
    (tmp_path / "labels").mkdir()
    (tmp_path / file).write_bytes(text.encode())
    (tmp_path / "hyper.yaml").write_text("lr: &a 3\nbeta: *a")  # of another program
    assert class_names(open_files(tmp_path)).names == ("scratch", "no")


CONTRADICTED = {
    "yaml": (
        "dataset.yaml",
        "names: [scratch]",
        "dataset.yaml: names other classes than data.yaml",
    ),
    "lines": (
        "classes.txt",
        "scratch\nhole\nno",
        "classes.txt: names other classes than data.yaml",
    ),
    "count": ("data.yaml", "nc: 3\nnames: [scratch, hole]", "says nc: 3, and names 2 classes"),
}


@pytest.mark.parametrize("way", CONTRADICTED)
def test_names_that_contradict_each_other_are_told(way: str, tmp_path: Path) -> None:
    file, text, told = CONTRADICTED[way]
    root = tmp_path / "set"
    yolo(root, "images/{}.png", "labels/{}.txt", "p0", "p1")
    (root / "data.yaml").write_text("nc: 2\nnames: [scratch, hole]\n")
    (root / "labels/classes.txt").write_text("scratch\nhole\n")
    (root / "hyper.yaml").write_text("names: 3")
    assert check(root).text().endswith("nothing wrong was found")
    (root / file).write_text(text)
    assert told in convert(root, tmp_path / "out", "voc").text()
    assert dict(check(root).counts) == {Fault.CLASS_NAME: 1}


@pytest.mark.parametrize("file", ["dataset.yaml", "classes.txt", "labels/classes.txt"])
def test_names_in_another_order_are_refused(file: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    yolo(root, "images/{}.png", "labels/{}.txt", "p0", "p1")
    (root / "data.yaml").write_text("names: [scratch, hole]\n")
    text = "names: [hole, scratch]" if file.endswith("yaml") else "hole\nscratch\ndent\n"
    (root / file).write_text(text)
    error = refused(root, tmp_path / "out")
    assert error.where.endswith(file)
    assert "in another order than data.yaml" in error.problem
    assert check(root).count("error") == 1


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + at)}: &{chr(98 + at)} [{', '.join(['*' + chr(97 + at)] * 9)}]\n" for at in range(12)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB + "names: *m",
        "names: " + "[" * 5_000,
        "- " * 5_000,
        "names: *x",
        "[" * (1 << 20) + "x",
    ],
)
def test_yaml_stays_small(text: str, tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(text)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DatasetError, match="cannot be read as YAML") as caught:
        class_names(open_files(tmp_path))
    assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


# VOC


def voc(root: Path, masks: Sequence[np.ndarray | None], **files: str) -> None:
    (root / "SegmentationClass").mkdir(parents=True)
    for at, mask in enumerate(masks):
        draw(root / f"JPEGImages/p{at}.jpg", at)
        if mask is not None:
            image = Image.fromarray(mask)
            image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
            image.save(root / f"SegmentationClass/p{at}.png")
    for name, text in files.items():
        (root / f"{name}.txt").write_text(text)


DEFECT = np.zeros((16, 32), np.uint8)
DEFECT[2:8, 4:12] = 1
LABELS = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nscratch:128,0,0::\n"


def test_voc_pictures_listed_without_a_png_are_clean(tmp_path: Path) -> None:
    root = tmp_path / "set"
    voc(root, [DEFECT, None, None], labelmap=LABELS)
    assert "p1.png: is missing" in str(refused(root, tmp_path / "out"))
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/train.txt").write_text("p0\np1\n")
    assert "p2.png: is missing" in str(refused(root, tmp_path / "out"))
    (root / "ImageSets/Segmentation/val.txt").write_text('"p2"\n')
    assert taken(root, tmp_path / "out") == ["p0.jpg", "p1.jpg", "p2.jpg"]
    assert check(root).counts == {Fault.NO_ANNOTATION: 2}
    Image.fromarray(np.zeros_like(DEFECT)).save(root / "SegmentationClass/p2.png")
    assert "p1.png: is missing" in str(refused(root, tmp_path / "lost"))


@pytest.mark.parametrize(
    ("beside", "content", "told"),
    [
        ("Annotations/p1.xml", b"<annotation><object/></annotation>", "holds an object"),
        (
            "Annotations/P1.XML",
            "<?xml version='1.0' encoding='utf-16'?><a><object/></a>".encode("utf-16"),
            "holds an object",
        ),
        ("Annotations/p1.xml", b"<annotation><size>", "is no whole XML"),
        ("SegmentationClass/p1.jpg", b"", "is no PNG"),
        ("SegmentationClass/p1.tif", b"", "is no PNG"),
    ],
)
def test_voc_pictures_are_not_clean_where_other_files_say_more(
    beside: str, content: bytes, told: str, tmp_path: Path
) -> None:
    root = tmp_path / "set"
    voc(root, [DEFECT, None, None], labelmap=LABELS)
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/train.txt").write_text("p0\np1\np2\n")
    (root / "Annotations").mkdir()
    (root / "Annotations/p2.xml").write_text("<annotation><filename>p2.jpg</filename></annotation>")
    (root / beside).write_bytes(content)
    error = refused(root, tmp_path / "out")
    assert error.where.endswith(beside)
    assert told in error.problem
    assert check(root).count("error") == 1
    convert(root, tmp_path / "out", "voc", on_error="skip")
    assert open_files(tmp_path / "out/JPEGImages").names() == ("p0.jpg", "p2.jpg")


def test_a_png_lost_from_what_was_written_here_is_missed(tmp_path: Path) -> None:
    voc(tmp_path / "set", [DEFECT, DEFECT], labelmap=LABELS)
    convert(tmp_path / "set", tmp_path / "own", "voc")
    (tmp_path / "own/SegmentationClass/p1.png").unlink()
    assert "p1.png: is missing" in str(refused(tmp_path / "own", tmp_path / "out"))


def test_labelmes_names_go_with_vocs_palette(tmp_path: Path) -> None:
    root = tmp_path / "set"
    voc(root, [DEFECT, 2 * DEFECT, 0 * DEFECT], class_names="_background_\nhole\nscratch\n")
    assert convert(root, tmp_path / "out", "index_pngs").masks == {"hole": 1, "scratch": 1}
    (root / "class_names.txt").unlink()
    error = refused(root, tmp_path / "o")
    assert error.where.endswith("labelmap.txt")
    assert "background:0,0,0::" in error.remedy


# CVAT


def cvat(path: Path, *images: str, head: str = "") -> None:
    square = '<polygon label="scratch" points="4,2;12,2;12,8;4,8"/>'
    shown = "".join(
        f'<image id="{at}" {image} width="32" height="16">{square if at == 0 else ""}</image>'
        for at, image in enumerate(images)
    )
    labels = "<meta><task><labels><label><name>scratch</name></label></labels></task></meta>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{head}<annotations>{labels}{shown}</annotations>")


def test_cvat_subsets_and_frames_of_videos(tmp_path: Path) -> None:
    root = tmp_path / "subsets"
    parts = ("Train", "Validation")
    cvat(root / "annotations.xml", *(f'name="a.png" subset="{part}"' for part in parts))
    for at, part in enumerate(parts):
        draw(root / "images" / part / "a.png", at)
    assert taken(root, tmp_path / "out") == ["Train__a.png", "Validation__a.png"]
    frames = tmp_path / "frames"
    cvat(frames / "annotations.xml", *(f'name="frame_00000{at}"' for at in range(2)))
    for at in range(2):
        draw(frames / f"images/default/frame_00000{at}.PNG", at)
    assert taken(frames, tmp_path / "video") == ["frame_000000.PNG", "frame_000001.PNG"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_with_entities_is_refused(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "set/annotations.xml"
    head = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a [<!ENTITY x "y">]>'
    cvat(path, 'name="a.png"', head=head)
    path.write_bytes(path.read_text().encode(encoding))
    draw(tmp_path / "set/images/a.png")
    with pytest.raises(DatasetError, match="DOCTYPE"):
        convert(tmp_path / "set", tmp_path / "out", "voc", "cvat")
    assert check(tmp_path / "set", "cvat").count("error") == 1


# LabelMe and Label Studio


def labelme(path: Path, picture: str, shape: bool) -> None:
    corners = np.reshape(SQUARE, (-1, 2)).tolist()
    shapes = [{"label": "scratch", "points": corners, "shape_type": "polygon"}]
    content = {
        "shapes": shapes if shape else [],
        "imagePath": picture,
        "imageHeight": 16,
        "imageWidth": 32,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "path", ["../images/{}.png", "..\\images\\{}.png", "{}.png", "D:\\x\\{}.png"]
)
@pytest.mark.parametrize("folder", ["labels", "annotations", "json"])
def test_labelme_files_in_a_folder_of_their_own(path: str, folder: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    for at in range(2):
        labelme(root / f"{folder}/p{at}.json", path.format(f"p{at}"), at == 0)
        draw(root / f"images/p{at}.png", at)
    assert taken(root, tmp_path / "out") == ["p0.png", "p1.png"]
    assert taken(root / folder, tmp_path / "part") == ["p0.png", "p1.png"]


def test_neighbours_of_a_zip_are_not_its_pictures(
    tmp_path: Path, zipped: Callable[..., Path]
) -> None:
    labelme(tmp_path / "labels/p0.json", "../images/p0.png", shape=True)
    packed = zipped(tmp_path / "labels")
    draw(tmp_path / "images/p0.png")
    draw(packed.parent / "images/p0.png")
    assert "outside the data set" in str(refused(packed, tmp_path / "out"))
    assert taken(packed, tmp_path / "out", images=tmp_path / "images") == ["p0.png"]


ADDRESSES = {
    "upload": ("/data/upload/1/0a1b2c3d-p 0.png", "p 0.png"),
    "kept prefix": ("/data/upload/1/0a1b2c3d-p0.png", "0a1b2c3d-p0.png"),
    "percent": ("/data/upload/1/p%200.png", "p 0.png"),
    "local files": ("/data/local-files/?d=steel/p0.png", "p0.png"),
    "windows": ("/data/local-files/?d=steel%5Cp0.png", "p0.png"),
    "bucket": ("s3://steel/coil/p0.png", "p0.png"),
    "signed": ("https://host/steel/p0.png?X-Amz=1", "p0.png"),
    "absolute": ("C:\\steel\\p0.png", "p0.png"),
}


@pytest.mark.parametrize("way", ADDRESSES)
@pytest.mark.parametrize("folder", ["images/", "", "upload/1/"])
def test_addresses_of_label_studio(way: str, folder: str, tmp_path: Path) -> None:
    address, name = ADDRESSES[way]
    region = {
        "type": "polygonlabels",
        "original_width": 32,
        "original_height": 16,
        "value": {
            "points": (np.reshape(SQUARE, (-1, 2)) * (100 / 32, 100 / 16)).tolist(),
            "polygonlabels": ["scratch"],
        },
    }
    tasks = [
        {"id": 1, "data": {"image": address}, "annotations": [{"result": [region]}]},
        {"id": 2, "data": {"image": "q.png"}, "annotations": [{"result": []}]},
    ]
    root = tmp_path / "set"
    draw(root / folder / name)
    draw(root / folder / "q.png", 2)
    (root / "project-1.json").write_text(json.dumps(tasks))
    taken_names = taken(root, tmp_path / "out")
    assert [each.removeprefix("upload__1__") for each in taken_names] == [name, "q.png"]


# Masks beside pictures


@pytest.mark.parametrize("name", ["index_pngs", "class_pngs"])
def test_masks_below_folders(name: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    for at, part in enumerate(("train", "val")):
        draw(root / f"images/{part}/p{at}.png", at)
        below = part if name == "index_pngs" else f"scratch/{part}"
        mask = root / f"masks/{below}/P{at}.png"
        mask.parent.mkdir(parents=True)
        Image.fromarray(DEFECT * (at == 0)).save(mask)
    (root / "classes.csv").write_text("value,name\n1,scratch\n")
    assert check(root).format == name
    assert taken(root, tmp_path / "out") == ["train__p0.png", "val__p1.png"]
    (root / "images/val/p1.png").rename(root / "images/val/new.png")
    said = str(refused(root, tmp_path / "o"))
    assert "is missing" in said or "picture that is missing" in said


def test_masks_in_another_case(tmp_path: Path) -> None:
    for at in range(2):
        draw(tmp_path / f"set/images/Coil_A{at}.png", at)
    (tmp_path / "set/masks").mkdir()
    (tmp_path / "set/classes.csv").write_text("value,name\n1,scratch\n")
    for at in range(2):
        Image.fromarray(DEFECT * (at == 0)).save(tmp_path / f"set/masks/coil_a{at}.png")
    assert taken(tmp_path / "set", tmp_path / "out") == ["Coil_A0.png", "Coil_A1.png"]
    assert open_dataset(tmp_path / "set").present.tolist() == [[True], [False]]
    Image.fromarray(DEFECT).save(tmp_path / "set/masks/COIL_A1.png")
    assert "is missing" in str(refused(tmp_path / "set", tmp_path / "o"))


# What convert writes, train takes


@pytest.mark.parametrize("each", FORMATS, ids=lambda each: each.name)
def test_every_format_becomes_every_other_and_what_train_takes(
    each: Format, tmp_path: Path
) -> None:
    """Of names below folders too, where the format has them."""
    below = ("one/", "two/") if each.folders else ("", "")
    names = [f"{folder}s{at}.png" for folder in below for at in range(2)]
    names = names if each.folders else [f"s{at}.png" for at in range(4)]
    masks = np.zeros((4, 2, 16, 32), np.bool_)
    masks[0, 0, 2:8, 4:12] = masks[1, 1, 5:9, 1:30] = masks[2, 0, 0:3, 0:3] = True
    masks[2, 1, 10:, 20:] = True
    labelled = []
    for at, name in enumerate(names):
        draw(tmp_path / "set" / each.pictures / name, at)
        labelled.append(Labelled(name, Frame(16, 32), masks[at], Classes(names=("pit", "Riß"))))
    WRITERS[each.name](tmp_path / "set" / each.file, labelled)
    for target in FORMATS:
        made = tmp_path / target.name
        assert convert(tmp_path / "set", made, target.name, each.name).pictures == 4
        back = {one.image: one.masks for one in target.read(made / target.file)}
        expected = names if target.folders else [name.replace("/", "__") for name in names]
        assert set(back) == set(expected)
        for at, name in enumerate(expected):
            assert np.array_equal(back[name], masks[at])
        assert check(made, target.name).count("error") == 0
        if target.name in ("index_pngs", "run_lengths"):
            dataset = open_dataset(made)
            assert check_trainable(dataset) == [
                f"Class {name} stands on 2 of 4 strips: expect little of it."
                for name in ("pit", "Riß")
            ]


# Faults of reading and of writing; what a kill leaves


def test_faults_of_reading_are_not_called_faults_of_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coco(tmp_path / "set/a.json", "a.png")
    draw(tmp_path / "set/images/a.png")

    def fails(*_: object, **__: object) -> bool:
        raise PermissionError(13, "Permission denied", str(tmp_path / "set"))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "is_dir", fails)
        with pytest.raises((DatasetError, OSError)) as caught:
            convert(tmp_path / "set", tmp_path / "out", "voc")
    assert not isinstance(caught.value, OutputError)
    assert not [path for path in tmp_path.iterdir() if path.name != "set"]


def test_a_full_disk_while_unpacking_is_no_fault_of_the_zip(
    tmp_path: Path, zipped: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    coco(tmp_path / "set/a.json", "a.png")
    draw(tmp_path / "set/images/a.png")
    packed = zipped(tmp_path / "set")
    first = Path.open

    def full(path: Path, mode: str = "r", *rest: object, **how: object) -> object:
        if "w" in mode:
            raise OSError(28, "No space left on device")
        return first(path, mode, *rest, **how)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(OutputError, match="No space left"):
            convert(packed, tmp_path / "out", "voc")


def test_what_a_killed_conversion_left_is_removed(tmp_path: Path) -> None:
    coco(tmp_path / "set/a.json", "a.png")
    draw(tmp_path / "set/images/a.png")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for ending in ("part", "unpacked"):
        (tmp_path / f".out.{ended.pid}.{ending}/images").mkdir(parents=True)
    alive = tmp_path / f".out.{os.getppid()}.part"
    alive.mkdir()
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as packed:
        for path in (tmp_path / "set").rglob("*.*"):
            packed.write(path, path.relative_to(tmp_path / "set"))
    convert(tmp_path / "set.zip", tmp_path / "out", "voc")
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {"set", "set.zip", "out", alive.name}


def test_temporary_folders_of_one_process_leave_each_other_alone(tmp_path: Path) -> None:
    with temporary_folder(tmp_path / "out") as part:
        (part / "a").touch()
        with temporary_folder(tmp_path / "out", "unpacked"), temporary_folder(tmp_path / "o"):
            assert (part / "a").is_file()
    assert not list(tmp_path.iterdir())
