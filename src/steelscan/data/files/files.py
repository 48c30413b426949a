"""Files in a folder, by their names; `zip_files` has the same for zips."""

# ruff: noqa: D102 - `Files` documents the methods

import errno
import lzma
import os
import re
import stat
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NoReturn, TypeAlias

from steelscan.data.picture import SUFFIXES
from steelscan.strip.errors import DatasetError, Fault, InputError, PictureError

_JUNK = frozenset(
    (
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "@eadir",
        "@recycle",
        "__macosx",
        "desktop.ini",
        "ehthumbs.db",
        "lost+found",
        "system volume information",
        "thumbs.db",
    )
)
"""Files and folders of Windows, macOS and network stores, in lower case: never a strip."""

_NOT_UNICODE = re.compile("[\ud800-\udfff]")
"""Halves of characters, by which Python represents bytes of a name that it cannot decode."""

_COPY_AGAIN = "Check the file, or copy it again"
NO_FILE = "is no ordinary file: a pipe, a device or a socket"

Stamp: TypeAlias = tuple[int, ...]
"""Device, inode, size, and nanoseconds of the last change of the content and of the inode."""


class Files(ABC):
    """Files under one root, by their names relative to it, with ``/`` between the parts.

    Hidden files, and files that Windows, macOS and network stores leave in folders, are left out.
    Listing raises DatasetError if a name is not Unicode. Picklable; may be used by many threads and
    by forked processes.
    """

    root: Path

    def read(self, name: str) -> bytes:
        """Return the content of a file. Raises DatasetError if it is missing or unreadable."""
        with self.open(name) as file:
            return file.read()

    def picture_bytes(self, name: str, kind: type[InputError] = PictureError) -> bytes:
        """Return the content of a picture or mask file. Raises an error of class ``kind``."""
        try:
            return self.read(name)
        except DatasetError as error:
            raise error.as_(kind, Fault.UNREADABLE) from error

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Open a file for reading. Raises DatasetError, also for errors within the block."""
        try:
            with self._open(name) as file:
                yield file
        except (
            OSError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error,
            lzma.LZMAError, struct.error,
        ) as error:  # fmt: skip
            reason = getattr(error, "strerror", None) or str(error).strip("'\"")
            problem = f"cannot be read ({reason})"
            raise DatasetError(self.where(name), problem, _COPY_AGAIN) from error

    def where(self, name: str) -> str:
        """Return the path of a file for messages."""
        return str(self.root / name)

    @abstractmethod
    def names(self, folder: str = "") -> tuple[str, ...]:
        """Return the names of the files directly in a folder, sorted; () if there is no folder."""

    @abstractmethod
    def folders(self) -> tuple[str, ...]:
        """Return the names of the folders directly under the root, sorted."""

    @abstractmethod
    def walk(self, links: bool = False) -> Iterator[str]:
        """Yield the names of all files at any depth, relative to the root.

        With ``links``, links to folders are followed; each folder is visited once.
        """

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Return whether there is a file of this name."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Return the size of a file in bytes. Raises DatasetError if it is missing."""

    @abstractmethod
    def stamp(self, name: str) -> Stamp:
        """Return numbers that change with a file's content, or its zip's. Raises DatasetError."""

    @abstractmethod
    def under(self, folder: str) -> "Files":
        """Return the files of one folder, with names relative to it."""

    @abstractmethod
    def _open(self, name: str) -> Any: ...


class FolderFiles(Files):
    """The files of a folder on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self, folder: str = "") -> tuple[str, ...]:
        entries = self._entries(folder)
        return self._listed((entry.name for entry in entries if _is_listed(entry)), folder)

    def folders(self) -> tuple[str, ...]:
        return self._listed(entry.name for entry in self._entries("") if _is(entry.is_dir))

    def walk(self, links: bool = False) -> Iterator[str]:
        real, visited, waiting = self.root.resolve(), set[Path](), [self.root]
        for start in waiting:
            if start != self.root and (
                start.resolve() in visited or real.is_relative_to(start.resolve())
            ):
                continue
            for folder, inner, names in os.walk(start, onerror=self._refuse_listing):
                base = Path(folder).relative_to(self.root).as_posix()
                prefix = "" if base == "." else f"{base}/"
                inner[:] = self._listed(inner, prefix)
                if links:
                    visited.add(Path(folder).resolve())
                    below = (Path(folder, name) for name in inner)
                    waiting += [path for path in below if path.is_symlink()]
                yield from (prefix + name for name in self._listed(names, prefix))

    def exists(self, name: str) -> bool:
        return (self.root / name).is_file()

    def size(self, name: str) -> int:
        return self.stamp(name)[2]

    def stamp(self, name: str) -> Stamp:
        return stamp_of(self.root / name)

    def under(self, folder: str) -> Files:
        return FolderFiles(self.root / folder)

    def _open(self, name: str) -> Any:
        path = self.root / name
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            raise OSError(errno.EINVAL, NO_FILE)  # reading it might never end
        return path.open("rb")

    def _listed(self, names: Iterable[str], folder: str = "") -> tuple[str, ...]:
        listed = sorted_visible(names)
        check_unicode(listed, self.where(folder))
        return listed

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.root / folder) as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self._refuse_listing(error)

    def _refuse_listing(self, error: OSError) -> NoReturn:
        problem = f"cannot be listed ({error.strerror})"
        raise DatasetError(error.filename, problem, "Check the permissions") from error


def _is_listed(entry: os.DirEntry[str]) -> bool:
    """Return whether it is a file, or named as a picture: reading it then raises an error."""
    return _is(entry.is_file) or (is_picture(entry.name) and not _is(entry.is_dir))


def _is(test: Callable[[], bool]) -> bool:
    try:
        return test()
    except OSError:  # a circle of links
        return False


def is_picture(name: str) -> bool:
    """Return whether a file has the suffix of a picture."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def visible(name: str) -> bool:
    """Return whether a file is neither hidden nor left by an operating system."""
    return not any(part.startswith(".") or part.lower() in _JUNK for part in name.split("/"))


def check_unicode(names: Iterable[str], where: object) -> None:
    """Raise DatasetError if a name is not Unicode: no table could contain it."""
    wrong = list(filter(_NOT_UNICODE.search, names))
    if not wrong:
        return
    folder, first = (
        os.fsencode(str(text)).decode(errors="backslashreplace") for text in (where, wrong[0])
    )
    if all(_is_utf_8(os.fsencode(name)) for name in wrong):
        problem = f"holds {len(wrong)} names that this locale, which is not UTF-8, cannot read"
        remedy = "Set LANG=C.UTF-8 or PYTHONUTF8=1 and run the command again"
        raise DatasetError(folder, problem, remedy)
    problem = f"holds {len(wrong)} names of files that are not UTF-8, as '{first}'"
    remedy = "Rename them, as with: convmv -f latin1 -t utf8 -r --notest FOLDER"
    raise DatasetError(folder, problem, remedy, Fault.UNSAFE_NAME)


def _is_utf_8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def stamp_of(path: Path) -> Stamp:
    """Return the stamp of a file on disk. Raises DatasetError."""
    try:
        status = path.stat()
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise DatasetError(path, problem, _COPY_AGAIN) from error
    return (
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )  # fmt: skip


def sorted_visible(names: Iterable[str]) -> tuple[str, ...]:
    """Return the visible names, sorted."""
    return tuple(sorted(name for name in names if visible(name)))
