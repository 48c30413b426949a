"""COCO: one JSON file of images, annotations and categories.

(Data format page of cocodataset.org; Lin et al. 2014, arXiv:1405.0312.) A segmentation is a list
of polygons, whose union counts, or counts of pixels down the columns, as a list or as a string.
Crowds are masks like all others. A polygon cannot have a hole: masks with one are written as
counts, all others as polygons. One annotation a class and picture is written: instances are not
told apart. Ids may be names. Where a picture's size is missing, the picture is asked for it.
Roboflow's root category, which only names the others' kind, is no class.
"""

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, BinaryIO, NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from steelscan.formats.content import Model, opened, parse_json
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
from steelscan.formats.pieces import Piece, pieces
from steelscan.formats.polygon import outlines
from steelscan.formats.shelf import Shelf
from steelscan.strip import (
    STRICT,
    Classes,
    DatasetError,
    Fault,
    Frame,
    Mask,
    MaskError,
    Watch,
    replacing,
)

_FIRST = -(2**63)
"""Ids that are names are numbered from here on."""

_Id = Annotated[int, Field(ge=-(2**62), lt=2**63)] | Annotated[str, Field(min_length=1)]
_LISTS = ("images", "annotations", "categories")
_OF_MASKS = frozenset(("category_id", "segmentation", "bbox"))
_WITHOUT_MASKS = ("image_info", "captions_", "person_keypoints_", "labels_", "panoptic_")
"""How COCO's and Datumaro's files of other tasks begin."""

_LONGEST_COUNT = 60
"""Bits of a count are fewer."""

_AGAIN = "Export the annotations again"


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
    """A picture as it is remembered."""

    name: str
    height: int | None
    width: int | None


def read(path: Path, watch: Watch = STRICT, shelf: Shelf | None = None) -> Iterator[Labelled]:
    """Read a COCO file, picture by picture in its order; pictures are asked for missing sizes only.

    The file is read twice: once to learn where each annotation stands (40 bytes each are kept, and
    the names of the pictures), then annotation by annotation. Classes stand in the order of the
    categories' ids. Raises DatasetError for what is no COCO file and for ids and names that stand
    twice or nowhere, and MaskError for a segmentation that is empty, a box alone, or of another
    size than its picture.
    """
    with opened(path) as file:
        index = _Index(path, watch, shelf or Shelf.beside(path))
        for piece in pieces(file, path):
            with watch.over():
                index.add(piece)
        index.finish()
        for image_id in index.images:
            with watch.leaving_out():
                yield _labelled(index, image_id, file)


