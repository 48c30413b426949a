"""YOLO segmentation: one text file per picture, one polygon per line.

``images/`` and ``labels/*.txt``, whose names differ from the pictures' only in their endings, with
lines ``class x1 y1 x2 y2 ...``: the class counted from 0, x and y as shares of the picture's width
and height. Four numbers are a box (middle, width, height), which is filled, and noted. The two
folders may be below others (``train/images``) or contain others (``images/train``); Darknet's text
files are in the folder of the pictures. If there is a list of pictures, such as ``train.txt``, only
those belong to the data set. A picture without a text file is clean. (Datasets page of
Ultralytics.) Polygons cannot have holes: they are closed when written, and reported.
"""

import json
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from steelscan.data.files import ByStem, Files, open_files, plain
from steelscan.formats.annotated_picture import Loss, Pictures
from steelscan.formats.canvas import Canvas
from steelscan.formats.class_names import NOT_OF_A_PICTURE, class_names, lists_of_pictures
from steelscan.formats.parsing import numbers, text_lines
from steelscan.formats.picture_folder import frames_of, without_picture
from steelscan.formats.picture_index import PictureIndex
from steelscan.formats.polygon import box, fill, outlines
from steelscan.strip import Classes, Frame
from steelscan.strip.errors import DatasetError, Fault, FaultPolicy, MaskError
from steelscan.strip.files import write_text

INSIDE = ("images/", "")
"""Where names of pictures start."""


def read(path: Path, policy: FaultPolicy, index: PictureIndex | None) -> Pictures:
    """Read a folder or zip, picture by picture, sorted by name; only the headers of pictures.

    Raises DatasetError if classes, pictures or ``labels/`` are missing or do not fit together,
    PictureError for a file that is not a picture, and MaskError for a line that is not a polygon.
    """
    files = open_files(path)
    index = index or PictureIndex(files, INSIDE)
    classes = class_names(files, policy)
    texts = _text_files(files, index, policy)
    listed = _listed(files, index, policy)
    names = [name for name in texts if listed is None or name in listed]
    for file, frame in frames_of(index.files, names, policy):
        name = _name(file)
        canvas = Canvas(name, frame, classes, policy)
        text = texts[file]
        with policy.skipping():
            if text is None:
                policy.note(Fault.NO_ANNOTATION, name, "has no text file, and counts as clean")
            else:
                _draw(canvas, files, text, frame)
            yield canvas.finish()


def _text_files(files: Files, index: PictureIndex, policy: FaultPolicy) -> dict[str, str | None]:
    """Return the text file of each picture, None if it has none.

    It is in ``labels`` if the picture is in ``images``, or in the picture's folder. A text file
    without a picture is an error.
    """
    names = [name for name in files.walk(links=True) if name.lower().endswith(".txt")]
    texts = ByStem(names)
    pictures = [name for name in index.own if _images_at(name) >= 0] or index.own
    of_picture = {
        name: next(filter(None, map(texts.find, _text_names(name))), None) for name in pictures
    }
    used = set(of_picture.values())
    if not any(used):
        where = files.where("labels" if "labels" in files.folders() else "")
        raise DatasetError(where, "holds no text files", "Choose a YOLO data set")
    folders = {PurePosixPath(name).parent for name in used if name is not None}
    for name in names:
        path = PurePosixPath(name)
        expected = "labels" in path.parts[:-1] or path.parent in folders
        other = path.name.lower() in NOT_OF_A_PICTURE or path.name.lower().startswith("readme")
        if name not in used and expected and not other:
            policy.error(without_picture(files.where(name), index.where("")))
    return of_picture


def _text_names(picture: str) -> list[str]:
    """Return where the text file of a picture may be."""
    at, parts = _images_at(picture), plain(picture).split("/")
    apart = [*parts[:at], "labels", *parts[at + 1 :]] if at >= 0 else ["labels", *parts]
    return [f"{name}.txt" for name in ("/".join(apart), plain(picture))]


def _name(file: str) -> str:
    """Return a picture's name, without the folder that only separates pictures from text files."""
    at, parts = _images_at(file), file.split("/")
    return "/".join(parts[:at] + parts[at + 1 :]) if at >= 0 else file


def _images_at(file: str) -> int:
    """Return which part of a file's path is the last folder ``images``; -1 if none is."""
    folders = file.split("/")[:-1]
    return max((at for at, part in enumerate(folders) if part == "images"), default=-1)


def _listed(files: Files, index: PictureIndex, policy: FaultPolicy) -> set[str] | None:
    """Return the pictures that text files at the top list; None if there are no such files."""
    lists = lists_of_pictures(files)
    pictures: set[str] = set()
    for name in lists:
        for line in filter(None, map(str.strip, text_lines(files, name))):
            with policy.collecting():
                image = index.name(line, files.where(name))
                picture = index.find(image)
                if picture is None:
                    raise index.missing(image)
                pictures.add(picture)
    return pictures if lists else None


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
                    corners = box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
                    canvas.filled(class_name, corners, "a box", where)


def _shape(line: str, classes: Classes, where: object) -> tuple[str, NDArray[np.float64]]:
    first, *rest = line.split()
    if not first.isdecimal() or len(first) > 9 or int(first) >= len(classes):
        problem = f"names the class {first[:40]!r}, but the classes are 0 to {len(classes) - 1}"
        remedy = "Correct the number, or add the class to data.yaml"
        raise MaskError(where, problem, remedy, Fault.UNKNOWN_CLASS)
    if len(rest) % 2 or len(rest) < 4:
        problem = f"has {len(rest)} numbers after its class"
        raise MaskError(where, problem, "Give x and y for three corners or more", Fault.POLYGON)
    return classes.names[int(first)], numbers(rest, where)


def write(path: Path, classes: Classes, pictures: Pictures) -> tuple[Loss, ...]:
    """Write ``labels/`` and ``data.yaml``; the caller writes ``images/``.

    Returns the holes that were closed. Raises DatasetError, MaskError and OutputError.
    """
    losses: list[Loss] = []
    for picture in pictures:
        scale = np.array((picture.frame.width, picture.frame.height))
        lines: list[str] = []
        for at, (name, mask) in enumerate(picture.by_class().items()):
            polygons, holes = outlines(mask)
            for corners in polygons:
                shares = (corners / scale).reshape(-1).tolist()
                lines.append(" ".join((str(at), *(f"{share:.8g}" for share in shares))) + "\n")
            if holes:
                pixels = _filled_pixels(polygons, picture.frame) - int(mask.sum())
                losses.append(Loss(picture.image, name, pixels, "were in holes, which were closed"))
        write_text((path / "labels" / picture.image).with_suffix(".txt"), "".join(lines))
    listed = "".join(
        f"  {at}: {json.dumps(name, ensure_ascii=False)}\n" for at, name in enumerate(classes.names)
    )
    write_text(path / "data.yaml", f"path: .\ntrain: images\nval: images\nnames:\n{listed}")
    return tuple(losses)


def _filled_pixels(polygons: list[NDArray[np.int64]], frame: Frame) -> int:
    mask = np.zeros(frame, np.bool_)
    for corners in polygons:
        fill(mask, corners, "outline")
    return int(mask.sum())
