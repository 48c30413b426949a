"""LabelMe: one JSON file a picture, beside it or in a folder of its own, with polygons and masks.

(wkentaro/labelme, version 3 to 5.) ``labels.txt`` lists the classes, one a line; without it they
are those that any file names, by name. Shapes may be polygons or masks (a PNG in base64, from the
first of its two points to the second, both inside). Rectangles and circles are filled, and noted.
Lines and points say where, not which pixels, and are refused. Version 3 does not give a picture's
size: that beside the file, or the embedded one, is asked. JSON of other programs is passed over,
and shapes of the label ``_background_``; those of ``__ignore__`` are refused.
"""

import base64
import math
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image
from pydantic import BaseModel, RootModel

from steelscan.data import open_index_picture, picture_frame, plain
from steelscan.data.files import Files, open_files
from steelscan.formats.class_pngs import png_of
from steelscan.formats.content import parse_json, parse_part
from steelscan.formats.labelled import (
    Canvas,
    Labelled,
    Loss,
    check_all,
    check_distinct,
    make_classes,
    make_frame,
)
from steelscan.formats.polygon import box, ellipse
from steelscan.formats.shelf import Shelf, leads_out
from steelscan.strip import (
    STRICT,
    Classes,
    DatasetError,
    Fault,
    Frame,
    Mask,
    MaskError,
    PictureError,
    Watch,
    write_json,
    write_text,
)

INSIDE = ("", "images/")
"""Where names of pictures begin."""

_SOUND, _NEITHER = "_background_", "__ignore__"
"""Labels of LabelMe's own for what is no object, and for what is not to be judged."""

_NO_CLASS = ("", _NEITHER, _SOUND)
"""Lines of ``labels.txt`` that name no defect."""


class _Shape(BaseModel):
    label: str
    points: list[tuple[float, float]]
    shape_type: str | None = "polygon"
    mask: str | None = None


class _Any(RootModel[Any]):
    """JSON of whatever program."""

    def is_foreign(self) -> bool:
        """Whether nothing there is LabelMe's."""
        fields = self.root.keys() if isinstance(self.root, dict) else set()
        return not {"shapes", "imagePath"} & fields


class _File(BaseModel):
    shapes: list[dict[str, Any]]
    imagePath: str  # noqa: N815 - the field's name in the file
    imageHeight: int | None = None  # noqa: N815
    imageWidth: int | None = None  # noqa: N815
    imageData: str | None = None  # noqa: N815

    def labels(self) -> set[str]:
        """The classes that the shapes name."""
        labels = (shape.get("label") for shape in self.shapes)
        return {label.strip() for label in labels if isinstance(label, str)} - {*_NO_CLASS}


def read(path: Path, watch: Watch = STRICT, shelf: Shelf | None = None) -> Iterator[Labelled]:
    """Read a folder or zip of JSON files, sorted by name; the pictures are not looked at.

    A picture's name is relative to ``path``. Raises DatasetError for files that are no LabelMe
    JSON, and for pictures outside the data set or annotated twice, and MaskError for unknown
    classes and shapes that enclose no pixels.
    """
    files = open_files(path)
    shelf = shelf or Shelf(files, INSIDE)
    names = [name for name in files.walk(links=True) if name.lower().endswith(".json")]
    if not names:
        raise DatasetError(path, "holds no JSON files", "Name the folder where LabelMe saved")
    # Only names are kept of a first look: shapes and embedded pictures would fill the memory.
    labels: set[str] = set()
    images: dict[str, str] = {}
    for name in names:
        with watch.leaving_out():
            content = _parse(files, name)
            if content is None:
                watch.note(Fault.FOREIGN, files.where(name), "is no LabelMe file: passed over")
                continue
            images[name] = _image(name, content, files, shelf)
            labels |= content.labels()
    if not images:
        raise DatasetError(path, "holds no LabelMe files", "Name the folder where LabelMe saved")
    check_distinct(images.values(), path, watch)
    classes = _classes(files, labels)
    for name, image in images.items():
        with watch.leaving_out():
            content = _parse(files, name)
            assert content is not None  # it was a LabelMe file just now
            canvas = Canvas(image, _frame(content, image, shelf, files.where(name)), classes, watch)
            for number, part in enumerate(content.shapes, start=1):
                where = f"{files.where(name)}, shape {number}"
                with canvas.shape():
                    shape = parse_part(_Shape, part, where, "LabelMe JSON")
                    if shape.label.strip() in (_SOUND, _NEITHER):
                        _pass_over(shape.label.strip(), image, where, watch)
                    else:
                        _draw(canvas, shape, where)
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


def _parse(files: Files, name: str) -> _File | None:
    """A file of LabelMe; None for whole JSON of another program. Raises DatasetError."""
    content, where = files.read(name), files.where(name)
    if parse_json(_Any, content, where, "LabelMe JSON").is_foreign():
        return None
    return parse_json(_File, content, where, "LabelMe JSON")


def _frame(content: _File, image: str, shelf: Shelf, where: str) -> Frame:
    if content.imageHeight is not None and content.imageWidth is not None:
        return make_frame(content.imageHeight, content.imageWidth, where)
    if shelf.find(image) is not None:
        return shelf.frame(image)
    try:
        return picture_frame(base64.b64decode(content.imageData or "", validate=True), where)
    except (ValueError, PictureError):
        found, remedy = "does not say the size of its picture", f"Put the picture at {image}"
        raise MaskError(where, found, remedy, Fault.NO_PICTURE) from None


def _image(name: str, content: _File, files: Files, shelf: Shelf) -> str:
    """The picture's name: its path starts from the JSON file, which may lie in another folder."""
    path = content.imagePath
    below = "" if leads_out(path) or "/" not in name else f"{PurePosixPath(name).parent}/"
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


def _pass_over(label: str, image: str, where: str, watch: Watch) -> None:
    """Note a shape of sound steel. Raises MaskError for one that is not to be judged."""
    if label == _NEITHER:
        found = f"is {label} of {image}, neither sound nor a defect, and no mask can say that"
        remedy = "Outline what is defective there, or leave it out with --on-error skip"
        raise MaskError(where, found, remedy, Fault.UNCLEAR)
    found = f"is {label} of {image}, which is sound steel"
    watch.note(Fault.PASSED_OVER, where, found)


def _draw(canvas: Canvas, shape: _Shape, where: str) -> None:
    kind, corners = shape.shape_type, len(shape.points)
    if kind in ("polygon", None) or (kind in ("rectangle", "rotation") and corners == 4):
        canvas.polygon(shape.label, shape.points, where)
        return
    if kind == "rectangle" and corners == 2:
        canvas.filled(shape.label, box(*shape.points[0], *shape.points[1]), "a rectangle", where)
        return
    if kind == "circle" and corners == 2:
        middle, rim = shape.points
        radius = math.dist(middle, rim)
        canvas.filled(shape.label, ellipse(*middle, radius, radius), "a circle", where)
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
    mask = open_index_picture(content, where).values > 0
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
