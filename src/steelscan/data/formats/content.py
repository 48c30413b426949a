"""What a format's files hold, by a model of it, and the pictures beside them."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from steelscan.data.annotations import key, stem
from steelscan.data.files import Files, is_picture
from steelscan.data.formats.labelled import check_name
from steelscan.data.picture import picture_frame
from steelscan.strip import DatasetError, Frame

Model = TypeVar("Model", bound=BaseModel)


def read_file(path: Path) -> bytes:
    """Content of one file. Raises DatasetError."""
    try:
        return path.read_bytes()
    except OSError as error:
        found = f"cannot be read ({error.strerror})"
        raise DatasetError(path, found, "Name the file that holds the annotations") from error


def parse_json(model: type[Model], content: bytes, where: object, program: str) -> Model:
    """Read JSON as a model of it; what the model does not name is passed over.

    Raises DatasetError with the place in the file for broken JSON, for fields that are missing
    and for values of another kind. ``program`` is what the user should export from again.
    """
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        found = " ".join(filter(None, ("is not as expected:", place, first["msg"])))
        raise DatasetError(where, found, f"Export it again as {program}") from None


def pictures(files: Files, folder: str) -> Iterator[tuple[str, Frame]]:
    """Names relative to ``folder``, sorted, and frames of its pictures, from their headers.

    Raises PictureError for what is no picture, and DatasetError when there is none, or when two
    have the same stem: then one annotation would belong to both.
    """
    inside = files.under(folder)
    names = sorted(filter(is_picture, inside.walk()))
    if not names:
        remedy = "Put the pictures there: the annotations alone do not say their names and sizes"
        raise DatasetError(inside.where(""), "holds no pictures", remedy)
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(plain(name), name)
        if other != name:
            raise DatasetError(inside.where(name), f"has the stem of {other}", "Rename one of them")
    for name in names:
        with inside.open(name) as file:
            frame = picture_frame(file, inside.where(name))
        yield check_name(name, inside.where(name)), frame


def refuse_strays(found: Iterator[str], names: set[str], files: Files, folder: str) -> None:
    """Refuse files, named relative to ``files``, that belong to none of the pictures.

    ``names`` are the pictures' names as `plain` gives them. Raises DatasetError.
    """
    for name in found:
        if plain(name) not in names:
            remedy = f"Add its picture to {folder}/, or remove the file"
            raise DatasetError(files.where(name), "annotates a picture that is missing", remedy)


def plain(name: str) -> str:
    """A name without its ending: what a picture and its annotation share."""
    return key((PurePosixPath(name).parent / stem(name)).as_posix())
