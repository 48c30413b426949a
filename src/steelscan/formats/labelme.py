"""LabelMe: one JSON file per picture, next to it or in a separate folder, with polygons and masks.

(wkentaro/labelme, version 3 to 5.) ``labels.txt`` lists the classes, one per line; without it they
are those of any file, sorted by name. Shapes may be polygons or masks (a PNG in base64, from the
first of its two points to the second, both inclusive). Rectangles and circles are filled, and
noted. Lines and points have no area and are refused. Version 3 does not give a picture's size: it
is read from the picture next to the file, or from the embedded one. JSON of other programs is
ignored, and shapes of the label ``_background_``; those of ``__ignore__`` are refused.
"""

import base64
import math
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pydantic import BaseModel, RootModel

from steelscan.data import open_index_picture, picture_frame
from steelscan.data.files import Files, open_files, plain
from steelscan.formats.annotated_picture import AnnotatedPicture, Loss, Pictures, check_class_names
from steelscan.formats.canvas import Canvas, no_area
from steelscan.formats.class_names import listed_classes, make_classes
from steelscan.formats.parsing import parse_json, parse_part, png_of
from steelscan.formats.picture_index import PictureIndex
from steelscan.formats.picture_names import check_distinct, leads_out
from steelscan.formats.polygon import bounding_box, box, ellipse
from steelscan.strip import Classes, Frame, Mask
from steelscan.strip.errors import DatasetError, Fault, FaultPolicy, MaskError, PictureError
from steelscan.strip.files import write_json, write_text

INSIDE = ("", "images/")
"""Where names of pictures start."""

_DEFECT_FREE, _NEITHER = "_background_", "__ignore__"
"""LabelMe's own labels for what is no object, and for what is to be ignored."""

_NO_CLASS = ("", _NEITHER, _DEFECT_FREE)
"""Lines of ``labels.txt`` that name no defect."""


class _Shape(BaseModel):
    label: str
    points: list[tuple[float, float]]
    shape_type: str | None = "polygon"
    mask: str | None = None


class _Any(RootModel[Any]):
    """JSON of any program."""

    def is_foreign(self) -> bool:
        """Return whether no field is LabelMe's."""
        fields = self.root.keys() if isinstance(self.root, dict) else set()
        return not {"shapes", "imagePath"} & fields


class _File(BaseModel):
    shapes: list[dict[str, Any]]
    imagePath: str  # noqa: N815 - the field's name in the file
    imageHeight: int | None = None  # noqa: N815
    imageWidth: int | None = None  # noqa: N815
    imageData: str | None = None  # noqa: N815

    def labels(self) -> set[str]:
        """Return the classes of the shapes."""
        labels = (shape.get("label") for shape in self.shapes)
        return {label.strip() for label in labels if isinstance(label, str)} - {*_NO_CLASS}


def read(path: Path, policy: FaultPolicy, index: PictureIndex | None) -> Pictures:
    """Read a folder or zip of JSON files, sorted by name; the pictures are not opened.

    A picture's name is relative to ``path``. Raises DatasetError for a file that is not LabelMe
    JSON, and for a picture outside the data set or annotated twice, and MaskError for an unknown
    class and a shape without area.
    """
    files = open_files(path)
    index = index or PictureIndex(files, INSIDE)
    names = [name for name in files.walk(links=True) if name.lower().endswith(".json")]
    remedy = "Choose the folder in which LabelMe saved its files"
    if not names:
        raise DatasetError(path, "holds no JSON files", remedy)
    # The first pass keeps only names: shapes and embedded pictures would fill the memory.
    labels: set[str] = set()
    images: dict[str, str] = {}
    for name in names:
        with policy.skipping():
            content = _parse(files, name)
            if content is None:
                policy.note(Fault.FOREIGN, files.where(name), "is not a LabelMe file: ignored")
                continue
            images[name] = _image(name, content, files, index)
            labels |= content.labels()
    if not images:
        raise DatasetError(path, "holds no LabelMe files", remedy)
    check_distinct(images.values(), path, policy)
    classes = listed_classes(files, "labels.txt", _NO_CLASS)
    if classes is None and not labels:
        remedy = "Add labels.txt with one class per line"
        raise DatasetError(files.where(""), "names no class in any file", remedy)
    classes = classes or make_classes(sorted(labels), files.where(""))
    for name, image in images.items():
        with policy.skipping():
            yield _picture(files, name, image, classes, policy, index)


def _parse(files: Files, name: str) -> _File | None:
    """Return a file of LabelMe; None for JSON of another program. Raises DatasetError."""
    content, where = files.read(name), files.where(name)
    if parse_json(_Any, content, where, "LabelMe JSON").is_foreign():
        return None
    return parse_json(_File, content, where, "LabelMe JSON")


def _image(name: str, content: _File, files: Files, index: PictureIndex) -> str:
    """Return the picture's name; its path starts at the folder of the JSON file."""
    path = content.imagePath
    below = "" if leads_out(path) or "/" not in name else f"{PurePosixPath(name).parent}/"
    image = index.name(below + path, files.where(name))
    file = index.find(image)
    return image if file is None or plain(file) == plain(image) else index.own_name(file)


