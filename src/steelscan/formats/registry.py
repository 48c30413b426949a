"""Annotation formats, read and written through masks: ``for each in READERS["coco"](path)``.

Readers and writers take the annotations' place: a file for ``coco``, ``cvat`` and
``label_studio``, a folder (on reading also a zip) for the others. Pictures are never written, and
only their headers read, where a format does not say their names and sizes. A format that cannot
say something of a mask reports it as `Loss`.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
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
from steelscan.formats.labelled import Labelled, Loss
from steelscan.formats.shelf import Shelf
from steelscan.strip import STRICT, Watch


class Reader(Protocol):
    """Reads annotations; what becomes of their faults is the watch's matter.

    The pictures are looked for in ``shelf``, without it where the format's programs put them.
    """

    def __call__(
        self, path: Path, watch: Watch = STRICT, shelf: Shelf | None = None, /
    ) -> Iterator[Labelled]:
        """Read picture by picture."""


Writer = Callable[[Path, Iterable[Labelled]], tuple[Loss, ...]]


class Format(NamedTuple):
    """A format of annotations."""

    name: str
    read: Reader
    write: Writer
    file: str
    """The annotations' usual file below a data set's folder; "" where they are the folder."""

    pictures: str
    """The folder of the pictures, below the data set's; "" where they lie beside the files."""

    holes: bool = True
    """Whether a mask with a hole comes back as it was."""

    names_pictures: bool = False
    """Whether annotations, not the folder, say which pictures there are."""

    folders: bool = True
    """Whether pictures may lie below folders."""

    overlaps: bool = True
    """Whether masks that overlap come back as they were."""


FORMATS: tuple[Format, ...] = (
    Format("class_pngs", class_pngs.read, class_pngs.write, "", "images"),
    Format("coco", coco.read, coco.write, "annotations.json", "images", names_pictures=True),
    Format("cvat", cvat.read, cvat.write, "annotations.xml", "images", names_pictures=True),
    Format(
        "index_pngs", index_pngs.read, index_pngs.write, "", "images", folders=False, overlaps=False
    ),
    Format(
        "label_studio",
        label_studio.read,
        label_studio.write,
        "annotations.json",
        "images",
        names_pictures=True,
        folders=False,
    ),
    Format("labelme", labelme.read, labelme.write, "", "", names_pictures=True),
    Format("run_lengths", run_lengths.read, run_lengths.write, "", "train_images", folders=False),
    Format("voc", voc.read, voc.write, "", "JPEGImages", overlaps=False),
    Format("yolo", yolo.read, yolo.write, "", "images", holes=False),
)

READERS: dict[str, Reader] = {each.name: each.read for each in FORMATS}
WRITERS: dict[str, Writer] = {each.name: each.write for each in FORMATS}
