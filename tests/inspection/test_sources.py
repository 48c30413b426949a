"""What a scan can be of: folders, zips, patterns, lists and URLs give the same pictures."""

import pickle
from pathlib import Path

import pytest

from steelscan.inspection.scan import open_source
from steelscan.strip.errors import DatasetError, MissingPartError, PictureError

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def expected(spots: Path) -> dict[str, bytes]:
    return {path.relative_to(spots).as_posix(): path.read_bytes() for path in spots.rglob("*.png")}


@pytest.fixture
def in_memory(expected):
    """The pictures, a hidden file and a text in a file system of fsspec."""
    fs = fsspec.filesystem("memory")
    for name, content in expected.items():
        fs.pipe_file(f"/bucket/spots/{name}", content)
    fs.pipe_file("/bucket/spots/a/.hidden.png", b"x")
    fs.pipe_file("/bucket/spots/notes.md", b"x")
    fs.pipe_file("/bucket/list.txt", "\n".join(f"spots/{name}" for name in expected).encode())
    yield "memory://bucket"
    fs.rm("/bucket", recursive=True)


def contents(source: str) -> dict[str, bytes]:
    found = open_source(source)
    assert list(found.names) == sorted(set(found.names))
    read = pickle.loads(pickle.dumps(found.read))  # as for a worker on another machine
    return {name: read(name) for name in found.names}


def test_folders_patterns_and_urls_of_files(spots: Path, expected: dict[str, bytes]) -> None:
    assert contents(str(spots)) == expected
    assert contents(f"file://{spots}") == expected
    assert contents(f"file://{spots}/") == expected
    assert contents(f"{spots}/*/*.png") == expected
    assert contents(f"file://{spots}/*/*.png") == expected
    only = {name: content for name, content in expected.items() if name.startswith("b/")}
    assert contents(f"{spots}/b*/*") == contents(f"file://{spots}/b*/*") == only
    one = spots / "a" / "00.png"
    assert contents(str(one)) == contents(f"file://{one}") == {"00.png": one.read_bytes()}


def test_another_file_system(in_memory: str, expected: dict[str, bytes]) -> None:
    assert contents(f"{in_memory}/spots") == expected
    assert contents(f"{in_memory}/spots/*/*.png") == expected
    listed = contents(f"{in_memory}/list.txt")
    assert listed == {f"spots/{name}": content for name, content in expected.items()}


def test_a_list_has_paths_from_its_folder_absolute_ones_and_urls(
    spots: Path, expected: dict[str, bytes], tmp_path: Path, in_memory: str
) -> None:
    (tmp_path / "own.png").write_bytes(b"own")
    lines = ["own.png", str(spots / "a/00.png"), f"{in_memory}/spots/b/07.png"]
    (tmp_path / "list.txt").write_text("\ufeff" + "\r\n".join(lines) + "\r\n\r\n")
    values = [b"own", expected["a/00.png"], expected["b/07.png"]]
    assert contents(str(tmp_path / "list.txt")) == dict(zip(lines, values, strict=True))


def test_what_cannot_be_read_is_named(tmp_path: Path, in_memory: str) -> None:
    (tmp_path / "list.txt").write_text(f"gone.png\n{in_memory}/gone.png\n")
    source = open_source(str(tmp_path / "list.txt"))
    for name in source.names:
        with pytest.raises(PictureError, match=r"gone\.png.*cannot be read.*--retry-errors"):
            source.read(name)
    remote = open_source(f"{in_memory}/spots")
    fsspec.filesystem("memory").rm("/bucket/spots/a/00.png")
    with pytest.raises(PictureError, match="cannot be read"):
        remote.read("a/00.png")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "lists no pictures"),
        ("a.png\nb.png\na.png\n", r"lists a\.png twice"),
        (b"\xff", "list"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    file = tmp_path / "list.txt"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DatasetError, match=message):
        open_source(str(file))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("memory://nothing/here", "holds no pictures"),
        ("file:///nothing/here", "holds no pictures"),
        ("nothing://here", "is no URL of a file system"),
        ("nothing/here", "does not exist"),
    ],
)
def test_a_wrong_source_is_refused(source: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        open_source(source)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    with pytest.raises(MissingPartError, match=r"steelscan\[remote\]"):
        open_source("s3://bucket/strips")
