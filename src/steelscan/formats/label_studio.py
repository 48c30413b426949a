"""Label Studio: one JSON file of tasks, with brush masks and polygons in percent.

(Export pages of labelstud.io.) A brush mask is packed red, green, blue and alpha values of the
picture, of which alpha counts. Pictures are found by the last parts of their address. A task with
one annotation without regions is a clean picture: its size is in its data (``width``, ``height``),
or is read from the picture. A task without annotation, or with a cancelled one only, is left out.
Choices, ratings and texts for the whole picture are ignored if there are regions, and refused if
there are none: they may mean a defect. Rectangles and ellipses are filled, and noted. Classes
are those of any region, sorted by name, unless a file ``classes.txt`` in the same folder lists
them, one per line.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote

import numpy as np
from pydantic import BaseModel

from steelscan.data.files import open_files
from steelscan.formats.annotated_picture import AnnotatedPicture, Loss, Pictures, check_class_names
from steelscan.formats.canvas import Canvas, no_area
from steelscan.formats.class_names import listed_classes, make_classes
from steelscan.formats.json_pieces import pieces
from steelscan.formats.label_studio_rle import pack, unpack
from steelscan.formats.parsing import new_text_file, numbers, opened, parse_json, parse_part
from steelscan.formats.picture_index import PictureIndex
from steelscan.formats.picture_names import check_distinct, check_name
from steelscan.formats.polygon import box, ellipse, turned
from steelscan.strip import Classes, Frame, Mask
from steelscan.strip.errors import DatasetError, Fault, FaultLog, FaultPolicy, MaskError
from steelscan.strip.files import write_text

_PROGRAM = "Label Studio JSON"
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the names of uploaded files."""

_TAGS = ("choices", "taxonomy", "textarea", "rating", "number")
"""Results that describe the whole picture, or add to a region."""

_NO_SHAPES = (*_TAGS, "datetime", "pairwise", "relation")


class _Region(BaseModel):
    type: str
    value: dict[str, Any] = {}
    original_width: int = 0
    original_height: int = 0
    image_rotation: float = 0

    def labels(self) -> list[str]:
        """Return the classes of the region; usually one."""
        names = self.value.get(self.type, self.value.get("labels"))
        names = [str(name).strip() for name in names] if isinstance(names, list) else []
        return [name for name in names if name]


class _Annotation(BaseModel):
    result: list[dict[str, Any]]
    was_cancelled: bool = False


class _Task(BaseModel):
    id: int
    data: dict[str, Any]
    annotations: list[_Annotation]


def read(path: Path, policy: FaultPolicy, index: PictureIndex) -> Pictures:
    """Read a Label Studio file, picture by picture in its order; one task is held in memory.

    Raises DatasetError for what is not such a file, for a task annotated more than once and for a
    picture that occurs twice, and MaskError for a region of a rotated picture, of another size,
    without a class, or without area.
    """
    images: dict[int, str] = {}
    labels: set[str] = set()
    with opened(path) as file:
        for at, task in _tasks(file, path, policy):
            with policy.skipping():
                results = _results(task, path)
                if results is None:
                    problem = f"task {task.id} was skipped or not annotated, and is left out"
                    policy.note(Fault.NO_ANNOTATION, path, problem)
                    continue
                images[at] = _image(task, path, index)
                for result in _regions(results):
                    with suppress(DatasetError):  # reported when the region is drawn
                        labels.update(parse_part(_Region, result, path, _PROGRAM).labels())
        check_distinct(images.values(), path, policy)
        listed = listed_classes(open_files(path.parent), "classes.txt")
        classes = listed or make_classes(sorted(labels), path)
        file.seek(0)
        for at, task in _tasks(file, path, FaultLog(skips=True)):
            if at in images:
                with policy.skipping():
                    yield _picture(task, images[at], classes, path, policy, index)


def _tasks(file: BinaryIO, path: Path, policy: FaultPolicy) -> Iterator[tuple[int, _Task]]:
    for piece in pieces(file, path):
        if piece.name:
            problem = "is not as expected: Input should be a valid list"
            remedy = f"Export it again as {_PROGRAM}"
            raise DatasetError(path, problem, remedy, Fault.UNREADABLE_FILE)
        if piece.at >= 0:
            with policy.skipping():
                where = f"{path}, element {piece.at}"
                yield piece.at, parse_json(_Task, piece.content, where, _PROGRAM)


def _picture(
    task: _Task, image: str, classes: Classes, path: Path, policy: FaultPolicy, index: PictureIndex
) -> AnnotatedPicture:
    where, results = f"{path}, task {task.id}", _results(task, path) or []
    frame = _frame(image, results, task, where, index)
    canvas = Canvas(image, frame, classes, policy)
    regions = _regions(results)
    for number, result in enumerate(regions, start=1):
        with canvas.shape():
            region_where = f"{where}, region {number}"
            region = parse_part(_Region, result, region_where, _PROGRAM)
            _draw(canvas, region, frame, region_where)
    ids = [result["id"] for result in regions if "id" in result]
    for result in results:
        if result.get("type") in _TAGS and result.get("id") not in ids:
            canvas.tag(f"has {result['type']} for the whole picture", where)
    return canvas.finish()


