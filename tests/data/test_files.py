"""A folder and its zip behave alike; the pictures of a path are found."""

import gc
import io
import lzma
import os
import pickle
import socket
import stat
import subprocess
import sys
import time
import warnings
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from steelscan.data import find_pictures, open_dataset
from steelscan.data.files import open_files
from steelscan.data.files import zip_files as zip_module
from steelscan.formats import check, convert, locate
from steelscan.formats.picture_folder import picture_names
from steelscan.strip.errors import DatasetError, PictureError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "strips"
    for name in ("a.jpg", "deep/b.PNG", "deep/er/c.tiff", "钢带/d.jpeg", "notes.txt", "z.webp"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    for name in (".hidden.jpg", ".hidden/e.jpg", "__MACOSX/f.jpg", "deep/._b.PNG"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"hidden")
    return root


PICTURES = ["a.jpg", "deep/b.PNG", "deep/er/c.tiff", "z.webp", "钢带/d.jpeg"]


@pytest.mark.parametrize("prefix", ["", "top"])
def test_folder_and_zip_behave_alike(
    folder: Path, zipped: Callable[..., Path], prefix: str
) -> None:
    there = open_files(folder)
    packed = open_files(zipped(folder, prefix))
    packed = packed.under(prefix) if prefix else packed
    for files in (there, packed):
        assert files.names() == ("a.jpg", "notes.txt", "z.webp")
        assert files.names("deep") == ("b.PNG",)
        assert files.names("not there") == ()
        assert files.folders() == ("deep", "钢带")
        assert sorted(files.walk()) == sorted([*PICTURES, "notes.txt"])
        assert files.read("deep/b.PNG") == b"deep/b.PNG"
        assert files.size("deep/b.PNG") == 10
        assert files.under("deep").read("er/c.tiff") == b"deep/er/c.tiff"
        assert files.exists("a.jpg")
        assert not files.exists("b.jpg")
        assert not files.exists("deep")
        for method in (files.read, files.size):
            with pytest.raises(DatasetError, match=r"b\.jpg"):
                method("b.jpg")


def test_neither_folder_nor_zip(folder: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        open_files(folder / "nothing")
    with pytest.raises(DatasetError, match="neither a folder nor a zip"):
        open_files(folder / "a.jpg")


def _read(files: object) -> bytes:
    return files.read("deep/b.PNG")  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_zip_in_other_processes(folder: Path, zipped: Callable[..., Path], start: str) -> None:
    files = open_files(zipped(folder))
    assert _read(files) == b"deep/b.PNG"
    if start == "fork":
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, _read(files))
            os._exit(0)
        assert os.read(reader, 100) == b"deep/b.PNG"
        assert os.waitpid(child, 0)[1] == 0
        os.close(reader)
        os.close(writer)
    else:  # as a spawned worker gets it
        assert _read(pickle.loads(pickle.dumps(files))) == b"deep/b.PNG"


def test_zip_in_many_threads(folder: Path, zipped: Callable[..., Path]) -> None:
    files = open_files(zipped(folder))
    names = sorted(files.walk()) * 50
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(files.read, names)) == [name.encode() for name in names]


