"""Data sets as annotation tools write them, format by format."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from layouts import SHAPES, SQUARE, YOLO_SQUARE, coco, draw, refused, taken, yolo
from PIL import Image

from steelscan.data import check_trainable, open_dataset
from steelscan.data.files import open_files
from steelscan.formats import FORMATS, AnnotatedPicture, Format, check, convert
from steelscan.strip import Classes, Frame
from steelscan.strip.errors import DatasetError, Fault

# COCO


def test_coco_ids_may_be_names(tmp_path: Path) -> None:
    root = tmp_path / "set"
    images = [
        {"id": name, "file_name": f"{name}.png", "height": 16, "width": 32} for name in ("p", "q")
    ]
    images.append({"id": 7, "file_name": "r.png", "height": 16, "width": 32})
    shape = {"id": "x", "image_id": "q", "category_id": "s", "segmentation": SQUARE}
    kinds = [{"id": "s", "name": "scratch"}, {"id": 3, "name": "hole"}]
    coco(root / "a.json", images=images, annotations=[shape], categories=kinds)
    for at, name in enumerate("pqr"):
        draw(root / f"images/{name}.png", at)
    convert(root, tmp_path / "out", "index_pngs")
    dataset = open_dataset(tmp_path / "out")
    assert dataset.present.sum(axis=1).tolist() == [0, 1, 0]
    unknown = [shape | {"category_id": "t"}]
    coco(root / "a.json", images=images, annotations=unknown, categories=kinds)
    assert "belongs to category t, which is not listed" in str(refused(root, tmp_path / "o"))
    lost = [shape | {"image_id": "gone"}]
    coco(root / "a.json", images=images, annotations=lost, categories=kinds)
    assert "belongs to image gone, which is not listed" in str(refused(root, tmp_path / "o"))


def test_missing_coco_sizes_are_read_from_the_pictures(tmp_path: Path) -> None:
    root = tmp_path / "set"
    coco(
        root / "a.json",
        images=[{"id": 0, "file_name": "a.png"}, {"id": 1, "file_name": "b.png", "height": None}],
    )
    draw(root / "images/a.png")
    draw(root / "images/b.png", 2)
    assert taken(root, tmp_path / "out") == ["a.png", "b.png"]
    (root / "images/b.png").unlink()
    assert "its annotations do not give its size" in str(refused(root, tmp_path / "o"))


def test_coco_files_of_other_tasks_are_not_read_as_clean(tmp_path: Path) -> None:
    root = tmp_path / "set"
    masks = root / "annotations/instances_train.json"
    coco(masks, "a.png", "b.png")
    for name in ("a.png", "b.png"):
        draw(root / "images/train" / name, ord(name[0]))
    content = json.loads(masks.read_text())
    others: dict[str, dict[str, object]] = {
        "captions_train": {"annotations": [{"id": 1, "image_id": 1, "caption": "a scratch"}]},
        "image_info_train": {"annotations": []},
        "image_info_test": {},
    }
    del content["annotations"]
    for name, annotations in others.items():
        path = masks.with_name(f"{name}.json")
        path.write_text(json.dumps(content | annotations))
        assert "contains no masks" in refused(path, tmp_path / "out").problem
        assert "contains no masks" in check(path).text()
    assert taken(root, tmp_path / "out") == ["a.png", "b.png"]
    (masks.with_name("instances_val.json")).write_bytes(masks.read_bytes())
    problem = refused(root, tmp_path / "o").problem
    assert problem.endswith(
        "holds 2 files of coco: annotations/instances_train.json, annotations/instances_val.json"
    )


def test_roboflows_root_category_is_not_a_class(tmp_path: Path) -> None:
    root = tmp_path / "set"
    names = {0: "steel", 1: "scratch", 2: "unused"}
    kinds = [
        {"id": at, "name": name, "supercategory": "steel" if at else "none"}
        for at, name in names.items()
    ]
    coco(root / "train/_annotations.coco.json", "a.png", categories=kinds)
    draw(root / "train/a.png")
    (root / "README.roboflow.txt").write_text("exported")
    assert convert(root, tmp_path / "out", "voc").masks == {"scratch": 1, "unused": 0}
    one = [{"id": at, "name": "scratch", "supercategory": "none"} for at in range(2)]
    coco(root / "train/_annotations.coco.json", "a.png", categories=one)
    assert convert(root, tmp_path / "one", "voc").masks == {"scratch": 1}
    other = [kinds[1] | {"supercategory": "none"}, kinds[2] | {"supercategory": "none"}]
    coco(root / "train/_annotations.coco.json", "a.png", categories=other)
    assert convert(root, tmp_path / "two", "voc").masks == {"scratch": 1, "unused": 0}


def test_parts_of_an_export_are_one_data_set(tmp_path: Path) -> None:
    """Roboflow's train/, valid/ and test/, each with a file of its own."""
    root = tmp_path / "set"
    for at, part in enumerate(("train", "valid")):
        coco(root / part / "_annotations.coco.json", "a.png", annotations=[] if at else SHAPES)
        draw(root / part / "a.png", at)
    assert taken(root, tmp_path / "out") == ["train__a.png", "valid__a.png"]
    assert taken(root / "train/_annotations.coco.json", tmp_path / "one") == ["a.png"]
    error = refused(root, tmp_path / "o", images=root / "train")
    assert "train/_annotations.coco.json" in error.remedy
    kinds = [{"id": 1, "name": "hole"}]
    coco(root / "valid/_annotations.coco.json", "a.png", categories=kinds)
    with pytest.raises(DatasetError, match="other classes"):
        convert(root, tmp_path / "o", "voc")


