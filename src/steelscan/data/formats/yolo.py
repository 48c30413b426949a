"""YOLO segmentation: one text file a picture, one polygon a line.

``images/`` and, of the same names but for their ending, ``labels/*.txt`` with lines ``class x1 y1
x2 y2 ...``: the class counted from 0, x and y as shares of the picture's width and height.
``data.yaml`` names the classes, or ``classes.txt``, one a line. (Datasets page of Ultralytics.) A
picture without a text file is clean, as that page says. A line of four numbers is a box (middle,
width, height), which is filled, and noted. Polygons cannot have holes: they are closed on writing,
and reported.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import yaml  # type: ignore[import-untyped]
from numpy.typing import NDArray

from steelscan.data.files import Files, open_files
from steelscan.data.formats.content import pictures, plain, refuse_strays
from steelscan.data.formats.labelled import Canvas, Labelled, Loss, check_all, make_classes
from steelscan.data.formats.polygon import box, fill, outlines
from steelscan.data.watch import STRICT, Watch
from steelscan.strip import Classes, DatasetError, Fault, Frame, MaskError, write_text


def read(path: Path, watch: Watch = STRICT) -> Iterator[Labelled]:
    """Read a folder or zip, picture by picture, sorted by name; of pictures only the headers.

    Raises DatasetError when classes, pictures or ``labels/`` are missing or do not fit together,
    PictureError for what is no picture, and MaskError for lines that are no polygons.
    """
    files = open_files(path)
    classes = _classes(files)
    labels = files.under("labels")
    texts = {plain(name): name for name in labels.walk() if name.endswith(".txt")}
    if not texts:
        raise DatasetError(labels.where(""), "holds no text files", "Name a YOLO data set")
    found = dict(pictures(files, "images", watch))
    refuse_strays(texts.values(), labels, files.under("images"), watch)
    for name, frame in found.items():
        canvas = Canvas(name, frame, classes, watch)
        text = texts.get(plain(name))
        with watch.leaving_out():
            if text is None:
                watch.note(Fault.NO_ANNOTATION, name, "has no text file, and counts as clean")
            else:
                _draw(canvas, labels, text, frame)
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


def _draw(canvas: Canvas, labels: Files, text: str, frame: Frame) -> None:
    for number, line in enumerate(_lines(labels, text), start=1):
        where = f"{labels.where(text)}, line {number}"
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


def _classes(files: Files) -> Classes:
    if files.exists("classes.txt") and not files.exists("data.yaml"):
        return make_classes(_lines(files, "classes.txt"), files.where("classes.txt"))
    where = files.where("data.yaml")
    remedy = "Give it the names of the classes, as 'names: [scratch, hole]'"
    try:
        content = yaml.safe_load(files.read("data.yaml"))
    except yaml.YAMLError as error:
        reason = str(error).splitlines()[0]
        raise DatasetError(where, f"cannot be read as YAML ({reason})", remedy) from None
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise DatasetError(where, "does not number its classes from 0 up", remedy)
        names = [names[at] for at in range(len(names))]
    if not isinstance(names, list):
        raise DatasetError(where, "names no classes", remedy)
    return make_classes([str(name) for name in names], where)


def _lines(files: Files, name: str) -> list[str]:
    try:
        return files.read(name).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DatasetError(files.where(name), "is no text", "Save it as UTF-8") from None


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
