"""COCO: one JSON file of images, annotations and categories.

(Data format page of cocodataset.org; Lin et al. 2014, arXiv:1405.0312.) A segmentation is a list
of polygons, whose union counts, or counts of pixels down the columns, as a list or as a string.
Crowds are masks like all others. A polygon cannot have a hole: masks with holes are written as
counts, all others as polygons, one annotation per class and picture. Instances are not
distinguished. Ids may be texts. If a picture's size is missing, it is read from the picture.
Roboflow's root category, which only names the kind of the others, is not a class.
"""

import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from steelscan.formats.annotated_picture import AnnotatedPicture, Loss, Pictures
from steelscan.formats.canvas import Canvas
from steelscan.formats.class_names import make_classes
from steelscan.formats.counts import from_counts, pack_counts, to_counts, unpack_counts
from steelscan.formats.json_pieces import Piece, pieces
from steelscan.formats.parsing import Model, new_text_file, opened, parse_json
from steelscan.formats.picture_index import PictureIndex
from steelscan.formats.picture_names import check_distinct
from steelscan.formats.polygon import bounding_box, outlines
from steelscan.strip import Classes, Frame, Mask
from steelscan.strip.errors import DatasetError, Fault, FaultPolicy, MaskError

_FIRST = -(2**63)
"""Ids that are texts are numbered from here on."""

_Id = Annotated[int, Field(ge=-(2**62), lt=2**63)] | Annotated[str, Field(min_length=1)]
_LISTS = ("images", "annotations", "categories")
_OF_MASKS = frozenset(("category_id", "segmentation", "bbox"))
_WITHOUT_MASKS = ("image_info", "captions_", "person_keypoints_", "labels_", "panoptic_")
"""How the names of COCO's and Datumaro's files of other tasks begin."""


class _Counts(BaseModel):
    size: tuple[int, int]
    counts: list[int] | str


class _Image(BaseModel):
    id: _Id
    file_name: str
    height: int | None = None
    width: int | None = None


class _Category(BaseModel):
    id: _Id
    name: str
    supercategory: Any = None


class _Ids(BaseModel):
    id: _Id
    image_id: _Id
    category_id: _Id


class _Annotation(_Ids):
    segmentation: list[list[float]] | _Counts | None = None


class _Listed(NamedTuple):
    """A picture as the index keeps it: less memory than the model."""

    name: str
    height: int | None
    width: int | None


def read(path: Path, policy: FaultPolicy, index: PictureIndex) -> Pictures:
    """Read a COCO file, picture by picture in its order; only headers of pictures without a size.

    The file is read twice: first to find the position of each annotation (80 bytes per annotation
    are kept, and the names of the pictures), then annotation by annotation. Classes are in the
    order of the categories' ids. Raises DatasetError for what is not a COCO file, for an id or name
    that occurs twice and for an id that is not listed, and MaskError for a segmentation that is
    empty, of another size than its picture, or only a box.
    """
    with opened(path) as file:
        content = _Content(path, policy, index)
        for piece in pieces(file, path):
            with policy.collecting():
                content.add(piece)
        content.finish()
        for image_id in content.images:
            with policy.skipping():
                yield _picture(content, image_id, file)


