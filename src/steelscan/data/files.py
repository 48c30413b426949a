"""Files in a folder or in a zip, read alike; and the pictures that a user names for prediction."""

import errno
import glob
import lzma
import os
import re
import stat
import struct
import weakref
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NoReturn, TypeAlias

from steelscan.data.picture import SUFFIXES
from steelscan.strip import DatasetError, Fault, PictureError

_SMALL = 1 << 28
"""Zips that unpack to so many bytes harm nobody."""

_DENSEST = 100
"""Larger ones may grow so many times: pictures and annotations grow ten to thirty times."""

_SMALL_TEXT = 1 << 24
"""An annotation file of so many bytes is read in any case; tables take many times as much."""

PREDICTED_BY = "predicted_by.txt"
"""Marks a folder as written by ``steelscan predict``, whose masks and overlays are no strips."""

_DRAWN = ("masks", "overlays")

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
"""What Windows, macOS and network stores leave in folders, in lower case: never a strip."""

_NO_FILE = "is no ordinary file: a pipe, a device or a socket"
Stamp: TypeAlias = tuple[int, ...]
"""Device, inode, size, and nanoseconds of the last change of the content and of the inode."""


class Files(ABC):
    """Files under one root, by their names relative to it, with ``/`` between the parts.

    Hidden files, and what Windows, macOS and network stores leave in folders, do not exist here.
    Where a name is no Unicode, listing raises DatasetError. Picklable; may be used by many threads,
    and by processes forked from this one.
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
        except (
            OSError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error,
            lzma.LZMAError, struct.error,
        ) as error:  # fmt: skip
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
    def walk(self, links: bool = False) -> Iterator[str]:
        """Names of all files at any depth, relative to the root; with those that links lead to.

        Each folder is entered once, and no link to one above.
        """

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
    if not path.is_file():
        raise DatasetError(path, _NO_FILE, "Name a folder or a zip")
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
            raise error.as_(PictureError) from error


def find_pictures(where: Path | str) -> list[PictureFile]:
    """Find the pictures of a folder (at any depth), a zip, one file or a glob pattern.

    Sorted by name; names are relative to the folder, the zip, or the part of the pattern before
    its first wildcard. Files with other endings than pictures have are passed over, and so are
    masks and overlays that ``steelscan predict`` wrote. Links to folders are not followed. Raises
    DatasetError when no picture is found, and for names that are no Unicode.
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
    _check_unicode([picture.name for picture in pictures], where)
    written = _Written()
    kept = [picture for picture in pictures if not written.by_predict(picture)]
    if pictures and not kept:
        found_only = "holds no pictures but those that steelscan predict wrote"
        raise DatasetError(where, found_only, "Name the folder of the strips")
    if not kept:
        raise DatasetError(where, "holds no pictures", f"Looked for {' '.join(sorted(SUFFIXES))}")
    return kept


class _Written:
    """Tells what `steelscan predict` wrote from strips, asking the disk once a folder."""

    def __init__(self) -> None:
        self._folders: dict[Path, bool] = {}

    def by_predict(self, picture: PictureFile) -> bool:
        """Whether a picture, or what it is a link to, is a mask or an overlay."""
        if not isinstance(picture.files, _Folder):
            return any(
                inner.name in _DRAWN
                and picture.files.exists((inner.parent / PREDICTED_BY).as_posix())
                for inner in PurePosixPath(picture.place).parents
            )
        path = picture.files.root / picture.place
        if path.is_symlink():
            path = Path(os.path.realpath(path))
        folder = path.parent
        if folder not in self._folders:
            self._folders[folder] = _is_output(Path(os.path.realpath(folder)))
        return self._folders[folder]


def _is_output(folder: Path) -> bool:
    return any(
        inner.name in _DRAWN and (inner.parent / PREDICTED_BY).is_file()
        for inner in (folder, *folder.parents)
    )


