"""Files of annotations opened and parsed, with one kind of error for each way they can be wrong."""

import io
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO, TypeVar
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ValidationError

from steelscan.data.files import Files
from steelscan.strip.errors import DatasetError, Fault, MaskError
from steelscan.strip.files import replacing

Model = TypeVar("Model", bound=BaseModel)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading. Raises DatasetError, also if reading fails within the block."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        remedy = "Choose the file with the annotations"
        raise DatasetError(path, problem, remedy, Fault.UNREADABLE_FILE) from error


@contextmanager
def new_text_file(path: Path) -> Iterator[TextIO]:
    """Open a UTF-8 file for writing; it appears when the block ends. Raises OutputError."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file


def refuse_doctype(file: BinaryIO, path: object) -> None:
    """Raise DatasetError for XML with a DOCTYPE, whose entities could expand without limit.

    No annotation program writes one. The file is rewound.
    """
    parser = expat.ParserCreate()
    begun: list[str] = []

    def doctype(*_: object) -> None:
        problem = "contains a DOCTYPE, which no annotation program writes"
        raise DatasetError(path, problem, "Remove it from the file", Fault.UNREADABLE_FILE)

    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = lambda name, _: begun.append(name)
    with suppress(expat.ExpatError, LookupError, ValueError):  # the reader of the file reports it
        while not begun and (content := file.read(1 << 12)):
            parser.Parse(content)
    file.seek(0)


@contextmanager
def xml_errors(where: object, remedy: str) -> Iterator[None]:
    """Raise DatasetError if ElementTree cannot parse the XML, or its encoding is wrong."""
    try:
        yield
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        problem = f"is not valid XML ({error})"
        raise DatasetError(where, problem, remedy, Fault.UNREADABLE_FILE) from None


def parse_json(model: type[Model], content: bytes, where: object, program: str) -> Model:
    """Parse JSON into a pydantic model; fields that the model does not name are ignored.

    ``program`` names the export format in the remedy. Raises DatasetError, with the position in
    the file, for broken JSON, missing fields and values of a wrong type.
    """
    try:
        return model.model_validate_json(content.removeprefix(BOM_UTF8))
    except ValidationError as error:
        raise _unexpected(error, where, program) from None


def parse_part(model: type[Model], value: object, where: object, program: str) -> Model:
    """Validate a part of a file that was parsed before; see `parse_json`."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _unexpected(error, where, program) from None


def _unexpected(error: ValidationError, where: object, program: str) -> DatasetError:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(map(str, first["loc"]))
    problem = " ".join(filter(None, ("is not as expected:", field, first["msg"])))
    remedy = "Correct it there, or leave it out with --on-error skip"
    if first["type"] == "json_invalid":
        remedy = f"Export it again as {program}"
    return DatasetError(where, problem, remedy, Fault.UNREADABLE_FILE)


def text_lines(files: Files, name: str, errors: str = "strict") -> list[str]:
    """Return the lines of a UTF-8 text file. Raises DatasetError for other text."""
    try:
        return files.read(name).decode("utf-8-sig", errors).splitlines()
    except UnicodeDecodeError:
        raise DatasetError(files.where(name), "is not UTF-8 text", "Save it as UTF-8") from None


def numbers(values: object, where: object, columns: int | None = None) -> NDArray[np.float64]:
    """Return coordinates, given as numbers or texts, as ``(values,)`` or ``(rows, columns)``.

    Raises MaskError for anything else.
    """
    with suppress(TypeError, ValueError, OverflowError):
        array = np.asarray(values, np.float64)
        if array.ndim and array.shape[1:] == (() if columns is None else (columns,)):
            return array
    expected = "numbers" if columns is None else "pairs of x and y"
    problem = f"has {str(values)[:60]} where {expected} are expected"
    raise MaskError(where, problem, "Correct them, or export it again", Fault.POLYGON)


def png_of(
    values: NDArray[np.uint8] | NDArray[np.bool_], palette: list[int] | None = None
) -> bytes:
    """Return a mask, ``(height, width)``, as the content of a PNG file."""
    image = Image.fromarray(values)
    if palette is not None:
        image.putpalette(palette)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
