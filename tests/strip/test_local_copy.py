"""Local copies of folders at URLs: in the memory of this process, on a disk and on an S3 server."""

import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelscan.strip.errors import InputError, MissingPartError, RunError
from steelscan.strip.files import cache_folder
from steelscan.strip.remote import (
    LocalCopy,
    fetched,
    held_copy,
    local_copy,
    sending,
    sent_meanwhile,
)


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of an S3 server of this machine."""
    moto = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["memory", "file", "s3"])
def url(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The URL of a folder that does not exist yet."""
    if request.param == "file":
        yield f"file://{tmp_path}/shared/run"
    elif request.param == "memory":
        yield "memory://shared/run"
        fsspec.filesystem("memory").rm("/shared", recursive=True)
    else:
        for name, value in {
            "AWS_ENDPOINT_URL": request.getfixturevalue("s3"),
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }.items():
            monkeypatch.setenv(name, value)
        fs = fsspec.filesystem("s3")
        bucket = f"strips{time.time_ns()}"
        fs.mkdir(bucket)
        yield f"s3://{bucket}/run"
        fsspec.filesystem("s3").clear_instance_cache()


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the content of all visible files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def files_at(url: str) -> dict[str, bytes]:
    """Return the content of all files at a URL, read by fsspec alone."""
    fs, base = fsspec.core.url_to_fs(url)
    fs.invalidate_cache()
    found = fs.find(base)
    return {each.removeprefix(base).lstrip("/"): fs.cat_file(each) for each in found}


def write(folder: Path, name: str, content: bytes) -> None:
    """Write a file as the program does: it replaces the old one."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(content)
    temporary.replace(path)


def copies(url: str, tmp_path: Path) -> tuple[LocalCopy, LocalCopy]:
    """Return copies of one URL as on two machines."""
    return LocalCopy(url, tmp_path / "a"), LocalCopy(url, tmp_path / "b")


NAMES = ("run.json", "networks/1/metrics.csv", "networks/1/checkpoint", "rounds/one é.csv")
Change = st.tuples(
    st.sampled_from((0, 1)), st.sampled_from(NAMES), st.binary(max_size=9) | st.none()
)


@given(changes=st.lists(Change, max_size=12))
@settings(max_examples=25, deadline=None)
def test_what_one_machine_sends_another_one_fetches(changes, tmp_path_factory) -> None:
    """Machines take turns; the model is a dictionary of names and contents."""
    tmp_path = tmp_path_factory.mktemp("machines")
    url, model = f"file://{tmp_path}/shared", dict[str, bytes]()
    both = copies(url, tmp_path)
    for machine, name, content in changes:
        copy = both[machine]
        copy.fetch()
        assert files_of(copy.path) == model
        if content is None:
            (copy.path / name).unlink(missing_ok=True)
            model.pop(name, None)
        else:
            write(copy.path, name, content)
            model[name] = content
        copy.send()
        assert files_at(url) == model if model else not files_at(url)


def test_files_arrive_on_every_file_system(url: str, tmp_path: Path) -> None:
    one, other = copies(url, tmp_path)
    written = {name: os.urandom(100) for name in NAMES}
    for name, content in written.items():
        write(one.path, name, content)
    one.send()
    assert files_at(url) == written
    other.fetch()
    assert files_of(other.path) == written
    write(other.path, NAMES[0], b"changed")
    (other.path / NAMES[1]).unlink()
    other.send()
    one.fetch()
    left = {**written, NAMES[0]: b"changed"}
    del left[NAMES[1]]
    assert files_of(one.path) == files_at(url) == left


def test_nothing_is_moved_twice(url: str, tmp_path: Path, monkeypatch) -> None:
    one, other = copies(url, tmp_path)
    for name in NAMES:
        write(one.path, name, b"content")
    one.send()
    other.fetch()
    fs, _ = fsspec.core.url_to_fs(url)
    moved: list[str] = []
    for method in ("get_file", "open"):
        before = getattr(type(fs), method)

        def spy(self: Any, path: str, *rest: Any, before=before, **named: Any) -> Any:
            moved.append(path)
            return before(self, path, *rest, **named)

        monkeypatch.setattr(type(fs), method, spy)
    for copy in (one, other, *(LocalCopy(url, each.path) for each in (one, other))):
        copy.fetch()
        copy.send()
    assert moved == []


def test_unfinished_and_hidden_files_stay(url: str, tmp_path: Path) -> None:
    one, _ = copies(url, tmp_path)
    for name in ("a/.lease-1", ".b.part", ".hidden/c", "d"):
        write(one.path, name, b"")
    one.send()
    assert set(files_at(url)) == {"d"}


def test_only_the_given_folders_are_sent_and_fetched(url: str, tmp_path: Path) -> None:
    one, other = copies(url, tmp_path)
    for name in NAMES:
        write(one.path, name, b"content")
    one.send("networks/1", "networks/2")
    assert set(files_at(url)) == set(NAMES[1:3])
    one.send()
    other.fetch("rounds")
    assert set(files_of(other.path)) == {NAMES[3]}


def test_a_file_that_was_changed_here_is_not_replaced(url: str, tmp_path: Path) -> None:
    """Though the other machine's clock is ahead."""
    one, other = copies(url, tmp_path)
    write(one.path, "metrics.csv", b"1")
    one.send()
    other.fetch()
    write(one.path, "metrics.csv", b"12")
    os.utime(one.path / "metrics.csv", (1e9, 1e9))
    one.fetch()
    assert files_of(one.path) == {"metrics.csv": b"12"}
    one.send()
    other.fetch()
    assert files_of(other.path) == {"metrics.csv": b"12"}