def is_picture(name: str) -> bool:
    """Whether a file's name ends as pictures do."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def _matching(pattern: str) -> list[PictureFile]:
    parts = Path(pattern).parts
    fixed = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:fixed])
    # pathlib does not follow links below "**", and knows "**" as a part of its own alone
    wanted = [part if part == "**" else re.sub(r"\*+", "*", part) for part in parts[fixed:]]
    wanted += ["*"] if wanted[-1] == "**" else []
    hits = [hit.relative_to(base) for hit in base.glob("/".join(wanted)) if not hit.is_dir()]
    linked: dict[Path, bool] = {}

    def through_link(folder: Path) -> bool:
        if folder == Path():
            return False
        if folder not in linked:
            linked[folder] = (base / folder).is_symlink() or through_link(folder.parent)
        return linked[folder]

    names = {hit.as_posix() for hit in hits if not through_link(hit.parent)}
    files = _Folder(base)
    return [PictureFile(name, files, name) for name in names if _visible(name)]


def _visible(name: str) -> bool:
    return not any(part.startswith(".") or part.lower() in _JUNK for part in name.split("/"))


def _check_unicode(names: Iterable[str], where: object) -> None:
    """Refuse names that no table could hold. Raises DatasetError."""
    wrong = [name for name in names if not _is_unicode(name)]
    if wrong:
        if all(_is_utf_8(os.fsencode(name)) for name in wrong):
            found = f"holds {len(wrong)} names that this locale cannot read, which is not UTF-8"
            remedy = "Set LANG=C.UTF-8 or PYTHONUTF8=1 and give the command again"
            place = os.fsencode(str(where)).decode(errors="backslashreplace")
            raise DatasetError(place, found, remedy)
        shown = os.fsencode(wrong[0]).decode(errors="backslashreplace")
        found = f"holds {len(wrong)} names of files that are not UTF-8, as '{shown}'"
        remedy = "Rename them, as with: convmv -f latin1 -t utf8 -r --notest FOLDER"
        place = os.fsencode(str(where)).decode(errors="backslashreplace")
        raise DatasetError(place, found, remedy, Fault.UNSAFE_NAME)


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_utf_8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


class _Folder(Files):
    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self, folder: str = "") -> tuple[str, ...]:
        entries = self._entries(folder)
        return self._listed((entry.name for entry in entries if _is_listed(entry)), folder)

    def folders(self) -> tuple[str, ...]:
        return self._listed(entry.name for entry in self._entries("") if _is(entry.is_dir))

    def walk(self, links: bool = False) -> Iterator[str]:
        real, seen, waiting = self.root.resolve(), set[Path](), [self.root]
        for start in waiting:
            if start != self.root and (
                start.resolve() in seen or real.is_relative_to(start.resolve())
            ):
                continue
            for folder, inner, names in os.walk(start, onerror=self._refuse_listing):
                base = Path(folder).relative_to(self.root).as_posix()
                inside = "" if base == "." else f"{base}/"
                inner[:] = self._listed(inner, inside)
                if links:
                    seen.add(Path(folder).resolve())
                    below = (Path(folder, name) for name in inner)
                    waiting += [path for path in below if path.is_symlink()]
                yield from (inside + name for name in self._listed(names, inside))

    def exists(self, name: str) -> bool:
        return (self.root / name).is_file()

    def size(self, name: str) -> int:
        return self.stamp(name)[2]

    def stamp(self, name: str) -> Stamp:
        return _stamp(self.root / name)

    def under(self, folder: str) -> Files:
        return _Folder(self.root / folder)

    def _open(self, name: str) -> Any:
        path = self.root / name
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            raise OSError(errno.EINVAL, _NO_FILE)  # reading it might never end
        return path.open("rb")

    def _listed(self, names: Iterable[str], inside: str = "") -> tuple[str, ...]:
        found = _sorted(names)
        _check_unicode(found, self.where(inside))
        return found

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.root / folder) as entries:
                return list(entries)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self._refuse_listing(error)

    def _refuse_listing(self, error: OSError) -> NoReturn:
        found = f"cannot be listed ({error.strerror})"
        raise DatasetError(error.filename, found, "Check the rights") from error


def _is_listed(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file, or what a user may take for a picture: reading it then says why not."""
    return _is(entry.is_file) or (is_picture(entry.name) and not _is(entry.is_dir))


def _is(asked: Callable[[], bool]) -> bool:
    try:
        return asked()
    except OSError:  # links that lead in a circle
        return False


