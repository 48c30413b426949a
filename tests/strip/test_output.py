"""Results are written whole or not at all."""

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from steelscan.strip import (
    OutputError,
    output_folder,
    replacing,
    write_bytes,
    write_json,
    write_text,
)


def only(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_half(path: Path, error: BaseException) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise error


def test_writes_into_new_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "result.txt"
    write_text(path, "old")
    write_text(path, "прокат")
    assert path.read_text(encoding="utf-8") == "прокат"
    assert only(path.parent) == ["result.txt"]


def test_json_is_readable(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"ключ": [1, 2]})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"ключ": [1, 2]}
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"ключ": object()})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"ключ": [1, 2]}


def test_readers_see_the_old_file_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_an_error_in_the_block_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(type(error)):
        write_half(path, error)
    assert path.read_text() == "old"
    assert only(tmp_path) == ["a"]


def test_a_full_disk_on_writing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(OutputError, match="No space left") as caught:
        write_half(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert caught.value.where == str(path)
    assert path.read_text() == "old"
    assert only(tmp_path) == ["a"]


def test_a_full_disk_on_flushing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_bytes(tmp_path / "a", b"new")
    assert only(tmp_path) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root may mount a tiny disk")
    command = [mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_really_full_disk(tiny_disk: Path) -> None:
    write_bytes(tiny_disk / "a", b"old")
    with pytest.raises(OutputError, match="No space left"):
        write_bytes(tiny_disk / "a", bytes(1 << 20))
    assert (tiny_disk / "a").read_bytes() == b"old"
    assert only(tiny_disk) == ["a"]


@pytest.mark.parametrize("write", [lambda path: write_bytes(path, b"x"), output_folder])
def test_a_file_where_a_folder_should_be(write: object, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path / "file" / "result")  # type: ignore[operator]


def test_a_folder_where_the_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        write_bytes(tmp_path / "a", b"x")
    assert only(tmp_path) == ["a"]


def test_a_name_too_long(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_bytes(tmp_path / ("a" * 300), b"x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        write_bytes(tmp_path / "a", b"x")
    with pytest.raises(OutputError, match="Permission denied"):
        output_folder(tmp_path)


def test_output_folder_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = output_folder(tmp_path / "a" / "b")
    assert only(folder) == []
    assert output_folder(folder) == folder


def test_what_is_no_ordinary_file_is_not_replaced(tmp_path: Path) -> None:
    """A pipe here; so it is with /dev/null, which a rename would take from the whole machine."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OutputError, match="it is no ordinary file"):
        write_text(pipe, "text")
    assert pipe.is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
