"""Index pictures: ``images/``, ``masks/*.png`` whose values are the classes, ``classes.csv``.

The value 255 has no special meaning: it is refused like every value that ``classes.csv`` does not
name. A row ``255,ignore`` there (or of another value) marks such pixels as neither defect-free nor
defective: they are read as defect-free, and counted.
"""

from dataclasses import replace
from pathlib import Path

from steelscan.data.annotations import (
    Annotations,
    IndexPictures,
    RunLengths,
    detect,
    read_groups,
    write_classes,
)
from steelscan.data.files import Files, is_picture, open_files
from steelscan.formats.annotated_picture import (
    AnnotatedPicture,
    Loss,
    Pictures,
    one_class_per_pixel,
)
from steelscan.formats.parsing import png_of
from steelscan.formats.picture_folder import frames_of, picture_names
from steelscan.formats.picture_index import PictureIndex
from steelscan.strip import Classes
from steelscan.strip.errors import DatasetError, Fault, FaultPolicy
from steelscan.strip.files import write_bytes


def read(path: Path, policy: FaultPolicy, index: PictureIndex | None) -> Pictures:
    """Read a folder or zip as `open_dataset` does, picture by picture; only headers of pictures.

    If ``images/`` holds only folders, masks are expected in the same folders of ``masks/``. Raises
    DatasetError and TableError for faults of the whole data set, PictureError and MaskError for
    faults of a picture.
    """
    files, annotations = _annotations(open_files(path), index)
    images = index.files if index else files.under(annotations.folder)
    names = [name for name in images.names() if is_picture(name)]
    if not names and isinstance(annotations, IndexPictures):
        annotations, names = IndexPictures(files, deep=True), picture_names(images)
    if not names:
        where = files.where(annotations.folder)
        raise DatasetError(where, "holds no pictures", "Add pictures", Fault.NO_PICTURE)
    for name, frame in frames_of(images, sorted(names), policy):
        with policy.skipping():
            masks = annotations.find(name, frame, policy)
            picture = AnnotatedPicture(name, frame, masks.masks, annotations.classes)
            yield replace(picture, ignored=masks.ignored, incomplete=masks.incomplete)
    with policy.collecting():
        read_groups(files, names)  # a broken table would stop the training
    for stray in annotations.strays(names):
        policy.skip(stray)


def _annotations(files: Files, index: PictureIndex | None) -> tuple[Files, Annotations]:
    """Return the masks; if their pictures are elsewhere, the mask files alone give the layout."""
    if index is None or {"images", "train_images"} & set(files.folders()):
        return detect(files)
    if files.exists("train.csv"):
        return files, RunLengths(files, index.files)
    return files, IndexPictures(files)


def write(path: Path, classes: Classes, pictures: Pictures) -> tuple[Loss, ...]:
    """Write ``masks/`` and ``classes.csv``; the caller writes ``images/``.

    Returns the pixels under later classes. Raises DatasetError, MaskError and OutputError.
    """
    losses: list[Loss] = []
    for picture in pictures:
        index, lost = one_class_per_pixel(picture)
        losses += lost
        write_bytes((path / "masks" / picture.image).with_suffix(".png"), png_of(index))
    write_classes(path, classes)
    return tuple(losses)
