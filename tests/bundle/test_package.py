"""Broken and harmful bundles are refused before anything in them is used."""

import json
import os
import zipfile
from pathlib import Path

import pytest

from steelscan.bundle import (
    Graph,
    Manifest,
    certified,
    read_package,
    write_package,
)
from steelscan.bundle import package as package_file
from steelscan.bundle.package import CERTIFICATE, MANIFEST
from steelscan.bundle.proof import signature_notes
from steelscan.decision import Decision, SegmentStep, Stage
from steelscan.postprocess import Threshold
from steelscan.strip import Classes
from steelscan.strip.errors import BundleError, OutputError


def manifest() -> Manifest:
    graph = Graph(file="networks/a.onnx", heads=("masks",))
    stage = Stage(segmenter=SegmentStep(name="segment"), rules=(Threshold(),))
    return Manifest(
        made_with="0",
        recipe="made",
        classes=Classes(names=("rust", "Kratzer ä")),
        layout="joined",
        frame=(64, 128),
        decision=Decision(stages=(stage,)),
        networks={"segment": (graph,)},
    )


CONTENTS = {"networks/a.onnx": b"graph" * 100, "card.md": "# Bänder\n".encode()}


@pytest.fixture
def whole(tmp_path: Path, write_bundle: "object") -> Path:
    path = tmp_path / "märkte.steelscan"
    write_bundle(path, manifest(), CONTENTS)  # type: ignore[operator]
    return path


def without_certificate(contents: "object") -> dict[str, bytes]:
    return {name: each for name, each in contents.items() if name != CERTIFICATE}  # type: ignore[attr-defined]