YOLO_LAYOUTS = {
    "ultralytics": ("images/train/{}.png", "labels/train/{}.txt", "data.yaml", "train__{}.png"),
    "fiftyone": ("images/val/{}.png", "labels/val/{}.txt", "dataset.yaml", "val__{}.png"),
    "roboflow": ("train/images/{}.png", "train/labels/{}.txt", "data.yaml", "train__{}.png"),
    "one folder": ("images/{}.png", "labels/{}.txt", "my.yaml", "{}.png"),
    "other case": ("images/{}.PNG", "labels/{}.txt", "data.yaml", "{}.PNG"),
    "darknet": (
        "obj_train_data/{}.png",
        "obj_train_data/{}.txt",
        "obj.names",
        "obj_train_data__{}.png",
    ),
}


@pytest.mark.parametrize("layout", YOLO_LAYOUTS)
def test_yolo_layouts(layout: str, tmp_path: Path) -> None:
    pictures, texts, file, becomes = YOLO_LAYOUTS[layout]
    root = tmp_path / "set"
    yolo(root, pictures, texts, "p0", "p1")
    if layout == "other case":
        (root / "labels/p0.txt").rename(root / "labels/P0.txt")
    lines = "scratch\n" if file == "obj.names" else "names: [scratch]\ntrain: ../train/images\n"
    (root / file).write_text(lines)
    assert taken(root, tmp_path / "out") == [becomes.format(f"p{at}") for at in range(2)]
    if layout in ("darknet", "ultralytics"):
        lost = root / texts.format("lost")
        lost.write_text(YOLO_SQUARE)
        assert "lost.txt: annotates a picture that is missing" in str(refused(root, tmp_path / "o"))
    if layout == "roboflow":  # a part of it, by the YAML file above
        assert taken(root / "train", tmp_path / "part") == ["p0.png", "p1.png"]
        (root / file).write_text("names: [scratch]\ntrain: elsewhere/images\n")
        assert "data.yaml: is missing" in str(refused(root / "train", tmp_path / "other"))


def test_yolo_text_files_of_another_case_are_read(tmp_path: Path) -> None:
    yolo(tmp_path, "images/{}.png", "labels/{}.txt", "p0", "p1")
    (tmp_path / "data.yaml").write_text("names: [scratch]\n")
    (tmp_path / "labels/p1.txt").unlink()
    (tmp_path / "labels/p1.TXT").write_text(YOLO_SQUARE)
    assert convert(tmp_path, tmp_path / "out", "voc").masks == {"scratch": 2}


def test_yolo_pictures_may_be_listed(tmp_path: Path) -> None:
    root = tmp_path / "set"
    yolo(root, "images/{}.png", "labels/{}.txt", "p0", "p1", "p2")
    (root / "labels/p2.txt").unlink()
    described = "names: {0: scratch}\ntrain: train.txt\nval: [val.txt]\n"
    (root / "data.yaml").write_text(described)
    (root / "train.txt").write_text("./images/p0.png\n\n")
    (root / "val.txt").write_text("C:\\export\\images\\p1.png\n")
    assert taken(root, tmp_path / "out") == ["p0.png", "p1.png"]
    (root / "val.txt").write_text("/etc/p3.png\n")
    assert "outside the data set" in str(refused(root, tmp_path / "o"))
    (root / "val.txt").rename(root / "val.old")
    assert "names a list of pictures that is missing" in str(refused(root, tmp_path / "o"))
    (root / "data.yaml").write_text("names: {0: scratch}\n")
    done = convert(root, tmp_path / "all", "voc")
    assert any(f"{Fault.NO_ANNOTATION} (1), for example p2.png" in note for note in done.notes)


