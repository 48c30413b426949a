"""Index pictures: ``images/``, ``masks/*.png`` whose values are the classes, ``classes.csv``.

The value 255 has no meaning of its own: it is refused like every value that ``classes.csv`` does
not name. A row ``255,ignore`` there (or of another value) says that such pixels are neither sound
nor defective: they are read as sound, and counted.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from PIL import Image

from steelscan.data.annotations import (
    Annotations,
    IndexPictures,
    RunLengths,
    detect,
    read_groups,
    write_classes,
)
from steelscan.data.files import Files, is_picture, open_files
from steelscan.formats.class_pngs import png_of
from steelscan.formats.content import framed, picture_names
from steelscan.formats.labelled import Labelled, Loss, check_all, flatten
from steelscan.formats.shelf import Shelf
from steelscan.strip import STRICT, Classes, DatasetError, Fault, Watch, write_bytes


def read(path: Path, watch: Watch = STRICT, shelf: Shelf | None = None) -> Iterator[Labelled]:
    """Read a folder or zip as `open_dataset` does, strip by strip; of pictures only the headers.

    Where ``images/`` holds folders alone, masks are looked for in the same ones of ``masks/``.

    Raises DatasetError and TableError for what is wrong with the whole, PictureError and MaskError
    for what is wrong with a strip.
    """
    files, annotations = _annotations(open_files(path), shelf)
    inside = shelf.files if shelf else files.under(annotations.folder)
    names = [name for name in inside.names() if is_picture(name)]
    if not names and isinstance(annotations, IndexPictures):
        annotations, names = IndexPictures(files, deep=True), picture_names(inside)
    if not names:
        where = files.where(annotations.folder)
        raise DatasetError(where, "holds no pictures", "Add pictures", Fault.NO_PICTURE)
    for name, frame in framed(inside, sorted(names), watch):
        with watch.leaving_out():
            found = annotations.find(name, frame, watch)
            yield Labelled(
                name,
                frame,
                found.masks,
                annotations.classes,
                ignored=found.ignored,
                incomplete=found.incomplete,
            )
    with watch.over():
        read_groups(files, names)  # a broken one would stop the training
    for stray in annotations.strays(names):
        watch.left_out(stray)


def _annotations(files: Files, shelf: Shelf | None) -> tuple[Files, Annotations]:
    """The masks; those of pictures that lie elsewhere are told by their own files alone."""
    if shelf is None or {"images", "train_images"} & set(files.folders()):
        return detect(files)
    if files.exists("train.csv"):
        return files, RunLengths(files, shelf.files)
    return files, IndexPictures(files)


def write(path: Path, labelled: Iterable[Labelled]) -> tuple[Loss, ...]:
    """Write ``masks/`` and ``classes.csv``; ``images/`` is the caller's.

    Returns what lay under later classes. Raises DatasetError, MaskError and OutputError.
    """
    losses: list[Loss] = []
    classes: Classes | None = None
    for each in check_all(labelled, path, by_stem=True, flat=True):
        classes = each.classes
        index, lost = flatten(each)
        losses += lost
        name = PurePosixPath(each.image).with_suffix(".png")
        write_bytes(path / "masks" / name, png_of(Image.fromarray(index)))
    if classes is not None:
        write_classes(path, classes)
    return tuple(losses)