class _Index:
    """What a COCO file lists, and where its annotations stand in it."""

    classes: Classes

    def __init__(self, path: Path, watch: Watch, shelf: Shelf) -> None:
        self.path, self.watch, self.shelf = path, watch, shelf
        self.images: dict[int, _Listed] = {}
        self.names: dict[int, str] = {}
        self._categories: dict[int, _Category] = {}
        self._numbers: dict[str, int] = {}
        """Numbers of the ids that are names."""
        self._lists: set[str] = set()
        # For each annotation: its id, its picture, its class, its first byte, its length.
        self._ids, self._of, self._class, self._starts, self._sizes = (array("q") for _ in range(5))

    def add(self, piece: Piece) -> None:
        """Remember what a piece of the file lists."""
        if piece.name not in _LISTS:
            return
        if piece.at < 0:
            if piece.value != []:
                raise self._broken(f"{piece.name} is no list")
            self._lists.add(piece.name)
        elif piece.name == "images":
            image = self._parse(_Image, piece)
            number = self._number(image.id)
            if number in self.images:
                raise self._twice("images")
            self.images[number] = _Listed(image.file_name, image.height, image.width)
        elif piece.name == "categories":
            category = self._parse(_Category, piece)
            number = self._number(category.id)
            if number in self._categories:
                raise self._twice("categories")
            self._categories[number] = category
        elif isinstance(piece.value, dict) and not _OF_MASKS & piece.value.keys():
            raise self._silent(f"annotation {piece.at} has neither category_id nor segmentation")
        else:
            ids = self._parse(_Ids, piece)
            self._ids.append(ids.id if isinstance(ids.id, int) else piece.at)
            self._of.append(self._number(ids.image_id))
            self._class.append(self._number(ids.category_id))
            self._starts.append(piece.start)
            self._sizes.append(len(piece.content))

    def finish(self) -> None:
        """Put all in order once the file is read; refuse what belongs to nothing."""
        for name in _LISTS:
            if name not in self._lists and name == "annotations":
                raise self._silent("the list annotations is missing")
            if name not in self._lists:
                raise self._broken(f"{name} Field required")
        if not self._ids and says_no_masks(self.path):
            raise self._silent("its annotations are empty, as its name says")
        self.names = {number: self._categories[number].name for number in self._defects()}
        self.classes = make_classes(tuple(self.names.values()), self.path)
        check_distinct((image.name for image in self.images.values()), self.path, self.watch)
        of = np.frombuffer(self._of, np.int64)
        pictured = np.isin(of, np.fromiter(self.images, np.int64))
        for at in np.flatnonzero(~pictured).tolist():
            image = self.shown(self._of[at])
            found = f"annotation {self._ids[at]} belongs to image {image}, which is not listed"
            remedy = "Add the image, or remove the annotation"
            self.watch.left_out(DatasetError(self.path, found, remedy, Fault.NO_PICTURE))
        self._order = np.argsort(of, kind="stable")
        self._sorted = of[self._order]

    def annotations(self, image_id: int, file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
        """Id, category and bytes of each annotation of a picture."""
        first = np.searchsorted(self._sorted, image_id, "left")
        last = np.searchsorted(self._sorted, image_id, "right")
        for at in self._order[first:last].tolist():
            file.seek(self._starts[at])
            yield self._ids[at], self._class[at], file.read(self._sizes[at])

    def _defects(self) -> list[int]:
        """The categories' numbers in order, without Roboflow's root, which no annotation uses."""
        used = set(self._class)
        return [number for number in sorted(self._categories) if not self._is_root(number, used)]

    def _is_root(self, number: int, used: set[int]) -> bool:
        """Whether a category only names the kind of others, or doubles one."""
        category = self._categories[number]
        if category.supercategory != "none" or number in used:
            return False
        others = (other for at, other in self._categories.items() if at != number)
        return any(category.name in (other.supercategory, other.name) for other in others)

    def _number(self, given: int | str) -> int:
        """An id as a number; ids that are names are numbered as they come."""
        if isinstance(given, int):
            return given
        if given.isdecimal() and len(given) < 18:
            return int(given)
        return self._numbers.setdefault(given, _FIRST + len(self._numbers))

    def shown(self, number: int) -> int | str:
        """An id as the file has it."""
        return next((name for name, at in self._numbers.items() if at == number), number)

    def _parse(self, model: type[Model], piece: Piece) -> Model:
        where = f"{self.path}, {piece.name} {piece.at}"
        return parse_json(model, piece.content, where, "COCO JSON")

    def _twice(self, what: str) -> DatasetError:
        found, remedy = f"gives two {what} one id", "Number them anew"
        return DatasetError(self.path, found, remedy, Fault.SAME_NAME)

    def _silent(self, why: str) -> DatasetError:
        found, remedy = f"says nothing of masks: {why}", "Name the file instances_*.json beside it"
        return DatasetError(self.path, found, remedy, Fault.UNREADABLE_FILE)

    def _broken(self, why: str) -> DatasetError:
        found = f"is not as expected: {why}"
        remedy = "A COCO file has the lists images, annotations and categories"
        return DatasetError(self.path, found, remedy, Fault.UNREADABLE_FILE)


def _labelled(index: _Index, image_id: int, file: BinaryIO) -> Labelled:
    image = index.images[image_id]
    where = f"{index.path}, {image.name}"
    name = index.shelf.name(image.name, index.path)
    if image.height is None or image.width is None:
        frame = index.shelf.frame(name)
    else:
        frame = make_frame(image.height, image.width, where)
    canvas = Canvas(name, frame, index.classes, index.watch)
    for annotation_id, category_id, content in index.annotations(image_id, file):
        each = f"{where}, annotation {annotation_id}"
        with canvas.shape():
            if category_id not in index.names:
                found = f"belongs to category {index.shown(category_id)}, which is not listed"
                remedy = "Add the category, or remove the annotation"
                raise MaskError(each, found, remedy, Fault.UNKNOWN_CLASS)
            annotation = parse_json(_Annotation, content, each, "COCO JSON")
            _draw(canvas, annotation, index.names[category_id], frame, each)
    return canvas.labelled()


def says_no_masks(path: Path) -> bool:
    """Whether COCO and Datumaro call a file of something else than masks so."""
    return path.name.lower().startswith(_WITHOUT_MASKS)


def write(path: Path, labelled: Iterable[Labelled]) -> tuple[Loss, ...]:
    """Write a COCO file. Nothing is lost; raises DatasetError, MaskError and OutputError.

    Annotations go to the disk as they come, so that only the list of pictures is held.
    """
    images: list[dict[str, Any]] = []
    classes: Classes | None = None
    written = 0
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"annotations": [')
        for image_id, each in enumerate(check_all(labelled, path), start=1):
            height, width = each.frame
            size = {"height": height, "width": width}
            images.append({"id": image_id, "file_name": each.image} | size)
            classes = each.classes
            for class_id, mask in zip(each.classes.ids, each.masks, strict=True):
                if mask.any():
                    ids = {"id": written + 1, "image_id": image_id, "category_id": class_id}
                    file.write(",\n" if written else "\n")
                    file.write(json.dumps(ids | _segmentation(mask)))
                    written += 1
        named = zip(classes.ids, classes.names, strict=True) if classes else ()
        categories = [{"id": class_id, "name": name} for class_id, name in named]
        rest = {"images": images, "categories": categories}
        file.write("\n],\n" + json.dumps(rest, ensure_ascii=False)[1:] + "\n")
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
            raise MaskError(where, f"packed counts hold {char!r}", _AGAIN, Fault.RUNS)
        value |= (bits & 31) << shift
        shift += 5
        if shift > _LONGEST_COUNT:
            raise MaskError(where, "packed counts hold an endless number", _AGAIN, Fault.RUNS)
        if not bits & 32:
            value -= (bits >> 4 & 1) << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise MaskError(where, "packed counts break off", _AGAIN, Fault.RUNS)
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
        remedy = "Outline the defect, or remove the annotation"
        raise MaskError(where, found, remedy, Fault.NO_OUTLINE)
    if isinstance(segmentation, _Counts):
        if segmentation.size != frame:
            found = f"is {Frame(*segmentation.size)}, its picture is {frame}"
            raise MaskError(where, found, "Give both the same height and width", Fault.SIZE)
        counts = segmentation.counts
        counts = unpack(counts, where) if isinstance(counts, str) else counts
        columns = from_counts(counts, frame.pixels, where).reshape(frame.width, frame.height)
        canvas.mask(name, columns.T, where)
        return
    for polygon in segmentation:
        with canvas.shape():
            if len(polygon) % 2:
                found = f"a polygon has {len(polygon)} numbers, an odd count"
                raise MaskError(where, found, "Give x and y for each corner", Fault.POLYGON)
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
