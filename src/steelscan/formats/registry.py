"""The annotation formats: how each is read and written, and what it can store."""

from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, Protocol

from steelscan.formats import (
    class_pngs,
    coco,
    cvat,
    index_pngs,
    label_studio,
    labelme,
    run_lengths,
    voc,
    yolo,
)
from steelscan.formats.annotated_picture import AnnotatedPicture, Loss, Pictures
from steelscan.formats.picture_index import PictureIndex
from steelscan.strip import STRICT, InputError, Watch


class Reader(Protocol):
    """Reads annotations, picture by picture.

    ``path`` is a file for ``coco``, ``cvat`` and ``label_studio``, a folder or zip for the others.
    ``watch`` decides what happens to faults. Pictures are looked up in ``index``; without it, where
    the programs of the format put them. Only their headers are read, and only if the annotations
    do not give their names or sizes.
    """

    def __call__(
        self, path: Path, watch: Watch = STRICT, index: PictureIndex | None = None, /
    ) -> Pictures:
        """Yield the masks of each picture."""


Writer = Callable[[Path, Iterable[AnnotatedPicture]], tuple[Loss, ...]]
"""Writes annotations, but not the pictures, and returns what the format could not store."""


class Format(NamedTuple):
    """An annotation format."""

    name: str
    read: Reader
    write: Writer
    file: str
    """Usual file of the annotations below the data set's folder; "" for formats of many files."""

    pictures: str
    """Folder of the pictures below the data set's folder; "" if they lie next to the files."""

    holes: bool = True
    """Whether a mask with a hole comes back unchanged."""

    names_pictures: bool = False
    """Whether the annotations, not the folder, list the pictures."""

    folders: bool = True
    """Whether pictures may lie in folders of their own."""

    overlaps: bool = True
    """Whether masks that overlap come back unchanged."""


def _format(module: ModuleType, file: str, pictures: str, **stores: bool) -> Format:
    name = module.__name__.rpartition(".")[2]
    return Format(name, module.read, module.write, file, pictures, **stores)


FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        _format(class_pngs, "", "images"),
        _format(coco, "annotations.json", "images", names_pictures=True),
        _format(cvat, "annotations.xml", "images", names_pictures=True),
        _format(index_pngs, "", "images", folders=False, overlaps=False),
        _format(label_studio, "annotations.json", "images", names_pictures=True, folders=False),
        _format(labelme, "", "", names_pictures=True),
        _format(run_lengths, "", "train_images", folders=False),
        _format(voc, "", "JPEGImages", overlaps=False),
        _format(yolo, "", "images", holes=False),
    )
}
"""All formats by their names."""


def format_named(option: str, name: str) -> Format:
    """Return the format whose name an option gave. Raises InputError if there is none."""
    if name not in FORMATS:
        known = f"The formats are {', '.join(FORMATS)}"
        raise InputError(option, f"names no format: {name!r}", known)
    return FORMATS[name]
