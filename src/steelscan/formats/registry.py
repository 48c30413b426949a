"""The annotation formats: how each is read and written, and what it can store."""

from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

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
from steelscan.formats.annotated_picture import AnnotatedPicture, Loss, Pictures, checked
from steelscan.formats.picture_index import PictureIndex
from steelscan.strip.errors import STRICT, FaultPolicy, InputError


class Format(NamedTuple):
    """An annotation format."""

    module: ModuleType
    file: str
    """Usual file of the annotations below the data set's folder; "" for formats of many files."""

    pictures: str
    """Folder of the pictures below the data set's folder; "" if they are next to the files."""

    holes: bool = True
    """Whether a mask with a hole comes back unchanged."""

    names_pictures: bool = False
    """Whether the annotations, not the folder, list the pictures."""

    folders: bool = True
    """Whether pictures may be in folders of their own."""

    overlaps: bool = True
    """Whether masks that overlap come back unchanged."""

    by_stem: bool = True
    """Whether a picture is identified by its name without its ending."""

    @property
    def name(self) -> str:
        """Name of the format, as options and `FORMATS` have it."""
        return self.module.__name__.rpartition(".")[2]

    def read(
        self, path: Path, policy: FaultPolicy = STRICT, index: PictureIndex | None = None
    ) -> Pictures:
        """Read annotations, picture by picture.

        ``path`` is a file for formats with a ``file``, a folder or zip for the others. ``policy``
        decides what happens to faults. Pictures are looked up in ``index``; without it, where the
        programs of the format put them. Only their headers are read, and only if the annotations
        do not give their names or sizes.
        """
        if index is None and self.file:
            index = PictureIndex.around(path)
        pictures: Pictures = self.module.read(path, policy, index)
        return pictures

    def write(self, path: Path, pictures: Iterable[AnnotatedPicture]) -> tuple[Loss, ...]:
        """Write annotations, but not the pictures; return what the format could not store."""
        classes, rest = checked(pictures, path, self.by_stem, flat=not self.folders)
        losses: tuple[Loss, ...] = self.module.write(path, classes, rest)
        return losses


FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        Format(class_pngs, "", "images"),
        Format(coco, "annotations.json", "images", names_pictures=True, by_stem=False),
        Format(cvat, "annotations.xml", "images", names_pictures=True, by_stem=False),
        Format(index_pngs, "", "images", folders=False, overlaps=False),
        Format(
            label_studio,
            "annotations.json",
            "images",
            names_pictures=True,
            folders=False,
            by_stem=False,
        ),
        Format(labelme, "", "", names_pictures=True),
        Format(run_lengths, "", "train_images", folders=False),
        Format(voc, "", "JPEGImages", overlaps=False),
        Format(yolo, "", "images", holes=False),
    )
}
"""All formats by their names."""


def format_named(option: str, name: str) -> Format:
    """Return the format whose name an option gave. Raises InputError if there is none."""
    if name not in FORMATS:
        known = f"The formats are {', '.join(FORMATS)}"
        raise InputError(option, f"is {name!r}, which is not a format", known)
    return FORMATS[name]
