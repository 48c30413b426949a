"""YOLO segmentation: one text file a picture, one polygon a line.

``images/`` and, of the same names but for their ending, ``labels/*.txt`` with lines ``class x1 y1
x2 y2 ...``: the class counted from 0, x and y as shares of the picture's width and height. Four
numbers are a box (middle, width, height), which is filled, and noted. The two folders may lie
below others (``train/images``), or hold others (``images/train``); Darknet's text files lie beside
the pictures. A list of pictures, as ``train.txt``, says which ones belong. (Datasets page of
Ultralytics.) A picture without a text file is clean, as that page says. Polygons cannot have holes:
they are closed on writing, and reported. Where classes are named: `class_names`.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from steelscan.data import plain
from steelscan.data.files import ByStem, Files, open_files
from steelscan.formats.class_names import BESIDE, class_names, lists_of_pictures, text_lines
from steelscan.formats.content import framed
from steelscan.formats.labelled import Canvas, Labelled, Loss, check_all
from steelscan.formats.polygon import box, fill, outlines
from steelscan.formats.shelf import Shelf
from steelscan.strip import (
    STRICT,
    Classes,
    DatasetError,
    Fault,
    Frame,
    MaskError,
    Watch,
    write_text,
)

INSIDE = ("images/", "")
"""Where names of pictures begin."""


def read(path: Path, watch: Watch = STRICT, shelf: Shelf | None = None) -> Iterator[Labelled]:
    """Read a folder or zip, picture by picture, sorted by name; of pictures only the headers.

    Raises DatasetError when classes, pictures or ``labels/`` are missing or do not fit together,
    PictureError for what is no picture, and MaskError for lines that are no polygons.
    """
    files = open_files(path)
    shelf = shelf or Shelf(files, INSIDE)
    classes = class_names(files, watch)
    texts = _texts(files, shelf, watch)
    listed = _listed(files, shelf, watch)
    names = [name for name in texts if listed is None or name in listed]
    for file, frame in framed(shelf.files, names, watch):
        name = _name(file)
        canvas = Canvas(name, frame, classes, watch)
        text = texts[file]
        with watch.leaving_out():
            if text is None:
                watch.note(Fault.NO_ANNOTATION, name, "has no text file, and counts as clean")
            else:
                _draw(canvas, files, text, frame)
            yield canvas.labelled()


def write(path: Path, labelled: Iterable[Labelled]) -> tuple[Loss, ...]:
    """Write ``labels/`` and ``data.yaml``; ``images/`` is the caller's.

    Returns the holes that were closed. Raises DatasetError, MaskError and OutputError.
    """
    losses: list[Loss] = []
    names: tuple[str, ...] = ()
    for each in check_all(labelled, path, by_stem=True):
        names = each.classes.names
        scale = np.array((each.frame.width, each.frame.height))
        lines: list[str] = []
        for at, (name, mask) in enumerate(each.by_class().items()):
            polygons, holes = outlines(mask)
            for corners in polygons:
                shares = (corners / scale).reshape(-1).tolist()
                lines.append(" ".join((str(at), *(f"{share:.8g}" for share in shares))) + "\n")
            if holes:
                pixels = _closed(polygons, each.frame) - int(mask.sum())
                losses.append(Loss(each.image, name, pixels, "lie in holes, which were closed"))
        write_text(path / "labels" / PurePosixPath(each.image).with_suffix(".txt"), "".join(lines))
    listed = "".join(
        f"  {at}: {json.dumps(name, ensure_ascii=False)}\n" for at, name in enumerate(names)
    )
    write_text(path / "data.yaml", f"path: .\ntrain: images\nval: images\nnames:\n{listed}")
    return tuple(losses)


def _texts(files: Files, shelf: Shelf, watch: Watch) -> dict[str, str | None]:
    """The text file of each picture, None if it has none; those of no picture are errors.

    It lies in ``labels`` where the picture lies in ``images``, or beside it.
    """
    found = [name for name in files.walk(links=True) if name.lower().endswith(".txt")]
    texts, pictures = ByStem(found), [name for name in shelf.own if _at(name) >= 0] or shelf.own
    of_picture = {
        name: next(filter(None, map(texts.find, _text_names(name))), None) for name in pictures
    }
    used = set(of_picture.values())
    if not any(used):
        where = files.where("labels" if "labels" in files.folders() else "")
        raise DatasetError(where, "holds no text files", "Name a YOLO data set")
    folders = {PurePosixPath(name).parent for name in used if name is not None}
    for name in found:
        path = PurePosixPath(name)
        among = "labels" in path.parts[:-1] or path.parent in folders
        if name not in used and among and _is_label(path.name):
            said = "annotates a picture that is missing"
            remedy = f"Add its picture to {shelf.where('')}, or remove the file"
            watch.error(DatasetError(files.where(name), said, remedy, Fault.NO_PICTURE))
    return of_picture


def _text_names(picture: str) -> list[str]:
    """Where a picture's text file may lie, by its name without ending."""
    at, parts = _at(picture), plain(picture).split("/")
    apart = [*parts[:at], "labels", *parts[at + 1 :]] if at >= 0 else ["labels", *parts]
    return [f"{name}.txt" for name in ("/".join(apart), plain(picture))]