def test_a_zip_is_closed_even_if_the_collector_finds_its_file_first(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("a.jpg", b"x")

    def leave_in_a_cycle() -> None:
        files = open_files(path)
        files.names()
        (file,) = (
            thing
            for thing in gc.get_objects()
            if type(thing) is io.BufferedReader and thing.name == str(path)
        )
        cycle: list[object] = [file, files]
        cycle.append(cycle)
        del file, files
        gc.collect()  # puts the file before the zip in the collector's order

    leave_in_a_cycle()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
    assert not caught


def test_damaged_zip_entry_is_named(tmp_path: Path) -> None:
    path = tmp_path / "damaged.zip"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("a.jpg", b"x" * 100)
    path.write_bytes(path.read_bytes().replace(b"xxxx", b"xxxy", 1))
    with pytest.raises(DatasetError, match=r"damaged\.zip/a\.jpg: cannot be read"):
        open_files(path).read("a.jpg")
    (pictures,) = find_pictures(path)
    with pytest.raises(PictureError, match=r"a\.jpg"):
        pictures.read()


def test_a_locale_that_is_not_utf_8_is_reported_instead_of_names(folder: Path) -> None:
    (folder / "Blech_ä.jpg").write_bytes(b"x")
    code = """
import sys
from pathlib import Path
from steelscan.data import find_pictures
from steelscan.strip.errors import DatasetError
if sys.getfilesystemencoding() == "utf-8":
    sys.exit("skip")
try:
    find_pictures(Path(sys.argv[1]))
except DatasetError as error:
    sys.exit(str(error))
"""
    legacy = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(
        command, env={**os.environ, **legacy}, capture_output=True, text=True, check=False
    )
    if done.stderr.strip() == "skip":
        pytest.skip("names are UTF-8 here in any locale")
    assert "PYTHONUTF8=1" in done.stderr
    assert "convmv" not in done.stderr


# What is refused before anything is unpacked


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    "name",
    ["../a.jpg", "a/../../b.jpg", "/etc/a.jpg", "C:/a.jpg", "..\\a.jpg", "a//b.jpg", "./a.jpg"],
)
def test_zips_with_names_that_lead_out(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("images/good.jpg", b"x")
        entry = zipfile.ZipInfo("x")
        entry.filename = name
        out.writestr(entry, b"x")
    assert_refused(path, "may lead out")


def assert_refused(path: Path, message: str) -> None:
    before = set(path.parent.rglob("*"))
    for use in (lambda: open_files(path).names(), lambda: find_pictures(path)):
        with pytest.raises(DatasetError, match=message):
            use()
    with pytest.raises(DatasetError, match=message):
        convert(path, path.parent / "out", "coco", from_="coco")
    with pytest.raises(DatasetError, match=message):
        check(path)
    assert set(path.parent.rglob("*")) == before


def test_zips_with_links_and_with_a_name_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr(link("images/a.jpg"), "/etc/passwd")
    assert_refused(path, "holds a link")
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("a.jpg", b"x")
        with pytest.warns(UserWarning, match="Duplicate"):
            out.writestr("a.jpg", b"y")
    assert_refused(path, "twice")


@pytest.mark.parametrize("names", [("train_images", "train_images/a.png"), ("a/b/c/d.png", "a/b")])
def test_zips_with_a_file_and_a_folder_of_one_name(names: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    for order in (names, names[::-1]):
        with zipfile.ZipFile(path, "w") as out:
            for name in order:
                out.writestr(name, b"x")
        assert_refused(path, r"a\.zip: holds \S+ as a file and as a folder")


def test_zips_that_grow_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("a.jpg", bytes(3_000_000))
    assert open_files(path).names() == ("a.jpg",)
    monkeypatch.setattr(zip_module, "_SMALL", 1_000_000)
    assert_refused(path, "would grow")


def test_a_zip_with_wrong_sizes_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("a.jpg", bytes(3_000_000))
    size = (3_000_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (1000).to_bytes(4, "little")))
    with pytest.raises(DatasetError, match="cannot be read"):
        open_files(path).read("a.jpg")


# Many files


def listed(folder: Path, count: int) -> float:
    """Return the CPU seconds to list, find and match a number of files."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for at in range(count):
        (folder / "images" / f"s{at}.png").write_bytes(b"")
    start = time.process_time()
    assert len(open_files(folder).names("images")) == count
    assert len(find_pictures(folder)) == count
    place = locate(folder, None, folder)
    assert place.format.name == "yolo"
    assert len(place.picture_index().own) == count
    assert len(picture_names(open_files(folder).under("images"))) == count
    return time.process_time() - start


def test_one_of_many_files_costs_about_as_much_as_one_of_few(tmp_path: Path) -> None:
    """If each were compared with each, 16 times as many would take 256 times as long."""
    listed(tmp_path / "first", 10)  # what is loaded then is not measured
    few, many = listed(tmp_path / "few", 400), listed(tmp_path / "many", 6_400)
    assert many < 4 * 16 * few


# Pictures that a user names


def names(where: Path | str) -> list[str]:
    pictures = find_pictures(where)
    for picture in pictures:
        assert picture.read().decode().endswith(picture.name)
    return [picture.name for picture in pictures]


def test_find_in_folder_and_zip(folder: Path, zipped: Callable[..., Path]) -> None:
    assert names(folder) == PICTURES
    assert names(str(folder)) == PICTURES
    assert names(zipped(folder)) == PICTURES


def test_find_one_file_and_patterns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(folder / "deep" / "b.PNG") == ["b.PNG"]
    assert names(f"{folder}/*.*") == ["a.jpg", "z.webp"]
    assert names(f"{folder}/**/*.???") == ["a.jpg", "deep/b.PNG"]
    assert names(f"{folder}/d[e]ep/*") == ["deep/b.PNG"]
    monkeypatch.chdir(folder)
    assert names("*.jpg") == ["a.jpg"]
    assert names("deep/*") == ["b.PNG"]


def test_a_folder_named_like_a_pattern(folder: Path) -> None:
    (folder / "deep").rename(folder / "run[1]")
    assert [picture.name for picture in find_pictures(folder / "run[1]")] == ["b.PNG", "er/c.tiff"]


def test_nothing_found(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for where in (tmp_path / "empty", folder / "notes.txt", f"{folder}/*.bmp"):
        with pytest.raises(DatasetError, match="holds no pictures"):
            find_pictures(where)
    with pytest.raises(DatasetError, match="does not exist"):
        find_pictures(folder / "nothing.jpg")


# What is never a strip, and what cannot be read

JUNK = (
    "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg",
    "__MACOSX/._a.jpg",
    ".AppleDouble/a.jpg",
    "deep/$RECYCLE.BIN/a.jpg",
    "System Volume Information/a.jpg",
    "lost+found/a.jpg",
    "#recycle/a.jpg",
    "@Recycle/a.jpg",
    ".snapshot/daily/a.jpg",
    "#snapshot/a.jpg",
    "Thumbs.db",
    "deep/THUMBS.DB",
    "desktop.ini",
    "deep/._a.jpg",
)


def test_files_of_operating_systems_are_no_strips(
    tmp_path: Path, zipped: Callable[..., Path]
) -> None:
    root = tmp_path / "set"
    for name in ("a.jpg", "deep/b.jpg", *JUNK):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    for where in (root, zipped(root), f"{root}/**/*.*"):
        assert names(where) == ["a.jpg", "deep/b.jpg"]
    for files in (open_files(root), open_files(zipped(root))):
        assert sorted(files.walk()) == ["a.jpg", "deep/b.jpg"]
        assert files.names() == ("a.jpg",)
        assert files.names("deep") == ("b.jpg",)
        assert files.folders() == ("deep",)


@pytest.fixture
def latin(folder: Path) -> Path:
    try:
        os.close(os.open(os.fsencode(folder / "deep") + b"/Blech_\xe4.jpg", os.O_CREAT))
    except OSError:
        pytest.skip("this disk keeps names in Unicode alone")
    return folder


def test_names_that_are_no_unicode_are_refused_before_any_work(latin: Path) -> None:
    for use in (
        lambda: find_pictures(latin),
        lambda: find_pictures(f"{latin}/**/*.jpg"),
        lambda: find_pictures(latin / os.fsdecode(b"deep/Blech_\xe4.jpg")),
        lambda: list(open_files(latin).walk()),
        lambda: open_files(latin).names("deep"),
    ):
        with pytest.raises(DatasetError, match=r"not UTF-8, as '(deep/)?Blech_.xe4\.jpg'"):
            use()
    (latin / "deep").rename(latin / os.fsdecode(b"\xe4"))
    for use in (lambda: find_pictures(latin), lambda: open_files(latin).folders()):
        with pytest.raises(DatasetError, match="not UTF-8"):
            use()


def test_pipes_sockets_and_circular_links_are_refused_without_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    (tmp_path / "a.jpg").write_bytes(b"a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "all").symlink_to(".", target_is_directory=True)
    (tmp_path / "again").symlink_to(".", target_is_directory=True)
    (tmp_path / "real.jpg").symlink_to("a.jpg")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("socket.jpg")
    expected = ["a.jpg", "loop.jpg", "pipe.jpg", "real.jpg", "socket.jpg"]
    for where in (tmp_path, f"{tmp_path}/**/*", f"{tmp_path}/**", f"{tmp_path}/*.j*g"):
        pictures = find_pictures(where)
        assert [picture.name for picture in pictures] == expected
        for picture in pictures:
            if picture.name in ("a.jpg", "real.jpg"):
                assert picture.read() == b"a.jpg"
            else:
                with pytest.raises(PictureError, match="cannot be read"):
                    picture.read()
    assert open_files(tmp_path).names() == tuple(expected)
    for use in (find_pictures, open_files):
        with pytest.raises(DatasetError, match="no ordinary file"):
            use(tmp_path / "pipe.jpg")


def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def refusing(path: Any = ".") -> Any:
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DatasetError, match=r"deep: cannot be listed \(Permission denied"):
        find_pictures(folder)


def entry(name: str) -> zipfile.ZipInfo:
    """Return an entry whose name is stored unchanged."""
    made = zipfile.ZipInfo("x")
    made.filename = name
    return made


def test_zips_of_old_windows_and_mac_programs(tmp_path: Path) -> None:
    """Backslashes, UTF-8 without its mark, and code page 437."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as out:
        for name in ("images\\a.jpg", "images\\deep\\b.jpg", "images/xx.jpg", "images/y.jpg"):
            out.writestr(entry(name), name.encode())
    content = path.read_bytes().replace(b"s/xx.jpg", "s/ä.jpg".encode())
    path.write_bytes(content.replace(b"images/y.jpg", b"images/\x94.jpg"))
    files = open_files(path)
    assert files.folders() == ("images",)
    assert files.under("images").names() == ("a.jpg", "ä.jpg", "ö.jpg")
    assert files.under("images").read("deep/b.jpg") == b"images\\deep\\b.jpg"
    assert files.size("images/ö.jpg") == len("images/y.jpg")
    assert [picture.name for picture in find_pictures(path)] == [
        "images/a.jpg",
        "images/deep/b.jpg",
        "images/ä.jpg",
        "images/ö.jpg",
    ]


def test_a_zip_with_a_name_with_slashes_and_with_backslashes(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as out:
        for name in ("images/a.jpg", "images\\a.jpg"):
            out.writestr(entry(name), b"x")
    assert_refused(path, "twice")


def test_a_zip_with_a_false_utf_8_flag(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("images/ä.jpg", b"x")
    path.write_bytes(path.read_bytes().replace("ä".encode(), b"\xe4x"))
    assert_refused(path, "marked as UTF-8 that is not UTF-8")


def test_a_zip_whose_lzma_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as out:
        out.writestr("a.jpg", bytes(range(256)) * 40)
    content = bytearray(path.read_bytes())
    content[45:60] = b"\xff" * 15
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.zip/a\.jpg: cannot be read"):
        open_files(path).read("a.jpg")
    with pytest.raises(lzma.LZMAError), zipfile.ZipFile(path) as packed:  # what it is made of
        packed.read("a.jpg")


def test_the_size_of_a_table_in_a_zip_is_limited_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("train_images/a.jpg", b"x")
        out.writestr("train.csv", "ImageId,ClassId,EncodedPixels\n" + "a.jpg,1,1 1\n" * 2_000_000)
    for use in (open_dataset, check, find_pictures):
        with pytest.raises(DatasetError, match=r"train\.csv: would grow from .* at most 16777216"):
            use(path)
