"""The data to explore: a data set, run lengths without pictures, or a table of labels."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from steelscan.data import Dataset, open_dataset, picture_frame
from steelscan.data.files import is_picture, open_files
from steelscan.explore.labels import LabelTable, is_label_table, read_label_table
from steelscan.pages import plural
from steelscan.strip import Classes, Frame, Masks, Picture, decode
from steelscan.strip.errors import InputError, OnError, TableError
from steelscan.strip.tables import MaskTable, read_mask_table

_TABLES = (".csv", ".csv.gz")
_PICTURE_FOLDERS = ("train_images", "images", "")
_SIZES_READ = 50
"""Number of pictures next to a table whose sizes are read."""


@dataclass(frozen=True, eq=False)
class ExploredData:
    """Masks, maybe with pictures, and maybe a table of labels; masks are read on demand."""

    title: str
    """The source's name."""

    classes: Classes
    names: tuple[str, ...]
    """The pictures with masks; () if there is only a table of labels."""

    frames: tuple[Frame, ...]
    masks: Callable[[int], Masks]
    picture: Callable[[int], Picture] | None
    """None if there are no pictures."""

    lists_clean: bool
    """Whether pictures without defect are among ``names``."""

    groups: tuple[str, ...] | None = None
    """Group of each picture in ``groups.csv``; None if there is no such file."""

    skipped: tuple[tuple[str, str], ...] = ()
    """Name and reason of each strip that could not be read."""

    labels: LabelTable | None = None
    notes: tuple[str, ...] = ()


def open_explored_data(
    data: Path, labels: Path | None = None, frame: Frame | None = None, on_error: OnError = "stop"
) -> ExploredData:
    """Open a data set (folder or zip), or a CSV file, plain or gzipped, of run lengths or labels.

    Run lengths do not contain the size of the pictures: it is ``frame``, or that of the pictures
    next to the table if all have the same size. ``labels`` is a table of labels of these pictures
    or of more.

    Raises DatasetError, TableError, PictureError and MaskError if a file cannot be read, and
    InputError for options that do not go together.
    """
    if not data.name.lower().endswith(_TABLES):
        if frame is not None:
            problem = "cannot be used with a data set: its pictures have their own size"
            raise InputError("--frame", problem, "Leave it out")
        explored = explored_dataset(open_dataset(data, on_error))
    elif is_label_table(data):
        if labels is not None:
            problem = "cannot be used with a table of labels as the data"
            raise InputError("--labels", problem, "Leave out one of the two tables")
        return _of_labels(read_label_table(data), data)
    else:
        explored = _of_run_lengths(read_mask_table(data), data, frame)
    return explored if labels is None else _with_labels(explored, read_label_table(labels), labels)


def explored_dataset(dataset: Dataset) -> ExploredData:
    """Return a data set as data to explore."""
    tests = len(dataset.test_names)
    return ExploredData(
        title=dataset.root.resolve().name,
        classes=dataset.classes,
        names=dataset.names,
        frames=dataset.frames,
        masks=dataset.masks,
        picture=dataset.picture,
        lists_clean=True,
        groups=dataset.group_labels,
        skipped=dataset.skipped,
        notes=(f"{tests} {plural(tests, 'picture', 'is')} left out: test_images/ has no masks.",)
        if tests
        else (),
    )


def _of_run_lengths(table: MaskTable, path: Path, frame: Frame | None) -> ExploredData:
    if not table.classes:
        raise TableError(path, "has no rows", "Choose a table that lists masks")
    size, note = (frame.checked("--frame"), "") if frame else _frame_of_pictures(path)
    size.empty_masks(table.classes, path)  # refuses masks that would fill the memory
    names = tuple(table.rows)

    def masks(index: int) -> Masks:
        name = names[index]
        texts = enumerate(table.texts(name, table.classes), start=1)
        return np.stack([decode(text, size, f"{path}, {name}, class {at}") for at, text in texts])

    joined = table.layout == "joined"
    notes = ("There are no pictures: outlines are drawn on grey.", *((note,) if note else ()))
    if not joined:
        notes = (*notes, "The table does not list clean pictures: their number is unknown.")
    return ExploredData(
        title=path.name,
        classes=Classes(names=tuple(map(str, range(1, table.classes + 1)))),
        names=names,
        frames=(size,) * len(names),
        masks=masks,
        picture=None,
        lists_clean=joined,
        notes=notes,
    )


def _of_labels(table: LabelTable, path: Path) -> ExploredData:
    def masks(index: int) -> Masks:
        raise IndexError(index)

    return ExploredData(
        title=path.name,
        classes=table.classes,
        names=(),
        frames=(),
        masks=masks,
        picture=None,
        lists_clean=True,
        labels=table,
        notes=("There are neither pictures nor masks: all numbers are from the table of labels.",),
    )


def _with_labels(data: ExploredData, table: LabelTable, path: Path) -> ExploredData:
    numbered = tuple(map(str, data.classes.ids))
    if table.classes.names not in (numbered, data.classes.names):
        problem = f"has the classes {', '.join(table.classes.names)}"
        remedy = f"Use the classes of {data.title}: {', '.join(data.classes.names)}"
        raise TableError(path, problem, remedy)
    missing = len(set(data.names) - set(table.names))
    notes = [note for note in data.notes if "clean pictures" not in note]
    if missing:
        absent = plural(missing, "picture", "is")
        notes.append(f"{missing} {absent} in {data.title} and not in {path.name}.")
    return replace(data, labels=table, notes=tuple(notes))


def _frame_of_pictures(path: Path) -> tuple[Frame, str]:
    """Return the one size of the pictures next to a table, and a note. Raises InputError."""
    files = open_files(path.resolve().parent)
    for folder in _PICTURE_FOLDERS:
        inner = files.under(folder) if folder else files
        sizes = set()
        for name in [name for name in inner.names() if is_picture(name)][:_SIZES_READ]:
            with inner.open(name) as file:
                sizes.add(picture_frame(file, inner.where(name)))
        if len(sizes) == 1:
            (size,) = sizes
            where = f"{folder}/" if folder else "the folder"
            return size, f"The size {size} is that of the pictures in {where} next to the table."
    problem = "holds run lengths, which do not contain the size of the pictures"
    raise InputError(path, problem, "Add --frame HEIGHTxWIDTH, as --frame 256x1600")