class _Content:
    """The pictures and categories of a COCO file, and the positions of its annotations."""

    classes: Classes

    def __init__(self, path: Path, policy: FaultPolicy, index: PictureIndex) -> None:
        self.path, self.policy, self.index = path, policy, index
        self.images: dict[int, _Listed] = {}
        self.names: dict[int, str] = {}
        self._categories: dict[int, _Category] = {}
        self._numbers: dict[str, int] = {}
        """Numbers of the ids that are texts."""
        self._lists: set[str] = set()
        self._rows = array("q")
        """Of each annotation: its id, its picture, its category, its first byte, its length."""

    def add(self, piece: Piece) -> None:
        """Record what a piece of the file lists."""
        if piece.name not in _LISTS:
            return
        if piece.at < 0:
            if piece.value != []:
                raise self._broken(f"{piece.name} is not a list")
            self._lists.add(piece.name)
        elif piece.name == "images":
            image = self._parse(_Image, piece)
            listed = _Listed(image.file_name, image.height, image.width)
            if self.images.setdefault(self._number(image.id), listed) is not listed:
                raise self._twice("images")
        elif piece.name == "categories":
            category = self._parse(_Category, piece)
            if self._categories.setdefault(self._number(category.id), category) is not category:
                raise self._twice("categories")
        elif isinstance(piece.value, dict) and not _OF_MASKS & piece.value.keys():
            raise self._no_masks(f"annotation {piece.at} has neither category_id nor segmentation")
        else:
            ids = self._parse(_Ids, piece)
            number = ids.id if isinstance(ids.id, int) else piece.at
            image_id, category_id = self._number(ids.image_id), self._number(ids.category_id)
            self._rows.extend((number, image_id, category_id, piece.start, len(piece.content)))

    def finish(self) -> None:
        """Sort all that was recorded; raise errors for what belongs to nothing."""
        for name in _LISTS:
            if name not in self._lists and name == "annotations":
                raise self._no_masks("the list annotations is missing")
            if name not in self._lists:
                raise self._broken(f"{name} Field required")
        if not self._rows and is_of_other_task(self.path):
            raise self._no_masks("its list annotations is empty")
        rows = np.frombuffer(self._rows, np.int64).reshape(-1, 5)
        used = set(np.unique(rows[:, 2]).tolist())
        defects = [number for number in sorted(self._categories) if not self._is_root(number, used)]
        self.names = {number: self._categories[number].name for number in defects}
        self.classes = make_classes(tuple(self.names.values()), self.path)
        check_distinct((image.name for image in self.images.values()), self.path, self.policy)
        listed = np.isin(rows[:, 1], np.fromiter(self.images, np.int64))
        for number, image_id in rows[~listed, :2].tolist():
            image = self.written_id(image_id)
            problem = f"annotation {number} belongs to image {image}, which is not listed"
            remedy = "Add the image, or remove the annotation"
            self.policy.skip(DatasetError(self.path, problem, remedy, Fault.NO_PICTURE))
        self._sorted = rows[np.argsort(rows[:, 1], kind="stable")]
        self._of_image = self._sorted[:, 1].copy()  # a contiguous column is searched fast

    def annotations(self, image_id: int, file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
        """Yield the id, the category and the bytes of each annotation of a picture."""
        first, last = (
            np.searchsorted(self._of_image, image_id, side) for side in ("left", "right")
        )
        for number, _, category_id, start, size in self._sorted[first:last].tolist():
            file.seek(start)
            yield number, category_id, file.read(size)

    def written_id(self, number: int) -> int | str:
        """Return an id as the file has it."""
        return next((name for name, at in self._numbers.items() if at == number), number)

    def _is_root(self, number: int, used: set[int]) -> bool:
        """Return whether a category only names the kind of others, or repeats one."""
        category = self._categories[number]
        if category.supercategory != "none" or number in used:
            return False
        others = (other for at, other in self._categories.items() if at != number)
        return any(category.name in (other.supercategory, other.name) for other in others)

    def _number(self, given: int | str) -> int:
        """Return an id as a number; texts are numbered in their order."""
        if isinstance(given, int):
            return given
        if given.isdecimal() and len(given) < 18:
            return int(given)
        return self._numbers.setdefault(given, _FIRST + len(self._numbers))

    def _parse(self, model: type[Model], piece: Piece) -> Model:
        where = f"{self.path}, {piece.name} {piece.at}"
        return parse_json(model, piece.content, where, "COCO JSON")

    def _twice(self, what: str) -> DatasetError:
        problem, remedy = f"gives two {what} the same id", "Number them again"
        return DatasetError(self.path, problem, remedy, Fault.SAME_NAME)

    def _no_masks(self, why: str) -> DatasetError:
        problem, remedy = f"contains no masks: {why}", "Choose the file instances_*.json instead"
        return DatasetError(self.path, problem, remedy, Fault.UNREADABLE_FILE)

    def _broken(self, why: str) -> DatasetError:
        problem = f"is not as expected: {why}"
        remedy = "A COCO file has the lists images, annotations and categories"
        return DatasetError(self.path, problem, remedy, Fault.UNREADABLE_FILE)


def is_of_other_task(path: Path) -> bool:
    """Return whether COCO and Datumaro give such a name to a file without masks."""
    return path.name.lower().startswith(_WITHOUT_MASKS)


def _picture(content: _Content, image_id: int, file: BinaryIO) -> AnnotatedPicture:
    image = content.images[image_id]
    where = f"{content.path}, {image.name}"
    name = content.index.name(image.name, content.path)
    frame = content.index.frame(name, image.height, image.width, where)
    canvas = Canvas(name, frame, content.classes, content.policy)
    for annotation_id, category_id, text in content.annotations(image_id, file):
        of_annotation = f"{where}, annotation {annotation_id}"
        with canvas.shape():
            if category_id not in content.names:
                category = content.written_id(category_id)
                problem = f"belongs to category {category}, which is not listed"
                remedy = "Add the category, or remove the annotation"
                raise MaskError(of_annotation, problem, remedy, Fault.UNKNOWN_CLASS)
            annotation = parse_json(_Annotation, text, of_annotation, "COCO JSON")
            _draw(canvas, annotation, content.names[category_id], frame, of_annotation)
    return canvas.finish()


def _draw(canvas: Canvas, annotation: _Annotation, name: str, frame: Frame, where: object) -> None:
    segmentation = annotation.segmentation
    if not segmentation:
        problem = "has no segmentation: a box alone does not show which pixels are defective"
        remedy = "Outline the defect, or remove the annotation"
        raise MaskError(where, problem, remedy, Fault.NO_OUTLINE)
    if isinstance(segmentation, _Counts):
        if segmentation.size != frame:
            problem = f"is {Frame(*segmentation.size)}, its picture is {frame}"
            raise MaskError(where, problem, "Give both the same height and width", Fault.SIZE)
        counts = segmentation.counts
        counts = unpack_counts(counts, where) if isinstance(counts, str) else counts
        columns = from_counts(counts, frame.pixels, where).reshape(frame.width, frame.height)
        canvas.mask(name, columns.T, where)
        return
    for polygon in segmentation:
        with canvas.shape():
            if len(polygon) % 2:
                problem = f"a polygon has {len(polygon)} numbers, an odd count"
                raise MaskError(where, problem, "Give x and y for each corner", Fault.POLYGON)
            canvas.polygon(name, np.reshape(polygon, (-1, 2)), where)


def write(path: Path, classes: Classes, pictures: Pictures) -> tuple[Loss, ...]:
    """Write a COCO file. Nothing is lost; raises DatasetError, MaskError and OutputError.

    Annotations are written one by one, so that only the list of pictures is held in memory.
    """
    images: list[dict[str, Any]] = []
    written = 0
    with new_text_file(path) as file:
        file.write('{"annotations": [')
        for image_id, picture in enumerate(pictures, start=1):
            height, width = picture.frame
            size = {"height": height, "width": width}
            images.append({"id": image_id, "file_name": picture.image} | size)
            for class_id, mask in zip(classes.ids, picture.masks, strict=True):
                if mask.any():
                    ids = {"id": written + 1, "image_id": image_id, "category_id": class_id}
                    file.write(",\n" if written else "\n")
                    file.write(json.dumps(ids | _segmentation(mask)))
                    written += 1
        named = zip(classes.ids, classes.names, strict=True)
        categories = [{"id": class_id, "name": name} for class_id, name in named]
        rest = {"images": images, "categories": categories}
        file.write("\n],\n" + json.dumps(rest, ensure_ascii=False)[1:] + "\n")
    return ()


def _segmentation(mask: Mask) -> dict[str, Any]:
    polygons, holes = outlines(mask)
    shape: Any = [corners.reshape(-1).tolist() for corners in polygons]
    if holes:
        shape = {"size": list(mask.shape), "counts": pack_counts(to_counts(mask.T.reshape(-1)))}
    box = list(bounding_box(mask))
    return {"segmentation": shape, "area": int(mask.sum()), "bbox": box, "iscrowd": 0}
