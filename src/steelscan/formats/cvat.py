"""CVAT for images 1.1: one XML file, with polygons and masks.

(XML annotation format page of docs.cvat.ai.) A mask has a box (left, top, width, height) and
counts of pixels along its rows, the first outside. Boxes and ellipses are filled, and noted.
Lines, points and skeletons say where, not which pixels, and are refused; so are the tags of a
picture without shapes, while those beside shapes are passed over. A picture of a subset is named
below its folder; frames of a video have no ending in their names.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from steelscan.data import key
from steelscan.formats.content import opened, refuse_doctype
from steelscan.formats.counts import from_counts, to_counts
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
from steelscan.formats.shelf import Shelf
from steelscan.strip import STRICT, Classes, DatasetError, Fault, Mask, MaskError, Watch, replacing

_AGAIN = "Correct it there, or export the task again as CVAT for images 1.1"
_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,12}\s*")


def read(path: Path, watch: Watch = STRICT, shelf: Shelf | None = None) -> Iterator[Labelled]:
    """Read a CVAT file, picture by picture in its order; the pictures are not looked at.

    Of the file one picture is held. Classes are the labels of its ``meta``, in order. Raises
    DatasetError for what is no such file and for pictures that stand twice, and MaskError for
    unknown classes, for shapes that enclose no pixels, and for masks that do not fill their box or
    leave the picture.
    """
    labels: list[str] = []
    classes: Classes | None = None
    shelf = shelf or Shelf.beside(path)
    seen: set[str] = set()
    for element in _elements(path):
        if element.tag == "meta":
            labels += [(each.findtext("name") or "").strip() for each in element.iter("label")]
            continue
        classes = classes or make_classes(list(dict.fromkeys(labels)), path)
        with watch.leaving_out():
            name = shelf.name(_name(element), path)
            if key(name) in seen:
                check_distinct((name, name), path, watch)
            seen.add(key(name))
            yield _labelled(element, name, classes, path, watch)
    if classes is None:
        make_classes(list(dict.fromkeys(labels)), path)


def write(path: Path, labelled: Iterable[Labelled]) -> tuple[Loss, ...]:
    """Write a CVAT file, masks as masks. Nothing is lost.

    Raises DatasetError, also for a class whose name XML does not keep, MaskError and OutputError.
    """
    classes: Classes | None = None
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(b"<?xml version='1.0' encoding='utf-8'?>\n<annotations>\n")
        for number, each in enumerate(check_all(labelled, path)):
            if classes is None:
                classes = _check_writable(each.classes, path)
                file.write(_text(*_head(classes)))
            file.write(_text(_image(number, each)))
        file.write(b"</annotations>\n")
    return ()


def _elements(path: Path) -> Iterator[ElementTree.Element]:
    """The ``meta`` and ``image`` elements, each forgotten when the next one is asked for."""
    try:
        with opened(path) as file:
            refuse_doctype(file, path)
            events = ElementTree.iterparse(file, events=("start", "end"))
            _, root = next(events)
            if root.tag != "annotations":
                raise DatasetError(path, f"is XML of {root.tag}", _AGAIN, Fault.UNREADABLE_FILE)
            for event, element in events:
                if event == "start" and element.tag == "track":
                    found = "holds a video's tracks, of which frames between key frames are missing"
                    remedy = "In CVAT, export the task as 'CVAT for images 1.1', not 'for video'"
                    raise DatasetError(path, found, remedy, Fault.UNREADABLE_FILE)
                if event == "end" and element.tag in ("meta", "image"):
                    yield element
                    root.clear()
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the latter: its encoding
        found = f"is no whole XML file ({error})"
        raise DatasetError(path, found, _AGAIN, Fault.UNREADABLE_FILE) from None


def _name(image: ElementTree.Element) -> str:
    """A picture's name below the folder of its subset, which CVAT gives apart."""
    name, subset = image.get("name", ""), image.get("subset", "")
    below = not subset or name.startswith(f"{subset}/")
    return name if below else f"{subset}/{name}"


