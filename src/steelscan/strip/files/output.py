"""Writing results whole or not at all."""

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from steelscan.strip.errors import OutputError

_ONLY_WRITING = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS))
"""Errors that reading never raises."""

_LONGEST = 200
"""Most bytes of a file name that a temporary name repeats: most disks allow 255 in all."""

_lent: set[Path] = set()
"""Temporary folders that this process is using."""

HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
"""This machine in temporary names: several may write into one folder."""

_LEFTOVER = re.compile(rf"\..+\.{HOST}-(\d+)-\d+\.(?:part|unpacked)")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``, which replaces it if the block raises no error.

    Readers see the old file or the complete new one, even after a crash; a link to a file stays a
    link. Raises OutputError if the folder cannot be written, the disk is full, or ``path`` is a
    device or a pipe, and then removes the temporary file. Errors from reading in the block pass.
    """
    target = Path(os.path.realpath(path))
    temporary = temporary_path(target, "part")
    try:
        with writing(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists() and not target.is_file():
                raise OSError(errno.EINVAL, "it is not an ordinary file")
        with writing(path, temporary):
            yield temporary
        with writing(path):
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
    finally:
        with suppress(OSError):  # it may not exist; the error above is the one to report
            temporary.unlink()


@contextmanager
def temporary_folder(target: Path, ending: str = "part") -> Iterator[Path]:
    """Yield a new folder next to ``target``, and remove it afterwards unless it was renamed.

    Removes folders that killed processes left for the same target. Raises OutputError if the folder
    cannot be written. Errors from reading in the block pass.
    """
    folder = temporary_path(target, ending)
    remove_leftovers(target.parent, folder.name.rpartition(f"{HOST}-")[0])
    _lent.add(folder)
    try:
        with writing(target):
            folder.mkdir(parents=True)
        with writing(target, folder):
            yield folder
    finally:
        _lent.discard(folder)
        shutil.rmtree(folder, ignore_errors=True)


def temporary_path(path: Path, ending: str) -> Path:
    """Return a hidden path next to ``path`` that no other thread, process or machine uses."""
    return hidden_path(path, f"{HOST}-{os.getpid()}-{threading.get_ident()}.{ending}")


def hidden_path(path: Path, ending: str) -> Path:
    """Return a hidden path next to ``path`` with a name like its own, shortened if necessary."""
    name = path.name.lstrip(".")
    if len(os.fsencode(name)) > _LONGEST:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return path.with_name(f".{name}.{ending}")


def remove_leftovers(folder: Path, start: str = ".") -> None:
    """Remove what ended processes of this machine left whose names begin with ``start``."""
    with suppress(OSError):
        for path in list(folder.iterdir()):
            match = _LEFTOVER.fullmatch(path.name)
            ended = match and path not in _lent and not _is_alive(int(match[1]))
            if ended and path.name.startswith(start):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises OutputError."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file whole or not at all. Raises OutputError."""
    try:
        encoded = content.encode()
    except UnicodeEncodeError as error:
        text = ascii(content[max(0, error.start - 20) : error.end + 20])
        problem = f"cannot be written: it would contain the name {text}, which is not UTF-8"
        raise OutputError(path, problem, "Rename that file or folder") from None
    write_bytes(path, encoded)


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON whole or not at all. Raises OutputError."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def output_folder(path: Path) -> Path:
    """Create a folder for results and check that it can be written. Raises OutputError."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path):  # each call its own: threads may check one folder at once
            pass
    return path


@contextmanager
def writing(path: Path, within: Path | None = None) -> Iterator[None]:
    """Turn OSErrors of the block into an OutputError about ``path``.

    With ``within``, a file or folder that the block writes, only errors about that are turned.
    """
    try:
        yield
    except OSError as error:
        if within is not None and not _is_of_writing(error, within):
            raise
        reason = error.strerror or str(error)
        remedy = "Choose a writable folder with free space"
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            for each in (path, *path.parents):
                if each.is_file():
                    reason, remedy = f"{each} is a file, not a folder", "Choose a folder"
        raise OutputError(path, f"cannot be written ({reason})", remedy) from error


def _is_of_writing(error: OSError, within: Path) -> bool:
    if error.errno in _ONLY_WRITING:
        return True
    if not isinstance(error.filename, str | bytes | os.PathLike):
        return False
    named = Path(os.path.realpath(os.fsdecode(error.filename)))
    return named.is_relative_to(os.path.realpath(within))


def _is_alive(process: int) -> bool:
    """Whether a process of this number is running, or may be if that cannot be checked."""
    if process == os.getpid():
        return False  # the number was reused, as in containers
    if os.name == "nt":  # there, the signal would end the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
