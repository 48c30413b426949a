"""Bundles that are broken, or made to harm, are refused before anything in them is used."""

import json
import zipfile
from pathlib import Path

import pytest

from steelscan.bundle import Package, read_package
from steelscan.bundle import package as package_file
from steelscan.bundle.package import MANIFEST, write_package
from steelscan.bundle.specs import Deployed, Graph, Manifest, Outline
from steelscan.postprocess import Threshold
from steelscan.prediction import Mean
from steelscan.strip import BundleError, Classes, OutputError


def manifest() -> Manifest:
    graph = Graph(file="networks/a.onnx", heads=("masks",))
    outline = Outline(name="segment", graphs=(graph,), views=("identity",), average=Mean())
    return Manifest(
        made_with="0",
        recipe="made",
        classes=Classes(names=("rust", "Kratzer ä")),
        layout="joined",
        frame=(64, 128),
        deployed=(Deployed(outline=outline, rules=(Threshold(),)),),
    )


CONTENTS = {"networks/a.onnx": b"graph" * 100, "card.md": "# Bänder\n".encode()}


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path = tmp_path / "märkte.steelscan"
    write_package(path, manifest(), CONTENTS)
    return path


def rewritten(path: Path, change: "object", out: Path) -> Path:
    """The same zip, with its files changed."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)  # type: ignore[operator]
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out


def test_what_is_written_is_read(whole: Path) -> None:
    found = read_package(whole)
    assert found.contents == CONTENTS
    assert found.manifest.but(files={}) == manifest()
    assert found.manifest.strip == (64, 128)
    assert found.json("nothing.json") is None


def test_the_same_contents_are_the_same_file(whole: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    written = write_package(other, manifest(), CONTENTS)
    assert other.read_bytes() == whole.read_bytes()
    assert written.sha256 == read_package(whole).sha256
    changed = write_package(other, manifest(), {**CONTENTS, "card.md": b"# other"})
    assert changed.sha256 != written.sha256


def test_any_byte_that_is_changed_is_noticed(whole: Path, tmp_path: Path) -> None:
    content = whole.read_bytes()
    broken = tmp_path / "broken"
    for at in range(0, len(content), 23):
        broken.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        try:
            found = read_package(broken)
        except BundleError:
            continue
        # of what the zip says besides: dates and permissions, which nothing is made of
        assert found == Package(read_package(whole).manifest, CONTENTS)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_what_is_cut_off_is_refused(whole: Path, tmp_path: Path, share: float) -> None:
    cut = tmp_path / "cut"
    content = whole.read_bytes()
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BundleError, match=r"no bundle|broken"):
        read_package(cut)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        read_package(tmp_path / "none")
    with pytest.raises(BundleError, match="cannot be read"):
        read_package(tmp_path)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(BundleError, match="holds no manifest"):
        read_package(tmp_path / "other.zip")


def add(name: str, content: bytes) -> "object":
    return lambda files: files.__setitem__(name, content)


def edit(**fields: object) -> "object":
    def change(files: dict[str, bytes]) -> None:
        files[MANIFEST] = json.dumps({**json.loads(files[MANIFEST]), **fields}).encode()

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (add("../../etc/cron.d/evil", b"x"), "other files than its manifest names"),
        (add("/tmp/evil", b"x"), "other files than its manifest names"),
        (add("networks/a.onnx", b"graph" * 99 + b"grapx"), "not what its manifest says"),
        (add("networks/a.onnx", b"graph" * 101), "larger than it may be"),
        (add("networks/a.onnx", b"short"), "not what its manifest says"),
        (lambda files: files.pop("card.md"), "other files than its manifest names"),
        (add(MANIFEST, b"{"), "is no manifest"),
        (add(MANIFEST, b"[]"), "is no manifest"),
        (add(MANIFEST, b"\xff\xfe"), "is no manifest"),
        (edit(format=2), "is of format 2"),
        (edit(format=None), "is of format None"),
        (edit(run="os.system('true')"), "is broken at run"),
        (edit(frame=[0, 5]), "is broken at frame"),
        (edit(deployed=[]), "is broken at deployed"),
    ],
)
def test_what_was_tampered_with_is_refused(
    whole: Path, tmp_path: Path, change: "object", message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        read_package(rewritten(whole, change, tmp_path / "changed"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["changed", whole.name]


def test_a_network_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "less"
    write_package(path, manifest(), {"card.md": b"#"})
    with pytest.raises(BundleError, match=r"lacks its network networks/a\.onnx"):
        read_package(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_stands_there_twice_is_refused(whole: Path) -> None:
    with zipfile.ZipFile(whole, "a") as archive:
        archive.writestr("card.md", b"# another")
    with pytest.raises(BundleError, match="a file twice"):
        read_package(whole)


def test_a_bomb_is_not_unpacked(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = tmp_path / "bomb"
    with zipfile.ZipFile(whole) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr("zeros", bytes(2**22))
    monkeypatch.setattr(package_file, "_LARGEST", 2**21)
    with pytest.raises(BundleError, match="would take over"):
        read_package(bomb)
    monkeypatch.undo()
    monkeypatch.setattr(package_file, "_LARGEST_MANIFEST", 100)
    with pytest.raises(BundleError, match="larger than it may be"):
        read_package(whole)


def test_a_folder_that_cannot_be_written_keeps_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(OutputError):
        write_package(tmp_path / "file" / "x", manifest(), CONTENTS)
    assert (tmp_path / "file").read_text() == "kept"


def test_a_compression_that_is_unknown_or_breaks_off_is_one_error(tmp_path):
    path, text = tmp_path / "bad", manifest().model_dump_json().encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", text)
    content = bytearray(path.read_bytes())
    start = 30 + len("manifest.json")  # where what is compressed begins
    torn = content.copy()
    torn[start : start + 8] = b"\xff" * 8
    unknown = content.copy()
    directory = unknown.rindex(b"PK\x01\x02")
    unknown[8:10] = unknown[directory + 10 : directory + 12] = b"\x63\x00"
    for bad in (torn, unknown):
        path.write_bytes(bad)
        with pytest.raises(BundleError, match="is no bundle, or a broken one"):
            read_package(path)
