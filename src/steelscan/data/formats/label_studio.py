"""Label Studio: one JSON file of tasks, with brush masks and polygons in percent.

(Export pages of labelstud.io.) A brush mask is packed bits of the picture's red, green, blue and
alpha values, of which alpha counts. Pictures are known by the last part of their address. A task
of one annotation without regions is a clean picture: its size stands in its data (``width``,
``height``), else its picture lies in ``images/`` beside the file. Classes are those that any
region names, by name, unless ``classes.txt`` beside the file lists them, one a line.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from pydantic import BaseModel, RootModel

from steelscan.data.formats.bits import pack, unpack
from steelscan.data.formats.content import parse_json, read_file
from steelscan.data.formats.labelled import (
    Canvas,
    Labelled,
    Loss,
    check_all,
    check_distinct,
    check_name,
    make_classes,
    make_frame,
)
from steelscan.data.picture import picture_frame
from steelscan.strip import Classes, DatasetError, Frame, Mask, MaskError, write_text

_SHAPES = ("brushlabels", "polygonlabels")
_NO_SHAPES = ("choices", "textarea", "rating", "number", "taxonomy", "datetime", "pairwise")
"""Results that speak of the whole picture."""


class _Region(BaseModel):
    type: str
    value: dict[str, Any] = {}
    original_width: int = 0
    original_height: int = 0
    image_rotation: float = 0

    def labels(self) -> list[str]:
        """The classes of the region; usually one."""
        names = self.value.get(self.type)
        return [str(name) for name in names] if isinstance(names, list) else []


class _Annotation(BaseModel):
    result: list[_Region]
    was_cancelled: bool = False


class _Task(BaseModel):
    id: int
    data: dict[str, Any]
    annotations: list[_Annotation]


class _Export(RootModel[list[_Task]]):
    pass


def read(path: Path) -> Iterator[Labelled]:
    """Read a Label Studio file, picture by picture in its order.

    Raises DatasetError for what is no such file, for tasks not annotated once and for pictures
    that stand twice, and MaskError for regions of a turned picture, of another size, without a
    class, or that enclose no pixels.
    """
    export = parse_json(_Export, read_file(path), path, "Label Studio JSON").root
    tasks = [(_image(task, path), _regions(task, path), task) for task in export]
    check_distinct((image for image, _, _ in tasks), path)
    classes = _classes([region for _, regions, _ in tasks for region in regions], path)
    for image, regions, task in tasks:
        where = f"{path}, task {task.id}"
        frame = _frame(image, regions, task, path)
        canvas = Canvas(image, frame, classes)
        for number, region in enumerate(regions, start=1):
            _draw(canvas, region, frame, f"{where}, region {number}")
        yield canvas.labelled()


def write(path: Path, labelled: Iterable[Labelled]) -> tuple[Loss, ...]:
    """Write a Label Studio file, masks as brush masks, and ``classes.txt``. Nothing is lost.

    Raises DatasetError, also for a class that ``classes.txt`` cannot hold, MaskError and
    OutputError.
    """
    classes: Classes | None = None
    tasks: list[dict[str, Any]] = []
    for number, each in enumerate(check_all(labelled, path, flat=True), start=1):
        classes = classes or _check_writable(each.classes, path)
        size = {"width": each.frame.width, "height": each.frame.height}
        masks = each.by_class().items()
        result = [_region(number, name, mask) for name, mask in masks if mask.any()]
        annotations = [{"id": number, "was_cancelled": False, "result": result}]
        data = {"image": quote(each.image), **size}
        tasks.append({"id": number, "data": data, "annotations": annotations})
    write_text(path, json.dumps(tasks, ensure_ascii=False) + "\n")
    listed = "".join(f"{name}\n" for name in (classes.names if classes else ()))
    write_text(path.with_name("classes.txt"), listed)
    return ()


def _image(task: _Task, path: Path) -> str:
    texts = [value for value in task.data.values() if isinstance(value, str)]
    address = task.data.get("image", texts[0] if len(texts) == 1 else None)
    if not isinstance(address, str):
        found = f"task {task.id} does not say which of its data is the picture"
        raise DatasetError(path, found, "Name that field 'image'")
    local = address.partition("?d=")[2] or address.partition("?")[0]
    return check_name(unquote(local).rpartition("/")[2], path)


def _regions(task: _Task, path: Path) -> list[_Region]:
    done = [each for each in task.annotations if not each.was_cancelled]
    if len(done) != 1:
        found = f"task {task.id} was annotated {len(done)} times"
        raise DatasetError(path, found, "Export each task with exactly one annotation")
    return [region for region in done[0].result if region.type not in _NO_SHAPES]


def _classes(regions: list[_Region], path: Path) -> Classes:
    beside = path.with_name("classes.txt")
    if beside.is_file():
        lines = read_file(beside).decode("utf-8-sig", errors="replace").splitlines()
        return make_classes([line.strip() for line in lines if line.strip()], beside)
    return make_classes(sorted({name for region in regions for name in region.labels()}), path)


def _frame(image: str, regions: list[_Region], task: _Task, path: Path) -> Frame:
    where = f"{path}, task {task.id}"
    sizes = {(region.original_height, region.original_width) for region in regions}
    data = (task.data.get("height"), task.data.get("width"))
    if len(sizes) > 1:
        raise MaskError(where, "has regions of pictures of several sizes", "Export it again")
    if sizes:
        return make_frame(*sizes.pop(), where)
    if isinstance(data[0], int) and isinstance(data[1], int):
        return make_frame(data[0], data[1], where)
    picture = path.parent / "images" / PurePosixPath(image)
    if not picture.is_file():
        remedy = f"Put its picture at {picture}, or give its data width and height"
        raise MaskError(where, "is clean, and nothing says the size of its picture", remedy)
    return picture_frame(picture)


def _draw(canvas: Canvas, region: _Region, frame: Frame, where: str) -> None:
    if region.type not in _SHAPES or not ({"rle", "points"} & region.value.keys()):
        found = f"is of the type {region.type}, which says where, not which pixels"
        raise MaskError(where, found, "Outline the defect with a brush or a polygon")
    if region.image_rotation:
        found = "was drawn on a turned picture"
        raise MaskError(where, found, "Turn the picture back in Label Studio, and draw it again")
    names = region.labels()
    if not names:
        raise MaskError(where, "has no class", "Give the region a label")
    for name in names:
        if "rle" in region.value:
            values = unpack(region.value["rle"], frame.pixels * 4, where)
            canvas.mask(name, values[3::4].reshape(frame) > 0, where)
        else:
            canvas.polygon(name, _pixels(region.value["points"], frame, where), where)


def _pixels(points: object, frame: Frame, where: str) -> object:
    """Corners in pixels from corners in percent."""
    try:
        percent = np.asarray(points, np.float64)
        return percent * (frame.width / 100, frame.height / 100)
    except (TypeError, ValueError):
        raise MaskError(where, "holds more than points", "Export it again") from None


def _region(number: int, name: str, mask: Mask) -> dict[str, Any]:
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


def _check_writable(classes: Classes, path: Path) -> Classes:
    for name in classes.names:
        if name != name.strip() or not name.isprintable():
            found = f"cannot hold the class {name!r} in classes.txt"
            raise DatasetError(path, found, "Rename the class, or choose another format")
    return classes