def _picture(
    files: Files, name: str, image: str, classes: Classes, policy: FaultPolicy, index: PictureIndex
) -> AnnotatedPicture:
    content = _parse(files, name)
    assert content is not None  # the first pass keeps only files of LabelMe
    frame = _frame(content, image, index, files.where(name))
    canvas = Canvas(image, frame, classes, policy)
    for number, part in enumerate(content.shapes, start=1):
        where = f"{files.where(name)}, shape {number}"
        with canvas.shape():
            shape = parse_part(_Shape, part, where, "LabelMe JSON")
            if shape.label.strip() in (_DEFECT_FREE, _NEITHER):
                _ignore(shape.label.strip(), image, where, policy)
            else:
                _draw(canvas, shape, where)
    return canvas.finish()


def _frame(content: _File, image: str, index: PictureIndex, where: str) -> Frame:
    height, width = content.imageHeight, content.imageWidth
    if content.imageData and (height is None or width is None) and index.find(image) is None:
        try:
            embedded = base64.b64decode(content.imageData, validate=True)
            height, width = picture_frame(embedded, where)
        except (ValueError, PictureError):
            height = width = None
    return index.frame(image, height, width, where)


def _ignore(label: str, image: str, where: str, policy: FaultPolicy) -> None:
    """Note a shape of defect-free steel. Raises MaskError for one of ``__ignore__``."""
    if label == _NEITHER:
        problem = (
            f"is {label} of {image}, neither defect-free nor a defect, which no mask can express"
        )
        remedy = "Outline what is defective there, or leave it out with --on-error skip"
        raise MaskError(where, problem, remedy, Fault.UNCLEAR)
    problem = f"is {label} of {image}, which is defect-free steel"
    policy.note(Fault.PASSED_OVER, where, problem)


def _draw(canvas: Canvas, shape: _Shape, where: str) -> None:
    kind, corners = shape.shape_type, len(shape.points)
    if kind in ("polygon", None) or (kind in ("rectangle", "rotation") and corners == 4):
        canvas.polygon(shape.label, shape.points, where)
    elif kind == "rectangle" and corners == 2:
        canvas.filled(shape.label, box(*shape.points[0], *shape.points[1]), "a rectangle", where)
    elif kind == "circle" and corners == 2:
        middle, rim = shape.points
        radius = math.dist(middle, rim)
        canvas.filled(shape.label, ellipse(*middle, radius, radius), "a circle", where)
    elif kind == "mask":
        (left, top), mask = _mask(shape, where)
        canvas.mask(shape.label, mask, where, (top, left))
    else:
        raise no_area(str(kind), where)


def _mask(shape: _Shape, where: str) -> tuple[tuple[int, int], Mask]:
    """Return a mask and its upper left corner (x, y). Raises MaskError."""
    again = "Save the file again with LabelMe"
    if shape.mask is None or len(shape.points) != 2:
        problem = "is a mask without its PNG, or without its two corners"
        raise MaskError(where, problem, again, Fault.NO_OUTLINE)
    (left, top), (right, bottom) = shape.points
    try:
        content = base64.b64decode(shape.mask, validate=True)
    except ValueError:  # wrong padding, and characters beyond ASCII
        raise MaskError(where, "has no base64 in its mask", again, Fault.RUNS) from None
    mask = open_index_picture(content, where).values > 0
    if not np.allclose(mask.shape, (bottom - top + 1, right - left + 1)):
        problem = f"has a mask of {mask.shape[0]}x{mask.shape[1]} that does not fit its corners"
        raise MaskError(where, problem, again, Fault.SIZE)
    return (round(left), round(top)), mask


def write(path: Path, classes: Classes, pictures: Pictures) -> tuple[Loss, ...]:
    """Write one JSON file per picture, and ``labels.txt``; masks as masks. Nothing is lost.

    The caller writes the pictures, next to the files. Raises DatasetError, also for a class that
    ``labels.txt`` cannot hold, MaskError and OutputError.
    """
    check_class_names(classes, path, "labels.txt", _NO_CLASS.__contains__)
    for picture in pictures:
        masks = picture.by_class().items()
        content: dict[str, Any] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": [_shape(name, mask) for name, mask in masks if mask.any()],
            "imagePath": PurePosixPath(picture.image).name,
            "imageData": None,
            "imageHeight": picture.frame.height,
            "imageWidth": picture.frame.width,
        }
        write_json((path / picture.image).with_suffix(".json"), content)
    write_text(path / "labels.txt", "".join(f"{name}\n" for name in classes.names))
    return ()


def _shape(name: str, mask: Mask) -> dict[str, Any]:
    left, top, width, height = bounding_box(mask)
    part = mask[top : top + height, left : left + width]
    return {
        "label": name,
        "points": [[float(left), float(top)], [float(left + width - 1), float(top + height - 1)]],
        "group_id": None,
        "description": "",
        "shape_type": "mask",
        "flags": {},
        "mask": base64.b64encode(png_of(part)).decode(),
    }