# VOC


def voc(root: Path, masks: Sequence[np.ndarray | None], **files: str) -> None:
    (root / "SegmentationClass").mkdir(parents=True)
    for at, mask in enumerate(masks):
        draw(root / f"JPEGImages/p{at}.jpg", at)
        if mask is not None:
            image = Image.fromarray(mask)
            image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
            image.save(root / f"SegmentationClass/p{at}.png")
    for name, text in files.items():
        (root / f"{name}.txt").write_text(text)


DEFECT = np.zeros((16, 32), np.uint8)
DEFECT[2:8, 4:12] = 1
LABELS = "# label:color_rgb:parts:actions\nbackground:0,0,0::\nscratch:128,0,0::\n"


def test_voc_pictures_listed_without_a_png_are_clean(tmp_path: Path) -> None:
    root = tmp_path / "set"
    voc(root, [DEFECT, None, None], labelmap=LABELS)
    assert "p1.png: is missing" in str(refused(root, tmp_path / "out"))
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/train.txt").write_text("p0\np1\n")
    assert "p2.png: is missing" in str(refused(root, tmp_path / "out"))
    (root / "ImageSets/Segmentation/val.txt").write_text('"p2"\n')
    assert taken(root, tmp_path / "out") == ["p0.jpg", "p1.jpg", "p2.jpg"]
    assert check(root).counts == {Fault.NO_ANNOTATION: 2}
    Image.fromarray(np.zeros_like(DEFECT)).save(root / "SegmentationClass/p2.png")
    assert "p1.png: is missing" in str(refused(root, tmp_path / "lost"))


@pytest.mark.parametrize(
    ("other_file", "content", "message"),
    [
        ("Annotations/p1.xml", b"<annotation><object/></annotation>", "has an object"),
        (
            "Annotations/P1.XML",
            "<?xml version='1.0' encoding='utf-16'?><a><object/></a>".encode("utf-16"),
            "has an object",
        ),
        ("Annotations/p1.xml", b"<annotation><size>", "is not valid XML"),
        ("SegmentationClass/p1.jpg", b"", "is not a PNG"),
        ("SegmentationClass/p1.tif", b"", "is not a PNG"),
    ],
)
def test_voc_pictures_are_not_clean_if_other_files_contradict(
    other_file: str, content: bytes, message: str, tmp_path: Path
) -> None:
    root = tmp_path / "set"
    voc(root, [DEFECT, None, None], labelmap=LABELS)
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/train.txt").write_text("p0\np1\np2\n")
    (root / "Annotations").mkdir()
    (root / "Annotations/p2.xml").write_text("<annotation><filename>p2.jpg</filename></annotation>")
    (root / other_file).write_bytes(content)
    error = refused(root, tmp_path / "out")
    assert error.where.endswith(other_file)
    assert message in error.problem
    assert check(root).errors == 1
    convert(root, tmp_path / "out", "voc", on_error="skip")
    assert open_files(tmp_path / "out/JPEGImages").names() == ("p0.jpg", "p2.jpg")


def test_a_lost_png_of_a_written_data_set_is_refused(tmp_path: Path) -> None:
    voc(tmp_path / "set", [DEFECT, DEFECT], labelmap=LABELS)
    convert(tmp_path / "set", tmp_path / "own", "voc")
    (tmp_path / "own/SegmentationClass/p1.png").unlink()
    assert "p1.png: is missing" in str(refused(tmp_path / "own", tmp_path / "out"))


def test_class_names_of_labelme_follow_the_voc_palette(tmp_path: Path) -> None:
    root = tmp_path / "set"
    voc(root, [DEFECT, 2 * DEFECT, 0 * DEFECT], class_names="_background_\nhole\nscratch\n")
    assert convert(root, tmp_path / "out", "index_pngs").masks == {"hole": 1, "scratch": 1}
    (root / "class_names.txt").unlink()
    error = refused(root, tmp_path / "o")
    assert error.where.endswith("labelmap.txt")
    assert "background:0,0,0::" in error.remedy


