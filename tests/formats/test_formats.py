"""Annotation formats: by samples written by hand, by round trips, and by other implementations."""

import importlib
import io
import json
import pkgutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from pycocotools import mask as coco_api
from pycocotools.coco import COCO

from steelscan import formats as package
from steelscan.data import open_dataset
from steelscan.formats import bits, coco
from steelscan.formats.convert import convert
from steelscan.formats.counts import from_counts, to_counts
from steelscan.formats.labelled import Labelled
from steelscan.formats.polygon import fill, outlines
from steelscan.formats.registry import FORMATS, READERS, WRITERS, Format
from steelscan.formats.voc import colour
from steelscan.mill import Mill
from steelscan.mill.make import Scene
from steelscan.strip import (
    Classes,
    DatasetError,
    Frame,
    InputError,
    MaskError,
    OutputError,
    PictureError,
    SteelscanError,
    TableError,
)

ALL = pytest.mark.parametrize("each", FORMATS, ids=lambda each: each.name)
NAMES = ("scratch", "hole", "Riß 😀")
MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))
# pycocotools 2.0.11 hands NumPy 2 arrays that do not know the copy keyword.
PYCOCOTOOLS_IS_OLD = "ignore:__array__ implementation:DeprecationWarning"


def named(image: str, masks: np.ndarray, names: tuple[str, ...] = NAMES) -> Labelled:
    return Labelled(image, Frame(*masks.shape[1:]), masks, Classes(names=names))


def lay_pictures(root: Path, each: Format, labelled: Sequence[Labelled]) -> None:
    """Pictures without content, where the format looks for names and sizes."""
    for one in labelled:
        place = root / each.pictures / one.image
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (one.frame.width, one.frame.height)).save(place)


def there_and_back(
    root: Path, each: Format, labelled: Sequence[Labelled]
) -> tuple[dict[str, Labelled], tuple[package.Loss, ...]]:
    lay_pictures(root, each, labelled)
    losses = each.write(root / each.file, iter(labelled))
    return {one.image: one for one in each.read(root / each.file)}, losses


def closed(mask: np.ndarray) -> np.ndarray:
    """A mask with its holes filled: all that the outside does not reach by its sides."""
    outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    _, numbers = cv2.connectedComponents(outside, connectivity=4)
    return (numbers != numbers[0, 0])[1:-1, 1:-1]


def expected(each: Format, masks: np.ndarray) -> np.ndarray:
    """What a format can say of masks."""
    out = masks.copy()
    if not each.overlaps:
        for at in range(len(out)):
            out[at] &= ~masks[at + 1 :].any(axis=0)
    if not each.holes:
        out = np.stack([closed(mask) for mask in out])
    return out