class _Zip(Files):
    def __init__(self, root: Path, prefix: str = "") -> None:
        self.root = root
        self._prefix = prefix
        self._handle: tuple[int, zipfile.ZipFile, dict[str, zipfile.ZipInfo]] | None = None

    def names(self, folder: str = "") -> tuple[str, ...]:
        inside = f"{folder}/" if folder else ""
        rests = (name[len(inside) :] for name in self._all() if name.startswith(inside))
        return _sorted(rest for rest in rests if rest and "/" not in rest)

    def folders(self) -> tuple[str, ...]:
        return _sorted({name.partition("/")[0] for name in self._all() if "/" in name})

    def walk(self, links: bool = False) -> Iterator[str]:  # noqa: ARG002 - zips hold none
        return (name for name in self._all() if not name.endswith("/"))

    def exists(self, name: str) -> bool:
        return self._prefix + name in self._zip()[1]

    def size(self, name: str) -> int:
        try:
            return self._zip()[1][self._prefix + name].file_size
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
        packed, entries = self._zip()
        entry = entries.get(self._prefix + name)
        if entry is None:
            raise KeyError("it is not in the zip")
        return packed.open(entry)

    def _all(self) -> list[str]:
        start = len(self._prefix)
        names = (name for name in self._zip()[1] if name.startswith(self._prefix))
        return [name[start:] for name in names if _visible(name)]

    def _zip(self) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
        """The zip, opened once a process: a forked one would share the parent's place in it."""
        process, handle = os.getpid(), self._handle
        if handle is None or handle[0] != process:
            try:
                # Closed with this object, not whenever the garbage collector meets the open file.
                with ExitStack() as opened:
                    file = opened.enter_context(self.root.open("rb"))
                    packed = zipfile.ZipFile(file)
                    handle = (process, packed, _entries_of(packed, self.root))
                    weakref.finalize(self, opened.pop_all().close)
            except UnicodeDecodeError as error:
                found = f"holds a name that is not the UTF-8 that it says ({error.object!r:.80})"
                remedy = "Pack the files anew, with names in UTF-8"
                raise DatasetError(self.root, found, remedy, Fault.UNSAFE_NAME) from error
            except (
                OSError, ValueError, OverflowError, RuntimeError, struct.error,
                zipfile.BadZipFile,
            ) as error:  # fmt: skip
                found = f"cannot be opened as a zip ({error})"
                raise DatasetError(self.root, found, "Copy the zip again") from error
            self._handle = handle
        return handle[1], handle[2]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        raise DatasetError(path, reason, "Check or copy the file again") from error
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _entries_of(packed: zipfile.ZipFile, root: Path) -> dict[str, zipfile.ZipInfo]:
    """What a zip holds, by names, when nothing in it could harm. Raises DatasetError."""
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in packed.infolist():
        name = _name_in_zip(entry)
        problem = _problem(entry, name)
        if name in found and _visible(name.rstrip("/")):
            problem = f"holds {name[:80]} twice"
        if problem:
            raise DatasetError(root, problem, "Pack plain files anew", Fault.UNSAFE_NAME)
        found[name] = entry
    _check_folders(found, root)
    size = root.stat().st_size
    unpacked = sum(entry.file_size for entry in found.values())
    if unpacked > max(_SMALL, _DENSEST * size):
        problem = f"would grow from {size} to {unpacked} bytes, as no pictures do"
        remedy = "Unpack it yourself if you trust it"
        raise DatasetError(root, problem, remedy, Fault.UNREADABLE_FILE)
    for name, entry in found.items():
        most = max(_SMALL_TEXT, _DENSEST * min(entry.compress_size, size))
        if entry.file_size > most and not is_picture(name):
            problem = f"would grow from {entry.compress_size} to {entry.file_size} bytes"
            remedy = f"Unpack it yourself if you trust it: read from a zip are at most {most} of it"
            raise DatasetError(f"{root}/{name}", problem, remedy, Fault.UNREADABLE_FILE)
    return found


def _check_folders(names: Iterable[str], root: Path) -> None:
    """Refuse names that stand for a file and for a folder: on no disk could both be."""
    visible = [name for name in names if _visible(name.rstrip("/"))]
    folders = {name.rpartition("/")[0] for name in visible if "/" in name}
    for folder in list(folders):
        folders.update(each.as_posix() for each in PurePosixPath(folder).parents)
    both = folders.intersection(visible)
    if both:
        problem = f"holds {min(both)[:80]} as a file and as a folder"
        raise DatasetError(root, problem, "Pack plain files anew", Fault.UNSAFE_NAME)


def _problem(entry: zipfile.ZipInfo, name: str) -> str:
    """What could harm about an entry of a zip; empty: nothing."""
    parts = name.rstrip("/").split("/")
    if any(part in ("", ".", "..") for part in parts) or name[1:2] == ":":
        return f"holds the name {name[:80]!r}, which may lead out of a folder"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return f"holds a link, {name[:80]}"
    if entry.flag_bits & 1:
        return f"is locked with a password ({name[:80]})"
    return ""


def _name_in_zip(entry: zipfile.ZipInfo) -> str:
    """The name of an entry with ``/`` between its parts.

    Without the mark of UTF-8 it is code page 437 by the standard; where it is valid UTF-8 all the
    same, as macOS and old Linux programs write it, it is that.
    """
    name = entry.filename
    if not entry.flag_bits & 0x800:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            name = entry.filename
    return name.replace("\\", "/")  # as old Windows programs part folders


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if _visible(name)))
