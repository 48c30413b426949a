"""`steelscan check`: every kind of fault, in every format, in one listing."""

import csv
import io
import json
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from steelscan import cli
from steelscan.formats import FORMATS, AnnotatedPicture, CheckReport, Format, check, convert
from steelscan.strip import Classes, Frame
from steelscan.strip.errors import DatasetError, Fault, SteelscanError
from steelscan.strip.errors import tree as errors

ALL = pytest.mark.parametrize("each", FORMATS.values(), ids=lambda each: each.name)
NAMES = ("scratch", "hole")


def picture(seed: int, size: tuple[int, int] = (24, 40), form: str = "PNG", **how: object) -> bytes:
    values = np.random.default_rng(seed).integers(0, 255, size).astype(np.uint8)
    return packed(Image.fromarray(values), form, **how)


def packed(image: Image.Image, form: str = "PNG", **how: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **how)
    return file.getvalue()


def lay(root: Path, each: Format, strips: int = 4) -> None:
    """A data set without fault."""
    labelled = []
    for at in range(strips):
        masks = np.zeros((2, 24, 40), np.bool_)
        masks[0, 2:9, 2 : 9 + at], masks[1, 12:20, 5:30] = at > 0, at > 1
        name = f"s{at}.png"
        place = root / each.pictures / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(picture(at))
        labelled.append(AnnotatedPicture(name, Frame(24, 40), masks, Classes(names=NAMES)))
    FORMATS[each.name].write(root / each.file, labelled)


def named(name: str) -> Format:
    return FORMATS[name]


def counted(report: CheckReport) -> dict[Fault, int]:
    return report.counts


@ALL
def test_nothing_is_wrong(each: Format, tmp_path: Path, zipped: Callable[..., Path]) -> None:
    root = tmp_path / "set"
    lay(root, each)
    for source in (root, zipped(root)):
        report = check(source)
        assert (report.format, report.pictures, counted(report)) == (each.name, 4, {})
        assert "nothing wrong" in report.text()


PICTURES: dict[str, tuple[bytes, Fault]] = {
    "empty": (b"", Fault.UNREADABLE),
    "text": (b"no picture", Fault.UNREADABLE),
    "cut off": (picture(9)[:-200], Fault.UNREADABLE),
    "deep": (
        packed(Image.fromarray(np.arange(960).reshape(24, 40).astype(np.uint16))),
        Fault.DEEP,
    ),
    "cmyk": (packed(Image.new("CMYK", (40, 24), (9, 8, 7, 6)), "JPEG"), Fault.MODE),
    "turned": (
        packed(
            Image.new("L", (40, 24)),
            "JPEG",
            exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
        ),
        Fault.TURNED,
    ),
    "transparent": (packed(Image.new("RGBA", (40, 24), (9, 9, 9, 30))), Fault.TRANSPARENT),
    "coloured": (packed(Image.new("RGB", (40, 24), (200, 10, 10))), Fault.COLOURED),
    "twin": (picture(0), Fault.IDENTICAL),
    "same pixels": (picture(0, compress_level=1), Fault.IDENTICAL),
}


@ALL
@pytest.mark.parametrize("damage", PICTURES)
def test_pictures(each: Format, damage: str, tmp_path: Path) -> None:
    lay(tmp_path, each)
    content, fault = PICTURES[damage]
    (tmp_path / each.pictures / "s2.png").write_bytes(content)
    report = check(tmp_path, each.name)
    assert counted(report) == {fault: 1}
    ((finding,),) = (each.examples for each in report.faults)
    assert finding.where.endswith("s2.png")
    assert report.errors == (fault.severity == "error")


def test_grey_pictures_stored_in_colour_are_grey(tmp_path: Path) -> None:
    lay(tmp_path, named("coco"))
    with Image.open(tmp_path / "images/s1.png") as image:
        grey = packed(image.convert("RGB"), "JPEG", quality=60)
    (tmp_path / "images/s1.png").write_bytes(grey)
    assert not check(tmp_path).faults


