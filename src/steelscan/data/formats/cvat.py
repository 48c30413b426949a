"""CVAT for images 1.1: one XML file, with polygons and masks.

(XML annotation format page of docs.cvat.ai.) A mask has a box (left, top, width, height) and
counts of pixels along its rows, the first outside. Boxes, ellipses, lines, points and skeletons
say where, not which pixels, and are refused; tags are passed over.
"""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from steelscan.data.formats.content import read_file
from steelscan.data.formats.counts import from_counts, to_counts
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
from steelscan.strip import Classes, DatasetError, Mask, MaskError, write_bytes

_AGAIN = "Export it again as CVAT for images 1.1"


def read(path: Path) -> Iterator[Labelled]:
    """Read a CVAT file, picture by picture in its order; the pictures are not looked at.

    Classes are the labels of its ``meta``, in order. Raises DatasetError for what is no such file
    and for pictures that stand twice, and MaskError for unknown classes, for shapes that enclose
    no pixels, and for masks that do not fill their box or leave the picture.
    """
    content = read_file(path)
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the latter: its encoding
        raise DatasetError(path, f"is no whole XML file ({error})", _AGAIN) from None
    if root.tag != "annotations" or root.find("track") is not None:
        found = "holds a video's tracks" if root.tag == "annotations" else f"is XML of {root.tag}"
        raise DatasetError(path, found, _AGAIN)
    names = [(label.findtext("name") or "").strip() for label in root.iterfind("meta//label")]
    classes = make_classes(list(dict.fromkeys(names)), path)
    images = root.findall("image")
    check_distinct((image.get("name", "") for image in images), path)
    for image in images:
        name = check_name(image.get("name", ""), path)
        where = f"{path}, {name}"
        frame = make_frame(_number(image, "height", where), _number(image, "width", where), where)
        canvas = Canvas(name, frame, classes)
        for number, shape in enumerate(image, start=1):
            _draw(canvas, shape, f"{where}, shape {number}")
        yield canvas.labelled()


def write(path: Path, labelled: Iterable[Labelled]) -> tuple[Loss, ...]:
    """Write a CVAT file, masks as masks. Nothing is lost.

    Raises DatasetError, also for a class whose name XML does not keep, MaskError and OutputError.
    """
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    classes: Classes | None = None
    for number, each in enumerate(check_all(labelled, path)):
        classes = classes or _check_writable(each.classes, path)
        size = {"width": str(each.frame.width), "height": str(each.frame.height)}
        names = {"id": str(number), "name": each.image}
        image = ElementTree.SubElement(root, "image", names | size)
        for name, mask in each.by_class().items():
            if mask.any():
                ElementTree.SubElement(image, "mask", _attributes(name, mask))
    labels = ElementTree.SubElement(task, "labels")
    for name in classes.names if classes else ():
        label = ElementTree.SubElement(labels, "label")
        ElementTree.SubElement(label, "name").text = name
    ElementTree.indent(root)
    file = io.BytesIO()
    ElementTree.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)
    write_bytes(path, file.getvalue() + b"\n")
    return ()


def _draw(canvas: Canvas, shape: ElementTree.Element, where: str) -> None:
    label = shape.get("label", "")
    if shape.tag == "tag":
        return
    if shape.tag == "polygon":
        canvas.polygon(label, _points(shape.get("points", ""), where), where)
    elif shape.tag == "mask":
        height, width = _number(shape, "height", where), _number(shape, "width", where)
        box = make_frame(height, width, where)
        try:
            counts = [int(count) for count in shape.get("rle", "").split(",")]
        except ValueError:
            raise MaskError(where, "holds more than counts in its rle", _AGAIN) from None
        mask = from_counts(counts, box.pixels, where).reshape(box)
        canvas.mask(
            label, mask, where, (_number(shape, "top", where), _number(shape, "left", where))
        )
    else:
        found = f"is a {shape.tag}, which says where, not which pixels"
        raise MaskError(where, found, "Outline the defect as a polygon or a mask")


def _points(text: str, where: str) -> NDArray[np.float64]:
    try:
        pairs = [[float(part) for part in pair.split(",")] for pair in text.split(";")]
        return np.array(pairs, np.float64)
    except ValueError:
        raise MaskError(where, "holds more than points 'x,y;x,y'", _AGAIN) from None


def _number(element: ElementTree.Element, name: str, where: str) -> int:
    text = element.get(name, "")
    try:
        return int(text)
    except ValueError:
        raise MaskError(where, f"gives {name} as {text[:40]!r}", _AGAIN) from None


def _attributes(name: str, mask: Mask) -> dict[str, str]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return {
        "label": name,
        "source": "manual",
        "occluded": "0",
        "rle": ", ".join(map(str, to_counts(box.reshape(-1)))),
        "left": str(columns[0]),
        "top": str(rows[0]),
        "width": str(box.shape[1]),
        "height": str(box.shape[0]),
        "z_order": "0",
    }


def _check_writable(classes: Classes, path: Path) -> Classes:
    for name in classes.names:
        if name != name.strip() or not name.isprintable():
            found = f"cannot hold the class {name!r} in XML"
            raise DatasetError(path, found, "Rename the class, or choose another format")
    return classes
