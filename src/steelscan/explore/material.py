"""What is explored: a data set, a table of run lengths without pictures, or a table of labels."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from steelscan.data import Dataset, is_picture, open_dataset, open_files, picture_frame
from steelscan.explore.labels import LabelTable, is_label_table, read_label_table
from steelscan.strip import (
    Classes,
    DatasetError,
    Frame,
    InputError,
    Masks,
    MaskTable,
    Picture,
    TableError,
    blank_masks,
    check_frame,
    decode,
    read_mask_table,
)

OnError = Literal["stop", "skip"]

_TABLES = (".csv", ".csv.gz")
_BESIDE = ("train_images", "images", "")
_LOOKED_INTO = 50
"""So many pictures beside a table are asked for their size."""


@dataclass(frozen=True, eq=False)
class Material:
    """Masks, maybe with pictures, and maybe a table of labels; masks are read when asked for."""

    title: str
    """The source's name."""

    classes: Classes
    names: tuple[str, ...]
    """The pictures with masks; () where there is a table of labels only."""

    frames: tuple[Frame, ...]
    masks: Callable[[int], Masks]
    picture: Callable[[int], Picture] | None
    """None where there are no pictures."""

    lists_clean: bool
    """Whether pictures without defect are among ``names``."""

    groups: tuple[str, ...] | None = None
    """The group of each picture from ``groups.csv``; None where there is none."""

    skipped: tuple[tuple[str, str], ...] = ()
    """Name and reason of what could not be read."""

    labels: LabelTable | None = None
    notes: tuple[str, ...] = ()


def open_material(
    data: Path,
    labels: Path | None = None,
    frame: Frame | None = None,
    on_error: OnError = "stop",
) -> Material:
    """Open what is to be explored.

    ``data`` is a data set (folder or zip), or a CSV file, plain or gzipped, of run lengths or of
    labels. Run lengths do not tell the size of the pictures: it is ``frame``, or that of the
    pictures that lie beside the table, if they all have one. ``labels`` is a table of labels, of
    these pictures or of more.

    Raises DatasetError, TableError, PictureError and MaskError for what cannot be read, and
    InputError for options that do not go together.
    """
    if not data.name.lower().endswith(_TABLES):
        if frame is not None:
            found = "is given, and the data set has pictures, which tell their size"
            raise InputError("--frame", found, "Leave it out")
        material = _of_dataset(open_dataset(data, on_error))
    elif is_label_table(_content(data), data):
        if labels is not None:
            raise InputError("--labels", "is given, and the data are labels", "Leave one out")
        return _of_labels(read_label_table(data), data)
    else:
        material = _of_table(read_mask_table(data), data, frame)
    return material if labels is None else _with_labels(material, read_label_table(labels), labels)


def _of_dataset(dataset: Dataset) -> Material:
    tests = len(dataset.test_names)
    return Material(
        title=dataset.root.resolve().name,
        classes=dataset.classes,
        names=dataset.names,
        frames=dataset.frames,
        masks=dataset.masks,
        picture=dataset.picture,
        lists_clean=True,
        groups=dataset.group_labels,
        skipped=dataset.skipped,
        notes=(f"{tests} pictures of test_images/ have no masks and are not looked at.",)
        if tests
        else (),
    )


def _of_table(table: MaskTable, path: Path, frame: Frame | None) -> Material:
    if not table.classes:
        raise TableError(path, "has no row", "Name a table that lists masks")
    size, note = (check_frame(frame, "--frame"), "") if frame else _frame_beside(path)
    blank_masks(table.classes, size, path)  # refuses what would fill the memory
    names = tuple(table.rows)

    def masks(index: int) -> Masks:
        name = names[index]
        texts = enumerate(table.texts(name, table.classes), start=1)
        return np.stack([decode(text, size, f"{path}, {name}, class {at}") for at, text in texts])

    joined = table.layout == "joined"
    notes = ("The pictures are not here: outlines are drawn on grey.", *((note,) if note else ()))
    if not joined:
        notes = (*notes, "The table lists no clean pictures: how many there are is not known.")
    return Material(
        title=path.name,
        classes=Classes(names=tuple(map(str, range(1, table.classes + 1)))),
        names=names,
        frames=(size,) * len(names),
        masks=masks,
        picture=None,
        lists_clean=joined,
        notes=notes,
    )


def _of_labels(table: LabelTable, path: Path) -> Material:
    def masks(index: int) -> Masks:
        raise IndexError(index)

    return Material(
        title=path.name,
        classes=table.classes,
        names=(),
        frames=(),
        masks=masks,
        picture=None,
        lists_clean=True,
        labels=table,
        notes=("Neither pictures nor masks are here: only what the table of labels tells.",),
    )


def _with_labels(material: Material, table: LabelTable, path: Path) -> Material:
    numbered = tuple(map(str, material.classes.ids))
    if table.classes.names not in (numbered, material.classes.names):
        found = f"has the classes {', '.join(table.classes.names)}"
        remedy = f"Give the classes of {material.title}: {', '.join(material.classes.names)}"
        raise TableError(path, found, remedy)
    absent = len(set(material.names) - set(table.names))
    notes = [note for note in material.notes if "clean pictures" not in note]
    if absent:
        notes.append(f"{absent} pictures of {material.title} are not in {path.name}.")
    return Material(
        **{**material.__dict__, "labels": table, "notes": tuple(notes)},
    )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        remedy = "Name a data set or a CSV file"
        raise DatasetError(path, f"cannot be read ({error.strerror})", remedy) from None


def _frame_beside(path: Path) -> tuple[Frame, str]:
    """The one size of the pictures beside a table, and what to say of it. Raises InputError."""
    files = open_files(path.resolve().parent)
    for folder in _BESIDE:
        inner = files.under(folder) if folder else files
        sizes = set()
        for name in [name for name in inner.names() if is_picture(name)][:_LOOKED_INTO]:
            with inner.open(name) as file:
                sizes.add(picture_frame(file, inner.where(name)))
        if len(sizes) == 1:
            (size,) = sizes
            where = f"{folder}/" if folder else "its folder"
            return size, f"The size {size} is that of the pictures in {where} beside the table."
    found = "holds run lengths, which do not tell the size of the pictures"
    raise InputError(path, found, "Add --frame HEIGHTxWIDTH, as --frame 256x1600")
