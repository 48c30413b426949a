"""Results are written whole or not at all."""

import ast
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import steelscan
from steelscan.strip.errors import OutputError
from steelscan.strip.files import (
    output_folder,
    replacing,
    temporary_folder,
    write_bytes,
    write_json,
    write_text,
)
from steelscan.strip.files.output import HOST


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


def test_a_file_given_as_the_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    for path in (file, file / "result"):
        with pytest.raises(OutputError, match=r"file is a file, not a folder\). Choose a folder"):
            output_folder(path)
    assert file.read_text() == "in the way"


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


def test_an_error_of_reading_in_the_block_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    missing = tmp_path / "picture.jpg"
    with pytest.raises(FileNotFoundError), replacing(path) as temporary:
        temporary.write_bytes(missing.read_bytes())
    for error in (OSError("image file is truncated"), OSError(errno.EIO, "Input/output error")):
        with pytest.raises(OSError, match=str(error.strerror or error)):
            write_half(path, error)
    with pytest.raises(FileNotFoundError), temporary_folder(path):
        missing.read_bytes()
    with pytest.raises(OutputError, match="cannot be written"), temporary_folder(path) as folder:
        (folder / "no" / "such").write_bytes(b"x")
    assert path.read_text() == "old"
    assert only(tmp_path) == ["a"]


def test_a_pipe_is_refused_and_a_link_to_a_file_stays_a_link(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "to pipe").symlink_to("pipe")
    for path in (pipe, tmp_path / "to pipe"):
        before = path.lstat().st_mode
        with pytest.raises(OutputError, match="not an ordinary file"):
            write_bytes(path, b"x")
        assert path.lstat().st_mode == before
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/a")
    write_bytes(tmp_path / "link", b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["a" * 255, "ä" * 127 + "x", "." + "b" * 254])
def test_a_name_as_long_as_the_disk_allows(tmp_path: Path, name: str) -> None:
    write_bytes(tmp_path / name, b"x")
    write_bytes(tmp_path / name, b"y")
    assert only(tmp_path) == [name]


def test_text_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"Blech_.udce4.*not UTF-8"):
        write_text(tmp_path / "a", "Blech_\udce4.jpg")
    assert only(tmp_path) == []


def test_leftovers_of_killed_processes_for_the_same_target_are_removed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as done:
        pass
    for name in ("target", "other"):
        (tmp_path / f".{name}.{HOST}-{done.pid}-1.part" / "masks").mkdir(parents=True)
    (tmp_path / f".target.{HOST}-{os.getppid()}-1.part").mkdir()
    (tmp_path / f".target.01234567-{done.pid}-1.part").mkdir()  # of another machine
    (tmp_path / ".target.notes.part").write_text("a user's own")
    with temporary_folder(tmp_path / "target") as folder:
        left = only(tmp_path)
        assert folder.name in left
        assert f".target.{HOST}-{done.pid}-1.part" not in left
        assert f".target.{HOST}-{os.getppid()}-1.part" in left  # it still runs
        assert f".target.01234567-{done.pid}-1.part" in left
        assert {".target.notes.part", f".other.{HOST}-{done.pid}-1.part"} < set(left)


def _without_encoding(call: ast.Call) -> bool | None:
    """Whether a call opens a text in the default encoding; None for other calls."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    keywords = {keyword.arg for keyword in call.keywords}
    mode = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
    reads = name == "read_text" and not call.args
    opens = name == "open" and (mode in {"r", "w", "a", "x"} or not call.args)
    if reads or opens or "text" in keywords:
        return "encoding" not in keywords
    return None


def test_every_text_is_read_and_written_as_utf_8() -> None:
    """On Windows, and in old locales, the default is another encoding."""
    calls = {}
    for path in Path(steelscan.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and (without := _without_encoding(node)) is not None:
                calls[f"{path.name}:{node.lineno}"] = without
    assert [place for place, without in calls.items() if without] == []
    assert len(calls) > 10


def test_threads_can_check_one_folder_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        checked = list(pool.map(lambda _: output_folder(tmp_path / "a"), range(400)))
    assert set(checked) == {tmp_path / "a"}
    assert list((tmp_path / "a").iterdir()) == []