@ALL
def test_a_picture_of_another_size(each: Format, tmp_path: Path) -> None:
    lay(tmp_path, each)
    (tmp_path / each.pictures / "s0.png").write_bytes(picture(8, (20, 30)))
    counts = counted(check(tmp_path))
    assert counts.pop(Fault.ODD_SIZE) == 1
    # A clean strip has run lengths of any size, and shares of a picture have no size.
    assert counts == ({} if each.name in ("run_lengths", "yolo") else counts)
    assert set(counts) <= {Fault.SIZE}
    assert bool(counts) == (each.name not in ("run_lengths", "yolo"))


@ALL
def test_pictures_and_annotations_that_miss_each_other(each: Format, tmp_path: Path) -> None:
    lay(tmp_path, each)
    (tmp_path / each.pictures / "s3.png").rename(tmp_path / each.pictures / "new.png")
    counts = counted(check(tmp_path))
    assert counts.pop(Fault.NO_PICTURE) >= 1
    needs = {"class_pngs": {Fault.NO_MASK}, "voc": {Fault.NO_MASK}}
    needs["index_pngs"] = needs["voc"]
    assert set(counts) == needs.get(each.name, {Fault.NO_ANNOTATION})


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def png(values: np.ndarray) -> bytes:
    return packed(Image.fromarray(values.astype(np.uint8)))


def coloured(values: np.ndarray, *colours: str) -> bytes:
    """A palette picture."""
    image = Image.fromarray(values.astype(np.uint8))
    image.putpalette([part for colour in colours for part in ImageColor.getrgb(colour)])
    return packed(image)


def shapes(*segmentations: object) -> Callable[[Path], None]:
    """COCO annotations of the last picture, whose other ones go."""

    def harm(root: Path) -> None:
        path = root / "annotations.json"
        content = json.loads(path.read_text())
        content["annotations"] = [
            {"id": at, "image_id": 4, "category_id": 1, "segmentation": shape}
            for at, shape in enumerate(segmentations)
        ]
        path.write_text(json.dumps(content))

    return harm


def coco(**changes: object) -> Callable[[Path], None]:
    def harm(root: Path) -> None:
        path = root / "annotations.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return harm


def write(place: str, content: bytes | str) -> Callable[[Path], None]:
    raw = content if isinstance(content, bytes) else content.encode()
    return lambda root: (root / place).write_bytes(raw) and None


def both(root: Path) -> None:
    """One run length outside, one broken, one of no class, one empty: none hides another."""
    rows = ["ImageId,ClassId,EncodedPixels", "s1.png,1,950 90", "s1.png,2,1 2", "s2.png,1,1 2 2 5"]
    rows += ["s2.png,2,5", "s3.png,1,", "s3.png,3,1 1", "gone.png,1,1 1"]
    (root / "train.csv").write_text("\n".join(rows))
    (root / "classes.csv").write_text("value,name\n1,scratch\n2,hole\n")


