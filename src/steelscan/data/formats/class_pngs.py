"""One PNG a class: ``masks/CLASS/NAME.png`` for each picture ``images/NAME``.

Each is black where the class is not and one other value where it is (255 as written here). Every
picture has one in each class's folder: a missing one is refused, because it would turn a forgotten
defect into sound steel. ``classes.csv`` (value,name) gives the order of the classes; without it,
they are the folders by name.
"""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from steelscan.data.files import Files, open_files
from steelscan.data.formats.content import pictures, plain, refuse_strays
from steelscan.data.formats.labelled import Canvas, Labelled, Loss, check_all, make_classes
from steelscan.data.listing import read_classes
from steelscan.data.picture import read_index_picture
from steelscan.strip import (
    Classes,
    DatasetError,
    Frame,
    Mask,
    MaskError,
    OutputError,
    write_bytes,
    write_rows,
)


def read(path: Path) -> Iterator[Labelled]:
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
            strange = "is a folder for no class of classes.csv"
            raise DatasetError(files.where(f"masks/{folder}"), strange, "Name the class there")
    found = dict(pictures(files, "images"))
    known = set(map(plain, found))
    masks = {name: _by_picture(files, name, known) for name in classes.names}
    for image, frame in found.items():
        canvas = Canvas(image, frame, classes)
        for name, inside in masks.items():
            of_class = files.under(f"masks/{name}")
            png = inside.get(plain(image))
            if png is None:
                where = of_class.where(PurePosixPath(image).with_suffix(".png").as_posix())
                raise MaskError(where, "is missing", "Add it; it is black where nothing is")
            canvas.mask(name, _mask(of_class, png, image, frame), png)
        yield canvas.labelled()


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
        rows = zip(classes.ids, classes.names, strict=True)
        write_rows(path / "classes.csv", ("value", "name"), rows)
    return ()


def png_of(image: Image.Image) -> bytes:
    """Content of a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _by_picture(files: Files, class_name: str, known: set[str]) -> dict[str, str]:
    inside = files.under(f"masks/{class_name}")
    names = [name for name in inside.walk() if name.lower().endswith(".png")]
    refuse_strays(iter(names), known, inside, "images")
    return {plain(name): name for name in names}


def _mask(files: Files, png: str, image: str, frame: Frame) -> Mask:
    where = files.where(png)
    values = read_index_picture(files.read(png), where)
    if values.shape != frame:
        found = f"is {Frame(*values.shape)}, its picture {image} is {frame}"
        raise MaskError(where, found, "Save both with the same height and width")
    mask = values > 0
    if mask.any() and values.max() != values[mask].min():
        remedy = "Store 0 and one other value, without smoothed borders"
        raise MaskError(where, "holds several values beside 0", remedy)
    return mask


def _check_folders(classes: Classes, path: Path) -> Classes:
    for name in classes.names:
        if name.startswith(".") or name != name.strip() or set('/\\:*?"<>|') & set(name):
            found = f"the class {name!r} cannot name a folder"
            raise OutputError(path, found, "Rename the class, or choose another format")
    return classes
