"""Hashes of files: every change is noticed, and unchanged files are read once."""

import os
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from steelscan.data import open_dataset
from steelscan.data.content import content_hashes
from steelscan.data.files import open_files
from steelscan.strip.files import cache_folder

OLD = 1_600_000_000_000_000_000
"""A time long ago, in nanoseconds."""

_TICK = 0.03
"""Seconds after which a file system gives another time."""

BuildSet = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of one test; all files count as settled."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("steelscan.data.content._TIME_STEP", -1e9)
    return tmp_path / "cache" / "steelscan" / "contents"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files of equal size."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_text(f"content of {name}")
        os.utime(folder / name, ns=(OLD, OLD))
    return folder


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose content was read."""
    from steelscan.data import content

    names: list[str] = []
    original = content._hash

    def hash_(files: object, name: str) -> str:
        names.append(name)
        return original(files, name)

    monkeypatch.setattr(content, "_hash", hash_)
    return names


def hashes(path: Path) -> dict[str, str]:
    return content_hashes(open_files(path), "abc")


def test_a_cached_file_is_not_read_again(folder: Path, reads: list[str]) -> None:
    first = hashes(folder)
    assert reads == ["a", "b", "c"]
    assert len(set(first.values())) == 3
    assert hashes(folder) == first
    assert len(reads) == 3


def test_a_change_is_noticed_if_size_and_time_are_equal(folder: Path, reads: list[str]) -> None:
    first = hashes(folder)
    time.sleep(_TICK)
    (folder / "b").write_text("content of B")  # the same inode
    os.utime(folder / "b", ns=(OLD, OLD))
    (folder / "new").write_text("content of C")
    os.utime(folder / "new", ns=(OLD, OLD))
    (folder / "new").replace(folder / "c")  # another inode
    second = hashes(folder)
    assert first["a"] == second["a"]
    assert first["b"] != second["b"]
    assert first["c"] != second["c"]
    assert reads == ["a", "b", "c", "b", "c"]


def test_a_file_that_changed_just_now_is_not_cached(
    folder: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steelscan.data.content._TIME_STEP", 1e6)
    assert hashes(folder) == hashes(folder)
    assert reads == ["a", "b", "c"] * 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"\xff\x00" * 9),
        lambda file: file.write_bytes(file.read_bytes()[:-9]),
        lambda file: file.write_bytes(file.read_bytes().replace(b'"b"', b'"c"')),
        lambda file: file.write_bytes(b"0" * 32 + b"\n" + file.read_bytes().partition(b"\n")[2]),
        lambda file: (file.unlink(), file.mkdir()),
        lambda file: (shutil.rmtree(file.parent), file.parent.write_text("in the way")),
    ],
)
def test_a_damaged_or_blocked_cache_is_ignored(
    folder: Path, cache: Path, reads: list[str], damage: Callable[[Path], object]
) -> None:
    first = hashes(folder)
    (file,) = cache.iterdir()
    damage(file)
    assert hashes(folder) == first
    assert len(reads) == 6


def test_a_zip_is_read_once_and_a_change_is_noticed(tmp_path: Path, reads: list[str]) -> None:
    packed = tmp_path / "packed.zip"

    def pack(text: str) -> None:
        with zipfile.ZipFile(packed, "w") as file:
            for name in "abc":
                file.writestr(name, text + name)
        os.utime(packed, ns=(OLD, OLD))

    pack("one ")
    first = hashes(packed)
    assert hashes(packed) == first
    assert len(reads) == 3
    time.sleep(_TICK)
    pack("two ")
    assert not set(first.values()) & set(hashes(packed).values())


def test_a_file_that_cannot_be_read_has_no_hash(folder: Path) -> None:
    (folder / "b").unlink()
    later = hashes(folder)
    assert [name for name, digest in later.items() if not digest] == ["b"]


def test_the_cache_is_in_the_folder_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_folder() == tmp_path / "cache" / "steelscan"
    for useless in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", useless)
        assert cache_folder() == Path("~/.cache/steelscan")


def test_other_pictures_of_the_same_names_and_sizes_are_other_data(
    competition: BuildSet,
) -> None:
    root = competition()
    before = open_dataset(root)
    for folder, own in (("test_images", "test_fingerprint"), ("train_images", "fingerprint")):
        pictures = sorted((root / folder).iterdir())
        for picture in pictures:  # one byte after the end of the picture: the size stays
            size = max(each.stat().st_size for each in pictures) + 1
            picture.write_bytes(picture.read_bytes().ljust(size, b"\0"))
        padded = open_dataset(root)
        assert getattr(padded, own) != getattr(before, own)
        first = pictures[0]
        first.write_bytes(first.read_bytes()[:-1] + b"\1")
        changed = open_dataset(root)
        assert getattr(changed, own) != getattr(padded, own)
        if own == "test_fingerprint":
            assert changed.fingerprint == before.fingerprint
