"""Label Studio: one JSON file of tasks, with brush masks and polygons in percent.

(Export pages of labelstud.io.) A brush mask is packed bits of the picture's red, green, blue and
alpha values, of which alpha counts. Pictures are found by the last parts of their address. A task
of one annotation without regions is a clean picture: its size stands in its data (``width``,
``height``), else its picture is asked for it. A task without annotation, or whose only one was
cancelled, is left out. Choices, ratings and words on a whole picture are passed over beside
regions, and refused alone: they may speak of a defect. Rectangles and ellipses are filled, and
noted. Classes are those that any region names, by name, unless ``classes.txt`` beside the file
lists them, one a line.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from steelscan.formats.bits import pack, unpack
from steelscan.formats.content import opened, parse_json, parse_part
from steelscan.formats.labelled import (
    Canvas,
    Labelled,
    Loss,
    check_all,
    check_distinct,
    check_name,
    make_classes,
    make_frame,
)
from steelscan.formats.pieces import pieces
from steelscan.formats.polygon import box, ellipse, turned
from steelscan.formats.shelf import Shelf
from steelscan.strip import (
    SILENT,
    STRICT,
    Classes,
    DatasetError,
    Fault,
    Frame,
    Mask,
    MaskError,
    Watch,
    replacing,
    write_text,
)

_PROGRAM = "Label Studio JSON"
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the names of uploaded files."""

_TAGS = ("choices", "taxonomy", "textarea", "rating", "number")
"""Results that say something of the whole picture, or more of a region."""

_NO_SHAPES = (*_TAGS, "datetime", "pairwise", "relation")


class _Region(BaseModel):
    type: str
    value: dict[str, Any] = {}
    original_width: int = 0
    original_height: int = 0
    image_rotation: float = 0

    def labels(self) -> list[str]:
        """The classes of the region; usually one."""
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


def read(path: Path, watch: Watch = STRICT, shelf: Shelf | None = None) -> Iterator[Labelled]:
    """Read a Label Studio file, picture by picture in its order; one task of it is held.

    Raises DatasetError for what is no such file, for tasks annotated more than once and for
    pictures that stand twice, and MaskError for regions of a turned picture, of another size,
    without a class, or that enclose no pixels.
    """
    images: dict[int, str] = {}
    labels: set[str] = set()
    shelf = shelf or Shelf.beside(path)
    with opened(path) as file:
        for at, task in _tasks(file, path, watch):
            with watch.leaving_out():
                parts = _parts(task, path)
                if parts is None:
                    found = f"task {task.id} was skipped or not annotated, and is left out"
                    watch.note(Fault.NO_ANNOTATION, path, found)
                    continue
                images[at] = _image(task, path, shelf)
                for part in _regions(parts):
                    with suppress(DatasetError):  # told where it is drawn
                        labels.update(_region(part, path).labels())
        check_distinct(images.values(), path, watch)
        classes = _classes(labels, path)
        file.seek(0)
        for at, task in _tasks(file, path, SILENT):
            if at in images:
                with watch.leaving_out():
                    yield _labelled(task, images[at], classes, path, watch, shelf)


def write(path: Path, labelled: Iterable[Labelled]) -> tuple[Loss, ...]:
    """Write a Label Studio file, masks as brush masks, and ``classes.txt``. Nothing is lost.

    Raises DatasetError, also for a class that ``classes.txt`` cannot hold, MaskError and
    OutputError.
    """
    classes: Classes | None = None
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for number, each in enumerate(check_all(labelled, path, flat=True), start=1):
            classes = classes or _check_writable(each.classes, path)
            size = {"width": each.frame.width, "height": each.frame.height}
            masks = each.by_class().items()
            result = [_brush(number, name, mask) for name, mask in masks if mask.any()]
            annotations = [{"id": number, "was_cancelled": False, "result": result}]
            data = {"image": quote(each.image), **size}
            file.write(",\n" if number > 1 else "[\n")
            task = {"id": number, "data": data, "annotations": annotations}
            file.write(json.dumps(task, ensure_ascii=False))
        file.write("\n]\n")
    listed = "".join(f"{name}\n" for name in (classes.names if classes else ()))
    write_text(path.with_name("classes.txt"), listed)
    return ()


def _tasks(file: BinaryIO, path: Path, watch: Watch) -> Iterator[tuple[int, _Task]]:
    for piece in pieces(file, path):
        if piece.name:
            found = "is not as expected: Input should be a valid list"
            remedy = f"Export it again as {_PROGRAM}"
            raise DatasetError(path, found, remedy, Fault.UNREADABLE_FILE)
        if piece.at >= 0:
            with watch.leaving_out():
                where = f"{path}, element {piece.at}"
                yield piece.at, parse_json(_Task, piece.content, where, _PROGRAM)


def _labelled(
    task: _Task, image: str, classes: Classes, path: Path, watch: Watch, shelf: Shelf
) -> Labelled:
    where, parts = f"{path}, task {task.id}", _parts(task, path) or []
    frame = _frame(image, parts, task, path, shelf)
    canvas = Canvas(image, frame, classes, watch)
    regions = _regions(parts)
    for number, part in enumerate(regions, start=1):
        with canvas.shape():
            each = f"{where}, region {number}"
            _draw(canvas, _region(part, each), frame, each)
    drawn = [part["id"] for part in regions if "id" in part]
    for part in parts:
        if part.get("type") in _TAGS and part.get("id") not in drawn:
            canvas.tag(f"holds {part['type']} for the whole picture", where)
    return canvas.labelled()


