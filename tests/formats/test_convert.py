"""Conversion: every format to every other, wherever the source lies."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from layouts import NAMES, content, lay
from PIL import Image

from steelscan import cli
from steelscan.data import Dataset, open_dataset
from steelscan.formats import FORMATS, AnnotatedPicture, Format, convert
from steelscan.strip.errors import DatasetError

ALL = pytest.mark.parametrize("each", FORMATS.values(), ids=lambda each: each.name)
WITH_FILE = pytest.mark.parametrize(
    "each", [each for each in FORMATS.values() if each.file], ids=lambda each: each.name
)


def assert_equal(one: Dataset, other: Dataset) -> None:
    assert (one.names, one.classes, one.frames) == (other.names, other.classes, other.frames)
    assert one.group_labels == other.group_labels
    for at in range(len(one)):
        np.testing.assert_array_equal(one.masks(at), other.masks(at))
        np.testing.assert_array_equal(one.picture(at), other.picture(at))


# There and back


@ALL
def test_round_trip_of_a_data_set(
    each: Format, mill: Path, converted: dict[str, Path], tmp_path: Path
) -> None:
    first = open_dataset(mill)
    back = convert(converted[each.name], tmp_path / "back", "run_lengths")
    again = open_dataset(tmp_path / "back")
    assert back.pictures == len(first) == 10
    counts = first.present.sum(axis=0).tolist()
    assert back.masks == dict(zip(first.classes.names, counts, strict=True))
    assert sum(counts) > 0
    assert first.group_labels is not None
    assert_equal(first, again)


@ALL
def test_pictures_are_copied_byte_for_byte(
    each: Format, mill: Path, converted: dict[str, Path]
) -> None:
    pictures = {
        name: (converted[each.name] / each.pictures / name).read_bytes()
        for name in content(mill / "train_images")
    }
    assert pictures == content(mill / "train_images")


@ALL
def test_every_difference_is_reported(each: Format, knotty: Path, tmp_path: Path) -> None:
    done = convert(knotty, tmp_path / "out", each.name)
    read = {one.image: one for one in FORMATS[each.name].read(tmp_path / "out" / each.file)}
    (first, clean) = FORMATS["coco"].read(knotty / "annotations.json")
    assert set(read) == {first.image, clean.image}
    assert first.image == "Blech ä 1.png"
    assert not read[clean.image].masks.any()
    wrong = (first.masks != read[first.image].masks).sum(axis=(1, 2)).tolist()
    lost = {loss.class_name: loss.pixels for loss in done.losses}
    assert [lost.get(name, 0) for name in NAMES] == wrong
    assert bool(done.losses) == (not (each.holes and each.overlaps)) == (sum(wrong) > 0)
    assert done.masks == {"scratch": 1, "Riß": 1}


def test_every_kind_of_loss_is_one_line(knotty: Path, tmp_path: Path) -> None:
    text = convert(knotty, tmp_path / "out", "yolo").text().splitlines()
    assert text == [
        "2 pictures; masks per class: scratch: 1, Riß: 1",
        "Lost: 6 pixels of 1 mask were in holes, which were closed",
    ]


def test_cut_and_dropped_polygons_are_noted(tmp_path: Path) -> None:
    lay(tmp_path / "set", "yolo", [("a.png", np.zeros((2, 10, 10), np.bool_))])
    lines = "0 -0.5 0 0.5 0 0.5 0.5 -0.5 0.5\n1 0.11 0.11 0.12 0.11 0.12 0.12\n"
    (tmp_path / "set" / "labels" / "a.txt").write_text(lines)
    notes = convert(tmp_path / "set", tmp_path / "out", "coco").notes
    assert any("1 polygons reached outside" in note for note in notes)
    assert any(
        "1 polygons were too small to cover a pixel and were dropped" in note for note in notes
    )
    assert len(notes) == 2


def test_the_test_pictures_are_left_out_and_noted(mill: Path, tmp_path: Path) -> None:
    done = convert(mill, tmp_path / "out", "voc")
    assert any(note.startswith("left out: 2 pictures of test_images/") for note in done.notes)
    assert not (tmp_path / "out" / "test_images").exists()


# Where the source lies


@ALL
@pytest.mark.parametrize("top", ["", "inner"])
@pytest.mark.filterwarnings("ignore:Duplicate name")  # of what a Mac adds to each file
def test_zips_are_converted(
    each: Format,
    top: str,
    mill: Path,
    converted: dict[str, Path],
    zipped: Callable[..., Path],
    tmp_path: Path,
) -> None:
    packed = zipped(converted[each.name], top)
    convert(packed, tmp_path / "back", "run_lengths")
    assert_equal(open_dataset(mill), open_dataset(tmp_path / "back"))
    assert [path.name for path in tmp_path.iterdir()] == ["back"]


@WITH_FILE
def test_a_file_of_annotations_is_a_source(
    each: Format, mill: Path, converted: dict[str, Path], tmp_path: Path
) -> None:
    convert(converted[each.name] / each.file, tmp_path / "back", "run_lengths")
    assert_equal(open_dataset(mill), open_dataset(tmp_path / "back"))


def test_annotations_in_a_folder_of_their_own(knotty: Path, tmp_path: Path) -> None:
    (knotty / "annotations").mkdir()
    (knotty / "annotations.json").rename(knotty / "annotations" / "instances_all.json")
    for number, source in enumerate((knotty, knotty / "annotations" / "instances_all.json")):
        assert convert(source, tmp_path / str(number), "class_pngs").pictures == 2


def test_several_files_of_one_format_are_refused(knotty: Path, tmp_path: Path) -> None:
    text = (knotty / "annotations.json").read_text()
    (knotty / "annotations.json").rename(knotty / "train.json")
    (knotty / "val.json").write_text(text)
    with pytest.raises(DatasetError, match=r"2 files of coco: train.json, val.json"):
        convert(knotty, tmp_path / "out", "voc")
    assert convert(knotty / "val.json", tmp_path / "out", "voc").pictures == 2


@pytest.mark.parametrize("name", ["coco", "class_pngs", "cvat", "labelme", "voc", "yolo"])
def test_names_below_folders_are_kept(name: str, tmp_path: Path) -> None:
    masks = np.ones((2, 5, 6), np.bool_)
    lay(tmp_path / "set", name, [("train/ä.png", masks), ("val/ä.png", masks[:, :4])])
    convert(tmp_path / "set", tmp_path / "out", "class_pngs")
    read = {one.image: one.frame for one in FORMATS["class_pngs"].read(tmp_path / "out")}
    assert read == {"train/ä.png": (5, 6), "val/ä.png": (4, 6)}


def test_one_folder_of_labelme_files_keeps_the_list_of_classes(tmp_path: Path) -> None:
    lay(tmp_path / "set", "labelme", [("in/a.png", np.zeros((2, 5, 6), np.bool_))])
    assert convert(tmp_path / "set", tmp_path / "out", "coco").masks == {"scratch": 0, "Riß": 0}


# Every pair of formats, with real masks


def exact_pairs(names: list[tuple[str, int]], real_data: Path, root: Path) -> int:
    """Carry real masks from each format to each; returns how many pairs were tried."""
    tried = 0
    for name, step in names:
        dataset = open_dataset(real_data / name)
        strips = [
            AnnotatedPicture(
                dataset.names[at], dataset.frames[at], dataset.masks(at), dataset.classes
            )
            for at in range(0, len(dataset), step)
        ]
        assert any(one.masks.any() for one in strips)
        for first in FORMATS.values():
            lay_as(root / name / first.name, first, strips, dataset)
            for second in FORMATS.values():
                target = root / name / f"{first.name}-{second.name}"
                done = convert(root / name / first.name, target, second.name, first.name)
                assert_close(second, target, strips, first.holes and second.holes, done.text())
                tried += 1
                shutil.rmtree(target)
            shutil.rmtree(root / name / first.name)
    return tried


def lay_as(root: Path, form: Format, strips: list[AnnotatedPicture], dataset: Dataset) -> None:
    for one in strips:
        place = root / form.pictures / one.image
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(dataset.picture(dataset.names.index(one.image))).save(place)
    form.write(root / form.file, strips)


def assert_close(
    form: Format, root: Path, strips: list[AnnotatedPicture], exact: bool, message: str
) -> None:
    back = {one.image: one for one in form.read(root / form.file)}
    assert back.keys() == {one.image for one in strips}
    wrong = [int((back[one.image].masks != one.masks).sum()) for one in strips]
    assert not (exact and any(wrong))
    pixels = [int(one.masks.sum() + back[one.image].masks.sum()) for one in strips]
    shared = [int((one.masks & back[one.image].masks).sum()) for one in strips]
    assert 2 * sum(shared) > 0.995 * sum(pixels)
    assert "Lost" not in message or (any(wrong) and form.name == "yolo")


def test_every_pair_of_formats_keeps_real_masks(real_data: Path, tmp_path: Path) -> None:
    assert exact_pairs([("severstal", 11)], real_data, tmp_path) == 81


@pytest.mark.slow
def test_every_pair_of_formats_keeps_many_real_masks(real_data: Path, tmp_path: Path) -> None:
    many = [("severstal", 2), ("neu", 60), ("tile", 60)]
    assert exact_pairs(many, real_data, tmp_path) == 3 * 81


# The verb and its page


def test_the_page_lists_what_each_format_stores() -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    cells = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("| `")]
    rows = {row[0].split("`")[1]: [cell.strip() for cell in row] for row in cells}
    assert set(rows) == {each.name for each in FORMATS.values()}
    for each in FORMATS.values():
        _, where, pictures, holes, overlaps, _ = rows[each.name]
        assert each.file in where
        assert pictures == (f"`{each.pictures}/`" if each.pictures else "the same folder")
        assert holes.startswith("yes") == each.holes
        assert overlaps.startswith("yes") == each.overlaps


@ALL
def test_the_page_lists_which_formats_have_folders(each: Format, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    (row,) = (line for line in page.splitlines() if line.startswith(f"| `{each.name}`"))
    if row.endswith("| yes |"):
        lay(tmp_path, each.name, [("in/a.png", np.ones((2, 5, 6), np.bool_))])
    else:
        with pytest.raises(DatasetError, match="no folders"):
            lay(tmp_path, each.name, [("in/a.png", np.ones((2, 5, 6), np.bool_))])


def test_the_verb(
    knotty: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [str(knotty), str(tmp_path / "out"), "--to", "voc", "--from", "coco"]
    monkeypatch.setattr(sys, "argv", ["steelscan", "convert", *arguments, "--no-pictures"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    printed = capsys.readouterr().out
    assert "2 pictures; masks per class: scratch: 1, Riß: 1" in printed
    assert "Lost: 4 pixels of 1 mask were under the mask of a later class" in printed
    assert not (tmp_path / "out" / "JPEGImages").exists()


def test_the_help_names_every_format(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["steelscan", "convert", "--help"])
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit):
        cli.main()
    printed = capsys.readouterr().out
    assert all(each.name in printed for each in FORMATS.values())