def rewritten(path: Path, change: "object", out: Path) -> Path:
    """The same zip, with its files changed."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)  # type: ignore[operator]
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out


def test_a_written_bundle_is_read_back(whole: Path) -> None:
    found = read_package(whole)
    assert without_certificate(found.contents) == CONTENTS
    assert found.manifest.but(files={}) == manifest()
    assert found.manifest.strip == (64, 128)
    assert found.certificate.manifest == found.sha256
    assert not found.signed


def test_equal_contents_give_equal_files(
    whole: Path, tmp_path: Path, write_bundle: "object"
) -> None:
    other = tmp_path / "other"
    written = write_bundle(other, manifest(), CONTENTS)  # type: ignore[operator]
    assert other.read_bytes() == whole.read_bytes()
    assert written.sha256 == read_package(whole).sha256
    changed = write_package(other, manifest(), {**CONTENTS, "card.md": b"# other"})
    assert changed.sha256 != written.sha256


def test_any_changed_byte_is_noticed(whole: Path, tmp_path: Path) -> None:
    content, own = whole.read_bytes(), read_package(whole)
    broken = tmp_path / "broken"
    for at in range(0, len(content), 23):
        broken.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        try:
            found = read_package(broken)
        except BundleError:
            continue
        # dates and permissions in the zip, which are not used
        assert found == own


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_bundle_is_refused(whole: Path, tmp_path: Path, share: float) -> None:
    cut = tmp_path / "cut"
    content = whole.read_bytes()
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BundleError, match=r"no bundle|broken"):
        read_package(cut)


def test_missing_files_folders_and_other_zips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        read_package(tmp_path / "none")
    with pytest.raises(BundleError, match="cannot be read"):
        read_package(tmp_path)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(BundleError, match="has no manifest"):
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
        (add("../../etc/cron.d/evil", b"x"), "other files than its manifest lists"),
        (add("/tmp/evil", b"x"), "other files than its manifest lists"),
        (add("networks/a.onnx", b"graph" * 99 + b"grapx"), "does not match its hash"),
        (add("networks/a.onnx", b"graph" * 101), "larger than allowed"),
        (add("networks/a.onnx", b"short"), "does not match its hash"),
        (lambda files: files.pop("card.md"), "other files than its manifest lists"),
        (add(MANIFEST, b"{"), "is no manifest"),
        (add(MANIFEST, b"[]"), "is no manifest"),
        (add(MANIFEST, b"\xff\xfe"), "is no manifest"),
        (add(MANIFEST, b"[" * 100_000), "is no manifest"),
        (add(MANIFEST, b'{"format": ' + b"9" * 5_000 + b"}"), "is no manifest|has format"),
        (edit(format=1), "has format 1"),
        (edit(format=None), "has format None"),
        (edit(run="os.system('true')"), "is broken at run"),
        (edit(frame=[0, 5]), "is broken at frame"),
        (edit(decision={}), "is broken at decision"),
    ],
)
def test_a_changed_bundle_is_refused(
    whole: Path, tmp_path: Path, change: "object", message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        read_package(rewritten(whole, change, tmp_path / "changed"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["changed", whole.name]


def test_a_missing_network_is_named(tmp_path: Path, write_bundle: "object") -> None:
    path = tmp_path / "less"
    write_bundle(path, manifest(), {"card.md": b"#"})  # type: ignore[operator]
    with pytest.raises(BundleError, match=r"lacks its network networks/a\.onnx"):
        read_package(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_duplicate_file_is_refused(whole: Path) -> None:
    with zipfile.ZipFile(whole, "a") as archive:
        archive.writestr("card.md", b"# another")
    with pytest.raises(BundleError, match="a file twice"):
        read_package(whole)


def test_a_bomb_is_not_unpacked(whole: Path, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    with zipfile.ZipFile(whole) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(bomb, "w", method) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
            archive.writestr("zeros", bytes(2**22))
        with pytest.raises(BundleError, match="bundles are neither compressed"):
            read_package(bomb)


def test_overlapping_files_are_refused(tmp_path: Path) -> None:
    """A thousand names for the same bytes, which need no compression to fill the memory."""
    bomb = tmp_path / "bomb"
    with zipfile.ZipFile(bomb, "w") as archive:
        archive.writestr("zeros", bytes(2**16))
        (member,) = archive.infolist()
        for number in range(1_000):
            other = zipfile.ZipInfo(f"zeros-{number}")
            other.file_size = other.compress_size = member.file_size
            other.CRC, other.header_offset = member.CRC, member.header_offset
            archive.filelist.append(other)
            archive.NameToInfo[other.filename] = other
        archive._didModify = True  # type: ignore[attr-defined]
    assert bomb.stat().st_size < 2**18
    with pytest.raises(BundleError, match="more bytes than it has"):
        read_package(bomb)


def test_sizes_have_limits(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_file, "_LARGEST", 2**9)
    with pytest.raises(BundleError, match="would need over"):
        read_package(whole)
    monkeypatch.undo()
    monkeypatch.setattr(package_file, "_LARGEST_TEXT", 100)
    with pytest.raises(BundleError, match="larger than allowed"):
        read_package(whole)


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BundleError, match="no regular file"):
        read_package(tmp_path / "pipe")


def test_a_manifest_that_was_not_certified_is_refused(whole: Path, tmp_path: Path) -> None:
    """All hashes of files match, but the thresholds or the list of files were changed."""
    package = read_package(whole)
    decision = package.manifest.decision.with_rules((Threshold(label=0.9),))
    other = package.manifest.but(decision=decision)
    write_package(tmp_path / "bad", other, package.contents)
    with pytest.raises(BundleError, match="not the one that was certified"):
        read_package(tmp_path / "bad")
    write_package(tmp_path / "bad", package.manifest, package.contents | {"card.md": b"other"})
    with pytest.raises(BundleError, match="not the one that was certified"):
        read_package(tmp_path / "bad")


def test_a_class_that_no_network_predicts_is_named(whole: Path, tmp_path: Path) -> None:
    """The 10th place does not predict class 2; users of its bundle get a message."""
    package = read_package(whole)
    manifest = package.manifest
    assert manifest.notes == ()
    graphs = tuple(graph.but(classes=(1,)) for graph in manifest.networks["segment"])
    manifest = manifest.but(
        networks={"segment": graphs}, never_predicted=tuple(manifest.classes.ids)[1:]
    )
    written = write_package(
        tmp_path / "some",
        manifest,
        certified(manifest, package.contents, package.certificate),
    )
    assert read_package(tmp_path / "some").manifest == written.manifest
    messages = " ".join(signature_notes(tmp_path / "some", None))
    assert f"predicts class {manifest.classes.names[1]}" in messages
    assert manifest.classes.names[0] not in messages.split("class ")[1]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b"7",
        b"[" * 100_000,
        b"\xff",
        b"{}",
        b'{"limits": {"flipped": NaN}}',
        b'{"manifest": {"a": [[[]]]}}',
    ],
)
def test_a_malformed_certificate_is_refused(whole: Path, tmp_path: Path, text: bytes) -> None:
    package = read_package(whole)
    write_package(tmp_path / "bad", package.manifest, {**package.contents, CERTIFICATE: text})
    with pytest.raises(BundleError, match=r"certificate\.json: is broken"):
        read_package(tmp_path / "bad")


def test_numbers_that_are_not_finite_are_refused(whole: Path, tmp_path: Path) -> None:
    package = read_package(whole)
    text = package.contents[CERTIFICATE].decode()
    for number in ("NaN", "Infinity", "-Infinity", "1e999"):
        changed = text.replace('"iou": 1.0', f'"iou": {number}', 1).encode()
        assert changed != text.encode()
        files = {**package.contents, CERTIFICATE: changed}
        write_package(tmp_path / "bad", package.manifest, files)
        with pytest.raises(BundleError, match=r"certificate\.json: is broken"):
            read_package(tmp_path / "bad")


def segmenter(**fields: object) -> "object":
    """Change the one step of a manifest."""

    def change(files: dict[str, bytes]) -> None:
        found = json.loads(files[MANIFEST])
        found["decision"]["stages"][0]["segmenter"].update(fields)
        files[MANIFEST] = json.dumps(found).encode()

    return change


def graphs(*every: object) -> "object":
    """Change the networks of the one step of a manifest."""
    return edit(networks={"segment": every})


def stages(*every: object) -> "object":
    """Change the stages of a manifest."""
    return edit(decision={"stages": every})


GRAPH = {"file": "networks/a.onnx", "heads": ["masks"]}
STAGE = {"segmenter": {"name": "segment"}, "rules": [{"kind": "threshold"}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edit(classes={"names": [str(number) for number in range(300)]}), "more than 255"),
        (edit(classes={"names": ["a", "\x1b[2J"]}), "cannot be printed"),
        (edit(frame=[10**9, 10**9]), "is broken at frame"),
        (edit(frame=[2**20, 2**20]), "pixels"),
        (edit(mm_per_pixel=float("nan")), "is broken at mm_per_pixel"),
        (edit(mm_per_pixel=float("inf")), "is broken at mm_per_pixel"),
        (stages(*[STAGE] * 1_000), "at most 16"),
        (stages(*[STAGE] * 2), "is listed twice"),
        (stages({**STAGE, "rules": []}), "at least 1"),
        (stages({**STAGE, "rules": [{"kind": "threshold"}] * 2}), "hold no other"),
        (stages({**STAGE, "rules": [{"kind": "threshold"}] * 99}), "at most 32"),
        (stages({**STAGE, "rules": [{"kind": "fill_holes"}]}), "begin with"),
        (edit(networks={}), "networks are of the steps"),
        (edit(networks={"segment": [GRAPH], "other": [GRAPH]}), "networks are of the steps"),
        (graphs(), "at least 1"),
        (graphs(GRAPH, GRAPH), "is listed twice"),
        (graphs(*[GRAPH] * 1_000), "at most 256"),
        (graphs({**GRAPH, "classes": [1]}), r"never_predicted is \(\), not \(2,\)"),
        (graphs({**GRAPH, "classes": [1, 2, 3]}), "predicts classes"),
        (edit(never_predicted=[1, 2]), "never_predicted is"),
        (edit(never_predicted=[3]), "never_predicted is"),
        (graphs({**GRAPH, "classes": [1, 1]}), "predicts classes"),
        (graphs({**GRAPH, "heads": ["classes"]}), "has the heads"),
        (graphs({**GRAPH, "file": "../../a"}), "is broken at"),
        (segmenter(gate={"kind": "hard", "threshold": 0.5}), "has the heads"),
        (segmenter(views=["identity"] * 1_000), "at most 16"),
        (graphs({**GRAPH, "resize": {"pixels": 10**400}}), "is broken|is no manifest"),
        (graphs({**GRAPH, "resize": {"kind": "shrink", "pixels": 2**40}}), "more than"),
    ],
)
def test_a_manifest_out_of_bounds_is_refused(
    whole: Path, tmp_path: Path, change: "object", message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        read_package(rewritten(whole, change, tmp_path / "changed"))


def test_thresholds_out_of_range_or_of_other_classes_are_refused(
    whole: Path, tmp_path: Path
) -> None:
    for label in ([0.5], [0.5] * 3, float("nan"), 1.5, -1):
        rules = [{"kind": "threshold", "label": label}]
        change = stages({**STAGE, "rules": rules})
        with pytest.raises(BundleError, match="is broken"):
            read_package(rewritten(whole, change, tmp_path / "changed"))


def test_huge_areas_are_refused(whole: Path, tmp_path: Path) -> None:
    for pixels in (2**40, [1, 2**40], 10**400):
        rules = [{"kind": "threshold"}, {"kind": "min_area", "pixels": pixels}]
        change = stages({**STAGE, "rules": rules})
        with pytest.raises(BundleError, match=r"is broken|is no manifest"):
            read_package(rewritten(whole, change, tmp_path / "changed"))


def test_an_early_exit_that_was_not_measured_is_refused(
    tmp_path: Path, write_bundle: "object"
) -> None:
    early = manifest().decision.with_early_exit(255)
    write_bundle(tmp_path / "bad", manifest().but(decision=early), CONTENTS)  # type: ignore[operator]
    with pytest.raises(BundleError, match="has an early exit at 255, but None was measured"):
        read_package(tmp_path / "bad")
    write_bundle(  # type: ignore[operator]
        tmp_path / "bad", manifest().but(precision="int8"), CONTENTS, precision="fp32"
    )
    with pytest.raises(BundleError, match="is in int8, but was proven in fp32"):
        read_package(tmp_path / "bad")


def test_an_output_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(OutputError):
        write_package(tmp_path / "file" / "x", manifest(), CONTENTS)
    assert (tmp_path / "file").read_text() == "kept"


def test_an_unknown_or_truncated_compression_is_one_error(tmp_path):
    path, text = tmp_path / "bad", manifest().model_dump_json().encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", text)
    content = bytearray(path.read_bytes())
    start = 30 + len("manifest.json")  # start of the compressed data
    torn = content.copy()
    torn[start : start + 8] = b"\xff" * 8
    unknown = content.copy()
    directory = unknown.rindex(b"PK\x01\x02")
    unknown[8:10] = unknown[directory + 10 : directory + 12] = b"\x63\x00"
    for bad in (torn, unknown):
        path.write_bytes(bad)
        with pytest.raises(BundleError, match="is no bundle, or a broken one"):
            read_package(path)
