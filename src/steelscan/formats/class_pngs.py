"""One PNG per class: ``masks/CLASS/NAME.png`` for each picture ``images/NAME``.

Each is black outside the class and has one other value inside it (written as 255). Every picture
must have one in the folder of each class: if a missing file counted as empty, a lost defect would
be read as defect-free steel. ``classes.csv`` (value,name) gives the order of the classes; without
it, they are the folders sorted by name.
"""

from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from steelscan.data import IndexPicture, open_index_picture
from steelscan.data.annotations import check_mask_size, read_classes, write_classes
from steelscan.data.files import ByStem, Files, open_files
from steelscan.formats.annotated_picture import Loss, Pictures
from steelscan.formats.canvas import Canvas
from steelscan.formats.class_names import make_classes
from steelscan.formats.parsing import png_of
from steelscan.formats.picture_folder import pictures_of, refuse_strays
from steelscan.formats.picture_index import PictureIndex
from steelscan.strip import Classes, Frame, Mask
from steelscan.strip.errors import (
    DatasetError,
    Fault,
    FaultPolicy,
    InputError,
    MaskError,
    OutputError,
)
from steelscan.strip.files import write_bytes


def read(path: Path, policy: FaultPolicy, index: PictureIndex | None) -> Pictures:
    """Read a folder or zip, picture by picture, sorted by name; only the headers of pictures.

    Raises DatasetError if pictures and folders do not fit together, PictureError for a file that
    is not a picture, and MaskError for a mask that is missing, of another size or has several
    values.
    """
    files = open_files(path)
    listed = read_classes(files)
    folders = files.under("masks").folders()
    classes = listed[1] if listed else make_classes(folders, files.where("masks"))
    for folder in folders:
        if folder not in classes.names:
            where, problem = files.where(f"masks/{folder}"), "is not a class of classes.csv"
            policy.error(DatasetError(where, problem, "Add it there", Fault.UNKNOWN_CLASS))
    images = index.files if index else files.under("images")
    frames = dict(pictures_of(images, policy))
    masks = {name: _ClassMasks(files, name, images, policy) for name in classes.names}
    for image, frame in frames.items():
        canvas = Canvas(image, frame, classes)  # not watched: empty masks are usual here
        incomplete = False
        for name, of_class in masks.items():
            try:
                canvas.mask(name, of_class.mask(image, frame), name)
            except InputError as error:
                incomplete = True
                policy.skip(error)
        yield replace(canvas.finish(), incomplete=incomplete)


def write(path: Path, classes: Classes, pictures: Pictures) -> tuple[Loss, ...]:
    """Write ``masks/`` and ``classes.csv``; the caller writes ``images/``. Nothing is lost.

    Raises DatasetError, MaskError, and OutputError, also for a class that cannot name a folder.
    """
    _check_folder_names(classes, path)
    for picture in pictures:
        for name, mask in picture.by_class().items():
            file = (path / "masks" / name / picture.image).with_suffix(".png")
            write_bytes(file, png_of(mask.view(np.uint8) * np.uint8(255)))
    write_classes(path, classes)
    return ()


class _ClassMasks:
    """The PNGs of one class, found by the names of their pictures."""

    def __init__(self, files: Files, class_name: str, images: Files, policy: FaultPolicy) -> None:
        self._files = files.under(f"masks/{class_name}")
        names = [name for name in self._files.walk(links=True) if name.lower().endswith(".png")]
        refuse_strays(names, self._files, images, policy)
        self._masks = ByStem(names)

    def mask(self, image: str, frame: Frame) -> Mask:
        png = self._masks.find(image)
        if png is None:
            where = self._files.where(PurePosixPath(image).with_suffix(".png").as_posix())
            remedy = "Add it; it is black outside the class"
            raise MaskError(where, "is missing", remedy, Fault.NO_MASK)
        where = self._files.where(png)
        picture = open_index_picture(self._files.picture_bytes(png, MaskError), where)
        values = _values_by_colour(picture, where)
        check_mask_size(where, values.shape, image, frame)
        mask = values > 0
        if mask.any() and values.max() != values[mask].min():
            remedy = "Store 0 and one other value, without smoothed borders"
            problem = "holds several values other than 0"
            raise MaskError(where, problem, remedy, Fault.UNKNOWN_CLASS)
        return mask


def _values_by_colour(picture: IndexPicture, where: str) -> NDArray[np.uint16]:
    """Return values of which 0 is black, whatever number black has in the palette."""
    if picture.palette is None:
        return picture.values.astype(np.uint16)
    used = np.unique(picture.values)
    black: NDArray[np.bool_] = np.logical_not(picture.palette.any(axis=1))
    if used.size and (used[-1] >= len(black) or not (black[used].any() or (used[0] and black[0]))):
        remedy = "Save it as 8-bit grey: 0, and 255 inside the class"
        raise MaskError(where, "has no black outside the class", remedy, Fault.PALETTE)
    table = np.where(black, 0, np.arange(1, len(black) + 1)).astype(np.uint16)
    return table[picture.values]


def _check_folder_names(classes: Classes, path: Path) -> None:
    for name in classes.names:
        if name.startswith(".") or name != name.strip() or set('/\\:*?"<>|') & set(name):
            problem = f"the class {name!r} cannot name a folder"
            raise OutputError(path, problem, "Rename the class, or choose another format")