OVERLAP = np.zeros((24, 40), np.uint8)
OVERLAP[3:5, 3:5] = 255
FAULTS: dict[str, tuple[str, Callable[[Path], object], dict[Fault, int]]] = {
    "run lengths": (
        "run_lengths",
        both,
        {
            Fault.OUTSIDE: 1,
            Fault.RUNS: 2,
            Fault.EMPTY: 1,
            Fault.UNKNOWN_CLASS: 1,
            Fault.NO_PICTURE: 1,
        },
    ),
    "a table of other columns": (
        "run_lengths",
        write("train.csv", "a,b\n1,2\n"),
        {Fault.UNREADABLE_FILE: 1},
    ),
    "mask values": (
        "index_pngs",
        write("masks/s1.png", png(np.full((24, 40), 9))),
        {Fault.UNKNOWN_CLASS: 1},
    ),
    "ignored": (
        "index_pngs",
        lambda root: (
            write("masks/s1.png", png(np.full((24, 40), 255)))(root),
            write("classes.csv", "value,name\n1,scratch\n2,hole\n255,ignore\n")(root),
        ),
        {Fault.IGNORED: 1},
    ),
    "palettes that contradict each other": (
        "index_pngs",
        lambda root: (
            write("masks/s1.png", coloured(OVERLAP // 255, "black", "red", "lime"))(root),
            write("masks/s2.png", coloured(OVERLAP // 255, "black", "lime", "red"))(root),
        ),
        {Fault.PALETTE: 2},
    ),
    "defect-free steel that is not black": (
        "index_pngs",
        write("masks/s1.png", coloured(OVERLAP // 255, "white", "red")),
        {Fault.BY_COLOUR: 1},
    ),
    "names of classes": (
        "index_pngs",
        write("classes.csv", "value,name\n1,Hole\n2,hole\n"),
        {Fault.CLASS_NAME: 1},
    ),
    "mask size": ("voc", write("SegmentationClass/s1.png", png(np.zeros((9, 9)))), {Fault.SIZE: 1}),
    "mask cut off": (
        "voc",
        write("SegmentationClass/s1.png", picture(3)[:-90]),
        {Fault.UNREADABLE: 1},
    ),
    "mask missing": (
        "class_pngs",
        lambda root: (root / "masks/hole/s1.png").unlink(),
        {Fault.NO_MASK: 1},
    ),
    "overlap": ("class_pngs", write("masks/hole/s1.png", png(OVERLAP)), {Fault.OVERLAP: 1}),
    "several values": (
        "class_pngs",
        write("masks/hole/s1.png", png(np.arange(960).reshape(24, 40) % 256)),
        {Fault.UNKNOWN_CLASS: 1},
    ),
    "yolo lines": (
        "yolo",
        write(
            "labels/s2.txt",
            "7 0 0 1 0 1 1\n0 .5 .5 .2 .2\n0 0 0 1\n0 .1 .1 1.5 .1 .1 .5\n0 0 0 1 1 1 0 0 1\n"
            "1 .001 .001 .002 .001 .002 .002\n",
        ),
        {
            Fault.UNKNOWN_CLASS: 1,
            Fault.BOX: 1,
            Fault.POLYGON: 1,
            Fault.POLYGON_OUTSIDE: 1,
            Fault.POLYGON_CROSSED: 1,
            Fault.EMPTY: 1,
        },
    ),
    "yolo without text": (
        "yolo",
        lambda root: (root / "labels/s0.txt").unlink(),
        {Fault.NO_ANNOTATION: 1},
    ),
    "coco shapes": (
        "coco",
        shapes(
            [],
            [[0, 0, 1, 1]],
            [[0, 0, 5, 0, 5, "a"]],
            [[-9, 0, 5, 0, 5, 5]],
            [[0, 0, 9, 9, 9, 0, 0, 9]],
            {"size": [9, 9], "counts": [81]},
            {"size": [24, 40], "counts": [5, 6]},
            {"size": [24, 40], "counts": "~"},
            {"size": [24, 40], "counts": [960]},
        ),
        {
            Fault.NO_OUTLINE: 1,
            Fault.POLYGON: 1,
            Fault.UNREADABLE_FILE: 1,
            Fault.POLYGON_OUTSIDE: 1,
            Fault.POLYGON_CROSSED: 1,
            Fault.SIZE: 1,
            Fault.RUNS: 2,
            Fault.EMPTY: 1,
        },
    ),
    "coco category": (
        "coco",
        coco(categories=[{"id": 1, "name": "scratch"}]),
        {Fault.UNKNOWN_CLASS: 2},
    ),
    "coco name": (
        "coco",
        lambda root: edit(root / "annotations.json", "s3.png", "../s9.png"),
        {Fault.UNSAFE_NAME: 1, Fault.NO_ANNOTATION: 1},
    ),
    "coco twice": (
        "coco",
        lambda root: edit(root / "annotations.json", "s3.png", "s2.png"),
        {Fault.SAME_NAME: 1, Fault.NO_ANNOTATION: 1},
    ),
    "coco cut off": (
        "coco",
        lambda root: (root / "annotations.json").write_bytes(
            (root / "annotations.json").read_bytes()[:-90]
        ),
        {Fault.UNREADABLE_FILE: 1, Fault.NO_ANNOTATION: 4},
    ),
    "cvat mask": (
        "cvat",
        lambda root: (
            edit(root / "annotations.xml", 'left="2"', 'left="39"'),
            edit(root / "annotations.xml", 'rle="', 'rle="7, '),
            edit(root / "annotations.xml", 'label="hole"', 'label="dent"'),
        ),
        {Fault.RUNS: 1, Fault.UNKNOWN_CLASS: 1},
    ),
    "cvat tag with shapes": (
        "cvat",
        lambda root: edit(root / "annotations.xml", "</image>", '<tag label="hole"/></image>'),
        {Fault.PASSED_OVER: 1},
    ),
    "label studio": (
        "label_studio",
        lambda root: (
            edit(root / "annotations.json", '"was_cancelled": false', '"was_cancelled": true'),
            edit(root / "annotations.json", '"image_rotation": 0', '"image_rotation": 90'),
            edit(root / "annotations.json", '"brushlabels": ["hole"]', '"brushlabels": []'),
        ),
        {Fault.NO_ANNOTATION: 2, Fault.UNCLEAR: 1, Fault.UNKNOWN_CLASS: 1},
    ),
    "labelme": (
        "labelme",
        lambda root: (
            write("s0.json", "{")(root),
            edit(root / "s1.json", '"mask",', '"line",'),
            edit(root / "s2.json", '"label": "hole"', '"label": "dent"'),
            edit(root / "s2.json", '"label": "scratch"', '"label": "scratch "'),
            write("config.json", '{"flags": {}}')(root),
        ),
        {
            Fault.CLASS_NAME: 1,
            Fault.FOREIGN: 1,
            Fault.UNREADABLE_FILE: 1,
            Fault.NO_ANNOTATION: 1,
            Fault.NO_OUTLINE: 1,
            Fault.UNKNOWN_CLASS: 1,
        },
    ),
    "stems": ("voc", write("JPEGImages/s1.jpg", picture(7, form="JPEG")), {Fault.SAME_NAME: 1}),
}


@pytest.mark.parametrize("damage", FAULTS)
def test_faults(damage: str, tmp_path: Path) -> None:
    name, harm, expected = FAULTS[damage]
    lay(tmp_path, named(name))
    harm(tmp_path)
    report = check(tmp_path, name)
    counts = counted(report)
    if damage == "stems":
        counts.pop(Fault.NO_ANNOTATION, None)
    assert counts == expected


def test_every_fault_is_tried() -> None:
    tried = {fault for _, _, faults in FAULTS.values() for fault in faults}
    tried |= {fault for _, fault in PICTURES.values()}
    tried |= {Fault.ODD_SIZE, Fault.SAME_BUT_CASE, Fault.PAGES}
    assert tried == set(Fault)


def test_a_file_of_several_pictures(tmp_path: Path) -> None:
    lay(tmp_path, named("coco"))
    frames = [Image.new("L", (40, 24), at) for at in (1, 2)]
    content = packed(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    (tmp_path / "images/s1.png").write_bytes(content)
    assert counted(check(tmp_path)) == {Fault.PAGES: 1}


def test_names_that_differ_in_case_or_unicode_form(tmp_path: Path) -> None:
    each = named("coco")
    lay(tmp_path, each, strips=2)
    (tmp_path / "images/S1.PNG").write_bytes(picture(71))
    assert counted(check(tmp_path)) == {Fault.SAME_BUT_CASE: 1, Fault.NO_ANNOTATION: 1}
    (tmp_path / "images/S1.PNG").unlink()
    (tmp_path / "images/s1.png").rename(tmp_path / "images/S1.png")
    report = check(tmp_path)
    assert counted(report) == {Fault.SAME_BUT_CASE: 1}
    (fault,) = (each for each in report.faults if each.fault is Fault.SAME_BUT_CASE)
    assert "name it s1.png" in fault.examples[0].message
    nfd = unicodedata.normalize("NFD", "Blech ä.png")
    (tmp_path / "images/S1.png").rename(tmp_path / "images" / nfd)
    edit(tmp_path / "annotations.json", "s1.png", unicodedata.normalize("NFC", nfd))
    assert not check(tmp_path).faults
    convert(tmp_path, tmp_path / "out", "voc")
    (tmp_path / "images" / unicodedata.normalize("NFC", nfd)).write_bytes(picture(5))
    assert counted(check(tmp_path)) == {Fault.NO_ANNOTATION: 1}  # one is meant exactly
    edit(tmp_path / "annotations.json", unicodedata.normalize("NFC", nfd), "Blech \u0061\u0308.png")
    lay_third(tmp_path)
    assert counted(check(tmp_path))[Fault.SAME_NAME] == 1
    with pytest.raises(DatasetError, match="Unicode form"):
        convert(tmp_path, tmp_path / "out2", "voc")


def lay_third(root: Path) -> None:
    """Two files that a third spelling, in neither form, means alike."""
    for name in ("q\u0323\u0307.png", "q\u0307\u0323.png"):
        (root / "images" / name).write_bytes(picture(len(name) + ord(name[1]) % 7))
    (root / "images/q\u0323\u0307.png").rename(root / "images/\u1e69x.png")
    (root / "images/q\u0307\u0323.png").rename(root / "images/s\u0323\u0307x.png")
    edit(root / "annotations.json", '"s0.png"', json.dumps("s\u0307\u0323x.png"))


def test_all_findings_go_to_a_file_and_few_to_the_screen(tmp_path: Path) -> None:
    each = named("index_pngs")
    lay(tmp_path / "set", each, strips=12)
    for at in range(12):
        (tmp_path / "set" / "images" / f"s{at}.png").write_bytes(b"")
    report = check(tmp_path / "set", list_=tmp_path / "all.csv")
    assert counted(report) == {Fault.UNREADABLE: 12}
    assert [len(each.examples) for each in report.faults] == [5]
    assert "... and 7 more" in report.text()
    with (tmp_path / "all.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert {row["severity"] for row in rows} == {"error"}
    assert {Path(row["where"]).name for row in rows} == {f"s{at}.png" for at in range(12)}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["steelscan", "check", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_the_verb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "set"
    lay(root, named("coco"))
    assert run(monkeypatch, root) == 0
    (root / "images/s1.png").write_bytes(picture(0))
    assert run(monkeypatch, root, "--list", tmp_path / "all.csv") == 0  # a warning
    assert "identical pictures" in capsys.readouterr().out
    (root / "images/s2.png").unlink()
    assert run(monkeypatch, root, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["errors"], report["warnings"]) == (1, 1)
    assert report["faults"][0]["fault"] == "annotated picture missing"
    assert run(monkeypatch, root, "--list", "/proc/all.csv") == 2
    assert run(monkeypatch, root, "--from", "voc") in (1, 2)


def test_findings_name_the_zip_not_its_unpacked_copy(
    tmp_path: Path, zipped: Callable[..., Path]
) -> None:
    lay(tmp_path / "set", named("voc"))
    (tmp_path / "set/JPEGImages/s1.png").write_bytes(b"")
    path = zipped(tmp_path / "set")
    ((finding,),) = (each.examples for each in check(path).faults)
    assert finding.where == f"{path}/JPEGImages/s1.png"


@pytest.mark.parametrize(("name", "pictures"), [("severstal", 32), ("neu", 725), ("tile", 665)])
@pytest.mark.slow
def test_real_data_has_no_error(name: str, pictures: int, real_data: Path) -> None:
    report = check(real_data / name)
    assert report.pictures == pictures
    assert report.errors == 0


def test_few_real_strips_have_no_fault(real_data: Path) -> None:
    assert not check(real_data / "severstal").faults


def test_errors_keep_their_fault() -> None:
    error = errors.MaskError("a", "b", "c", Fault.RUNS)
    assert (error.fault, str(error)) == (Fault.RUNS, "a: b. c.")
    assert SteelscanError("a", "b", "c").fault is None
