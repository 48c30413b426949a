"""Files in a zip, by their names, after a check that unpacking them does no harm."""

# ruff: noqa: D102 - `Files` documents the methods

import os
import stat
import struct
import weakref
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any

from steelscan.data.files.files import Files, Stamp, is_picture, sorted_visible, stamp_of, visible
from steelscan.strip.errors import DatasetError, Fault

_SMALL = 1 << 28
"""A zip that unpacks to at most this many bytes is always read."""

_DENSEST = 100
"""A larger one may grow by this factor; pictures and annotations grow by ten to thirty."""

_SMALL_TEXT = 1 << 24
"""An annotation file of at most this many bytes is always read; parsing needs far more memory."""

_PACK_AGAIN = "Pack the plain files again"


class ZipFiles(Files):
    """The files of a zip; it is opened at the first access."""

    def __init__(self, root: Path, prefix: str = "") -> None:
        self.root = root
        self._prefix = prefix
        self._handle: tuple[int, zipfile.ZipFile, dict[str, zipfile.ZipInfo]] | None = None

    def names(self, folder: str = "") -> tuple[str, ...]:
        prefix = f"{folder}/" if folder else ""
        rests = (name[len(prefix) :] for name in self._all() if name.startswith(prefix))
        return sorted_visible(rest for rest in rests if rest and "/" not in rest)

    def folders(self) -> tuple[str, ...]:
        return sorted_visible({name.partition("/")[0] for name in self._all() if "/" in name})

    def walk(self, links: bool = False) -> Iterator[str]:  # noqa: ARG002 - a zip has no links
        return (name for name in self._all() if not name.endswith("/"))

    def exists(self, name: str) -> bool:
        return self._prefix + name in self._zip()[1]

    def size(self, name: str) -> int:
        try:
            return self._zip()[1][self._prefix + name].file_size
        except KeyError:
            raise DatasetError(self.where(name), "is not in the zip", "Check the zip") from None

    def stamp(self, name: str) -> Stamp:  # noqa: ARG002
        return stamp_of(self.root)

    def under(self, folder: str) -> Files:
        return ZipFiles(self.root, f"{self._prefix}{folder}/")

    def where(self, name: str) -> str:
        return f"{self.root}/{self._prefix}{name}"

    def _open(self, name: str) -> Any:
        packed, entries = self._zip()
        entry = entries.get(self._prefix + name)
        if entry is None:
            raise KeyError("it is not in the zip")
        return packed.open(entry)

    def _all(self) -> list[str]:
        start = len(self._prefix)
        names = (name for name in self._zip()[1] if name.startswith(self._prefix))
        return [name[start:] for name in names if visible(name)]

    def _zip(self) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
        """Open the zip once per process: a forked one would share the file position."""
        process, handle = os.getpid(), self._handle
        if handle is None or handle[0] != process:
            try:
                # Close it with this object, not when the garbage collector finds the open file.
                with ExitStack() as opened:
                    file = opened.enter_context(self.root.open("rb"))
                    packed = zipfile.ZipFile(file)
                    handle = (process, packed, _entries_of(packed, self.root))
                    weakref.finalize(self, opened.pop_all().close)
            except UnicodeDecodeError as error:
                problem = f"has a name marked as UTF-8 that is not UTF-8 ({error.object!r:.80})"
                remedy = "Pack the files again, with names in UTF-8"
                raise DatasetError(self.root, problem, remedy, Fault.UNSAFE_NAME) from error
            except (
                OSError, ValueError, OverflowError, RuntimeError, struct.error,
                zipfile.BadZipFile,
            ) as error:  # fmt: skip
                problem = f"cannot be opened as a zip ({error})"
                raise DatasetError(self.root, problem, "Copy the zip again") from error
            self._handle = handle
        return handle[1], handle[2]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}


def _entries_of(packed: zipfile.ZipFile, root: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the entries of a zip by name. Raises DatasetError if one of them could do harm."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in packed.infolist():
        name = _name_in_zip(entry)
        problem = _problem(entry, name)
        if name in entries and visible(name.rstrip("/")):
            problem = f"holds {name[:80]} twice"
        if problem:
            raise DatasetError(root, problem, _PACK_AGAIN, Fault.UNSAFE_NAME)
        entries[name] = entry
    _check_folders(entries, root)
    size = root.stat().st_size
    unpacked = sum(entry.file_size for entry in entries.values())
    if unpacked > max(_SMALL, _DENSEST * size):
        problem = f"would grow from {size} to {unpacked} bytes, more than pictures can"
        remedy = "Unpack it yourself if you trust it"
        raise DatasetError(root, problem, remedy, Fault.UNREADABLE_FILE)
    for name, entry in entries.items():
        most = max(_SMALL_TEXT, _DENSEST * min(entry.compress_size, size))
        if entry.file_size > most and not is_picture(name):
            problem = f"would grow from {entry.compress_size} to {entry.file_size} bytes"
            remedy = f"Unpack it yourself if you trust it; at most {most} bytes are read from a zip"
            raise DatasetError(f"{root}/{name}", problem, remedy, Fault.UNREADABLE_FILE)
    return entries


def _check_folders(names: Iterable[str], root: Path) -> None:
    """Raise DatasetError if a name is used for a file and for a folder."""
    files = [name for name in names if visible(name.rstrip("/"))]
    folders = {name.rpartition("/")[0] for name in files if "/" in name}
    for folder in list(folders):
        folders.update(each.as_posix() for each in PurePosixPath(folder).parents)
    both = folders.intersection(files)
    if both:
        problem = f"holds {min(both)[:80]} as a file and as a folder"
        raise DatasetError(root, problem, _PACK_AGAIN, Fault.UNSAFE_NAME)


def _problem(entry: zipfile.ZipInfo, name: str) -> str:
    """Return why an entry of a zip could do harm; empty if it cannot."""
    parts = name.rstrip("/").split("/")
    if any(part in ("", ".", "..") for part in parts) or name[1:2] == ":":
        return f"holds the name {name[:80]!r}, which may lead out of a folder"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return f"holds a link, {name[:80]}"
    if entry.flag_bits & 1:
        return f"is locked with a password ({name[:80]})"
    return ""


def _name_in_zip(entry: zipfile.ZipInfo) -> str:
    """Return the name of an entry with ``/`` between its parts.

    A name without the UTF-8 flag is code page 437 by the standard; macOS and old Linux programs
    write UTF-8 without the flag, so valid UTF-8 is read as such.
    """
    name = entry.filename
    if not entry.flag_bits & 0x800:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            name = entry.filename
    return name.replace("\\", "/")  # old Windows programs write backslashes