def png(array: np.ndarray, **how: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG", **how)
    return file.getvalue()


def dice(one: np.ndarray, other: np.ndarray) -> float:
    both = one.sum() + other.sum()
    return float(2 * (one & other).sum() / both) if both else 1.0


def only(masks: Iterator[Labelled]) -> Labelled:
    (one,) = masks
    return one


def test_every_format_is_found() -> None:
    modules = [
        importlib.import_module(f"{package.__name__}.{found.name}")
        for found in pkgutil.iter_modules(package.__path__)
    ]
    formats = {found.__name__.rpartition(".")[2] for found in modules if hasattr(found, "write")}
    assert formats == {each.name for each in FORMATS} == READERS.keys() == WRITERS.keys()
    assert len(FORMATS) == 9


# Polygons


def naive_fill(
    points: Sequence[tuple[float, float]], frame: Frame
) -> tuple[np.ndarray, np.ndarray]:
    """Even-odd by the definition, and which centres lie so near a side that rounding decides."""
    mask, near = np.zeros(frame, np.bool_), np.zeros(frame, np.bool_)
    for row, column in np.ndindex(*frame):
        x, y = column + 0.5, row + 0.5
        for (x0, y0), (x1, y1) in zip(points, (*points[1:], points[0]), strict=True):
            if (y0 <= y) != (y1 <= y):
                crossed = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
                mask[row, column] ^= crossed <= x
                near[row, column] |= abs(crossed - x) < 1e-9
    return mask, near


@given(
    st.lists(st.tuples(*[st.integers(-20, 60).map(lambda at: at / 4)] * 2), min_size=3, max_size=8)
)
@settings(max_examples=60, deadline=None)
def test_polygons_are_filled_by_pixel_centres(points: list[tuple[float, float]]) -> None:
    frame = Frame(7, 9)
    mask = np.zeros(frame, np.bool_)
    filled = fill(mask, points, "here")
    other, near = naive_fill(points, frame)
    assert np.array_equal(mask | near, other | near)
    assert filled.pixels == mask.sum()
    xs, ys = zip(*points, strict=True)
    assert filled.outside == (min(xs) < 0 or max(xs) > 9 or min(ys) < 0 or max(ys) > 7)


def test_neighbours_share_no_pixel_and_leave_none() -> None:
    parts = [np.zeros((8, 8), np.bool_) for _ in range(4)]
    corners = [(0, 0), (8, 0), (8, 8), (0, 8)]
    for at, part in enumerate(parts):  # the sides run through centres
        fill(part, [corners[at], corners[(at + 1) % 4], (4, 4)], "here")
    assert (np.sum(parts, axis=0) == 1).all()


@pytest.mark.parametrize(
    "points",
    [
        [(0, 0), (1, 1)],
        [],
        [(0, 0, 0)] * 3,
        [(0, 0), (1, float("nan")), (1, 1)],
        [(0, 0), (1e12, 0), (1, 1)],
        ["a"],
    ],
)
def test_no_polygon(points: object) -> None:
    with pytest.raises(MaskError, match="polygon"):
        fill(np.zeros((3, 3), np.bool_), points, "here")


@given(MASKS)
def test_outlines_give_the_mask_with_its_holes_closed(mask: np.ndarray) -> None:
    polygons, holes = outlines(mask)
    drawn = np.zeros_like(mask)
    for corners in polygons:
        assert not fill(drawn, corners, "here").outside
    assert np.array_equal(drawn, closed(mask))
    assert holes == (closed(mask) != mask).any()
    assert len(polygons) <= cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 1


def test_what_is_wound_around_twice_is_outside() -> None:
    mask = np.zeros((6, 6), np.bool_)
    fill(
        mask,
        [(0, 0), (6, 0), (6, 6), (0, 6), (0, 0), (2, 2), (4, 2), (4, 4), (2, 4), (2, 2)],
        "here",
    )
    assert np.argwhere(~mask).tolist() == [[2, 2], [2, 3], [3, 2], [3, 3]]
    assert fill(mask, [(0, 0), (3, 0), (3, 3), (0, 3)] * 2, "here").pixels == 0


# Counts, COCO's string and Label Studio's bits, against other implementations


@given(MASKS)
def test_packed_counts_are_those_of_pycocotools(mask: np.ndarray) -> None:
    theirs = coco_api.encode(np.asfortranarray(mask.astype(np.uint8)))
    counts = to_counts(mask.T.reshape(-1))
    assert coco.pack(counts) == theirs["counts"].decode()
    assert coco.unpack(theirs["counts"].decode(), "here") == counts
    assert np.array_equal(from_counts(counts, mask.size, "here"), mask.T.reshape(-1))


@given(st.lists(st.integers(0, 2**31), max_size=12))
def test_any_counts_survive_packing(counts: list[int]) -> None:
    assert coco.unpack(coco.pack(counts), "here") == counts


def naive_unpack(packed: Sequence[int]) -> list[int]:
    """Label Studio's bits, one after another."""
    stream = iter([byte >> at & 1 for byte in packed for at in range(7, -1, -1)])

    def take(size: int) -> int:
        return sum(next(stream) << at for at in range(size - 1, -1, -1))

    count, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    out: list[int] = []
    while len(out) < count:
        run = take(1)
        length = take(sizes[take(2)]) + 1
        out += [take(word)] * length if run else [take(word) for _ in range(length)]
    return out


@given(hnp.arrays(np.bool_, st.integers(1, 700)))
def test_packed_bits(values: np.ndarray) -> None:
    packed = bits.pack(values)
    assert naive_unpack(packed) == (values * 255).tolist()
    assert np.array_equal(bits.unpack(list(packed), values.size, "here"), values * np.uint8(255))


def test_long_runs_of_packed_bits() -> None:
    values = np.repeat([True, False, True], [70_000, 65_536, 1])
    assert np.array_equal(bits.unpack(bits.pack(values), values.size, "here") > 0, values)


def test_bits_of_the_converter() -> None:
    """The example of Label Studio's own converter: runs and single values."""
    packed = [0, 0, 0, 18, 57, 27, 252, 96, 32, 1, 0, 6, 0, 40, 0, 192, 3, 128, 17, 56, 32]
    values = [1, 1, 1, 1, 2, 3, 5, 6, 7, 8, 4, 4, 4, 4, 4, 4, 4, 4]
    assert bits.unpack(packed, 18, "here").tolist() == values == naive_unpack(packed)
    for short in range(len(packed)):
        with pytest.raises(MaskError):
            bits.unpack(packed[:short], 18, "here")


# Samples written by hand


COCO_SAMPLE = """{"info": {}, "licenses": [],
"images": [{"id": 7, "file_name": "a.jpg", "height": 3, "width": 4, "date_captured": ""},
           {"id": 9, "file_name": "b.jpg", "height": 3, "width": 4}],
"annotations": [
 {"id": 1, "image_id": 7, "category_id": 5, "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]],
  "area": 6, "bbox": [1, 1, 3, 2], "iscrowd": 0},
 {"id": 2, "image_id": 7, "category_id": 2, "iscrowd": 1,
  "segmentation": {"size": [3, 4], "counts": [2, 3, 7]}},
 {"id": 3, "image_id": 7, "category_id": 5, "segmentation": {"size": [3, 4], "counts": "01;"}}],
"categories": [{"id": 5, "name": "hole", "supercategory": "x"}, {"id": 2, "name": "scratch"}]}"""


def test_coco_sample(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(COCO_SAMPLE)
    first, clean = READERS["coco"](tmp_path / "a.json")
    assert first.classes.names == ("scratch", "hole")
    assert (first.image, first.frame, first.clipped) == ("a.jpg", (3, 4), 0)
    assert first.by_class()["scratch"].tolist() == [[0, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]]
    assert first.by_class()["hole"].tolist() == [[1, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1]]
    assert clean.image == "b.jpg"
    assert not clean.masks.any()


@pytest.mark.filterwarnings(PYCOCOTOOLS_IS_OLD)
def test_coco_files_are_read_alike_by_pycocotools(tmp_path: Path) -> None:
    each = named("a.jpg", mill_masks(0, 128, 400))
    ring = each.masks.copy()
    ring[0] = False
    ring[0, 10:60, 10:60], ring[0, 30:40, 30:40] = True, False
    written = [each, named("b.jpg", ring)]
    WRITERS["coco"](tmp_path / "a.json", written)
    kinds = [
        type(one["segmentation"])
        for one in json.loads((tmp_path / "a.json").read_text())["annotations"]
    ]
    assert {list, dict} == set(kinds)
    theirs = COCO(tmp_path / "a.json")
    for one, image in zip(written, theirs.imgs, strict=True):
        for class_id, mask in zip(one.classes.ids, one.masks, strict=True):
            found = theirs.loadAnns(theirs.getAnnIds(image, class_id))
            drawn = [theirs.annToMask(annotation) for annotation in found]
            assert dice(np.any([np.zeros(one.frame), *drawn], axis=0), mask) > 0.995


def test_yolo_sample(tmp_path: Path) -> None:
    for folder in ("images/val", "labels/val"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("a", "clean"):
        Image.new("L", (8, 4)).save(tmp_path / f"images/val/{name}.png")
    square, wide, thin = (
        ".25 .25 .75 .25 .75 .75 .25 .75",
        "0 0 1.5 0 1.5 .25 0 .25",
        "0 0 .01 0 0 .01",
    )
    (tmp_path / "labels/val/a.txt").write_text(f"1 {square}\n\n0 {wide}\n1 {thin}\n")
    expect = np.zeros((2, 4, 8), np.bool_)
    expect[1, 1:3, 2:6], expect[0, 0] = True, True
    for names in ("names: [hole, scratch]", "nc: 2\nnames:\n  0: hole\n  1: scratch\n"):
        (tmp_path / "data.yaml").write_text(f"path: .\ntrain: images\n{names}\n")
        one, clean = READERS["yolo"](tmp_path)
        assert np.array_equal(one.masks, expect)
        assert (one.image, one.clipped, one.vanished) == ("val/a.png", 1, 1)
        assert (clean.image, clean.masks.any(), clean.clipped) == ("val/clean.png", False, 0)
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "classes.txt").write_text("hole\nscratch\n")
    assert next(READERS["yolo"](tmp_path)).classes.names == ("hole", "scratch")


CVAT_SAMPLE = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><id>1</id><labels>
<label><name>scratch</name><color>#fa3253</color><attributes></attributes></label>
<label><name>hole</name></label></labels></task><dumped>2024</dumped></meta>
<image id="0" name="a/b.jpg" width="5" height="4">
<polygon label="hole" source="manual" occluded="0" points="1.00,0.00;3.00,0.00;3.00,2.00;1.00,2.00"
 z_order="0"></polygon>
<mask label="scratch" source="manual" occluded="0" rle="0, 1, 1, 2" left="1" top="2" width="2"
 height="2" z_order="0"></mask><tag label="hole" source="manual"></tag></image></annotations>"""


def test_cvat_sample(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(CVAT_SAMPLE)
    one = only(READERS["cvat"](tmp_path / "a.xml"))
    assert (one.image, one.frame, one.classes.names) == ("a/b.jpg", (4, 5), ("scratch", "hole"))
    assert np.argwhere(one.masks[0]).tolist() == [[2, 1], [3, 1], [3, 2]]
    assert np.argwhere(one.masks[1]).tolist() == [[0, 1], [0, 2], [1, 1], [1, 2]]


LABELME_SAMPLE = {
    "version": "5.4.1",
    "flags": {},
    "shapes": [
        {
            "label": "scratch",
            "points": [[0.0, 0.0], [2.2, 0.0], [2.2, 1.4], [0.0, 1.4]],
            "group_id": None,
            "shape_type": "polygon",
            "flags": {},
        },
        {
            "label": "hole",
            "points": [[1.0, 1.0], [2.0, 2.0]],
            "shape_type": "mask",
            "mask": "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACAQAAAABazTCJAAAADElEQVR4nGNo"
            "YHAAAAHEAMGYZjUWAAAAAElFTkSuQmCC",
        },
    ],
    "imagePath": "a.jpg",
    "imageData": "AAAA",
    "imageHeight": 3,
    "imageWidth": 4,
}


def test_labelme_sample(tmp_path: Path) -> None:
    (tmp_path / "roll").mkdir()
    (tmp_path / "roll/a.json").write_text(json.dumps(LABELME_SAMPLE))
    one = only(READERS["labelme"](tmp_path))
    assert (one.image, one.frame, one.classes.names) == ("roll/a.jpg", (3, 4), ("hole", "scratch"))
    assert np.argwhere(one.masks[0]).tolist() == [[1, 1], [2, 2]]
    assert np.argwhere(one.masks[1]).tolist() == [[0, 0], [0, 1]]
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\nscratch\nhole\ndent\n")
    assert only(READERS["labelme"](tmp_path)).classes.names == ("scratch", "hole", "dent")


LABEL_STUDIO_SAMPLE = """[{"id": 3, "data": {"image": "/data/upload/1/ab12-a%20b.jpg"},
"annotations": [{"id": 1, "was_cancelled": false, "completed_by": 1, "result": [
 {"id": "x", "type": "brushlabels", "from_name": "tag", "to_name": "image",
  "original_width": 2, "original_height": 1, "image_rotation": 0, "value": {"format": "rle",
  "rle": [0, 0, 0, 8, 57, 27, 252, 96, 17, 255, 128], "brushlabels": ["hole"]}},
 {"type": "polygonlabels", "original_width": 2, "original_height": 1, "image_rotation": 0,
  "value": {"points": [[0, 0], [50, 0], [50, 100], [0, 100]], "closed": true,
  "polygonlabels": ["scratch"]}},
 {"type": "choices", "value": {"choices": ["good"]}}]},
 {"id": 2, "was_cancelled": true, "result": []}]}]"""


def test_label_studio_sample(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(LABEL_STUDIO_SAMPLE)
    one = only(READERS["label_studio"](tmp_path / "a.json"))
    assert (one.image, one.frame) == ("ab12-a b.jpg", (1, 2))
    assert one.classes.names == ("hole", "scratch")
    assert one.masks.tolist() == [[[False, True]], [[True, False]]]


def test_clean_label_studio_task_asks_its_picture(tmp_path: Path) -> None:
    tasks = json.loads(LABEL_STUDIO_SAMPLE)
    tasks.append({"id": 4, "data": {"image": "c.png"}, "annotations": [{"result": []}]})
    (tmp_path / "a.json").write_text(json.dumps(tasks))
    with pytest.raises(MaskError, match=r"task 4: is clean, and nothing says the size"):
        list(READERS["label_studio"](tmp_path / "a.json"))
    (tmp_path / "images").mkdir()
    Image.new("L", (6, 5)).save(tmp_path / "images/c.png")
    assert [one.frame for one in READERS["label_studio"](tmp_path / "a.json")] == [(1, 2), (5, 6)]


def test_voc_samples(tmp_path: Path) -> None:
    for folder in ("JPEGImages", "SegmentationClass"):
        (tmp_path / folder).mkdir()
    Image.new("L", (3, 2)).save(tmp_path / "JPEGImages/a.jpg")
    labels = (
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nhole:128,0,0::\nscratch:0,128,0::\n"
    )
    (tmp_path / "labelmap.txt").write_text(labels)
    index = np.array([[0, 1, 255], [2, 2, 0]], np.uint8)
    table = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 255: (224, 224, 192)}
    coloured = np.array([[table[value] for value in row] for row in index.tolist()], np.uint8)
    palette = Image.fromarray(index)
    palette.putpalette([part for at in range(256) for part in table.get(at, (9, 9, 9))])
    for image in (Image.fromarray(index), Image.fromarray(coloured), palette):
        image.save(tmp_path / "SegmentationClass/a.png")
        one = only(READERS["voc"](tmp_path))
        assert (one.image, one.ignored, one.classes.names) == ("a.jpg", 1, ("hole", "scratch"))
        assert np.argwhere(one.masks).tolist() == [[0, 0, 1], [1, 1, 0], [1, 1, 1]]


def test_voc_pictures_hold_class_ids_in_vocs_palette(tmp_path: Path) -> None:
    each = next(each for each in FORMATS if each.name == "voc")
    masks = np.zeros((3, 2, 4), np.bool_)
    masks[[0, 1, 2], [0, 1, 1], [0, 1, 3]] = True
    there_and_back(tmp_path, each, [named("a.jpg", masks)])
    with Image.open(tmp_path / "SegmentationClass/a.png") as image:
        assert image.mode == "P"
        assert np.asarray(image).tolist() == [[1, 0, 0, 0], [0, 2, 0, 3]]
        assert image.convert("RGB").getpixel((3, 1)) == (128, 128, 0)


def test_voc_colours() -> None:
    """The first and last ones of the palette in VOC's development kit."""
    known = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        3: (128, 128, 0),
        8: (64, 0, 0),
        20: (0, 64, 128),
    }
    assert {value: colour(value) for value in known} == known
    assert colour(255) == (224, 224, 192)
    assert len({colour(value) for value in range(256)}) == 256


def test_class_png_sample(tmp_path: Path) -> None:
    for folder in ("images", "masks/hole", "masks/dent"):
        (tmp_path / folder).mkdir(parents=True)
    Image.new("L", (2, 2)).save(tmp_path / "images/a.jpg")
    (tmp_path / "masks/hole/a.png").write_bytes(png(np.array([[0, 1], [0, 0]], np.uint8)))
    (tmp_path / "masks/dent/a.png").write_bytes(png(np.array([[255, 255], [0, 0]], np.uint8)))
    one = only(READERS["class_pngs"](tmp_path))
    assert {name: mask.tolist() for name, mask in one.by_class().items()} == {
        "dent": [[True, True], [False, False]],
        "hole": [[False, True], [False, False]],
    }


def test_own_samples(tmp_path: Path) -> None:
    for folder in ("images", "masks", "train_images"):
        (tmp_path / folder).mkdir()
    for folder in ("images", "train_images"):
        Image.new("L", (3, 2)).save(tmp_path / folder / "a.jpg")
    (tmp_path / "classes.csv").write_text("value,name\n1,hole\n2,dent\n")
    (tmp_path / "masks/a.png").write_bytes(png(np.array([[0, 1, 2], [0, 1, 0]], np.uint8)))
    indexed = only(READERS["index_pngs"](tmp_path))
    (tmp_path / "train.csv").write_text("ImageId_ClassId,EncodedPixels\na.jpg_1,3 2\na.jpg_2,5 1\n")
    lengths = only(READERS["run_lengths"](tmp_path))
    for one in (indexed, lengths):
        assert one.masks.astype(int).tolist() == [[[0, 1, 0], [0, 1, 0]], [[0, 0, 1], [0, 0, 0]]]
        assert one.classes.names == ("hole", "dent")


# There and back


@ALL
@given(
    st.integers(1, 12).flatmap(
        lambda side: hnp.arrays(
            np.bool_, st.tuples(st.just(2), st.just(3), st.just(side), st.integers(1, 12))
        )
    )
)
@settings(max_examples=12, deadline=None)
def test_round_trip_of_any_masks(each: Format, pair: np.ndarray) -> None:
    labelled = [named(f"s {at}%.jpg", masks) for at, masks in enumerate(pair)]
    with tempfile.TemporaryDirectory() as folder:
        back, losses = there_and_back(Path(folder), each, labelled)
    assert set(back) == {one.image for one in labelled}
    lost = {(loss.image, loss.class_name): loss.pixels for loss in losses}
    assert len(lost) == len(losses)
    for one in labelled:
        masks = back[one.image].masks
        assert (masks.dtype, back[one.image].frame) == (np.bool_, one.frame)
        assert back[one.image].classes == one.classes
        assert np.array_equal(masks, expected(each, one.masks))
        for name, was, now in zip(NAMES, one.masks, masks, strict=True):
            assert lost.get((one.image, name), 0) == (was != now).sum()


def mill_masks(strip: int, height: int, width: int) -> np.ndarray:
    mill = Mill(strips=9, seed=3, height=height, width=width, clean_share=0.2)
    return Scene(mill, strip).masks()[[0, 2, 3]]


@pytest.fixture(scope="module")
def milled() -> list[Labelled]:
    found = [named(f"s{at}.jpg", mill_masks(at, 96, 320)) for at in range(6)]
    assert sum(one.masks.any() for one in found) >= 3
    return found


@ALL
def test_every_pair_of_formats(each: Format, milled: list[Labelled], tmp_path: Path) -> None:
    first, losses = there_and_back(tmp_path / "first", each, milled)
    assert losses == ()
    for other in FORMATS:
        back, losses = there_and_back(tmp_path / other.name, other, list(first.values()))
        assert losses == ()
        for one in milled:
            assert np.array_equal(back[one.image].masks, one.masks)
            assert back[one.image].classes == one.classes


def test_polygons_of_masks_of_real_size(tmp_path: Path) -> None:
    labelled = [named(f"s{at}.jpg", mill_masks(at, 256, 1600)) for at in range(4)]
    for name in ("coco", "yolo"):
        each = next(each for each in FORMATS if each.name == name)
        back, _ = there_and_back(tmp_path / name, each, labelled)
        for one in labelled:
            assert all(map(lambda *pair: dice(*pair) > 0.995, back[one.image].masks, one.masks))


@ALL
@pytest.mark.parametrize(("name", "step"), [("severstal", 1), ("tile", 25)])
def test_real_masks(each: Format, name: str, step: int, real_data: Path, tmp_path: Path) -> None:
    dataset = open_dataset(real_data / name)
    chosen = range(0, len(dataset), step)
    labelled = [
        Labelled(dataset.names[at], dataset.frames[at], dataset.masks(at), dataset.classes)
        for at in chosen
    ]
    back, losses = there_and_back(tmp_path, each, labelled)
    assert len(back) == len(labelled) >= 26
    wrong = sum(int((back[one.image].masks != one.masks).sum()) for one in labelled)
    assert wrong == sum(loss.pixels for loss in losses)
    assert each.name == "yolo" or wrong == 0  # no pixel of either set has two classes
    pixels = sum(int(one.masks.sum()) for one in labelled)
    assert wrong < 0.005 * pixels


def test_zips_are_read(milled: list[Labelled], tmp_path: Path, zipped: Callable[..., Path]) -> None:
    for each in FORMATS:
        if not each.file:
            back, _ = there_and_back(tmp_path / each.name, each, milled)
            inside = {
                one.image: one.masks.tobytes() for one in each.read(zipped(tmp_path / each.name))
            }
            assert inside == {name: one.masks.tobytes() for name, one in back.items()}


def test_only_headers_of_pictures_are_read(milled: list[Labelled], tmp_path: Path) -> None:
    for each in FORMATS:
        back, _ = there_and_back(tmp_path / each.name, each, milled)
        for one in milled:
            place = tmp_path / each.name / each.pictures / one.image
            place.write_bytes(place.read_bytes()[:-30])
        again = list(each.read(tmp_path / each.name / each.file))
        assert len(again) == len(back) == 6


# What is refused


def sample_coco(**changes: object) -> str:
    return json.dumps({**json.loads(COCO_SAMPLE), **changes})


def coco_shape(shape: object) -> str:
    annotation = {"id": 1, "image_id": 7, "category_id": 5, "segmentation": shape}
    return sample_coco(annotations=[annotation])


def coco_images(*names: str) -> str:
    images = [
        {"id": at, "file_name": name, "height": 3, "width": 4} for at, name in enumerate(names)
    ]
    return sample_coco(images=images, annotations=[])


COCO_DAMAGE: dict[str, tuple[str, type[InputError], str]] = {
    "empty": ("", DatasetError, "is no whole JSON: EOF"),
    "cut off": (COCO_SAMPLE[:300], DatasetError, "EOF"),
    "no images": ('{"annotations": [], "categories": []}', DatasetError, "images Field required"),
    "a list": ("[]", DatasetError, "is not as expected"),
    "no classes": (sample_coco(categories=[], annotations=[]), DatasetError, "names no class"),
    "class twice": (
        sample_coco(categories=[{"id": 2, "name": "a"}, {"id": 5, "name": "a"}]),
        DatasetError,
        "a class twice",
    ),
    "too many classes": (
        sample_coco(categories=[{"id": at, "name": f"c{at}"} for at in range(256)]),
        DatasetError,
        "256 classes. Name at most 255",
    ),
    "id twice": (
        sample_coco(categories=[{"id": 2, "name": "a"}, {"id": 2, "name": "b"}]),
        DatasetError,
        "one id",
    ),
    "unknown class": (
        sample_coco(categories=[{"id": 2, "name": "a"}]),
        MaskError,
        "annotation 1: belongs to category 5, which is not listed",
    ),
    "image missing": (sample_coco(images=[]), DatasetError, "image 7"),
    "picture twice": (coco_images("a.jpg", "a.jpg"), DatasetError, r"a\.jpg twice"),
    "outside": (coco_images("../a.jpg"), DatasetError, "outside the data set"),
    "absolute": (coco_images("/etc/a.jpg"), DatasetError, "outside the data set"),
    "backslash": (coco_images("..\\a.jpg"), DatasetError, "outside the data set"),
    "drive": (coco_images("C:a.jpg"), DatasetError, "outside the data set"),
    "no name": (coco_images(""), DatasetError, "is empty"),
    "no size": (
        sample_coco(images=[{"id": 7, "file_name": "a", "height": 0, "width": 4}]),
        MaskError,
        "height of 0",
    ),
    "vast": (
        sample_coco(images=[{"id": 7, "file_name": "a", "height": 10**6, "width": 10**6}]),
        MaskError,
        "height of 1000000",
    ),
    "box": (coco_shape([]), MaskError, "annotation 1: has no segmentation"),
    "two corners": (coco_shape([[1, 1, 2, 2]]), MaskError, "polygon has 2 corners"),
    "odd": (coco_shape([[1, 1, 2, 2, 3]]), MaskError, "odd count"),
    "other size": (
        coco_shape({"size": [4, 3], "counts": [12]}),
        MaskError,
        "is 4x3, its picture is 3x4",
    ),
    "short": (
        coco_shape({"size": [3, 4], "counts": [11]}),
        MaskError,
        "cover 11 pixels, the mask has 12",
    ),
    "negative": (coco_shape({"size": [3, 4], "counts": [14, -2]}), MaskError, "cover 12 pixels"),
    "long": (coco_shape({"size": [3, 4], "counts": [10**30]}), MaskError, "cover far too many"),
    "short string": (coco_shape({"size": [3, 4], "counts": "11"}), MaskError, "cover 2 pixels"),
    "no string": (coco_shape({"size": [3, 4], "counts": "1 1"}), MaskError, "hold ' '"),
    "endless string": (coco_shape({"size": [3, 4], "counts": "o" * 10**5}), MaskError, "endless"),
    "string cut off": (coco_shape({"size": [3, 4], "counts": "1P"}), MaskError, "break off"),
}


def refused(read: Callable[[], object], kind: type[SteelscanError], says: str) -> None:
    with pytest.raises(kind, match=says) as caught:
        read()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", COCO_DAMAGE)
def test_damaged_coco(damage: str, tmp_path: Path) -> None:
    text, kind, says = COCO_DAMAGE[damage]
    (tmp_path / "a.json").write_text(text)
    refused(lambda: list(READERS["coco"](tmp_path / "a.json")), kind, rf"a\.json.*{says}")


CVAT_DAMAGE = {
    "cut off": (CVAT_SAMPLE[:400], DatasetError, "no whole XML"),
    "other XML": ("<html/>", DatasetError, "is XML of html"),
    "video": ("<annotations><track/></annotations>", DatasetError, "video"),
    "no labels": ("<annotations><meta/></annotations>", DatasetError, "names no class"),
    "unknown": (
        CVAT_SAMPLE.replace('label="hole"', 'label="dent"'),
        MaskError,
        "class 'dent', known are scratch, hole",
    ),
    "line": (CVAT_SAMPLE.replace("polygon", "polyline"), MaskError, "shape 1: is a polyline"),
    "box": (CVAT_SAMPLE.replace("polygon", "box"), MaskError, "shape 1: gives xtl as ''"),
    "endless": (CVAT_SAMPLE.replace('left="1"', f'left="{"9" * 5000}"'), MaskError, "gives left"),
    "points": (CVAT_SAMPLE.replace("3.00,0.00", "3.00"), MaskError, "more than points"),
    "leaves": (
        CVAT_SAMPLE.replace('left="1"', 'left="4"'),
        MaskError,
        "2x2 at row 2, column 4 leaves the frame 4x5",
    ),
    "above": (CVAT_SAMPLE.replace('top="2"', 'top="-1"'), MaskError, "row -1"),
    "rle": (
        CVAT_SAMPLE.replace("0, 1, 1, 2", "0, 1, 1"),
        MaskError,
        "cover 2 pixels, the mask has 4",
    ),
    "text": (CVAT_SAMPLE.replace("0, 1, 1, 2", "0, a"), MaskError, "more than counts"),
    "no width": (CVAT_SAMPLE.replace('width="5"', ""), MaskError, "gives width as ''"),
    "outside": (
        CVAT_SAMPLE.replace("a/b.jpg", "a/../../b.jpg"),
        DatasetError,
        "outside the data set",
    ),
    "bomb": (
        '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
        + "".join(f'<!ENTITY {chr(98 + at)} "{f"&{chr(97 + at)};" * 10}">' for at in range(9))
        + "]><annotations>&j;</annotations>",
        DatasetError,
        "holds a DOCTYPE",
    ),
}


@pytest.mark.parametrize("damage", CVAT_DAMAGE)
def test_damaged_cvat(damage: str, tmp_path: Path) -> None:
    text, kind, says = CVAT_DAMAGE[damage]
    (tmp_path / "a.xml").write_text(text)
    refused(lambda: list(READERS["cvat"](tmp_path / "a.xml")), kind, rf"a\.xml.*{says}")


LABEL_STUDIO_DAMAGE = {
    "cut off": (LABEL_STUDIO_SAMPLE[:200], DatasetError, "EOF"),
    "twice": ('"was_cancelled": true', '"was_cancelled": false', DatasetError, "annotated 2 times"),
    "never": ('"was_cancelled": false', '"was_cancelled": true', DatasetError, "names no class"),
    "turned": (
        '"image_rotation": 0',
        '"image_rotation": 90',
        MaskError,
        "region 1: was drawn on a turned",
    ),
    "no label": ('["hole"]', "[]", MaskError, "region 1: has no class"),
    "size": (
        '"original_width": 2',
        '"original_width": 3',
        MaskError,
        "8 values of 8 bits, its picture has 12",
    ),
    "key point": ('"points"', '"x"', MaskError, "type polygonlabels, which says where"),
    "corners": ("[50, 0], ", "", None, ""),
    "two corners": ("[50, 100], [0, 100]", "[0, 1, 2]", MaskError, "more than points"),
    "bytes": ("[0, 0, 0, 8,", "[0, 0, 0, 800,", MaskError, "more than bytes"),
    "other sizes": (
        '"original_height": 1, "image_rotation": 0,\n',
        '"original_height": 2, "image_rotation": 0,\n',
        MaskError,
        "several sizes",
    ),
}


@pytest.mark.parametrize("damage", LABEL_STUDIO_DAMAGE)
def test_damaged_label_studio(damage: str, tmp_path: Path) -> None:
    *change, kind, says = LABEL_STUDIO_DAMAGE[damage]
    text = LABEL_STUDIO_SAMPLE.replace(*change) if len(change) == 2 else change[0]
    assert text != LABEL_STUDIO_SAMPLE
    (tmp_path / "a.json").write_text(text)
    if kind is None:  # three corners are enough
        assert only(READERS["label_studio"](tmp_path / "a.json")).image
        return
    refused(lambda: list(READERS["label_studio"](tmp_path / "a.json")), kind, rf"a\.json.*{says}")


MASK_64 = LABELME_SAMPLE["shapes"][1]["mask"]  # type: ignore[index]
LABELME_DAMAGE = {
    "cut off": ('"imageHeight": 3, "imageWidth": 4}', "", DatasetError, "EOF"),
    "no path": ('"imagePath"', '"path"', DatasetError, "imagePath Field required"),
    "outside": ('"a.jpg"', '"../a.jpg"', DatasetError, "outside the data set"),
    "circle": ('"polygon"', '"circle"', MaskError, "shape 1: is a circle"),
    "two corners": ("[[0.0, 0.0], [2.2, 0.0], ", "[", MaskError, "polygon has 2 corners"),
    "other corners": ("[[1.0, 1.0]", "[[0.0, 1.0]", MaskError, "holds a mask of 2x2"),
    "leaves": (
        "[[1.0, 1.0], [2.0, 2.0]]",
        "[[3.0, 1.0], [4.0, 2.0]]",
        MaskError,
        "leaves the frame 3x4",
    ),
    "no base64": (MASK_64, "?", MaskError, "no base64"),
    "no png": (MASK_64, "AAAA", MaskError, "is no JPEG"),
}


@pytest.mark.parametrize("damage", LABELME_DAMAGE)
def test_damaged_labelme(damage: str, tmp_path: Path) -> None:
    old, new, kind, says = LABELME_DAMAGE[damage]
    text = json.dumps(LABELME_SAMPLE)
    assert old in text
    (tmp_path / "a.json").write_text(text.replace(old, new))
    refused(lambda: list(READERS["labelme"](tmp_path)), kind, rf"a\.json.*{says}")


def test_labelme_classes_and_pictures(tmp_path: Path) -> None:
    refused(lambda: list(READERS["labelme"](tmp_path)), DatasetError, "holds no JSON files")
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(json.dumps(LABELME_SAMPLE))
    refused(lambda: list(READERS["labelme"](tmp_path)), DatasetError, r"a\.jpg twice")
    (tmp_path / "b.json").unlink()
    (tmp_path / "labels.txt").write_text("hole\n")
    refused(
        lambda: list(READERS["labelme"](tmp_path)), MaskError, "class 'scratch', known are hole"
    )


SAMPLES = {
    "coco": ("a.json", "a.json", COCO_SAMPLE),
    "cvat": ("a.xml", "a.xml", CVAT_SAMPLE),
    "label_studio": ("a.json", "a.json", LABEL_STUDIO_SAMPLE),
    "labelme": ("", "a.json", json.dumps(LABELME_SAMPLE)),
}


@pytest.mark.parametrize("name", SAMPLES)
@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_damage_is_told(name: str, data: st.DataObject) -> None:
    """A sample with a stretch of it replaced is read, or refused in one line."""
    place, file, text = SAMPLES[name]
    start = data.draw(st.integers(0, len(text)))
    new = data.draw(
        st.sampled_from(["", "-", "9", "9" * 12, "null", "{}", '"', "\ud800", "é", "1e400"])
    )
    damaged = text[:start] + new + text[start + data.draw(st.integers(0, 8)) :]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / file).write_bytes(damaged.encode(errors="surrogatepass"))
        try:
            found = list(READERS[name](Path(folder) / place))
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert all(one.masks.shape == (len(one.classes), *one.frame) for one in found)