def _image(task: _Task, path: Path, index: PictureIndex) -> str:
    """Return the picture's name; the last part of its address if no such picture is found."""
    texts = [value for value in task.data.values() if isinstance(value, str)]
    address = task.data.get("image", texts[0] if len(texts) == 1 else None)
    if not isinstance(address, str):
        problem = f"task {task.id} has several texts in its data, and none is named 'image'"
        raise DatasetError(path, problem, "Name the picture's field 'image'", Fault.UNCLEAR)
    local = unquote(address.partition("?d=")[2] or address.partition("?")[0]).replace("\\", "/")
    last = check_name(local.rpartition("/")[2], path)
    for name in (local, _UPLOADED.sub("", last)):  # the prefix was added by the upload
        file = index.find(name)
        if file is not None:
            return index.own_name(file)
    return last


def _results(task: _Task, path: Path) -> list[dict[str, Any]] | None:
    """Return the results of a task's one annotation; None if nobody annotated it."""
    done = [each for each in task.annotations if not each.was_cancelled]
    if len(done) > 1:
        problem = f"task {task.id} was annotated {len(done)} times"
        remedy = "Remove all but one of its annotations in Label Studio, and export it again"
        raise DatasetError(path, problem, remedy, Fault.UNCLEAR)
    return done[0].result if done else None


def _regions(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those results that should have an area."""
    return [result for result in results if result.get("type") not in _NO_SHAPES]


def _frame(
    image: str, results: list[dict[str, Any]], task: _Task, where: str, index: PictureIndex
) -> Frame:
    given = ((each.get("original_height"), each.get("original_width")) for each in results)
    sizes = {
        (high, wide) for high, wide in given if isinstance(high, int) and isinstance(wide, int)
    }
    height, width = task.data.get("height"), task.data.get("width")
    if not sizes and isinstance(height, int) and isinstance(width, int):
        sizes = {(height, width)}
    if len(sizes) > 1:
        problem = "has regions of pictures of several sizes"
        raise MaskError(where, problem, "Export it again", Fault.SIZE)
    height, width = sizes.pop() if sizes else (None, None)
    return index.frame(image, height, width, where)


def _draw(canvas: Canvas, region: _Region, frame: Frame, where: str) -> None:
    if region.image_rotation:
        problem = "was drawn on a rotated picture"
        remedy = "Rotate the picture back in Label Studio, and draw it again"
        raise MaskError(where, problem, remedy, Fault.UNCLEAR)
    names = region.labels()
    if not names:
        raise MaskError(where, "has no class", "Give the region a label", Fault.UNKNOWN_CLASS)
    value, scale = region.value, np.array((frame.width / 100, frame.height / 100))
    for name in names:
        if "rle" in value:
            values = unpack(value["rle"], frame.pixels * 4, where)
            canvas.mask(name, values[3::4].reshape(frame) > 0, where)
        elif "points" in value:
            corners = numbers(value["points"], where, columns=2)
            canvas.polygon(name, corners * scale, where)
        elif {"x", "y", "radiusX", "radiusY"} <= value.keys():
            x, y, across, down, degrees = _values(value, "radiusX", "radiusY", where)
            shape = ellipse(x * scale[0], y * scale[1], across * scale[0], down * scale[1], degrees)
            canvas.filled(name, shape, "an ellipse", where)
        elif {"x", "y", "width", "height"} <= value.keys():
            left, top, width, height, degrees = _values(value, "width", "height", where)
            corners = box(left, top, left + width, top + height) * scale
            # It is rotated about its upper left corner.
            canvas.filled(name, turned(corners, corners[0], degrees), "a rectangle", where)
        else:
            raise no_area(f"region of the type {region.type}", where)


def _values(value: dict[str, Any], across: str, down: str, where: str) -> list[float]:
    """Return x, y, the fields ``across`` and ``down``, and the rotation in degrees."""
    names = ("x", "y", across, down, "rotation")
    values: list[float] = numbers([value.get(name, 0) for name in names], where).tolist()
    return values


def write(path: Path, classes: Classes, pictures: Pictures) -> tuple[Loss, ...]:
    """Write a Label Studio file, masks as brush masks, and ``classes.txt``. Nothing is lost.

    Raises DatasetError, also for a class that ``classes.txt`` cannot hold, MaskError and
    OutputError.
    """
    check_class_names(classes, path, "classes.txt")
    with new_text_file(path) as file:
        for number, picture in enumerate(pictures, start=1):
            size = {"width": picture.frame.width, "height": picture.frame.height}
            masks = picture.by_class().items()
            result = [_brush(number, name, mask) for name, mask in masks if mask.any()]
            annotations = [{"id": number, "was_cancelled": False, "result": result}]
            data = {"image": quote(picture.image), **size}
            file.write(",\n" if number > 1 else "[\n")
            task = {"id": number, "data": data, "annotations": annotations}
            file.write(json.dumps(task, ensure_ascii=False))
        file.write("\n]\n")
    write_text(path.with_name("classes.txt"), "".join(f"{name}\n" for name in classes.names))
    return ()


def _brush(number: int, name: str, mask: Mask) -> dict[str, Any]:
    packed = pack(np.repeat(mask.reshape(-1), 4))
    return {
        "id": f"{number}-{name}",
        "type": "brushlabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": mask.shape[1],
        "original_height": mask.shape[0],
        "image_rotation": 0,
        "value": {"format": "rle", "rle": list(packed), "brushlabels": [name]},
    }