def _labelled(
    image: ElementTree.Element, name: str, classes: Classes, path: Path, watch: Watch
) -> Labelled:
    where = f"{path}, {name}"
    frame = make_frame(_number(image, "height", where), _number(image, "width", where), where)
    canvas = Canvas(name, frame, classes, watch)
    for number, shape in enumerate(image, start=1):
        with canvas.shape():
            _draw(canvas, shape, f"{where}, shape {number}")
    return canvas.labelled()


def _draw(canvas: Canvas, shape: ElementTree.Element, where: str) -> None:
    label = shape.get("label", "")
    if shape.tag == "tag":
        canvas.tag(f"is a tag of the whole picture, {label[:40]!r}", where)
    elif shape.tag == "polygon":
        canvas.polygon(label, _points(shape.get("points", ""), where), where)
    elif shape.tag == "mask":
        height, width = _number(shape, "height", where), _number(shape, "width", where)
        inner = make_frame(height, width, where)
        try:
            counts = [int(count) for count in shape.get("rle", "").split(",")]
        except ValueError:
            found = "holds more than counts in its rle"
            raise MaskError(where, found, _AGAIN, Fault.RUNS) from None
        mask = from_counts(counts, inner.pixels, where).reshape(inner)
        canvas.mask(
            label, mask, where, (_number(shape, "top", where), _number(shape, "left", where))
        )
    elif shape.tag == "box":
        sides = [_real(shape, name, where) for name in ("xtl", "ytl", "xbr", "ybr", "rotation")]
        canvas.filled(label, box(*sides), "a box", where)
    elif shape.tag == "ellipse":
        parts = [_real(shape, name, where) for name in ("cx", "cy", "rx", "ry", "rotation")]
        canvas.filled(label, ellipse(*parts), "an ellipse", where)
    else:
        found = f"is a {shape.tag}, which says where, not which pixels"
        remedy = "Outline the defect as a polygon or a mask"
        raise MaskError(where, found, remedy, Fault.NO_OUTLINE)


def _points(text: str, where: str) -> NDArray[np.float64]:
    try:
        pairs = [[float(part) for part in pair.split(",")] for pair in text.split(";")]
        return np.array(pairs, np.float64)
    except ValueError:
        found = "holds more than points 'x,y;x,y'"
        raise MaskError(where, found, _AGAIN, Fault.POLYGON) from None


def _real(element: ElementTree.Element, name: str, where: str) -> float:
    text = element.get(name, "0" if name == "rotation" else "")
    try:
        return float(text)
    except ValueError:
        raise MaskError(where, f"gives {name} as {text[:40]!r}", _AGAIN, Fault.POLYGON) from None


def _number(element: ElementTree.Element, name: str, where: str) -> int:
    text = element.get(name, "")
    if not _NUMBER.fullmatch(text):
        raise MaskError(where, f"gives {name} as {text[:40]!r}", _AGAIN)
    return int(text)


def _head(classes: Classes) -> tuple[ElementTree.Element, ElementTree.Element]:
    version, meta = ElementTree.Element("version"), ElementTree.Element("meta")
    version.text = "1.1"
    labels = ElementTree.SubElement(ElementTree.SubElement(meta, "task"), "labels")
    for name in classes.names:
        label = ElementTree.SubElement(labels, "label")
        ElementTree.SubElement(label, "name").text = name
    return version, meta


def _image(number: int, each: Labelled) -> ElementTree.Element:
    size = {"width": str(each.frame.width), "height": str(each.frame.height)}
    image = ElementTree.Element("image", {"id": str(number), "name": each.image} | size)
    for name, mask in each.by_class().items():
        if mask.any():
            ElementTree.SubElement(image, "mask", _attributes(name, mask))
    return image


def _text(*elements: ElementTree.Element) -> bytes:
    for element in elements:
        ElementTree.indent(element, level=1)
    lines = (ElementTree.tostring(element, encoding="unicode") for element in elements)
    return "".join(f"  {line}\n" for line in lines).encode()


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