def rewrite(place: str, content: bytes | str) -> Callable[[Path], object]:
    raw = content.encode() if isinstance(content, str) else content
    return lambda root: (root / place).write_bytes(raw)


def remove(place: str) -> Callable[[Path], object]:
    return lambda root: (root / place).unlink()


WRONG_SIZE = png(np.zeros((3, 3), np.uint8))
GREY = png(np.arange(96 * 320).reshape(96, 320).astype(np.uint8))
FOLDER_DAMAGE: dict[str, tuple[str, Callable[[Path], object], type[InputError], str]] = {
    "yolo class": (
        "yolo",
        rewrite("labels/s1.txt", "3 0 0 1 0 1 1"),
        MaskError,
        r"s1\.txt, line 1: names the class '3', known are 0 to 2",
    ),
    "yolo endless class": (
        "yolo",
        rewrite("labels/s1.txt", "9" * 5000 + " 0 0 1 0 1 1"),
        MaskError,
        "names the class",
    ),
    "yolo box": (
        "yolo",
        rewrite("labels/s1.txt", "\n0 .5 .5 .1"),
        MaskError,
        "line 2: has 3 numbers",
    ),
    "yolo odd": ("yolo", rewrite("labels/s1.txt", "0 0 0 1 0 1 1 1"), MaskError, "has 7 numbers"),
    "yolo corners": ("yolo", rewrite("labels/s1.txt", "0 0 0"), MaskError, "has 2 numbers"),
    "yolo text": (
        "yolo",
        rewrite("labels/s1.txt", "0 0 0 1 0 1 a"),
        MaskError,
        "more than numbers",
    ),
    "yolo infinite": (
        "yolo",
        rewrite("labels/s1.txt", "0 0 0 1 0 1 inf"),
        MaskError,
        "nowhere near",
    ),
    "yolo bytes": ("yolo", rewrite("labels/s1.txt", b"\xff\xfe0"), DatasetError, "is no text"),
    "yolo stray": ("yolo", rewrite("labels/t.txt", ""), DatasetError, "picture that is missing"),
    "yolo picture": ("yolo", rewrite("images/s1.jpg", "text"), PictureError, "is no JPEG"),
    "yolo stems": ("yolo", rewrite("images/s1.png", WRONG_SIZE), DatasetError, "has the stem of"),
    "yolo no names": ("yolo", rewrite("data.yaml", "nc: 3"), DatasetError, "names no classes"),
    "yolo yaml": ("yolo", rewrite("data.yaml", "names: ["), DatasetError, "cannot be read as YAML"),
    "yolo numbers": ("yolo", rewrite("data.yaml", "names: {1: a}"), DatasetError, "from 0 up"),
    "yolo no yaml": ("yolo", remove("data.yaml"), DatasetError, r"data\.yaml: is missing"),
    "voc missing": ("voc", remove("SegmentationClass/s1.png"), MaskError, r"s1\.png: is missing"),
    "voc stray": ("voc", remove("JPEGImages/s1.jpg"), DatasetError, "picture that is missing"),
    "voc size": (
        "voc",
        rewrite("SegmentationClass/s1.png", WRONG_SIZE),
        MaskError,
        r"is 3x3, its picture s1\.jpg is 96x320",
    ),
    "voc value": (
        "voc",
        rewrite("SegmentationClass/s1.png", GREY),
        MaskError,
        r"holds the value 4 at \d+ pixels",
    ),
    "voc colour": (
        "voc",
        rewrite("SegmentationClass/s1.png", png(np.full((96, 320, 3), 7, np.uint8))),
        MaskError,
        "holds the value 7,7,7",
    ),
    "voc text": ("voc", rewrite("SegmentationClass/s1.png", "text"), MaskError, "is no JPEG"),
    "voc cut off": ("voc", rewrite("SegmentationClass/s1.png", GREY[:200]), MaskError, "damaged"),
    "voc labels": (
        "voc",
        rewrite("labelmap.txt", "scratch"),
        DatasetError,
        "holds the line 'scratch'",
    ),
    "voc colours": (
        "voc",
        rewrite("labelmap.txt", "a:1,1,1::\nb:1,1,1::"),
        DatasetError,
        "one colour",
    ),
    "voc no labels": (
        "voc",
        remove("labelmap.txt"),
        DatasetError,
        r"labelmap\.txt: is missing",
    ),
    "png missing": (
        "class_pngs",
        remove("masks/hole/s1.png"),
        MaskError,
        r"hole/s1\.png: is missing",
    ),
    "png stray": ("class_pngs", remove("images/s1.jpg"), DatasetError, "picture that is missing"),
    "png size": (
        "class_pngs",
        rewrite("masks/hole/s1.png", WRONG_SIZE),
        MaskError,
        r"hole/s1\.png: is 3x3",
    ),
    "png grey": ("class_pngs", rewrite("masks/hole/s1.png", GREY), MaskError, "several values"),
    "png class": (
        "class_pngs",
        rewrite("classes.csv", "value,name\n1,scratch\n"),
        DatasetError,
        "no class of classes",
    ),
    "index value": (
        "index_pngs",
        rewrite("masks/s1.png", png(np.full((96, 320), 255, np.uint8))),
        MaskError,
        "values 255, which classes",
    ),
    "lengths": ("run_lengths", rewrite("train.csv", "a,b\n1,2\n"), TableError, "columns"),
}


