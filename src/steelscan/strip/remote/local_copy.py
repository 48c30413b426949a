"""A local copy of a folder at a URL: what machines without a common disk share.

The URL may name an object store, where files are replaced whole, nothing can be locked and a file
cannot be continued. So work is done on ordinary files, which are fetched before and sent after it.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from threading import RLock
from typing import Any, ClassVar, NamedTuple

from steelscan.strip.errors import InputError, SteelscanError
from steelscan.strip.files import cache_folder, replacing
from steelscan.strip.progress import track
from steelscan.strip.remote.file_system import error_reason, file_system, time_of

_TIMES_DIFFER = 1_000
"""Nanoseconds by which equal times may differ, since file systems round them."""

_CHECK = "Check the address, the connection and the permissions"


class _Listed(NamedTuple):
    """A file at the URL: its path there, its bytes, and when it was written in nanoseconds."""

    path: str
    size: int
    time: int

    def is_like(self, state: tuple[int, int]) -> bool:
        """Return whether a local file of this size and time is the same."""
        return self.size == state[0] and abs(self.time - state[1]) <= _TIMES_DIFFER


class LocalCopy:
    """A folder in the user's cache with the visible files of a folder at a URL.

    Files are fetched and sent whole, and only if they changed. Hidden ones, such as leases and
    unfinished files, stay where they are. Can be sent to other processes and machines, where it
    has the same path.
    """

    _known: ClassVar[dict[Path, "LocalCopy"]] = {}

    def __init__(self, url: str, path: Path | None = None) -> None:
        self.url = url.rstrip("/")
        name = PurePosixPath(self.url).name
        digest = hashlib.sha256(self.url.encode()).hexdigest()[:12]
        self.path = path or cache_folder().expanduser() / "copies" / f"{name}-{digest}"
        self._lock = RLock()
        self._same: dict[str, tuple[int, int]] = {}
        """Size and time of each local file that is the same at the URL."""

    def __reduce__(self) -> tuple[Any, tuple[str, Path]]:
        return LocalCopy.of, (self.url, self.path)

    @classmethod
    def of(cls, url: str, path: Path | None = None) -> "LocalCopy":
        """Return the copy of a folder at a URL, in the cache or at a path."""
        copy = cls(url, path)
        return cls._known.setdefault(copy.path, copy)

    @classmethod
    def at(cls, path: Path) -> "LocalCopy | None":
        """Return the copy that this process made at a path, or None."""
        return cls._known.get(path)

    def fetch(self, *folders: str) -> None:
        """Fetch new and changed files, of some folders or of all.

        A file that was changed here, or is newer here, is kept. Files that were removed at the URL
        are removed here. Raises InputError if the URL cannot be read, OutputError.
        """
        with self._lock:
            self._fetch(folders)

    def _fetch(self, folders: Sequence[str]) -> None:
        fs, base = file_system(self.url)
        with self.reached():
            found = self._listed(fs, base, folders)
        self._forget_lost_folder()
        self.path.mkdir(parents=True, exist_ok=True)
        wanted = [name for name, listed in found.items() if self._is_outdated(name, listed)]
        for name in track(wanted, f"Fetching {self.url}", len(wanted)) if wanted else ():
            listed = found[name]
            with self.reached(), replacing(self.path / name) as temporary:
                fs.get_file(listed.path, str(temporary))
                os.utime(temporary, ns=(listed.time, listed.time))
        for name in [each for each in self._same if _is_in(each, folders) and each not in found]:
            if self._same.pop(name) == self._state(name):
                (self.path / name).unlink()
        for name, listed in found.items():
            state = self._state(name)
            if state is not None and listed.is_like(state):
                self._same[name] = state

    def send(self, *folders: str) -> None:
        """Send new and changed files, of some folders or of all, and remove removed ones.

        Raises InputError if the URL cannot be written.
        """
        with self._lock, self.reached():
            self._send(folders)

    def _send(self, folders: Sequence[str]) -> None:
        fs, base = file_system(self.url)
        self._forget_lost_folder()
        local = set(self._local(folders))
        fs.invalidate_cache()
        for name in sorted(local):
            if self._state(name) != self._same.get(name):
                self._send_file(fs, f"{base}/{name}", name)
        for name in [each for each in self._same if _is_in(each, folders) and each not in local]:
            with suppress(FileNotFoundError):
                fs.rm_file(f"{base}/{name}")
            del self._same[name]

    def _forget_lost_folder(self) -> None:
        """If somebody emptied the cache, its files were not removed from the run."""
        if not self.path.exists():
            self._same.clear()

    def _send_file(self, fs: Any, path: str, name: str) -> None:
        try:
            file = (self.path / name).open("rb")
        except FileNotFoundError:  # removed meanwhile
            return
        with file:
            before = os.fstat(file.fileno())
            sent = before.st_size, before.st_mtime_ns
            with suppress(FileNotFoundError):  # another process may have sent it
                if _file_at(path, fs.info(path)).is_like(sent):
                    self._same[name] = sent
                    return
            fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            if "file" in fs.protocol:  # fsspec would write it elsewhere, and copy it
                with replacing(Path(path)) as temporary, temporary.open("wb") as target:
                    shutil.copyfileobj(file, target)
            else:
                with fs.transaction, fs.open(path, "wb") as target:
                    shutil.copyfileobj(file, target)
            fs.invalidate_cache()
            time = time_of(fs.info(path))
            # of the file that was sent: by its name it could be a newer one
            os.utime(file.fileno() if os.utime in os.supports_fd else file.name, ns=(time, time))
            self._same[name] = sent[0], time

    def _is_outdated(self, name: str, listed: _Listed) -> bool:
        state = self._state(name)
        if name in self._same:  # a file that was changed or removed here will be sent
            return state == self._same[name] and not listed.is_like(state)
        return state is None or not (listed.is_like(state) or state[1] > listed.time)

    def _listed(self, fs: Any, base: str, folders: Iterable[str]) -> dict[str, _Listed]:
        """Return the visible files at the URL by name."""
        fs.invalidate_cache()
        found: dict[str, _Listed] = {}
        for folder in folders or ("",):
            with suppress(FileNotFoundError):
                below = fs.find(f"{base}/{folder}".rstrip("/"), detail=True)
                for path, info in below.items():
                    name = path.removeprefix(base).lstrip("/")
                    if name and not _is_hidden(name):
                        found[name] = _file_at(path, info)
        return found

    def _local(self, folders: Iterable[str]) -> Iterator[str]:
        for folder in folders or ("",):
            for path in (self.path / folder).rglob("*"):
                name = path.relative_to(self.path).as_posix()
                if not _is_hidden(name) and path.is_file():
                    yield name

    def _state(self, name: str) -> tuple[int, int] | None:
        try:
            found = (self.path / name).stat()
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Turn errors of the file system into an InputError about the URL."""
        try:
            yield
        except SteelscanError:
            raise
        except Exception as error:  # each file system has errors of its own
            problem = f"cannot be reached ({error_reason(error)})"
            raise InputError(self.url, problem, _CHECK) from error


def fetched(url: str) -> Path:
    """Fetch a folder or a file at a URL; return the path of its local copy.

    Raises InputError if there is nothing, or if it cannot be read.
    """
    copy = LocalCopy.of(url)
    fs, base = file_system(url)
    with copy.reached():
        is_file, exists = fs.isfile(base), fs.exists(base)
    if is_file:
        folder, _, name = url.rpartition("/")
        copy = LocalCopy.of(folder)
        copy.fetch(name)
        return copy.path / name
    copy.fetch()
    if not exists and not any(copy.path.iterdir()):
        raise InputError(url, "does not exist", _CHECK)
    return copy.path


def _file_at(path: str, info: dict[str, Any]) -> _Listed:
    return _Listed(path, info["size"], time_of(info))


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


def _is_in(name: str, folders: Iterable[str]) -> bool:
    return not folders or any(PurePosixPath(name).is_relative_to(each) for each in folders)
