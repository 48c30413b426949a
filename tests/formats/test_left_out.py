"""One shape that cannot be read: it is left out and reported, and never makes its picture clean.

Three pictures each: one with a good shape, one with a good and a bad one, one with a bad one alone.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from steelscan.data import open_dataset
from steelscan.formats import FORMATS, check, convert
from steelscan.strip.errors import Fault, FaultLog, InputError

Build = Callable[[Path, Any], None]
NAMES = ("good.png", "mixed.png", "bad.png")
SQUARE = [[2, 2], [8, 2], [8, 6], [2, 6]]
FLAT = [part for corner in SQUARE for part in corner]


def of(name: str, good: Any, bad: Any) -> list[Any]:
    return {"good.png": [good], "mixed.png": [good, bad], "bad.png": [bad]}[name]


def lay_pictures(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for at, name in enumerate(NAMES):
        values = np.random.default_rng(at).integers(0, 255, (10, 20)).astype(np.uint8)
        Image.fromarray(values).save(folder / name)


def coco(root: Path, bad: Any) -> None:
    shapes = [
        {"image_id": at, "category_id": 1} | shape
        for at, name in enumerate(NAMES)
        for shape in of(name, {"segmentation": [FLAT]}, bad)
    ]
    content = {
        "images": [
            {"id": at, "file_name": name, "height": 10, "width": 20}
            for at, name in enumerate(NAMES)
        ],
        "annotations": [{"id": at} | shape for at, shape in enumerate(shapes, start=1)],
        "categories": [{"id": 1, "name": "scratch"}],
    }
    lay_pictures(root / "images")
    (root / "annotations.json").write_text(json.dumps(content))


def labelme(root: Path, bad: Any) -> None:
    lay_pictures(root)
    for name in NAMES:
        shapes = of(name, {"label": "scratch", "points": SQUARE, "shape_type": "polygon"}, bad)
        content = {"shapes": shapes, "imagePath": name, "imageHeight": 10, "imageWidth": 20}
        (root / name).with_suffix(".json").write_text(json.dumps(content))


def cvat(root: Path, bad: str) -> None:
    lay_pictures(root / "images")
    good = '<polygon label="scratch" points="2,2;8,2;8,6;2,6"/>'
    images = "".join(
        f'<image id="1" name="{name}" height="10" width="20">{"".join(of(name, good, bad))}</image>'
        for name in NAMES
    )
    labels = "<meta><task><labels><label><name>scratch</name></label></labels></task></meta>"
    (root / "annotations.xml").write_text(f"<annotations>{labels}{images}</annotations>")


def label_studio(root: Path, bad: Any) -> None:
    lay_pictures(root / "images")
    points = [[10, 20], [40, 20], [40, 60], [10, 60]]
    size = {"original_width": 20, "original_height": 10}
    good = {"type": "polygonlabels", "value": {"points": points, "polygonlabels": ["scratch"]}}
    tasks = [
        {
            "id": at,
            "data": {"image": name, "width": 20, "height": 10},
            "annotations": [{"result": [size | each for each in of(name, good, bad)]}],
        }
        for at, name in enumerate(NAMES, start=1)
    ]
    (root / "annotations.json").write_text(json.dumps(tasks))


def yolo(root: Path, bad: str) -> None:
    lay_pictures(root / "images")
    (root / "labels").mkdir()
    (root / "data.yaml").write_text("names: [scratch]\n")
    for name in NAMES:
        lines = of(name, "0 .1 .2 .4 .2 .4 .6 .1 .6", bad)
        (root / "labels" / name).with_suffix(".txt").write_text("\n".join(lines))


def ls(kind: str, **value: Any) -> dict[str, Any]:
    return {"type": kind, "value": value}


def shape(**fields: Any) -> dict[str, Any]:
    return {"label": "scratch", "shape_type": "polygon", "points": SQUARE} | fields


BAD: list[tuple[Build, Any]] = [
    *(
        (coco, {"segmentation": bad})
        for bad in ([], [[]], None, [[1, 1, 2, 2]], [1, 1, 2, 2, 3, 3])
    ),
    (coco, {"segmentation": {"size": [10, 20], "counts": [3]}}),
    (coco, {"segmentation": {"size": [10, 20], "counts": "1P"}}),
    (coco, {"bbox": [1, 1, 2, 2]}),
    (coco, {"segmentation": [FLAT], "category_id": 9}),
    (labelme, shape(points=[[1, 1], [2, 2]])),
    (labelme, shape(points=None)),
    (labelme, shape(label=None)),
    (labelme, shape(label=" ")),
    (labelme, {"shape_type": "polygon"}),
    (labelme, shape(shape_type="circle")),
    (labelme, shape(label="__ignore__")),
    *((labelme, shape(shape_type=kind)) for kind in ("line", "linestrip", "point", "points")),
    (labelme, shape(shape_type="mask", points=[[1, 1], [2, 2]], mask="?")),
    (cvat, '<polygon label="scratch" points="1,1;2,2"/>'),
    (cvat, '<polygon label="scratch" points=""/>'),
    (cvat, '<polygon label="dent" points="2,2;8,2;8,6"/>'),
    (cvat, '<polyline label="scratch" points="2,2;8,2;8,6"/>'),
    (cvat, '<box label="scratch" xtl="1"/>'),
    (cvat, '<box label="scratch" xtl="1" ytl="nan" xbr="3" ybr="4"/>'),
    (cvat, '<mask label="scratch" rle="9" left="0" top="0" width="2" height="2"/>'),
    (label_studio, ls("polygonlabels", points=[[1, 1], [2, 2]], polygonlabels=["scratch"])),
    (label_studio, ls("polygonlabels", points=SQUARE)),
    (label_studio, ls("keypointlabels", x=1, y=2, keypointlabels=["scratch"])),
    (label_studio, ls("brushlabels", rle=[1, 2], brushlabels=["scratch"])),
    (
        label_studio,
        ls("rectanglelabels", x="a", y=1, width=3, height=3, rectanglelabels=["scratch"]),
    ),
    (label_studio, {"value": {}}),
    *(
        (yolo, line)
        for line in ("0 .1 .1", "0 .1 .1 .2", "0 .1 .1 .2 .2 .3", "7 .1 .1 .2 .2 .3 .3")
    ),
    (yolo, "0 .1 .1 .2 .2 .3 a"),
]


@pytest.mark.parametrize(
    ("build", "bad"), BAD, ids=lambda each: getattr(each, "__name__", str(each)[:60])
)
def test_a_bad_shape_is_left_out_and_reported(build: Build, bad: Any, tmp_path: Path) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    build(root, bad)
    with pytest.raises(InputError):
        convert(root, out, "index_pngs", build.__name__)
    converted = convert(root, out, "index_pngs", build.__name__, on_error="skip")
    dataset = open_dataset(out)
    assert dataset.names == ("good.png", "mixed.png")
    assert dataset.present.any(axis=1).all()
    assert np.array_equal(dataset.masks(0), dataset.masks(1))
    lines = [line for line in converted.text().splitlines() if line.startswith("Note: left out: ")]
    assert len(lines) == 3
    assert str(tmp_path) not in converted.text()
    assert "Note: left out: bad.png, because none of its masks" in lines[2]
    report = check(root, build.__name__)
    assert report.errors == 2
    assert report.pictures == 3


def test_if_all_shapes_are_bad_the_first_error_is_raised(tmp_path: Path) -> None:
    coco(tmp_path, {"segmentation": []})
    content = json.loads((tmp_path / "annotations.json").read_text())
    content["images"] = content["images"][2:]
    content["annotations"] = content["annotations"][-1:]
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="annotation 4: has no segmentation"):
        convert(tmp_path, tmp_path / "out", "index_pngs", on_error="skip")
    assert not (tmp_path / "out").exists()


BOX = np.zeros((10, 20), np.bool_)
BOX[2:6, 2:8] = True
DISC = np.array(
    [[(x + 0.5 - 10) ** 2 + (y + 0.5 - 5) ** 2 < 16 for x in range(20)] for y in range(10)]
)
DIAMOND = np.array(
    [[abs(x + 0.5 - 10) + abs(y + 0.5 - 5) < 3.2 for x in range(20)] for y in range(10)]
)
SIDE = 3.2 * 2**0.5
CORNER = (10, 5 - 3.2)
FILLED: list[tuple[Build, Any, np.ndarray]] = [
    (labelme, shape(shape_type="rectangle", points=[[8, 2], [2, 6]]), BOX),
    (labelme, shape(shape_type="circle", points=[[10, 5], [10, 9]]), DISC),
    (cvat, '<box label="scratch" xtl="2" ytl="2" xbr="8" ybr="6"/>', BOX),
    (cvat, '<ellipse label="scratch" cx="10" cy="5" rx="4" ry="4"/>', DISC),
    (
        cvat,
        f'<box label="scratch" xtl="{10 - SIDE / 2}" ytl="{5 - SIDE / 2}" xbr="{10 + SIDE / 2}" '
        f'ybr="{5 + SIDE / 2}" rotation="45"/>',
        DIAMOND,
    ),
    (
        label_studio,
        ls("rectanglelabels", x=10, y=20, width=30, height=40, rectanglelabels=["scratch"]),
        BOX,
    ),
    (
        label_studio,
        ls("ellipselabels", x=50, y=50, radiusX=20, radiusY=40, ellipselabels=["scratch"]),
        DISC,
    ),
    (
        label_studio,
        ls(
            "rectanglelabels",
            x=CORNER[0] * 5,
            y=CORNER[1] * 10,
            width=SIDE * 5,
            height=SIDE * 10,
            rotation=45,
            rectanglelabels=["scratch"],
        ),
        DIAMOND,
    ),
    (yolo, "0 .25 .4 .3 .4", BOX),
]


@pytest.mark.parametrize(
    ("build", "drawn", "mask"), FILLED, ids=lambda each: getattr(each, "__name__", str(each)[:60])
)
def test_boxes_and_ellipses_are_filled_and_counted(
    build: Build, drawn: Any, mask: np.ndarray, tmp_path: Path
) -> None:
    build(tmp_path / "set", drawn)
    converted = convert(tmp_path / "set", tmp_path / "out", "index_pngs", build.__name__)
    assert "Note: 2 boxes and ellipses were filled completely" in converted.text()
    dataset = open_dataset(tmp_path / "out")
    at = dataset.names.index("bad.png")
    assert np.array_equal(dataset.masks(at)[0], mask)
    assert check(tmp_path / "set", build.__name__).counts == {Fault.BOX: 2}


def test_a_mask_that_cannot_be_read_leaves_its_strip_out(tmp_path: Path) -> None:
    """A class less would be a strip with less defects, or none."""
    for name in ("class_pngs", "run_lengths", "index_pngs", "voc"):
        each = FORMATS[name]
        root = tmp_path / name
        labelme(tmp_path / f"{name} source", shape(label="pit"))
        convert(tmp_path / f"{name} source", root, name)
        if name == "run_lengths":
            table = (root / "train.csv").read_text()
            (root / "train.csv").write_text(table.replace("mixed.png_1,", "mixed.png_1,0 5 "))
        else:
            bad = next(
                path
                for path in sorted(root.rglob("mixed.png"))
                if path.parent.name != each.pictures
            )
            bad.write_bytes(b"")
        policy = FaultLog(skips=True)
        incomplete = {one.image: one.incomplete for one in FORMATS[name].read(root, policy)}
        assert len(policy.errors) == 1
        assert incomplete.get("mixed.png", True), name
        text = convert(root, tmp_path / f"{name} out", "index_pngs", name, on_error="skip").text()
        assert "mixed.png" in text
        assert open_dataset(tmp_path / f"{name} out").names == ("bad.png", "good.png")


TAGS: list[tuple[Build, Any]] = [
    (cvat, '<tag label="scratch" source="manual"/>'),
    (label_studio, ls("choices", choices=["defective"])),
    (label_studio, ls("taxonomy", taxonomy=[["defective", "scratch"]])),
    (label_studio, ls("textarea", text=["a scratch"])),
]


@pytest.mark.parametrize(("build", "tag"), TAGS)
def test_tags_of_the_whole_picture_never_make_it_clean(
    build: Build, tag: Any, tmp_path: Path
) -> None:
    build(tmp_path / "set", tag)
    with pytest.raises(InputError, match="no shape shows where") as caught:
        convert(tmp_path / "set", tmp_path / "out", "index_pngs", build.__name__)
    assert caught.value.fault is Fault.NO_OUTLINE
    done = convert(tmp_path / "set", tmp_path / "out", "index_pngs", on_error="skip")
    assert open_dataset(tmp_path / "out").names == ("good.png", "mixed.png")
    assert "left out: bad.png" in done.text()
    assert f"{Fault.PASSED_OVER} (1)" in done.text()
    counts = check(tmp_path / "set").counts
    assert dict(counts) == {Fault.NO_OUTLINE: 1, Fault.PASSED_OVER: 1}


def test_background_of_labelme_is_sound_steel(tmp_path: Path) -> None:
    labelme(tmp_path / "set", shape(label="_background_"))
    done = convert(tmp_path / "set", tmp_path / "out", "index_pngs")
    assert done.masks == {"scratch": 2}
    assert f"{Fault.PASSED_OVER} (2), for example bad.json, shape 1" in done.text()
    assert check(tmp_path / "set").counts == {Fault.PASSED_OVER: 2}


def test_choices_of_a_region_belong_to_it(tmp_path: Path) -> None:
    label_studio(tmp_path, ls("rectanglelabels", x=1, y=1, width=9, height=9, labels=["scratch"]))
    tasks = json.loads((tmp_path / "annotations.json").read_text())
    result = tasks[0]["annotations"][0]["result"]
    result[0]["id"] = "r"
    result.append({"id": "r"} | ls("choices", choices=["deep"]))
    (tmp_path / "annotations.json").write_text(json.dumps(tasks))
    assert Fault.PASSED_OVER not in check(tmp_path).counts


def test_skipped_tasks_are_left_out_and_reported(tmp_path: Path) -> None:
    label_studio(tmp_path, ls("rectanglelabels", x=1, y=1, width=9, height=9, labels=["scratch"]))
    tasks = json.loads((tmp_path / "annotations.json").read_text())
    tasks[0]["annotations"][0]["was_cancelled"] = True
    tasks[1]["annotations"] = []
    relation = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    tasks[2]["annotations"][0]["result"].append(relation)
    tasks[2]["predictions"] = [{"result": [{"type": "nonsense"}]}]
    (tmp_path / "annotations.json").write_text(json.dumps(tasks))
    converted = convert(tmp_path, tmp_path / "out", "index_pngs")
    assert (
        f"{Fault.NO_ANNOTATION} (2), for example annotations.json: task 1 was" in converted.text()
    )
    assert open_dataset(tmp_path / "out").names == ("bad.png",)
    report = check(tmp_path)
    assert report.errors == 0
    assert report.counts[Fault.NO_ANNOTATION] == 4  # two tasks, and their two pictures


def test_tasks_of_several_annotators_are_refused(tmp_path: Path) -> None:
    label_studio(tmp_path, ls("rectanglelabels", x=1, y=1, width=9, height=9, labels=["scratch"]))
    tasks = json.loads((tmp_path / "annotations.json").read_text())
    tasks[1]["annotations"] *= 2
    (tmp_path / "annotations.json").write_text(json.dumps(tasks))
    with pytest.raises(InputError, match=r"task 2 was annotated 2 times\. Remove all but one"):
        convert(tmp_path, tmp_path / "out", "index_pngs")
    convert(tmp_path, tmp_path / "out", "index_pngs", on_error="skip")
    assert open_dataset(tmp_path / "out").names == ("bad.png", "good.png")


def test_labelme_of_old_versions_with_marks_and_among_other_files(tmp_path: Path) -> None:
    labelme(tmp_path, shape(label=" scratch "))
    for name in ("good", "mixed"):
        path = tmp_path / f"{name}.json"
        content = json.loads(path.read_text())
        content |= {"imageHeight": None, "imageData": None}
        del content["imageWidth"]
        for each in content["shapes"]:
            del each["shape_type"]
        path.write_bytes(b"\xef\xbb\xbf" + json.dumps(content).encode())
    (tmp_path / "config.json").write_text('{"a": 1}')
    (tmp_path / "list.JSON").write_text("[1, 2]")
    converted = convert(tmp_path, tmp_path / "out", "index_pngs")
    assert converted.masks == {"scratch": 3}
    assert (
        f"{Fault.FOREIGN} (2), for example config.json: is not a LabelMe file" in converted.text()
    )
    assert f"{Fault.CLASS_NAME} (2)" in converted.text()
    (tmp_path / "config.json").write_text('{"shapes": 1')
    with pytest.raises(InputError, match=r"config\.json: is not as expected"):
        convert(tmp_path, tmp_path / "again", "index_pngs")


def test_classes_that_differ_in_case_are_reported_and_trained(tmp_path: Path) -> None:
    labelme(tmp_path / "set", shape(label="Scratch", points=[[12, 2], [18, 2], [18, 6]]))
    text = "classes differ only in upper and lower case: 'Scratch' and 'scratch'"
    assert text in convert(tmp_path / "set", tmp_path / "out", "index_pngs").text()
    assert text in check(tmp_path / "set").text()
    assert open_dataset(tmp_path / "out").classes.names == ("Scratch", "scratch")


@pytest.mark.parametrize("to", ["index_pngs", "run_lengths", "class_pngs"])
def test_a_class_that_would_mean_something_else_is_not_written(to: str, tmp_path: Path) -> None:
    """A row of that name in classes.csv makes its pixels neither defect-free nor defective."""
    labelme(tmp_path / "set", shape(label="ignore"))
    with pytest.raises(InputError, match="cannot contain the class 'ignore'"):
        convert(tmp_path / "set", tmp_path / "out", to)
    assert not (tmp_path / "out").exists()


def test_groups_that_stop_training_stop_checking_and_converting(tmp_path: Path) -> None:
    labelme(tmp_path / "set", shape())
    convert(tmp_path / "set", tmp_path / "out", "index_pngs")
    (tmp_path / "out/groups.csv").write_text("image,group\ngood.png,1\nmixed.png,2\nbad.png")
    assert "groups.csv: row 4 has 1 cells" in check(tmp_path / "out").text()
    with pytest.raises(InputError, match=r"groups\.csv: row 4 has 1 cells"):
        convert(tmp_path / "out", tmp_path / "again", "coco")