@pytest.mark.parametrize("damage", FOLDER_DAMAGE)
def test_damaged_folders(damage: str, milled: list[Labelled], tmp_path: Path) -> None:
    name, harm, kind, says = FOLDER_DAMAGE[damage]
    each = next(each for each in FORMATS if each.name == name)
    there_and_back(tmp_path, each, milled[:3])
    harm(tmp_path)
    refused(lambda: list(each.read(tmp_path)), kind, says)


@ALL
def test_nothing_there(each: Format, tmp_path: Path) -> None:
    refused(lambda: list(each.read(tmp_path / "nothing")), DatasetError, "nothing: ")


@ALL
def test_what_is_not_written(each: Format, tmp_path: Path) -> None:
    clean = np.zeros((3, 4, 5), np.bool_)
    path = tmp_path / each.file

    def written(*labelled: Labelled) -> Callable[[], object]:
        return lambda: each.write(path, labelled)

    refused(written(), DatasetError, "is given no picture")
    refused(written(named("../a.jpg", clean)), DatasetError, "outside the data set")
    refused(written(named("a.jpg", clean), named("a.jpg", clean)), DatasetError, "another picture")
    other = named("b.jpg", clean, ("x", "y", "z"))
    refused(written(named("a.jpg", clean), other), DatasetError, "other classes")
    refused(written(named("a.jpg", clean.astype(np.uint8))), MaskError, "masks are uint8")  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    refused(
        lambda: each.write(tmp_path / "file" / "x", [named("a.jpg", clean)]), OutputError, "file"
    )


