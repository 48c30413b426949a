"""CVAT for images 1.1: one XML file, with polygons and masks.

(XML annotation format page of docs.cvat.ai.) A mask has a box (left, top, width, height) and
counts of pixels along its rows, the first outside. Boxes and ellipses are filled, and noted.
Lines, points and skeletons have no area and are refused; so are the tags of a picture without
shapes, while tags of a picture with shapes are ignored. A picture of a subset is named below the
folder of the subset; the names of video frames have no ending.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from steelscan.data.files import key
from steelscan.formats.annotated_picture import AnnotatedPicture, Loss, Pictures, check_class_names
from steelscan.formats.canvas import Canvas, no_area
from steelscan.formats.class_names import make_classes
from steelscan.formats.counts import from_counts, to_counts
from steelscan.formats.parsing import new_text_file, numbers, opened, refuse_doctype, xml_errors
from steelscan.formats.picture_index import PictureIndex
from steelscan.formats.picture_names import check_distinct
from steelscan.formats.polygon import bounding_box, box, ellipse
from steelscan.strip import Classes, Frame, Mask
from steelscan.strip.errors import DatasetError, Fault, FaultPolicy, MaskError

_AGAIN = "Correct it there, or export the task again as CVAT for images 1.1"
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,12}\s*")
_BOX = ("xtl", "ytl", "xbr", "ybr", "rotation")
_ELLIPSE = ("cx", "cy", "rx", "ry", "rotation")


def read(path: Path, policy: FaultPolicy, index: PictureIndex) -> Pictures:
    """Read a CVAT file, picture by picture in its order; the pictures are not opened.

    One picture of the file is held in memory. Classes are the labels of its ``meta``, in order.
    Raises DatasetError for what is not such a file and for a picture that occurs twice, and
    MaskError for an unknown class, a shape without area, and a mask that does not fill its box or
    reaches outside the picture.
    """
    labels: list[str] = []
    classes: Classes | None = None
    names: set[str] = set()
    for element in _elements(path):
        if element.tag == "meta":
            labels += [(each.findtext("name") or "").strip() for each in element.iter("label")]
            continue
        classes = classes or make_classes(list(dict.fromkeys(labels)), path)
        with policy.skipping():
            name = index.name(_name(element), path)
            if key(name) in names:
                check_distinct((name, name), path, policy)
            names.add(key(name))
            yield _picture(element, name, classes, path, policy)
    if classes is None:
        make_classes(list(dict.fromkeys(labels)), path)


def _elements(path: Path) -> Iterator[ElementTree.Element]:
    """Yield the ``meta`` and ``image`` elements; each is released before the next is read."""
    with opened(path) as file, xml_errors(path, _AGAIN):
        refuse_doctype(file, path)
        events = ElementTree.iterparse(file, events=("start", "end"))
        _, root = next(events)
        if root.tag != "annotations":
            raise DatasetError(path, f"is XML of {root.tag}", _AGAIN, Fault.UNREADABLE_FILE)
        for event, element in events:
            if event == "start" and element.tag == "track":
                problem = "contains tracks of a video, without the frames between key frames"
                remedy = "In CVAT, export the task as 'CVAT for images 1.1', not 'for video'"
                raise DatasetError(path, problem, remedy, Fault.UNREADABLE_FILE)
            if event == "end" and element.tag in ("meta", "image"):
                yield element
                root.clear()


def _name(image: ElementTree.Element) -> str:
    """Return a picture's name below the folder of its subset, which CVAT gives separately."""
    name, subset = image.get("name", ""), image.get("subset", "")
    below = not subset or name.startswith(f"{subset}/")
    return name if below else f"{subset}/{name}"


def _picture(
    image: ElementTree.Element, name: str, classes: Classes, path: Path, policy: FaultPolicy
) -> AnnotatedPicture:
    where = f"{path}, {name}"
    canvas = Canvas(name, _frame(image, where), classes, policy)
    for number, shape in enumerate(image, start=1):
        with canvas.shape():
            _draw(canvas, shape, f"{where}, shape {number}")
    return canvas.finish()


