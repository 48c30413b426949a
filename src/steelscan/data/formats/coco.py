"""COCO: one JSON file of images, annotations and categories.

(Data format page of cocodataset.org; Lin et al. 2014, arXiv:1405.0312.) A segmentation is a list
of polygons, whose union counts, or counts of pixels down the columns, as a list or as a string.
Crowds are masks like all others. A polygon cannot have a hole: masks with one are written as
counts, all others as polygons. One annotation a class and picture is written: instances are not
told apart.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from steelscan.data.formats.content import parse_json, read_file
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
from steelscan.data.formats.polygon import outlines
from steelscan.strip import DatasetError, Frame, Mask, MaskError, write_text


class _Counts(BaseModel):
    size: tuple[int, int]
    counts: list[int] | str


class _Image(BaseModel):
    id: int
    file_name: str
    height: int
    width: int


class _Category(BaseModel):
    id: int
    name: str


class _Annotation(BaseModel):
    id: int
    image_id: int
    category_id: int
    segmentation: list[list[float]] | _Counts = []


class _Coco(BaseModel):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def read(path: Path) -> Iterator[Labelled]:
    """Read a COCO file, picture by picture in its order; the pictures are not looked at.

    Classes stand in the order of the categories' ids. Raises DatasetError for what is no COCO
    file and for ids and names that stand twice or nowhere, and MaskError for a segmentation that
    is empty, a box alone, or of another size than its picture.
    """
    coco = parse_json(_Coco, read_file(path), path, "COCO JSON")
    names = {each.id: each.name for each in sorted(coco.categories, key=lambda each: each.id)}
    images = {each.id: each for each in coco.images}
    if len(names) != len(coco.categories) or len(images) != len(coco.images):
        raise DatasetError(path, "gives two images or two categories one id", "Number them anew")
    classes = make_classes(tuple(names.values()), path)
    check_distinct((each.file_name for each in coco.images), path)
    of_image: defaultdict[int, list[_Annotation]] = defaultdict(list)
    for annotation in coco.annotations:
        if annotation.image_id not in images or annotation.category_id not in names:
            found = (
                f"annotation {annotation.id} belongs to image {annotation.image_id}, category "
                f"{annotation.category_id}, which are not both listed"
            )
            raise DatasetError(path, found, "Add the missing one, or remove the annotation")
        of_image[annotation.image_id].append(annotation)
    for image in coco.images:
        frame = make_frame(image.height, image.width, f"{path}, {image.file_name}")
        canvas = Canvas(check_name(image.file_name, path), frame, classes)
        for annotation in of_image[image.id]:
            where = f"{path}, {image.file_name}, annotation {annotation.id}"
            _draw(canvas, annotation, names[annotation.category_id], frame, where)
        yield canvas.labelled()


def write(path: Path, labelled: Iterable[Labelled]) -> tuple[Loss, ...]:
    """Write a COCO file. Nothing is lost; raises DatasetError, MaskError and OutputError."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories: list[dict[str, Any]] = []
    for image_id, each in enumerate(check_all(labelled, path), start=1):
        height, width = each.frame
        images.append({"id": image_id, "file_name": each.image, "height": height, "width": width})
        categories = [
            {"id": class_id, "name": name}
            for class_id, name in zip(each.classes.ids, each.classes.names, strict=True)
        ]
        for class_id, mask in zip(each.classes.ids, each.masks, strict=True):
            if mask.any():
                ids = {"id": len(annotations) + 1, "image_id": image_id, "category_id": class_id}
                annotations.append(ids | _segmentation(mask))
    content = {"images": images, "annotations": annotations, "categories": categories}
    write_text(path, json.dumps(content, ensure_ascii=False) + "\n")
    return ()


def unpack(text: str, where: object) -> list[int]:
    """Counts from COCO's string: five bits a character, from the third on as differences.

    Written here because pycocotools fills what a short string leaves out with whatever the
    memory held. Raises MaskError for other characters and for a string that breaks off.
    """
    counts: list[int] = []
    value = shift = 0
    for char in text:
        bits = ord(char) - 48
        if not 0 <= bits < 64:
            raise MaskError(where, f"packed counts hold {char!r}", "Export the annotations again")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits >> 4 & 1) << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise MaskError(where, "packed counts break off", "Export the annotations again")
    return counts


def pack(counts: Sequence[int]) -> str:
    """Counts as COCO's string; see `unpack`."""
    chars: list[str] = []
    for at, count in enumerate(counts):
        value, more = count - (counts[at - 2] if at > 2 else 0), True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            chars.append(chr(48 + bits + 32 * more))
    return "".join(chars)


def _draw(canvas: Canvas, annotation: _Annotation, name: str, frame: Frame, where: object) -> None:
    segmentation = annotation.segmentation
    if not segmentation:
        found = "has no segmentation: a box alone says where, not which pixels"
        raise MaskError(where, found, "Outline the defect, or remove the annotation")
    if isinstance(segmentation, _Counts):
        if segmentation.size != frame:
            found = f"is {Frame(*segmentation.size)}, its picture is {frame}"
            raise MaskError(where, found, "Give both the same height and width")
        counts = segmentation.counts
        counts = unpack(counts, where) if isinstance(counts, str) else counts
        columns = from_counts(counts, frame.pixels, where).reshape(frame.width, frame.height)
        canvas.mask(name, columns.T, where)
        return
    for polygon in segmentation:
        if len(polygon) % 2:
            found = f"a polygon has {len(polygon)} numbers, an odd count"
            raise MaskError(where, found, "Give x and y for each corner")
        canvas.polygon(name, np.reshape(polygon, (-1, 2)), where)


def _segmentation(mask: Mask) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    box = [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top]
    polygons, holes = outlines(mask)
    shape: Any = [corners.reshape(-1).tolist() for corners in polygons]
    if holes:
        shape = {"size": list(mask.shape), "counts": pack(to_counts(mask.T.reshape(-1)))}
    return {"segmentation": shape, "area": int(mask.sum()), "bbox": box, "iscrowd": 0}
