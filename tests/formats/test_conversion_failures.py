"""What a conversion refuses, and what it leaves behind when it fails."""

import io
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
from layouts import coco, content, draw, lay
from PIL import Image

from steelscan.data import open_dataset
from steelscan.formats import FORMATS, check, convert
from steelscan.strip.errors import (
    DatasetError,
    Fault,
    InputError,
    OutputError,
    PictureError,
    SteelscanError,
)
from steelscan.strip.files import temporary_folder
from steelscan.strip.files.output import HOST

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
    assert all(each.name in str(error) for each in FORMATS.values())


def test_ambiguous_formats_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "set"
    masks = np.ones((2, 5, 6), np.bool_)
    lay(root, "coco", [("a.png", masks)])
    lay(root, "yolo", [("a.png", masks[::-1])])
    error = refused(root, tmp_path / "out", "voc")
    assert "may be coco or yolo" in str(error)
    assert "--from" in error.remedy
    for name in ("coco", "yolo"):
        assert convert(root, tmp_path / name, "voc", from_=name).pictures == 1


def test_index_pictures_together_with_run_lengths(tmp_path: Path) -> None:
    masks = np.ones((2, 5, 6), np.bool_)
    lay(tmp_path / "set", "run_lengths", [("a.png", masks)])
    lay(tmp_path / "set", "index_pngs", [("b.png", masks)])
    assert "run lengths too" in str(
        refused(tmp_path / "set", tmp_path / "out", "voc", "index_pngs")
    )
    assert convert(tmp_path / "set", tmp_path / "out", "voc", "run_lengths").pictures == 1


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": []}', "<note/>", "<a", "\0"])
def test_files_of_no_format_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "notes.json").write_text(text)
    for source in (tmp_path / "set", tmp_path / "set" / "notes.json"):
        error = refused(source, tmp_path / "out", "voc")
        assert isinstance(error, DatasetError)
        assert all(each.name in error.remedy for each in FORMATS.values())


@pytest.mark.parametrize("source", ["nothing", "text.txt"])
def test_sources_that_do_not_exist_or_are_no_data_set(source: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("coco")
    assert isinstance(refused(tmp_path / source, tmp_path / "out", "voc"), DatasetError)


def test_a_folder_format_is_no_single_file(converted: dict[str, Path], tmp_path: Path) -> None:
    one = min(converted["labelme"].glob("*.json"))
    assert "Choose the folder" in str(refused(one, tmp_path / "out", "voc"))


def test_a_target_that_is_not_empty_is_refused(mill: Path, tmp_path: Path) -> None:
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
    ("bad", "message"),
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
    each: str, bad: bytes | None, message: str, knotty: Path, tmp_path: Path
) -> None:
    root = tmp_path / "set"
    convert(knotty, root, each)
    (place,) = root.rglob("z.png")
    place.unlink()
    if bad is not None:
        place.write_bytes(bad)
    error = refused(root, tmp_path / "out", "class_pngs")
    assert isinstance(error, PictureError)
    assert message in str(error)
    assert str(place) in str(error)
    assert not (tmp_path / "out").exists()
    done = convert(root, tmp_path / "out", "class_pngs", on_error="skip")
    assert done.pictures == 1
    assert any(note.startswith("left out: ") and message in note for note in done.notes)
    assert [one.image for one in FORMATS["class_pngs"].read(tmp_path / "out")] == ["Blech ä 1.png"]


def test_all_missing_pictures_are_listed(knotty: Path, tmp_path: Path) -> None:
    for picture in (knotty / "images").iterdir():
        picture.unlink()
    for on_error in ("stop", "skip"):
        error = str(refused(knotty, tmp_path / "out", "voc", on_error=on_error))
        assert "2 of 2 pictures" in error
        assert "Blech ä 1.png" in error
        assert "z.png" in error


def test_without_pictures_none_is_needed_or_written(knotty: Path, tmp_path: Path) -> None:
    (knotty / "images" / "z.png").unlink()
    assert convert(knotty, tmp_path / "out", "labelme", copy_pictures=False).pictures == 2
    names = {"Blech ä 1.json", "z.json", "labels.txt"}
    assert content(tmp_path / "out").keys() == names
    (knotty / "images" / "Blech ä 1.png").write_bytes(smaller())
    assert isinstance(refused(knotty, tmp_path / "o", "voc", copy_pictures=False), PictureError)


def test_forgotten_pictures_are_noted(knotty: Path, tmp_path: Path) -> None:
    (knotty / "images" / "new.png").write_bytes(smaller())
    done = convert(knotty, tmp_path / "out", "voc")
    assert done.notes == ("left out: 1 picture that no annotation names",)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is empty"),
        ("a\\nz.png", "has a control character"),
        ("\\u001b[2Jz.png", "has a control character"),
        ("z\\u202e.png", "has a character that cannot be displayed"),
        ("images/", "is the name of a folder"),
        ("z" * 5000, "is longer than 4096 letters"),
    ],
)
def test_texts_that_are_no_names_are_refused(
    name: str, message: str, knotty: Path, tmp_path: Path
) -> None:
    text = (knotty / "annotations.json").read_text()
    (knotty / "annotations.json").write_text(text.replace("z.png", name))
    error = refused(knotty, tmp_path / "out", "voc")
    assert message in error.problem
    assert error.remedy == "Correct the name"


def test_names_that_lead_out_of_the_folder_are_refused(knotty: Path, tmp_path: Path) -> None:
    """They are looked up here by their last part, and never followed."""
    text = (knotty / "annotations.json").read_text()
    (knotty / "annotations.json").write_text(text.replace("z.png", "../../z.png"))
    assert convert(knotty, tmp_path / "here", "voc").pictures == 2
    (knotty / "images" / "z.png").rename(tmp_path / "z.png")
    error = refused(knotty, tmp_path / "out", "voc")
    assert "may be outside" in str(error)
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
                assert check(root).errors == 0
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


# Faults of reading and of writing; what a kill leaves


def test_read_errors_are_not_reported_as_write_errors(
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


def test_a_full_disk_while_unpacking_is_not_an_error_of_the_zip(
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
        (tmp_path / f".out.{HOST}-{ended.pid}-1.{ending}/images").mkdir(parents=True)
    alive = tmp_path / f".out.{HOST}-{os.getppid()}-1.part"
    alive.mkdir()
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as packed:
        for path in (tmp_path / "set").rglob("*.*"):
            packed.write(path, path.relative_to(tmp_path / "set"))
    convert(tmp_path / "set.zip", tmp_path / "out", "voc")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"set", "set.zip", "out", alive.name}


def test_temporary_folders_of_one_process_are_kept(tmp_path: Path) -> None:
    with temporary_folder(tmp_path / "out") as part:
        (part / "a").touch()
        with temporary_folder(tmp_path / "out", "unpacked"), temporary_folder(tmp_path / "o"):
            assert (part / "a").is_file()
    assert not list(tmp_path.iterdir())
