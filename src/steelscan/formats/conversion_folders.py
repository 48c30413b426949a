"""Folders of a conversion: a zip unpacked while needed, and a target that appears complete."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steelscan.data.files import Files, open_files
from steelscan.formats.picture_names import check_name
from steelscan.strip.errors import DatasetError, OutputError, SteelscanError
from steelscan.strip.files import temporary_folder, writing

_CHUNK = 1 << 20


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``target`` if the block ends without an error."""
    target = target.resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        problem = "is not empty" if target.is_dir() else "is a file"
        raise OutputError(target, problem, "Choose a new or an empty folder")
    with temporary_folder(target) as folder, _renamed_in_errors(folder, target):
        yield folder
        with writing(target):
            if target.is_dir():
                target.rmdir()
            folder.rename(target)


@contextmanager
def opened_source(source: Path, near: Path | None = None) -> Iterator[Path]:
    """Yield the path of a source: a folder or file itself, a zip unpacked during the block.

    It is unpacked next to ``near``, or into the system's folder for temporary files. Raises
    DatasetError for a source that cannot be read.
    """
    try:
        packed = not source.is_dir() and source.suffix.lower() not in (".json", ".xml")
        packed = packed or not source.exists()
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise DatasetError(source, problem, "Check its permissions") from error
    if not packed:
        yield source
        return
    files = open_files(source)
    names = [check_name(name, source) for name in files.walk()]
    place = (near or Path(tempfile.gettempdir(), source.stem)).resolve()
    with temporary_folder(place, "unpacked") as folder, _renamed_in_errors(folder, source):
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as unpacked:
                for content in _chunks(files, name):
                    unpacked.write(content)
        yield folder


def _chunks(files: Files, name: str) -> Iterator[bytes]:
    """Yield the content of a file; separate, so that no write error is taken for a read error."""
    with files.open(name) as packed:
        while content := packed.read(_CHUNK):
            yield content


@contextmanager
def _renamed_in_errors(folder: Path, real: Path) -> Iterator[None]:
    """Replace the path of a temporary folder by the real one in the messages of errors."""
    try:
        yield
    except SteelscanError as error:
        parts = (error.where, error.problem, error.remedy)
        where, problem, remedy = (part.replace(str(folder), str(real)) for part in parts)
        raise type(error)(where, problem, remedy, error.fault) from error