def _draw(canvas: Canvas, shape: ElementTree.Element, where: str) -> None:
    label = shape.get("label", "")
    if shape.tag == "tag":
        canvas.tag(f"is a tag of the whole picture, {label[:40]!r}", where)
    elif shape.tag == "polygon":
        pairs = [pair.split(",") for pair in shape.get("points", "").split(";")]
        canvas.polygon(label, pairs, where)
    elif shape.tag == "mask":
        at = (_integer(shape, "top", where), _integer(shape, "left", where))
        canvas.mask(label, _mask(shape, where), where, at)
    elif shape.tag == "box":
        canvas.filled(label, box(*_attributes(shape, _BOX, where)), "a box", where)
    elif shape.tag == "ellipse":
        canvas.filled(label, ellipse(*_attributes(shape, _ELLIPSE, where)), "an ellipse", where)
    else:
        raise no_area(shape.tag, where)


def _mask(shape: ElementTree.Element, where: str) -> Mask:
    frame = _frame(shape, where)
    try:
        counts = [int(count) for count in shape.get("rle", "").split(",")]
    except ValueError:
        problem = "contains something other than counts in its rle"
        raise MaskError(where, problem, _AGAIN, Fault.RUNS) from None
    mask: Mask = from_counts(counts, frame.pixels, where).reshape(frame)
    return mask


def _attributes(
    element: ElementTree.Element, names: Sequence[str], where: str
) -> NDArray[np.float64]:
    texts = [element.get(name, "0" if name == "rotation" else "") for name in names]
    return numbers(texts, where)


def _frame(element: ElementTree.Element, where: str) -> Frame:
    height, width = _integer(element, "height", where), _integer(element, "width", where)
    return Frame(height, width).checked(where)


def _integer(element: ElementTree.Element, name: str, where: str) -> int:
    text = element.get(name, "")
    if not _INTEGER.fullmatch(text):
        raise MaskError(where, f"gives {name} as {text[:40]!r}", _AGAIN)
    return int(text)


def write(path: Path, classes: Classes, pictures: Pictures) -> tuple[Loss, ...]:
    """Write a CVAT file, masks as masks. Nothing is lost.

    Raises DatasetError, also for a class whose name XML does not keep, MaskError and OutputError.
    """
    check_class_names(classes, path, "XML")
    with new_text_file(path) as file:
        file.write("<?xml version='1.0' encoding='utf-8'?>\n<annotations>\n")
        file.write(_text(*_head(classes)))
        for number, picture in enumerate(pictures):
            file.write(_text(_image(number, picture)))
        file.write("</annotations>\n")
    return ()


def _head(classes: Classes) -> tuple[ElementTree.Element, ElementTree.Element]:
    version, meta = ElementTree.Element("version"), ElementTree.Element("meta")
    version.text = "1.1"
    labels = ElementTree.SubElement(ElementTree.SubElement(meta, "task"), "labels")
    for name in classes.names:
        label = ElementTree.SubElement(labels, "label")
        ElementTree.SubElement(label, "name").text = name
    return version, meta


def _image(number: int, picture: AnnotatedPicture) -> ElementTree.Element:
    size = {"width": str(picture.frame.width), "height": str(picture.frame.height)}
    image = ElementTree.Element("image", {"id": str(number), "name": picture.image} | size)
    for name, mask in picture.by_class().items():
        if mask.any():
            ElementTree.SubElement(image, "mask", _mask_attributes(name, mask))
    return image


def _mask_attributes(name: str, mask: Mask) -> dict[str, str]:
    left, top, width, height = bounding_box(mask)
    counts = to_counts(mask[top : top + height, left : left + width].reshape(-1))
    return {
        "label": name,
        "source": "manual",
        "occluded": "0",
        "rle": ", ".join(map(str, counts)),
        "left": str(left),
        "top": str(top),
        "width": str(width),
        "height": str(height),
        "z_order": "0",
    }


def _text(*elements: ElementTree.Element) -> str:
    for element in elements:
        ElementTree.indent(element, level=1)
    lines = (ElementTree.tostring(element, encoding="unicode") for element in elements)
    return "".join(f"  {line}\n" for line in lines)