@pytest.mark.parametrize(
    ("name", "class_name"),
    [
        ("class_pngs", "../a"),
        ("voc", "a:b"),
        ("labelme", " a"),
        ("cvat", "a\0"),
        ("label_studio", "a\n"),
    ],
)
def test_class_names_that_a_format_cannot_hold(name: str, class_name: str, tmp_path: Path) -> None:
    masks = np.zeros((1, 4, 5), np.bool_)
    labelled = [named("a.jpg", masks, (class_name,))]
    refused(lambda: WRITERS[name](tmp_path / "x", labelled), SteelscanError, "Rename the class")


def test_names_below_folders(tmp_path: Path) -> None:
    """Pictures of equal names in two folders stay apart, or are refused where folders end."""
    masks = np.zeros((2, 3, 6, 6), np.bool_)
    masks[0, 0, :2], masks[1, 1, 3:] = True, True
    labelled = [named("one/a.jpg", masks[0]), named("two/a.jpg", masks[1])]
    flat = {"index_pngs", "label_studio", "run_lengths"}
    for each in FORMATS:
        root = tmp_path / each.name
        if each.name in flat:
            with pytest.raises(DatasetError, match="has no folders"):
                there_and_back(root, each, labelled)
        else:
            back, _ = there_and_back(root, each, labelled)
            assert all(np.array_equal(back[one.image].masks, one.masks) for one in labelled)


def test_too_many_classes_for_an_index(tmp_path: Path) -> None:
    names = tuple(f"c{at}" for at in range(255))
    labelled = [named("a.jpg", np.zeros((255, 2, 2), np.bool_), names)]
    for name in ("voc", "index_pngs"):
        refused(
            lambda name=name: WRITERS[name](tmp_path, labelled), DatasetError, "has 255 classes"
        )  # type: ignore[misc]


@pytest.mark.parametrize("encoding", ["tf-8", "utf-7", "shift_jis", ""])
def test_an_encoding_that_xml_cannot_be_read_in_is_told(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "annotations.xml"
    path.write_bytes(f'<?xml version="1.0" encoding="{encoding}"?><annotations/>'.encode())
    with pytest.raises(DatasetError, match=r"annotations\.xml"):
        list(READERS["cvat"](path))
    with pytest.raises(InputError):
        convert(path, tmp_path / "out", "coco")