def test_a_lost_cache_removes_nothing(url: str, tmp_path: Path) -> None:
    one, _ = copies(url, tmp_path)
    write(one.path, "checkpoint", b"fitted")
    one.send()
    shutil.rmtree(one.path)
    one.send()
    assert files_at(url) == {"checkpoint": b"fitted"}
    one.fetch()
    assert files_of(one.path) == {"checkpoint": b"fitted"}


def test_a_process_that_begins_anew_keeps_newer_files(url: str, tmp_path: Path) -> None:
    """The last process was killed before it had sent them."""
    one, _ = copies(url, tmp_path)
    write(one.path, "checkpoint", b"old")
    one.send()
    write(one.path, "checkpoint", b"new")
    os.utime(one.path / "checkpoint", (time.time() + 60, time.time() + 60))
    again = LocalCopy(url, one.path)
    again.fetch()
    assert files_of(again.path) == {"checkpoint": b"new"}
    again.send()
    assert files_at(url) == {"checkpoint": b"new"}


def test_a_copy_keeps_its_path_in_another_process(tmp_path: Path) -> None:
    copy = LocalCopy.of("s3://bucket/run/", tmp_path / "copy")
    again = pickle.loads(pickle.dumps(copy))
    assert again is LocalCopy.at(tmp_path / "copy") is copy
    script = "import pickle, sys; print(pickle.loads(bytes.fromhex(sys.argv[1])).path)"
    command = [sys.executable, "-c", script, pickle.dumps(copy).hex()]
    assert subprocess.run(
        command, capture_output=True, check=True, text=True
    ).stdout.strip() == str(copy.path)
    assert LocalCopy("s3://bucket/run").path.parent == cache_folder().expanduser() / "copies"
    assert LocalCopy("s3://bucket/run").path != LocalCopy("s3://other/run").path


def test_files_are_sent_while_they_are_written(url: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sending, "_SECONDS", 0.05)
    one, _ = copies(url, tmp_path)

    def two_epochs() -> None:
        write(one.path, "metrics.csv", b"first epoch")
        found, end = dict[str, bytes](), time.monotonic() + 20
        while time.monotonic() < end:
            with suppress(FileNotFoundError):  # it is listed before it can be read
                if "metrics.csv" in (found := files_at(url)):
                    break
            time.sleep(0.05)
        assert found["metrics.csv"] == b"first epoch"
        write(one.path, "metrics.csv", b"second epoch")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), sent_meanwhile(one):
        two_epochs()
    assert files_at(url) == {"metrics.csv": b"second epoch"}


def test_a_file_that_is_replaced_while_it_is_sent_is_sent_again(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = copies(url, tmp_path)
    write(one.path, "metrics.csv", b"first epoch")
    time_of = local_copy.time_of

    def replaced(info: dict[str, Any]) -> int:
        monkeypatch.setattr(local_copy, "time_of", time_of)
        write(one.path, "metrics.csv", b"other epoch")
        return time_of(info)

    monkeypatch.setattr(local_copy, "time_of", replaced)
    one.send()
    assert files_at(url) == {"metrics.csv": b"first epoch"}
    assert files_of(one.path) == {"metrics.csv": b"other epoch"}
    one.send()
    other.fetch()
    assert files_of(other.path) == files_at(url) == {"metrics.csv": b"other epoch"}


def test_one_process_at_a_time_holds_a_run(url: str, tmp_path: Path, monkeypatch) -> None:
    one, other = LocalCopy.of(url, tmp_path / "a"), LocalCopy.of(url, tmp_path / "b")
    with held_copy(one.path):
        write(one.path, "run.json", b"{}")
        with (
            pytest.raises(RunError, match=f"is in use by process {os.getpid()} on"),
            held_copy(other.path),
        ):
            pass
    with held_copy(other.path):
        assert files_of(other.path) == {"run.json": b"{}"}
    assert set(files_at(url)) == {"run.json"}
    fs, base = fsspec.core.url_to_fs(url)
    fs.pipe_file(f"{base}/.steelscan-in-use", b'{"holder": "process 1 on a machine that is lost"}')
    monkeypatch.setattr(sending, "_STALE", -1e9)
    with held_copy(other.path):
        pass


def test_a_path_that_is_no_copy_is_left_alone(tmp_path: Path) -> None:
    with held_copy(tmp_path / "run"), sent_meanwhile(None):
        assert not (tmp_path / "run").exists()


def test_a_single_file_is_fetched_alone(url: str, tmp_path: Path) -> None:
    one, _ = copies(url, tmp_path)
    write(one.path, "strips.zip", b"zip")
    write(one.path, "other.zip", b"zip")
    one.send()
    path = fetched(f"{url}/strips.zip")
    assert (path.name, path.read_bytes()) == ("strips.zip", b"zip")
    assert not (path.parent / "other.zip").exists()
    shutil.rmtree(path.parent)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ("file:///nowhere/at/all", InputError, "does not exist"),
        ("nosuch://bucket/run", Exception, "no URL of a file system"),
        ("gs://bucket/run", MissingPartError, "needs a package"),
    ],
)
def test_errors_name_the_url(wrong: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fetched(wrong)


def test_a_store_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    copy = LocalCopy(f"file://{tmp_path}/file/run", tmp_path / "copy")
    write(copy.path, "run.json", b"")
    with pytest.raises(InputError, match="cannot be reached"):
        copy.send()
    assert files_of(copy.path) == {"run.json": b""}
