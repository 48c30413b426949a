"""Files in a folder or in a zip, read alike; and the pictures that a user names for prediction."""

import glob
import os
import stat
import weakref
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeAlias

from steelscan.data.picture import SUFFIXES
from steelscan.strip import DatasetError, Fault, PictureError

_SMALL = 1 << 28
"""Zips that unpack to so many bytes harm nobody."""

_DENSEST = 100
"""Larger ones may grow so many times: pictures and annotations grow ten to thirty times."""

Stamp: TypeAlias = tuple[int, ...]
"""Device, inode, size, and nanoseconds of the last change of the content and of the inode."""


class Files(ABC):
    """Files under one root, by their names relative to it, with ``/`` between the parts.

    Hidden files, and the ``__MACOSX`` folder of zips made on a Mac, do not exist here. Picklable;
    may be used by many threads, and by processes forked from this one.
    """

    root: Path

    def read(self, name: str) -> bytes:
        """Content of a file. Raises DatasetError when it is missing or unreadable."""
        with self.open(name) as file:
            return file.read()

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Open a file for reading. Raises DatasetError, also for errors in the block's reading."""
        try:
            with self._open(name) as file:
                yield file
        except (OSError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            reason = getattr(error, "strerror", None) or str(error).strip("'\"")
            found = f"cannot be read ({reason})"
            raise DatasetError(self.where(name), found, "Check or copy the file again") from error

    def where(self, name: str) -> str:
        """How messages call a file."""
        return str(self.root / name)

    @abstractmethod
    def names(self, folder: str = "") -> tuple[str, ...]:
        """Names of the files right inside a folder, without the folder, sorted; () without it."""

    @abstractmethod
    def folders(self) -> tuple[str, ...]:
        """Names of the folders right under the root, sorted."""

    @abstractmethod
    def walk(self) -> Iterator[str]:
        """Names of all files at any depth, relative to the root."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether a file of this name is there."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Bytes in a file. Raises DatasetError when it is missing."""

    @abstractmethod
    def stamp(self, name: str) -> Stamp:
        """What changes with a file's content, of its zip as a whole. Raises DatasetError."""

    @abstractmethod
    def under(self, folder: str) -> "Files":
        """The files of one folder, as if it were the root."""

    @abstractmethod
    def _open(self, name: str) -> Any: ...


def open_files(path: Path) -> Files:
    """Open a folder or a zip.

    Raises DatasetError when the path is neither; and, when a zip is first asked, for one that holds
    names that lead out of it, links, the same name twice, or far more bytes than files could.
    """
    if path.is_dir():
        return _Folder(path)
    if not path.exists():
        raise DatasetError(path, "does not exist", "Name a folder or a zip")
    if not zipfile.is_zipfile(path):
        raise DatasetError(path, "is neither a folder nor a zip", "Name a folder or a zip")
    return _Zip(path)


@dataclass(frozen=True)
class PictureFile:
    """A picture somewhere in a folder or zip; ``name`` is unique among those found with it."""

    name: str
    files: Files = field(repr=False)
    place: str = field(repr=False)

    def read(self) -> bytes:
        """Content of the file. Raises PictureError when it cannot be read."""
        try:
            return self.files.read(self.place)
        except DatasetError as error:
            raise PictureError(error.where, error.found, error.remedy) from error


def find_pictures(where: Path | str) -> list[PictureFile]:
    """Find the pictures of a folder (at any depth), a zip, one file or a glob pattern.

    Sorted by name; names are relative to the folder, the zip, or the part of the pattern before
    its first wildcard. Files with other endings than pictures have are passed over, and links to
    folders are not followed. Raises DatasetError when no picture is found.
    """
    path = Path(where)
    if path.is_file() and not zipfile.is_zipfile(path):
        found = [PictureFile(path.name, _Folder(path.parent), path.name)]
    elif path.exists():
        files = open_files(path)
        found = [PictureFile(name, files, name) for name in files.walk()]
    elif glob.has_magic(str(where)):
        found = _matching(str(where))
    else:
        raise DatasetError(where, "does not exist", "Name a folder, a zip, a picture or a pattern")
    pictures = sorted((file for file in found if is_picture(file.name)), key=lambda file: file.name)
    if not pictures:
        raise DatasetError(where, "holds no pictures", f"Looked for {' '.join(sorted(SUFFIXES))}")
    return pictures


def is_picture(name: str) -> bool:
    """Whether a file's name ends as pictures do."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def _matching(pattern: str) -> list[PictureFile]:
    parts = Path(pattern).parts
    fixed = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:fixed])
    hits = glob.iglob(str(Path(*parts[fixed:])), root_dir=base, recursive=True)  # noqa: PTH207
    names = {Path(hit).as_posix() for hit in hits if (base / hit).is_file()}
    files = _Folder(base)
    return [PictureFile(name, files, name) for name in names if _visible(name)]


def _visible(name: str) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


class _Folder(Files):
    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self, folder: str = "") -> tuple[str, ...]:
        return _sorted(entry.name for entry in self._entries(folder) if entry.is_file())

    def folders(self) -> tuple[str, ...]:
        return _sorted(entry.name for entry in self._entries("") if entry.is_dir())

    def walk(self) -> Iterator[str]:
        for folder, inner, names in os.walk(self.root):
            inner[:] = _sorted(inner)
            base = Path(folder).relative_to(self.root).as_posix()
            inside = "" if base == "." else f"{base}/"
            yield from (inside + name for name in _sorted(names))

    def exists(self, name: str) -> bool:
        return (self.root / name).is_file()

    def size(self, name: str) -> int:
        return self.stamp(name)[2]

    def stamp(self, name: str) -> Stamp:
        return _stamp(self.root / name)

    def under(self, folder: str) -> Files:
        return _Folder(self.root / folder)

    def _open(self, name: str) -> Any:
        return (self.root / name).open("rb")

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.root / folder) as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            found = f"cannot be listed ({error.strerror})"
            raise DatasetError(self.root / folder, found, "Check the rights") from error


class _Zip(Files):
    def __init__(self, root: Path, prefix: str = "") -> None:
        self.root = root
        self._prefix = prefix
        self._handle: tuple[int, zipfile.ZipFile] | None = None

    def names(self, folder: str = "") -> tuple[str, ...]:
        inside = f"{folder}/" if folder else ""
        rests = (name[len(inside) :] for name in self._all() if name.startswith(inside))
        return _sorted(rest for rest in rests if rest and "/" not in rest)

    def folders(self) -> tuple[str, ...]:
        return _sorted({name.partition("/")[0] for name in self._all() if "/" in name})

    def walk(self) -> Iterator[str]:
        return (name for name in self._all() if not name.endswith("/"))

    def exists(self, name: str) -> bool:
        return self._prefix + name in self._zip().NameToInfo

    def size(self, name: str) -> int:
        try:
            return self._zip().getinfo(self._prefix + name).file_size
        except KeyError:
            remedy = "Check the zip"
            raise DatasetError(self.where(name), "is not in the zip", remedy) from None

    def stamp(self, name: str) -> Stamp:  # noqa: ARG002
        return _stamp(self.root)

    def under(self, folder: str) -> Files:
        return _Zip(self.root, f"{self._prefix}{folder}/")

    def where(self, name: str) -> str:
        return f"{self.root}/{self._prefix}{name}"

    def _open(self, name: str) -> Any:
        return self._zip().open(self._prefix + name)

    def _all(self) -> list[str]:
        start = len(self._prefix)
        names = (name for name in self._zip().namelist() if name.startswith(self._prefix))
        return [name[start:] for name in names if _visible(name)]

    def _zip(self) -> zipfile.ZipFile:
        """The zip, opened once a process: a forked one would share the parent's place in it."""
        process, handle = os.getpid(), self._handle
        if handle is None or handle[0] != process:
            try:
                # Closed with this object, not whenever the garbage collector meets the open file.
                with ExitStack() as opened:
                    file = opened.enter_context(self.root.open("rb"))
                    handle = (process, zipfile.ZipFile(file))
                    _check_archive(handle[1], self.root)
                    weakref.finalize(self, opened.pop_all().close)
            except (OSError, zipfile.BadZipFile) as error:
                found = f"cannot be opened as a zip ({error})"
                raise DatasetError(self.root, found, "Copy the zip again") from error
            self._handle = handle
        return handle[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        raise DatasetError(path, reason, "Check or copy the file again") from error
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _check_archive(packed: zipfile.ZipFile, root: Path) -> None:
    """Refuse what could harm before anything is unpacked. Raises DatasetError."""
    seen: set[str] = set()
    for entry in packed.infolist():
        name, found = entry.filename, ""
        parts = name.rstrip("/").split("/")
        if "\\" in name or any(part in ("", ".", "..") for part in parts) or name[1:2] == ":":
            found = f"holds the name {name[:80]!r}, which may lead out of a folder"
        elif stat.S_ISLNK(entry.external_attr >> 16):
            found = f"holds a link, {name[:80]}"
        elif entry.flag_bits & 1:
            found = f"is locked with a password ({name[:80]})"
        elif name in seen and _visible(name):
            found = f"holds {name[:80]} twice"
        if found:
            raise DatasetError(root, found, "Pack plain files anew", Fault.UNSAFE_NAME)
        seen.add(name)
    unpacked = sum(entry.file_size for entry in packed.infolist())
    if unpacked > max(_SMALL, _DENSEST * root.stat().st_size):
        found = f"would grow from {root.stat().st_size} to {unpacked} bytes, as no pictures do"
        raise DatasetError(root, found, "Unpack it yourself if you trust it", Fault.UNREADABLE_FILE)


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if _visible(name)))