def _image(task: _Task, path: Path, shelf: Shelf) -> str:
    """The picture's name; of an address that nothing here has, its last part."""
    texts = [value for value in task.data.values() if isinstance(value, str)]
    address = task.data.get("image", texts[0] if len(texts) == 1 else None)
    if not isinstance(address, str):
        found = f"task {task.id} does not say which of its data is the picture"
        raise DatasetError(path, found, "Name that field 'image'", Fault.UNCLEAR)
    local = unquote(address.partition("?d=")[2] or address.partition("?")[0]).replace("\\", "/")
    last = check_name(local.rpartition("/")[2], path)
    for name in (local, _UPLOADED.sub("", last)):  # uploads get a prefix that no file had before
        picture = shelf.find(name)
        if picture is not None:
            return shelf.own_name(picture)
    return last


def _parts(task: _Task, path: Path) -> list[dict[str, Any]] | None:
    """What was said of a task's picture; None where nobody annotated it."""
    done = [each for each in task.annotations if not each.was_cancelled]
    if len(done) > 1:
        found = f"task {task.id} was annotated {len(done)} times"
        remedy = "Remove all but one of its annotations in Label Studio, and export it again"
        raise DatasetError(path, found, remedy, Fault.UNCLEAR)
    if not done:
        return None
    return done[0].result


def _regions(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those results that should say where."""
    return [part for part in parts if part.get("type") not in _NO_SHAPES]


def _region(part: dict[str, Any], where: object) -> _Region:
    return parse_part(_Region, part, where, _PROGRAM)


def _classes(labels: set[str], path: Path) -> Classes:
    beside = path.with_name("classes.txt")
    if beside.is_file():
        with opened(beside) as file:
            lines = file.read().decode("utf-8-sig", errors="replace").splitlines()
        return make_classes([line.strip() for line in lines if line.strip()], beside)
    return make_classes(sorted(labels), path)


def _frame(image: str, parts: list[dict[str, Any]], task: _Task, path: Path, shelf: Shelf) -> Frame:
    where = f"{path}, task {task.id}"
    given = ((part.get("original_height"), part.get("original_width")) for part in parts)
    sizes = {
        (high, wide) for high, wide in given if isinstance(high, int) and isinstance(wide, int)
    }
    data = (task.data.get("height"), task.data.get("width"))
    if len(sizes) > 1:
        found = "has regions of pictures of several sizes"
        raise MaskError(where, found, "Export it again", Fault.SIZE)
    if sizes:
        return make_frame(*sizes.pop(), where)
    if isinstance(data[0], int) and isinstance(data[1], int):
        return make_frame(data[0], data[1], where)
    if shelf.find(image) is None:
        remedy = f"Put its picture at {shelf.where(image)}, or name its folder with --images"
        found = "is clean, and nothing says the size of its picture"
        raise MaskError(where, found, remedy, Fault.NO_PICTURE)
    return shelf.frame(image)


def _draw(canvas: Canvas, region: _Region, frame: Frame, where: str) -> None:
    if region.image_rotation:
        found = "was drawn on a turned picture"
        remedy = "Turn the picture back in Label Studio, and draw it again"
        raise MaskError(where, found, remedy, Fault.UNCLEAR)
    names = region.labels()
    if not names:
        raise MaskError(where, "has no class", "Give the region a label", Fault.UNKNOWN_CLASS)
    value = region.value
    for name in names:
        if "rle" in value:
            values = unpack(value["rle"], frame.pixels * 4, where)
            canvas.mask(name, values[3::4].reshape(frame) > 0, where)
        elif "points" in value:
            canvas.polygon(name, _pixels(value["points"], frame, where), where)
        elif {"x", "y", "radiusX", "radiusY"} <= value.keys():
            canvas.filled(name, _oval(value, frame, where), "an ellipse", where)
        elif {"x", "y", "width", "height"} <= value.keys():
            canvas.filled(name, _box(value, frame, where), "a rectangle", where)
        else:
            found = f"is of the type {region.type}, which says where, not which pixels"
            remedy = "Outline the defect with a brush or a polygon"
            raise MaskError(where, found, remedy, Fault.NO_OUTLINE)


def _pixels(points: object, frame: Frame, where: str) -> object:
    """Corners in pixels from corners in percent."""
    try:
        percent = np.asarray(points, np.float64)
        return percent * (frame.width / 100, frame.height / 100)
    except (TypeError, ValueError):
        found = "holds more than points"
        raise MaskError(where, found, "Export it again", Fault.POLYGON) from None


def _box(value: dict[str, Any], frame: Frame, where: str) -> NDArray[np.float64]:
    """Corners of a rectangle, which is turned about its upper left one."""
    left, top, width, height = _numbers(value, ("x", "y", "width", "height"), where)
    percent = box(left, top, left + width, top + height) * (frame.width / 100, frame.height / 100)
    return turned(percent, percent[0], *_numbers(value, ("rotation",), where))


def _oval(value: dict[str, Any], frame: Frame, where: str) -> NDArray[np.float64]:
    x, y, across, down = _numbers(value, ("x", "y", "radiusX", "radiusY"), where)
    wide, high = frame.width / 100, frame.height / 100
    (degrees,) = _numbers(value, ("rotation",), where)
    return ellipse(x * wide, y * high, across * wide, down * high, degrees)


def _numbers(value: dict[str, Any], names: Sequence[str], where: str) -> list[float]:
    try:
        return [float(value.get(name, 0)) for name in names]
    except (TypeError, ValueError, OverflowError):
        raise MaskError(
            where, "holds more than numbers", "Export it again", Fault.POLYGON
        ) from None


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


def _check_writable(classes: Classes, path: Path) -> Classes:
    for name in classes.names:
        if name != name.strip() or not name.isprintable():
            found = f"cannot hold the class {name!r} in classes.txt"
            raise DatasetError(path, found, "Rename the class, or choose another format")
    return classes
