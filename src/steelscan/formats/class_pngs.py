"""One PNG a class: ``masks/CLASS/NAME.png`` for each picture ``images/NAME``.

Each is black where the class is not and one other value where it is (255 as written here). Every
picture has one in each class's folder: a missing one is refused, because it would turn a forgotten
defect into sound steel. ``classes.csv`` (value,name) gives the order of the classes; without it,
they are the folders by name.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from steelscan.data import IndexPicture, open_index_picture
from steelscan.data.annotations import read_classes, write_classes
from steelscan.data.files import ByStem, Files, open_files
from steelscan.formats.content import pictures, read_mask_file, refuse_strays
from steelscan.formats.labelled import (
    Canvas,
    Labelled,
    Loss,
    check_all,
    check_mask_size,
    make_classes,
)
from steelscan.formats.shelf import Shelf
from steelscan.strip import (
    STRICT,
    Classes,
    DatasetError,
    Fault,
    Frame,
    InputError,
    Mask,
    MaskError,
    OutputError,
    Watch,
    write_bytes,
)


def read(path: Path, watch: Watch = STRICT, shelf: Shelf | None = None) -> Iterator[Labelled]:
    """Read a folder or zip, picture by picture, sorted by name; of pictures only the headers.

    Raises DatasetError when pictures or folders do not fit together, PictureError for what is no
    picture, and MaskError for masks that are missing, of another size or of several values.
    """
    files = open_files(path)
    listed = read_classes(files)
    folders = files.under("masks").folders()
    classes = listed[1] if listed else make_classes(folders, files.where("masks"))
    for folder in folders:
        if folder not in classes.names:
            where, strange = (
                files.where(f"masks/{folder}"),
                "is a folder for no class of classes.csv",
            )
            watch.error(DatasetError(where, strange, "Name the class there", Fault.UNKNOWN_CLASS))
    inside = shelf.files if shelf else files.under("images")
    found = dict(pictures(inside, watch))
    masks = {name: _OfClass(files, name, inside, watch) for name in classes.names}
    for image, frame in found.items():
        canvas = Canvas(image, frame, classes)  # unwatched: empty masks are the rule here
        incomplete = False
        for name, of_class in masks.items():
            try:
                canvas.mask(name, of_class.mask(image, frame), name)
            except InputError as error:
                incomplete = True
                watch.left_out(error)
        yield replace(canvas.labelled(), incomplete=incomplete)


def write(path: Path, labelled: Iterable[Labelled]) -> tuple[Loss, ...]:
    """Write ``masks/`` and ``classes.csv``; ``images/`` is the caller's. Nothing is lost.

    Raises DatasetError, MaskError, and OutputError also for a class whose name cannot name a
    folder.
    """
    classes: Classes | None = None
    for each in check_all(labelled, path, by_stem=True):
        classes = classes or _check_folders(each.classes, path)
        for name, mask in each.by_class().items():
            place = path / "masks" / name / PurePosixPath(each.image).with_suffix(".png")
            write_bytes(place, png_of(Image.fromarray(mask.view(np.uint8) * np.uint8(255))))
    if classes is not None:
        write_classes(path, classes)
    return ()


def png_of(image: Image.Image) -> bytes:
    """Content of a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


class _OfClass:
    """The PNGs of one class, by their pictures."""

    def __init__(self, files: Files, class_name: str, inside: Files, watch: Watch) -> None:
        self._files = files.under(f"masks/{class_name}")
        names = [name for name in self._files.walk(links=True) if name.lower().endswith(".png")]
        refuse_strays(names, self._files, inside, watch)
        self._masks = ByStem(names)

    def mask(self, image: str, frame: Frame) -> Mask:
        png = self._masks.find(image)
        if png is None:
            where = self._files.where(PurePosixPath(image).with_suffix(".png").as_posix())
            remedy = "Add it; it is black where nothing is"
            raise MaskError(where, "is missing", remedy, Fault.NO_MASK)
        where = self._files.where(png)
        picture = open_index_picture(read_mask_file(self._files, png), where)
        values = _by_colour(picture, where)
        check_mask_size(where, values.shape, image, frame)
        mask = values > 0
        if mask.any() and values.max() != values[mask].min():
            remedy = "Store 0 and one other value, without smoothed borders"
            raise MaskError(where, "holds several values beside 0", remedy, Fault.UNKNOWN_CLASS)
        return mask


def _by_colour(picture: IndexPicture, where: str) -> NDArray[np.uint16]:
    """Values of which 0 is black, whatever number a palette gives to black."""
    if picture.palette is None:
        return picture.values.astype(np.uint16)
    used = np.unique(picture.values)
    black: NDArray[np.bool_] = np.logical_not(picture.palette.any(axis=1))
    if used.size and (used[-1] >= len(black) or not (black[used].any() or (used[0] and black[0]))):
        remedy = "Save it as 8-bit grey: 0, and 255 where the class is"
        raise MaskError(where, "has no black for where nothing is", remedy, Fault.PALETTE)
    table = np.where(black, 0, np.arange(1, len(black) + 1)).astype(np.uint16)
    return table[picture.values]


def _check_folders(classes: Classes, path: Path) -> Classes:
    for name in classes.names:
        if name.startswith(".") or name != name.strip() or set('/\\:*?"<>|') & set(name):
            found = f"the class {name!r} cannot name a folder"
            raise OutputError(path, found, "Rename the class, or choose another format")
    return classes