def _is_label(name: str) -> bool:
    return name.lower() not in BESIDE and not name.lower().startswith("readme")


def _name(file: str) -> str:
    """A picture's name, without the folder that only tells pictures from text files."""
    at, parts = _at(file), file.split("/")
    return "/".join(parts[:at] + parts[at + 1 :]) if at >= 0 else file


def _at(file: str) -> int:
    """At which part of a file's path the folder of pictures stands; -1 if none does."""
    folders = file.split("/")[:-1]
    return max((at for at, part in enumerate(folders) if part == "images"), default=-1)


def _listed(files: Files, shelf: Shelf, watch: Watch) -> set[str] | None:
    """The pictures that text files at the top list; None if there are no such files."""
    lists = lists_of_pictures(files)
    found: set[str] = set()
    for name in lists:
        for line in filter(None, map(str.strip, text_lines(files, name))):
            with watch.over():
                image = shelf.name(line, files.where(name))
                picture = shelf.find(image)
                if picture is None:
                    raise shelf.missing(image)
                found.add(picture)
    return found if lists else None


def _draw(canvas: Canvas, files: Files, text: str, frame: Frame) -> None:
    for number, line in enumerate(text_lines(files, text), start=1):
        where = f"{files.where(text)}, line {number}"
        if line.strip():
            with canvas.shape():
                class_name, shares = _shape(line, canvas.classes, where)
                corners = shares.reshape(-1, 2) * (frame.width, frame.height)
                if len(corners) > 2:
                    canvas.polygon(class_name, corners, where)
                else:
                    (x, y), (width, height) = corners
                    sides = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
                    canvas.filled(class_name, box(*sides), "a box", where)


def _shape(line: str, classes: Classes, where: object) -> tuple[str, NDArray[np.float64]]:
    first, *rest = line.split()
    if not first.isdecimal() or len(first) > 9 or int(first) >= len(classes):
        found = f"names the class {first[:40]!r}, known are 0 to {len(classes) - 1}"
        remedy = "Correct the number, or add the class to data.yaml"
        raise MaskError(where, found, remedy, Fault.UNKNOWN_CLASS)
    if len(rest) % 2 or len(rest) < 4:
        found = f"has {len(rest)} numbers behind its class"
        raise MaskError(where, found, "Give x and y for three corners or more", Fault.POLYGON)
    try:
        return classes.names[int(first)], np.array(rest, np.float64)
    except ValueError:
        found, remedy = "holds more than numbers", "Give shares from 0 to 1"
        raise MaskError(where, found, remedy, Fault.POLYGON) from None


def _closed(polygons: list[NDArray[np.int64]], frame: Frame) -> int:
    canvas = np.zeros(frame, np.bool_)
    for corners in polygons:
        fill(canvas, corners, "outline")
    return int(canvas.sum())
