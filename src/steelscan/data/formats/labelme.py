"""LabelMe: one JSON file a picture, beside it or in a folder of its own, with polygons and masks.

(wkentaro/labelme, version 5.) ``labels.txt`` lists the classes, one a line; without it they are
those that any file names, by name. Shapes may be polygons or masks (a PNG in base64, from the
first of its two points to the second, both inside). Rectangles, circles, lines and points say
where, not which pixels, and are refused.
"""

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image
from pydantic import BaseModel

from steelscan.data.annotations import plain
from steelscan.data.files import Files, open_files
from steelscan.data.formats.class_pngs import png_of
from steelscan.data.formats.content import parse_json
from steelscan.data.formats.labelled import (
    Canvas,
    Labelled,
    Loss,
    check_all,
    check_distinct,
    make_classes,
    make_frame,
)
from steelscan.data.picture import read_index_picture
from steelscan.data.shelf import Shelf, leads_out
from steelscan.data.watch import STRICT, Watch
from steelscan.strip import Classes, DatasetError, Fault, Mask, MaskError, write_json, write_text

INSIDE = ("", "images/")
"""Where names of pictures begin."""

_NO_CLASS = ("", "__ignore__", "_background_")
"""Lines of ``labels.txt`` that name no defect."""


class _Shape(BaseModel):
    label: str
    points: list[tuple[float, float]]
    shape_type: str | None = "polygon"
    mask: str | None = None


class _File(BaseModel):
    shapes: list[_Shape]
    imagePath: str  # noqa: N815 - the field's name in the file
    imageHeight: int  # noqa: N815
    imageWidth: int  # noqa: N815


def read(path: Path, watch: Watch = STRICT, shelf: Shelf | None = None) -> Iterator[Labelled]:
    """Read a folder or zip of JSON files, sorted by name; the pictures are not looked at.

    A picture's name is relative to ``path``. Raises DatasetError for files that are no LabelMe
    JSON, and for pictures outside the data set or annotated twice, and MaskError for unknown
    classes and shapes that enclose no pixels.
    """
    files = open_files(path)
    shelf = shelf or Shelf(files, INSIDE)
    names = [name for name in files.walk() if name.endswith(".json")]
    if not names:
        raise DatasetError(path, "holds no JSON files", "Name the folder where LabelMe saved")
    # Only names are kept of a first look: shapes and embedded pictures would fill the memory.
    labels: set[str] = set()
    images: dict[str, str] = {}
    for name in names:
        with watch.over():
            content = _parse(files, name)
            images[name] = _image(name, content, files, shelf)
            labels.update(shape.label for shape in content.shapes)
    check_distinct(images.values(), path, watch)
    classes = _classes(files, labels)
    for name, image in images.items():
        with watch.over():
            content, where = _parse(files, name), files.where(name)
            frame = make_frame(content.imageHeight, content.imageWidth, where)
            canvas = Canvas(image, frame, classes, watch)
            for number, shape in enumerate(content.shapes, start=1):
                with watch.over():
                    _draw(canvas, shape, f"{where}, shape {number}")
            yield canvas.labelled()


def write(path: Path, labelled: Iterable[Labelled]) -> tuple[Loss, ...]:
    """Write a JSON file a picture, and ``labels.txt``; masks as masks. Nothing is lost.

    The pictures belong beside the files, and are the caller's. Raises DatasetError, also for a
    class that ``labels.txt`` cannot hold, MaskError and OutputError.
    """
    classes: Classes | None = None
    for each in check_all(labelled, path, by_stem=True):
        classes = classes or _check_writable(each.classes, path)
        masks = each.by_class().items()
        content: dict[str, Any] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": [_shape(name, mask) for name, mask in masks if mask.any()],
            "imagePath": PurePosixPath(each.image).name,
            "imageData": None,
            "imageHeight": each.frame.height,
            "imageWidth": each.frame.width,
        }
        write_json(path / PurePosixPath(each.image).with_suffix(".json"), content)
    if classes is not None:
        write_text(path / "labels.txt", "".join(f"{name}\n" for name in classes.names))
    return ()


def _parse(files: Files, name: str) -> _File:
    return parse_json(_File, files.read(name), files.where(name), "LabelMe JSON")


def _image(name: str, content: _File, files: Files, shelf: Shelf) -> str:
    """The picture's name: its path starts from the JSON file, which may lie in another folder."""
    path = content.imagePath
    below = "" if leads_out(path) else PurePosixPath(name).parent.as_posix() + "/"
    image = shelf.name(below + path, files.where(name))
    found = shelf.find(image)
    return image if found is None or plain(found) == plain(image) else shelf.own_name(found)


def _classes(files: Files, labels: set[str]) -> Classes:
    if files.exists("labels.txt"):
        lines = files.read("labels.txt").decode("utf-8-sig", errors="replace").splitlines()
        listed = [line.strip() for line in lines if line.strip() not in _NO_CLASS]
        return make_classes(listed, files.where("labels.txt"))
    if not labels:
        remedy = "Add labels.txt with a class a line"
        raise DatasetError(files.where(""), "names no class in any file", remedy)
    return make_classes(sorted(labels), files.where(""))


def _draw(canvas: Canvas, shape: _Shape, where: str) -> None:
    if shape.shape_type in ("polygon", None):
        canvas.polygon(shape.label, shape.points, where)
        return
    if shape.shape_type != "mask" or shape.mask is None or len(shape.points) != 2:
        found = f"is a {shape.shape_type}, which says where, not which pixels"
        if shape.shape_type == "mask":
            found = "is a mask without its PNG, or without its two corners"
        remedy = "Outline the defect as a polygon or a mask"
        raise MaskError(where, found, remedy, Fault.NO_OUTLINE)
    (left, top), (right, bottom) = shape.points
    try:
        content = base64.b64decode(shape.mask, validate=True)
    except ValueError:  # wrong padding, and characters beyond ASCII
        found, remedy = "holds no base64 in its mask", "Save the file again"
        raise MaskError(where, found, remedy, Fault.RUNS) from None
    mask = read_index_picture(content, where) > 0
    if not np.allclose(mask.shape, (bottom - top + 1, right - left + 1)):
        found = f"holds a mask of {mask.shape[0]}x{mask.shape[1]} between other corners"
        raise MaskError(where, found, "Save the file again with LabelMe", Fault.SIZE)
    canvas.mask(shape.label, mask, where, (round(top), round(left)))


def _shape(name: str, mask: Mask) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    first, last = (int(columns[0]), int(rows[0])), (int(columns[-1]), int(rows[-1]))
    box = mask[first[1] : last[1] + 1, first[0] : last[0] + 1]
    return {
        "label": name,
        "points": [[float(at) for at in first], [float(at) for at in last]],
        "group_id": None,
        "description": "",
        "shape_type": "mask",
        "flags": {},
        "mask": base64.b64encode(png_of(Image.fromarray(box))).decode(),
    }


def _check_writable(classes: Classes, path: Path) -> Classes:
    for name in classes.names:
        if name in _NO_CLASS or name != name.strip() or not name.isprintable():
            found = f"cannot hold the class {name!r} in labels.txt"
            raise DatasetError(path, found, "Rename the class, or choose another format")
    return classes
