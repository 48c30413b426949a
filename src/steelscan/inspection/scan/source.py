"""The pictures of a scan: a folder, zip, glob pattern, list of paths, or a URL of fsspec."""

import glob
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from steelscan.data import find_pictures
from steelscan.data.files import check_unicode, is_picture, visible
from steelscan.strip.errors import DatasetError, Fault, PictureError
from steelscan.strip.remote import error_reason, file_system, is_url

_LISTS = (".txt", ".lst")
"""Suffixes of files that list one picture per line."""

_TRY_AGAIN = "Check the file and the connection, then repeat the command with --retry-errors"


@dataclass(frozen=True)
class PictureSource:
    """The names of all pictures, sorted, each once, and a function that reads one by its name.

    It can be sent to other processes and machines that reach the same paths.
    """

    names: Sequence[str]
    read: Callable[[str], bytes]
    """Returns the content of a file. Raises PictureError."""


def open_source(source: str) -> PictureSource:
    """List the pictures of a source.

    A source is a folder (at any depth), a zip, a picture, a glob pattern, a text file with one path
    or URL per line (relative ones count from its folder), or a URL of fsspec to a folder, a
    pattern, a picture or such a text file: ``s3://bucket/strips``. Raises DatasetError if it does
    not exist, holds no pictures, or lists one twice, and MissingPartError if the package for a kind
    of URL is not installed.
    """
    if is_url(source):
        return _of_url(source)
    path = Path(source)
    if path.suffix.lower() in _LISTS and path.is_file():
        with _listing(source):
            text = path.read_text(encoding="utf-8-sig")
        return PictureSource(_listed(text, source), _Listed(str(path.absolute().parent)))
    found = find_pictures(source)
    return PictureSource([each.name for each in found], found[0].files.picture_bytes)


def _of_url(source: str) -> PictureSource:
    fs, path = file_system(source)
    with _listing(source):
        if path.lower().endswith(_LISTS):
            folder = source.rpartition("/")[0]
            return PictureSource(
                _listed(fs.cat_file(path).decode("utf-8-sig"), source), _Listed(folder)
            )
        if glob.has_magic(path):
            base, found = _before_magic(path), fs.glob(path)
        elif fs.isdir(path):
            base, found = path, fs.find(path)
        else:
            base, found = path.rpartition("/")[0], [path] if fs.exists(path) else []
    base = base.rstrip("/") + "/"
    names = sorted(name for each in found if visible(name := each.removeprefix(base)))
    pictures = [name for name in names if is_picture(name)]
    if not pictures:
        raise DatasetError(source, "holds no pictures", "Choose a folder, picture or pattern")
    check_unicode(pictures, source)
    return PictureSource(pictures, _Remote(fs, base))


def _before_magic(path: str) -> str:
    """Return the folders of a pattern before its first wildcard."""
    parts = path.split("/")
    return "/".join(parts[: next(at for at, part in enumerate(parts) if glob.has_magic(part))])


def _listed(text: str, source: str) -> list[str]:
    """Return the pictures of a list, sorted. Raises DatasetError if one is listed twice."""
    lines = sorted(line.strip() for line in text.splitlines() if line.strip())
    if not lines:
        raise DatasetError(source, "lists no pictures", "Write one path or URL per line")
    for one, other in pairwise(lines):
        if one == other:
            raise DatasetError(source, f"lists {one} twice", "Remove one of the lines")
    return lines


@dataclass(frozen=True)
class _Remote:
    """Reads files of a file system of fsspec under a base path."""

    fs: Any
    base: str

    def __call__(self, name: str) -> bytes:
        try:
            content: bytes = self.fs.cat_file(self.base + name)
        except Exception as error:  # each file system has errors of its own
            raise _unreadable(name, error) from error
        return content


@dataclass(frozen=True)
class _Listed:
    """Reads paths and URLs; relative paths count from a folder or a URL."""

    folder: str

    def __call__(self, name: str) -> bytes:
        try:
            if is_url(name) or (is_url(self.folder) and not Path(name).is_absolute()):
                fs, path = file_system(name if is_url(name) else f"{self.folder}/{name}")
                content: bytes = fs.cat_file(path)
                return content
            return Path(self.folder, name).read_bytes()
        except Exception as error:
            raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> PictureError:
    problem = f"cannot be read ({error_reason(error)})"
    return PictureError(name, problem, _TRY_AGAIN, Fault.UNREADABLE)


@contextmanager
def _listing(source: str) -> Iterator[None]:
    """Turn errors of listing a source into a DatasetError."""
    try:
        yield
    except DatasetError:
        raise
    except Exception as error:  # each file system has errors of its own
        remedy = "Check the address and the permissions"
        raise DatasetError(source, f"cannot be listed ({error_reason(error)})", remedy) from error
