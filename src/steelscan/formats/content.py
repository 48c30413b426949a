"""What a format's files hold, by a model of it, and the pictures beside them."""

from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar
from xml.parsers import expat

from pydantic import BaseModel, ValidationError

from steelscan.data import ByStem, Files, is_picture, picture_frame, plain
from steelscan.formats.labelled import check_name
from steelscan.strip import STRICT, DatasetError, Fault, Frame, MaskError, PictureError, Watch

Model = TypeVar("Model", bound=BaseModel)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open one file for reading. Raises DatasetError, also for errors in the block's reading."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        found = f"cannot be read ({error.strerror})"
        remedy = "Name the file that holds the annotations"
        raise DatasetError(path, found, remedy, Fault.UNREADABLE_FILE) from error


def refuse_doctype(file: BinaryIO, path: object) -> None:
    """Refuse XML with a DOCTYPE, whose entities could grow without end; no annotations have one.

    Raises DatasetError. The file is wound back.
    """
    parser = expat.ParserCreate()
    begun: list[str] = []

    def doctype(*_: object) -> None:
        found = "holds a DOCTYPE, as no annotations do"
        raise DatasetError(path, found, "Remove it from the file", Fault.UNREADABLE_FILE)

    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = lambda name, _: begun.append(name)
    with suppress(expat.ExpatError, LookupError, ValueError):  # told by who reads it whole
        while not begun and (content := file.read(1 << 12)):
            parser.Parse(content)
    file.seek(0)


def parse_json(model: type[Model], content: bytes, where: object, program: str) -> Model:
    """Read JSON as a model of it; what the model does not name is passed over.

    Raises DatasetError with the place in the file for broken JSON, for fields that are missing
    and for values of another kind. ``program`` is what the user should export from again.
    """
    try:
        return model.model_validate_json(content.removeprefix(BOM_UTF8))
    except ValidationError as error:
        raise _unexpected(error, where, program) from None


def parse_part(model: type[Model], value: object, where: object, program: str) -> Model:
    """Read a part of a file that was read already; see `parse_json`."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _unexpected(error, where, program) from None


def _unexpected(error: ValidationError, where: object, program: str) -> DatasetError:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    found = " ".join(filter(None, ("is not as expected:", place, first["msg"])))
    remedy = "Correct it there, or leave it out with --on-error skip"
    if first["type"] == "json_invalid":
        remedy = f"Export it again as {program}"
    return DatasetError(where, found, remedy, Fault.UNREADABLE_FILE)


def pictures(inside: Files, watch: Watch = STRICT) -> Iterator[tuple[str, Frame]]:
    """Names, sorted, and frames of a folder's pictures, from their headers.

    Raises PictureError for what is no picture, and DatasetError when there is none, or when two
    have the same stem: then one annotation would belong to both.
    """
    names = picture_names(inside)
    if not names:
        remedy = "Put the pictures there: the annotations alone do not say their names and sizes"
        raise DatasetError(inside.where(""), "holds no pictures", remedy, Fault.NO_PICTURE)
    for name, frame in framed(inside, names, watch):
        with watch.leaving_out():
            yield check_name(name, inside.where(name)), frame


def framed(files: Files, names: Sequence[str], watch: Watch) -> Iterator[tuple[str, Frame]]:
    """Pictures of stems that differ, and their frames, from their headers."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(plain(name), name)
        if other != name:
            found = f"has the stem of {other}"
            error = DatasetError(files.where(name), found, "Rename one of them", Fault.SAME_NAME)
            watch.error(error)
    for name in seen.values():
        with watch.leaving_out():
            yield name, _frame(files, name)


def picture_names(files: Files) -> list[str]:
    """Names of all pictures there, sorted; whether they can be read is not asked."""
    return sorted(filter(is_picture, files.walk(links=True)))


def refuse_strays(
    found: Iterable[str], files: Files, pictures: Files, watch: Watch = STRICT
) -> None:
    """Refuse files, named relative to ``files``, that belong to none of the pictures.

    Raises DatasetError.
    """
    names = ByStem(picture_names(pictures))
    for name in found:
        if names.find(name) is None:
            said = "annotates a picture that is missing"
            remedy = f"Add its picture to {pictures.where('')}, or remove the file"
            watch.error(DatasetError(files.where(name), said, remedy, Fault.NO_PICTURE))


def read_mask_file(files: Files, name: str) -> bytes:
    """Content of a mask picture. Raises MaskError."""
    try:
        return files.read(name)
    except DatasetError as error:
        raise error.as_(MaskError, Fault.UNREADABLE) from error


def _frame(files: Files, name: str) -> Frame:
    try:
        with files.open(name) as file:
            return picture_frame(file, files.where(name))
    except DatasetError as error:
        raise error.as_(PictureError, Fault.UNREADABLE) from error
