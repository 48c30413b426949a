"""Conversion between formats: there and back, guesses, refusals, and nothing half-written."""

import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from steelscan import cli
from steelscan.data import Dataset, open_dataset
from steelscan.formats.check import check
from steelscan.formats.convert import convert
from steelscan.formats.labelled import Labelled
from steelscan.formats.registry import FORMATS, READERS, WRITERS, Format
from steelscan.mill import Mill, write_mill
from steelscan.strip import (
    Classes,
    DatasetError,
    Fault,
    Frame,
    InputError,
    OutputError,
    PictureError,
    SteelscanError,
)

ALL = pytest.mark.parametrize("each", FORMATS, ids=lambda each: each.name)
WITH_FILE = pytest.mark.parametrize(
    "each", [each for each in FORMATS if each.file], ids=lambda each: each.name
)
NAMES = ("scratch", "Riß")


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("convert") / "mill"
    write_mill(Mill(strips=10, seed=3, height=64, width=128), root, test_strips=2)
    return root


@pytest.fixture(scope="module")
def converted(mill: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The mill's data set in each format."""
    root = tmp_path_factory.mktemp("formats")
    for each in FORMATS:
        convert(mill, root / each.name, each.name)
    return {each.name: root / each.name for each in FORMATS}


@pytest.fixture
def knotty(tmp_path: Path) -> Path:
    """Index pictures cannot hold it: two overlapping masks, one of them with a hole."""
    root = tmp_path / "knotty"
    masks = np.zeros((2, 12, 16), np.bool_)
    masks[0, 2:9, 2:9] = True
    masks[0, 4:6, 4:7] = False
    masks[1, 7:11, 7:11] = True
    clean = np.zeros_like(masks)
    lay(root, "coco", [("Blech ä 1.png", masks), ("z.png", clean)])
    return root


def lay(root: Path, name: str, pictures: Iterable[tuple[str, np.ndarray]]) -> None:
    """A data set with grey pictures, written without the code under test."""
    (form,) = (each for each in FORMATS if each.name == name)
    labelled = []
    for image, masks in pictures:
        place = root / form.pictures / image
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", masks.shape[:0:-1], 90).save(place)
        labelled.append(Labelled(image, Frame(*masks.shape[1:]), masks, Classes(names=NAMES)))
    WRITERS[name](root / form.file, labelled)


def assert_equal(one: Dataset, other: Dataset) -> None:
    assert (one.names, one.classes, one.frames) == (other.names, other.classes, other.frames)
    assert one.group_labels == other.group_labels
    for at in range(len(one)):
        np.testing.assert_array_equal(one.masks(at), other.masks(at))
        np.testing.assert_array_equal(one.picture(at), other.picture(at))


def content(root: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


# There and back


@ALL
def test_there_and_back(
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
def test_what_is_not_equal_is_reported(each: Format, knotty: Path, tmp_path: Path) -> None:
    done = convert(knotty, tmp_path / "out", each.name)
    read = {one.image: one for one in READERS[each.name](tmp_path / "out" / each.file)}
    (first, clean) = READERS["coco"](knotty / "annotations.json")
    assert set(read) == {first.image, clean.image}
    assert first.image == "Blech ä 1.png"
    assert not read[clean.image].masks.any()
    wrong = (first.masks != read[first.image].masks).sum(axis=(1, 2)).tolist()
    told = {loss.class_name: loss.pixels for loss in done.losses}
    assert [told.get(name, 0) for name in NAMES] == wrong
    assert bool(done.losses) == (not (each.holes and each.overlaps)) == (sum(wrong) > 0)
    assert done.masks == {"scratch": 1, "Riß": 1}


def test_every_kind_of_loss_is_one_line(knotty: Path, tmp_path: Path) -> None:
    text = convert(knotty, tmp_path / "out", "yolo").text().splitlines()
    assert text == [
        "2 pictures; masks of class scratch: 1, Riß: 1",
        "Lost: 6 pixels of 1 masks lie in holes, which were closed",
    ]


def test_what_a_reader_cut_is_noted(tmp_path: Path) -> None:
    lay(tmp_path / "set", "yolo", [("a.png", np.zeros((2, 10, 10), np.bool_))])
    lines = "0 -0.5 0 0.5 0 0.5 0.5 -0.5 0.5\n1 0.11 0.11 0.12 0.11 0.12 0.12\n"
    (tmp_path / "set" / "labels" / "a.txt").write_text(lines)
    notes = convert(tmp_path / "set", tmp_path / "out", "coco").notes
    assert any("1 polygons reached outside" in note for note in notes)
    assert any("1 polygons cover no pixel's centre" in note for note in notes)
    assert len(notes) == 2


def test_the_test_pictures_are_left_out_and_noted(mill: Path, tmp_path: Path) -> None:
    done = convert(mill, tmp_path / "out", "voc")
    assert any(note.startswith("2 pictures of test_images/") for note in done.notes)
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


def test_several_files_of_one_format_ask_for_one(knotty: Path, tmp_path: Path) -> None:
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
    read = {one.image: one.frame for one in READERS["class_pngs"](tmp_path / "out")}
    assert read == {"train/ä.png": (5, 6), "val/ä.png": (4, 6)}


def test_one_folder_of_labelme_files_keeps_the_list_of_classes(tmp_path: Path) -> None:
    lay(tmp_path / "set", "labelme", [("in/a.png", np.zeros((2, 5, 6), np.bool_))])
    assert convert(tmp_path / "set", tmp_path / "out", "coco").masks == {"scratch": 0, "Riß": 0}


# Refusals


def refused(*arguments: object, **how: object) -> SteelscanError:
    with pytest.raises(SteelscanError) as caught:
        convert(*arguments, **how)  # type: ignore[arg-type]
    assert ".part" not in str(caught.value)
    assert ".unpacked" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("way", [{"to": "pascal"}, {"to": "coco", "from_": "pascal"}])
def test_unknown_formats(way: dict[str, str], mill: Path, tmp_path: Path) -> None:
    error = refused(mill, tmp_path / "out", **way)
    assert type(error) is InputError
    assert all(each.name in str(error) for each in FORMATS)


def test_what_two_formats_fit_is_asked_for(tmp_path: Path) -> None:
    root = tmp_path / "set"
    masks = np.ones((2, 5, 6), np.bool_)
    lay(root, "coco", [("a.png", masks)])
    lay(root, "yolo", [("a.png", masks[::-1])])
    error = refused(root, tmp_path / "out", "voc")
    assert "may be coco or yolo" in str(error)
    assert "--from" in error.remedy
    for name in ("coco", "yolo"):
        assert convert(root, tmp_path / name, "voc", from_=name).pictures == 1


def test_index_pictures_beside_run_lengths(tmp_path: Path) -> None:
    masks = np.ones((2, 5, 6), np.bool_)
    lay(tmp_path / "set", "run_lengths", [("a.png", masks)])
    lay(tmp_path / "set", "index_pngs", [("b.png", masks)])
    assert "run lengths too" in str(
        refused(tmp_path / "set", tmp_path / "out", "voc", "index_pngs")
    )
    assert convert(tmp_path / "set", tmp_path / "out", "voc", "run_lengths").pictures == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": []}', "<note/>", "<a", "\0"])
def test_what_no_format_fits(text: str, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "notes.json").write_text(text)
    for source in (tmp_path / "set", tmp_path / "set" / "notes.json"):
        error = refused(source, tmp_path / "out", "voc")
        assert isinstance(error, DatasetError)
        assert all(each.name in error.remedy for each in FORMATS)


@pytest.mark.parametrize("source", ["nothing", "text.txt"])
def test_what_is_no_source(source: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("coco")
    assert isinstance(refused(tmp_path / source, tmp_path / "out", "voc"), DatasetError)


def test_a_folder_format_is_no_single_file(converted: dict[str, Path], tmp_path: Path) -> None:
    one = min(converted["labelme"].glob("*.json"))
    assert "Name the folder" in str(refused(one, tmp_path / "out", "voc"))


def test_a_filled_target_is_left_alone(mill: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    for target in (tmp_path / "out", tmp_path / "out" / "mine.txt"):
        assert isinstance(refused(mill, target, "coco"), OutputError)
    assert content(tmp_path) == {"out/mine.txt": b"mine"}


def test_an_empty_target_is_filled(mill: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    convert(mill, tmp_path / "out", "coco")
    assert (tmp_path / "out" / "annotations.json").is_file()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.new("L", (16, 12)).save(file, "PNG", exif=exif)
    return file.getvalue()


def smaller() -> bytes:
    file = io.BytesIO()
    Image.new("L", (12, 16)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (None, "does not exist"),
        (smaller(), "is 16x12, its annotations are for 12x16"),
        (turned(), "EXIF orientation"),
        (b"", "is empty"),
    ],
    ids=["missing", "size", "turned", "empty"],
)
@pytest.mark.parametrize("each", ["coco", "cvat", "label_studio", "labelme"])
def test_pictures_that_do_not_fit(
    each: str, bad: bytes | None, said: str, knotty: Path, tmp_path: Path
) -> None:
    root = tmp_path / "set"
    convert(knotty, root, each)
    (place,) = root.rglob("z.png")
    place.unlink()
    if bad is not None:
        place.write_bytes(bad)
    error = refused(root, tmp_path / "out", "class_pngs")
    assert isinstance(error, PictureError)
    assert said in str(error)
    assert str(place) in str(error)
    assert not (tmp_path / "out").exists()
    done = convert(root, tmp_path / "out", "class_pngs", on_error="skip")
    assert done.pictures == 1
    assert any(note.startswith("left out: ") and said in note for note in done.notes)
    assert [one.image for one in READERS["class_pngs"](tmp_path / "out")] == ["Blech ä 1.png"]


def test_all_missing_pictures_are_listed(knotty: Path, tmp_path: Path) -> None:
    for picture in (knotty / "images").iterdir():
        picture.unlink()
    for on_error in ("stop", "skip"):
        error = str(refused(knotty, tmp_path / "out", "voc", on_error=on_error))
        assert "2 of 2 pictures" in error
        assert "Blech ä 1.png" in error
        assert "z.png" in error


def test_without_pictures_none_is_missed_or_written(knotty: Path, tmp_path: Path) -> None:
    (knotty / "images" / "z.png").unlink()
    assert convert(knotty, tmp_path / "out", "labelme", copy_pictures=False).pictures == 2
    names = {"Blech ä 1.json", "z.json", "labels.txt"}
    assert content(tmp_path / "out").keys() == names
    (knotty / "images" / "Blech ä 1.png").write_bytes(smaller())
    assert isinstance(refused(knotty, tmp_path / "o", "voc", copy_pictures=False), PictureError)


def test_forgotten_pictures_are_noted(knotty: Path, tmp_path: Path) -> None:
    (knotty / "images" / "new.png").write_bytes(smaller())
    done = convert(knotty, tmp_path / "out", "voc")
    assert done.notes == ("1 pictures that no annotation names were left out",)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "is empty"),
        ("a\\nz.png", "holds a control character"),
        ("\\u001b[2Jz.png", "holds a control character"),
        ("z\\u202e.png", "holds a letter that cannot be shown"),
        ("images/", "is the name of a folder"),
        ("z" * 5000, "is longer than 4096 letters"),
    ],
)
def test_names_that_are_none(name: str, told: str, knotty: Path, tmp_path: Path) -> None:
    text = (knotty / "annotations.json").read_text()
    (knotty / "annotations.json").write_text(text.replace("z.png", name))
    error = refused(knotty, tmp_path / "out", "voc")
    assert told in error.problem
    assert error.remedy == "Correct the name"


def test_names_that_leave_the_folder(knotty: Path, tmp_path: Path) -> None:
    """They are looked up here by their last part, and never followed."""
    text = (knotty / "annotations.json").read_text()
    (knotty / "annotations.json").write_text(text.replace("z.png", "../../z.png"))
    assert convert(knotty, tmp_path / "here", "voc").pictures == 2
    (knotty / "images" / "z.png").rename(tmp_path / "z.png")
    error = refused(knotty, tmp_path / "out", "voc")
    assert "may lie outside" in str(error)
    assert "--images" in error.remedy


# Nothing is half-written


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), ValueError("bug"), OSError(28, "No space left on device")]
)
@pytest.mark.parametrize("packed", [False, True])
def test_an_interrupted_conversion_leaves_nothing(
    error: BaseException,
    packed: bool,
    mill: Path,
    zipped: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = zipped(mill) if packed else mill
    written: list[str] = []
    first = Path.write_bytes

    def write(path: Path, content: bytes) -> int:
        written.append(path.name)
        if len(written) == 4:
            raise error
        return first(path, content)

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises((OutputError, type(error))) as caught:
        convert(source, tmp_path / "out", "coco")
    if isinstance(error, OSError):
        assert isinstance(caught.value, OutputError)
        assert caught.value.where.startswith(str(tmp_path / "out"))
        assert "No space left" in str(caught.value)
    assert len(written) == 4
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_zip_leaves_nothing(
    converted: dict[str, Path], zipped: Callable[..., Path], tmp_path: Path
) -> None:
    packed = zipped(converted["coco"], "damaged")
    whole = bytearray(packed.read_bytes())
    whole[len(whole) // 2 : len(whole) // 2 + 200] = bytes(200)
    packed.write_bytes(whole)
    assert str(packed) in str(refused(packed, tmp_path / "out", "voc"))
    assert list(tmp_path.iterdir()) == []


def test_errors_in_a_zip_name_the_zip(
    knotty: Path, zipped: Callable[..., Path], tmp_path: Path
) -> None:
    (knotty / "images" / "z.png").unlink()
    packed = zipped(knotty)
    assert refused(packed, tmp_path / "out", "voc").where == f"{packed}/images/z.png"
    notes = convert(packed, tmp_path / "out", "voc", on_error="skip").notes
    assert notes == ("left out: images/z.png does not exist",)


def cmyk() -> bytes:
    file = io.BytesIO()
    Image.new("CMYK", (16, 12)).save(file, "JPEG")
    return file.getvalue()


def test_cmyk_pictures_are_refused(knotty: Path, tmp_path: Path) -> None:
    (knotty / "images" / "z.png").write_bytes(cmyk())
    assert "is a CMYK picture" in str(refused(knotty, tmp_path / "out", "voc"))


@contextmanager
def unprivileged() -> Iterator[None]:
    """Go on as a user without rights for a while; the administrator may write everywhere."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_read_only_folders() -> None:
    masks = np.ones((2, 5, 6), np.bool_)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        root = folder / "strips ß"
        lay(root, "yolo", [("Blech ä.png", masks), ("钢.png", masks)])
        places = sorted([root, *root.rglob("*")], reverse=True)
        for place in places:
            place.chmod(0o555 if place.is_dir() else 0o444)
        loading = nullcontext()  # what is loaded late is not for users without rights
        for number, rights in enumerate((loading, unprivileged())):
            with rights:
                assert convert(root, folder / str(number), "coco").pictures == 2
                assert check(root).count("error") == 0
        with unprivileged():
            error = refused(root, root / "out", "coco")
            assert isinstance(error, OutputError)
            assert "Permission denied" in str(error)
            copied = folder / "1" / "images" / "钢.png"
            copied.write_bytes(b"")  # copies are not read-only
        for place in reversed(places):
            place.chmod(0o755)


def test_a_polygon_that_crosses_itself_is_filled_by_even_and_odd(tmp_path: Path) -> None:
    """A pentagram: its arms are inside, its middle, wound around twice, is not."""
    lay(tmp_path / "set", "yolo", [("a.png", np.zeros((2, 100, 100), np.bool_))])
    turns = np.arange(5) * 4 * np.pi / 5 - np.pi / 2
    corners = np.stack([np.cos(turns), np.sin(turns)], axis=1) * 0.45 + 0.5
    line = " ".join(f"{at:.6f}" for at in corners.reshape(-1))
    (tmp_path / "set" / "labels" / "a.txt").write_text(f"0 {line}\n")
    convert(tmp_path / "set", tmp_path / "out", "index_pngs")
    mask = open_dataset(tmp_path / "out").masks(0)[0]
    assert not mask[50, 50]
    arms = (50 + (corners - 0.5) * 70).astype(int)
    assert all(mask[row, column] for column, row in arms.tolist())
    assert check(tmp_path / "set").counts == {Fault.POLYGON_CROSSED: 1}


# Every pair of formats, with real masks


def exact_pairs(names: list[tuple[str, int]], real_data: Path, root: Path) -> int:
    """Carry real masks from each format to each; returns how many pairs were tried."""
    tried = 0
    for name, step in names:
        dataset = open_dataset(real_data / name)
        strips = [
            Labelled(dataset.names[at], dataset.frames[at], dataset.masks(at), dataset.classes)
            for at in range(0, len(dataset), step)
        ]
        assert any(one.masks.any() for one in strips)
        for first in FORMATS:
            lay_as(root / name / first.name, first, strips, dataset)
            for second in FORMATS:
                target = root / name / f"{first.name}-{second.name}"
                done = convert(root / name / first.name, target, second.name, first.name)
                assert_close(second, target, strips, first.holes and second.holes, done.text())
                tried += 1
                shutil.rmtree(target)
            shutil.rmtree(root / name / first.name)
    return tried


def lay_as(root: Path, form: Format, strips: list[Labelled], dataset: Dataset) -> None:
    for one in strips:
        place = root / form.pictures / one.image
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(dataset.picture(dataset.names.index(one.image))).save(place)
    form.write(root / form.file, strips)


def assert_close(form: Format, root: Path, strips: list[Labelled], exact: bool, told: str) -> None:
    back = {one.image: one for one in form.read(root / form.file)}
    assert back.keys() == {one.image for one in strips}
    wrong = [int((back[one.image].masks != one.masks).sum()) for one in strips]
    assert not (exact and any(wrong))
    pixels = [int(one.masks.sum() + back[one.image].masks.sum()) for one in strips]
    shared = [int((one.masks & back[one.image].masks).sum()) for one in strips]
    assert 2 * sum(shared) > 0.995 * sum(pixels)
    assert "Lost" not in told or (any(wrong) and form.name == "yolo")


def test_every_pair_of_formats_keeps_real_masks(real_data: Path, tmp_path: Path) -> None:
    assert exact_pairs([("severstal", 11)], real_data, tmp_path) == 81


@pytest.mark.slow
def test_every_pair_of_formats_keeps_many_real_masks(real_data: Path, tmp_path: Path) -> None:
    many = [("severstal", 2), ("neu", 60), ("tile", 60)]
    assert exact_pairs(many, real_data, tmp_path) == 3 * 81


# The verb and its page


def test_the_page_says_what_each_format_holds() -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    cells = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("| `")]
    rows = {row[0].split("`")[1]: [cell.strip() for cell in row] for row in cells}
    assert set(rows) == {each.name for each in FORMATS}
    for each in FORMATS:
        _, where, pictures, holes, overlaps, _ = rows[each.name]
        assert each.file in where
        assert pictures == (f"`{each.pictures}/`" if each.pictures else "the same folder")
        assert holes.startswith("yes") == each.holes
        assert overlaps.startswith("yes") == each.overlaps


@ALL
def test_the_page_says_which_formats_have_folders(each: Format, tmp_path: Path) -> None:
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
    assert "2 pictures; masks of class scratch: 1, Riß: 1" in printed
    assert "Lost: 4 pixels of 1 masks lie under the mask of a later class" in printed
    assert not (tmp_path / "out" / "JPEGImages").exists()


def test_the_help_names_every_format(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["steelscan", "convert", "--help"])
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit):
        cli.main()
    printed = capsys.readouterr().out
    assert all(each.name in printed for each in FORMATS)