# CVAT


def cvat(path: Path, *images: str, head: str = "") -> None:
    square = '<polygon label="scratch" points="4,2;12,2;12,8;4,8"/>'
    shown = "".join(
        f'<image id="{at}" {image} width="32" height="16">{square if at == 0 else ""}</image>'
        for at, image in enumerate(images)
    )
    labels = "<meta><task><labels><label><name>scratch</name></label></labels></task></meta>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{head}<annotations>{labels}{shown}</annotations>")


def test_cvat_subsets_and_frames_of_videos(tmp_path: Path) -> None:
    root = tmp_path / "subsets"
    parts = ("Train", "Validation")
    cvat(root / "annotations.xml", *(f'name="a.png" subset="{part}"' for part in parts))
    for at, part in enumerate(parts):
        draw(root / "images" / part / "a.png", at)
    assert taken(root, tmp_path / "out") == ["Train__a.png", "Validation__a.png"]
    frames = tmp_path / "frames"
    cvat(frames / "annotations.xml", *(f'name="frame_00000{at}"' for at in range(2)))
    for at in range(2):
        draw(frames / f"images/default/frame_00000{at}.PNG", at)
    assert taken(frames, tmp_path / "video") == ["frame_000000.PNG", "frame_000001.PNG"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_with_entities_is_refused(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "set/annotations.xml"
    head = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a [<!ENTITY x "y">]>'
    cvat(path, 'name="a.png"', head=head)
    path.write_bytes(path.read_text().encode(encoding))
    draw(tmp_path / "set/images/a.png")
    with pytest.raises(DatasetError, match="DOCTYPE"):
        convert(tmp_path / "set", tmp_path / "out", "voc", "cvat")
    assert check(tmp_path / "set", "cvat").errors == 1


# LabelMe and Label Studio


def labelme(path: Path, picture: str, shape: bool) -> None:
    corners = np.reshape(SQUARE, (-1, 2)).tolist()
    shapes = [{"label": "scratch", "points": corners, "shape_type": "polygon"}]
    content = {
        "shapes": shapes if shape else [],
        "imagePath": picture,
        "imageHeight": 16,
        "imageWidth": 32,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "path", ["../images/{}.png", "..\\images\\{}.png", "{}.png", "D:\\x\\{}.png"]
)
@pytest.mark.parametrize("folder", ["labels", "annotations", "json"])
def test_labelme_files_in_a_folder_of_their_own(path: str, folder: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    for at in range(2):
        labelme(root / f"{folder}/p{at}.json", path.format(f"p{at}"), at == 0)
        draw(root / f"images/p{at}.png", at)
    assert taken(root, tmp_path / "out") == ["p0.png", "p1.png"]
    assert taken(root / folder, tmp_path / "part") == ["p0.png", "p1.png"]


def test_pictures_next_to_a_zip_do_not_belong_to_it(
    tmp_path: Path, zipped: Callable[..., Path]
) -> None:
    labelme(tmp_path / "labels/p0.json", "../images/p0.png", shape=True)
    packed = zipped(tmp_path / "labels")
    draw(tmp_path / "images/p0.png")
    draw(packed.parent / "images/p0.png")
    assert "outside the data set" in str(refused(packed, tmp_path / "out"))
    assert taken(packed, tmp_path / "out", images=tmp_path / "images") == ["p0.png"]


ADDRESSES = {
    "upload": ("/data/upload/1/0a1b2c3d-p 0.png", "p 0.png"),
    "kept prefix": ("/data/upload/1/0a1b2c3d-p0.png", "0a1b2c3d-p0.png"),
    "percent": ("/data/upload/1/p%200.png", "p 0.png"),
    "local files": ("/data/local-files/?d=steel/p0.png", "p0.png"),
    "windows": ("/data/local-files/?d=steel%5Cp0.png", "p0.png"),
    "bucket": ("s3://steel/coil/p0.png", "p0.png"),
    "signed": ("https://host/steel/p0.png?X-Amz=1", "p0.png"),
    "absolute": ("C:\\steel\\p0.png", "p0.png"),
}


@pytest.mark.parametrize("way", ADDRESSES)
@pytest.mark.parametrize("folder", ["images/", "", "upload/1/"])
def test_addresses_of_label_studio(way: str, folder: str, tmp_path: Path) -> None:
    address, name = ADDRESSES[way]
    region = {
        "type": "polygonlabels",
        "original_width": 32,
        "original_height": 16,
        "value": {
            "points": (np.reshape(SQUARE, (-1, 2)) * (100 / 32, 100 / 16)).tolist(),
            "polygonlabels": ["scratch"],
        },
    }
    tasks = [
        {"id": 1, "data": {"image": address}, "annotations": [{"result": [region]}]},
        {"id": 2, "data": {"image": "q.png"}, "annotations": [{"result": []}]},
    ]
    root = tmp_path / "set"
    draw(root / folder / name)
    draw(root / folder / "q.png", 2)
    (root / "project-1.json").write_text(json.dumps(tasks))
    taken_names = taken(root, tmp_path / "out")
    assert [each.removeprefix("upload__1__") for each in taken_names] == [name, "q.png"]


# Formats with one mask file per picture


@pytest.mark.parametrize("name", ["index_pngs", "class_pngs"])
def test_masks_below_folders(name: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    for at, part in enumerate(("train", "val")):
        draw(root / f"images/{part}/p{at}.png", at)
        below = part if name == "index_pngs" else f"scratch/{part}"
        mask = root / f"masks/{below}/P{at}.png"
        mask.parent.mkdir(parents=True)
        Image.fromarray(DEFECT * (at == 0)).save(mask)
    (root / "classes.csv").write_text("value,name\n1,scratch\n")
    assert check(root).format == name
    assert taken(root, tmp_path / "out") == ["train__p0.png", "val__p1.png"]
    (root / "images/val/p1.png").rename(root / "images/val/new.png")
    message = str(refused(root, tmp_path / "o"))
    assert "is missing" in message or "picture that is missing" in message


def test_masks_in_another_case(tmp_path: Path) -> None:
    for at in range(2):
        draw(tmp_path / f"set/images/Coil_A{at}.png", at)
    (tmp_path / "set/masks").mkdir()
    (tmp_path / "set/classes.csv").write_text("value,name\n1,scratch\n")
    for at in range(2):
        Image.fromarray(DEFECT * (at == 0)).save(tmp_path / f"set/masks/coil_a{at}.png")
    assert taken(tmp_path / "set", tmp_path / "out") == ["Coil_A0.png", "Coil_A1.png"]
    assert open_dataset(tmp_path / "set").present.tolist() == [[True], [False]]
    Image.fromarray(DEFECT).save(tmp_path / "set/masks/COIL_A1.png")
    assert "is missing" in str(refused(tmp_path / "set", tmp_path / "o"))


# What convert writes, train takes


@pytest.mark.parametrize("each", FORMATS.values(), ids=lambda each: each.name)
def test_every_format_converts_to_every_other_and_can_be_trained_on(
    each: Format, tmp_path: Path
) -> None:
    """Of names below folders too, where the format has them."""
    below = ("one/", "two/") if each.folders else ("", "")
    names = [f"{folder}s{at}.png" for folder in below for at in range(2)]
    names = names if each.folders else [f"s{at}.png" for at in range(4)]
    masks = np.zeros((4, 2, 16, 32), np.bool_)
    masks[0, 0, 2:8, 4:12] = masks[1, 1, 5:9, 1:30] = masks[2, 0, 0:3, 0:3] = True
    masks[2, 1, 10:, 20:] = True
    labelled = []
    for at, name in enumerate(names):
        draw(tmp_path / "set" / each.pictures / name, at)
        labelled.append(
            AnnotatedPicture(name, Frame(16, 32), masks[at], Classes(names=("pit", "Riß")))
        )
    FORMATS[each.name].write(tmp_path / "set" / each.file, labelled)
    for target in FORMATS.values():
        made = tmp_path / target.name
        assert convert(tmp_path / "set", made, target.name, each.name).pictures == 4
        back = {one.image: one.masks for one in target.read(made / target.file)}
        expected = names if target.folders else [name.replace("/", "__") for name in names]
        assert set(back) == set(expected)
        for at, name in enumerate(expected):
            assert np.array_equal(back[name], masks[at])
        assert check(made, target.name).errors == 0
        if target.name in ("index_pngs", "run_lengths"):
            dataset = open_dataset(made)
            assert check_trainable(dataset) == [
                f"Class {name} is on 2 of 4 strips: too few to learn it well."
                for name in ("pit", "Riß")
            ]
