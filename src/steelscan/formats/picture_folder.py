"""Pictures of formats that name a mask file after each picture, instead of listing pictures."""

from collections.abc import Iterable, Iterator, Sequence

from steelscan.data import picture_frame
from steelscan.data.files import ByStem, Files, is_picture, plain
from steelscan.formats.picture_names import check_name
from steelscan.strip import Frame
from steelscan.strip.errors import STRICT, DatasetError, Fault, FaultPolicy, PictureError


def pictures_of(files: Files, policy: FaultPolicy = STRICT) -> Iterator[tuple[str, Frame]]:
    """Yield the names, sorted, and the frames of all pictures of a folder, from their headers.

    Raises PictureError for a file that is not a picture, and DatasetError if there is none, or if
    two names differ only in their endings: one annotation would then belong to both.
    """
    names = picture_names(files)
    if not names:
        remedy = "Put the pictures there: the annotations do not give their names and sizes"
        raise DatasetError(files.where(""), "holds no pictures", remedy, Fault.NO_PICTURE)
    for name, frame in frames_of(files, names, policy):
        with policy.skipping():
            yield check_name(name, files.where(name)), frame


def frames_of(
    files: Files, names: Sequence[str], policy: FaultPolicy
) -> Iterator[tuple[str, Frame]]:
    """Yield some pictures and their frames, from their headers; see `pictures_of`."""
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(plain(name), name)
        if other != name:
            problem = f"differs from {other} only in its ending"
            error = DatasetError(files.where(name), problem, "Rename one of them", Fault.SAME_NAME)
            policy.error(error)
    for name in first.values():
        with policy.skipping():
            yield name, header_frame(files, name)


def header_frame(files: Files, name: str) -> Frame:
    """Return the size of a picture, from its header. Raises PictureError."""
    try:
        with files.open(name) as file:
            return picture_frame(file, files.where(name))
    except DatasetError as error:
        raise error.as_(PictureError, Fault.UNREADABLE) from error


def picture_names(files: Files) -> list[str]:
    """Return the names of all pictures at any depth, sorted, whether readable or not."""
    return sorted(filter(is_picture, files.walk(links=True)))


def without_picture(where: str, pictures: str) -> DatasetError:
    """Return the error for a file of annotations without its picture in the folder ``pictures``."""
    remedy = f"Add its picture to {pictures}, or remove the file"
    return DatasetError(where, "annotates a picture that is missing", remedy, Fault.NO_PICTURE)


def refuse_strays(
    names: Iterable[str], files: Files, pictures: Files, policy: FaultPolicy = STRICT
) -> None:
    """Raise DatasetError for a file of annotations that belongs to none of the pictures."""
    known = ByStem(picture_names(pictures))
    for name in names:
        if known.find(name) is None:
            policy.error(without_picture(files.where(name), pictures.where("")))
