"""Writing results so that nothing is ever half-written."""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from steelscan.strip.errors import OutputError

_ONLY_WRITING = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS))
"""What reading never fails with."""

_LONGEST = 200
"""Bytes of a file's name that fit into a temporary one: most disks allow 255 in all."""

_lent: set[Path] = set()
"""Temporary folders that this process uses now."""

_LEFTOVER = re.compile(r"\..+\.(\d+)\.(?:part|unpacked)")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lend a temporary path beside ``path``; put it in place when the block ends without error.

    Readers see the old file or the whole new one, also after a crash; a link to a file stays one.
    Raises OutputError when the folder cannot be written, the disk is full, or ``path`` is a device
    or a pipe; the temporary file is then gone. What reading in the block raises is passed on.
    """
    target = Path(os.path.realpath(path))
    temporary = temporary_beside(target, "part")
    try:
        with _writing(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists() and not target.is_file():
                raise OSError(errno.EINVAL, "it is no ordinary file")
        with _writing(path, temporary):
            yield temporary
        with _writing(path):
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
    finally:
        with suppress(OSError):  # where it never came to be: the error above is the one to tell
            temporary.unlink()


@contextmanager
def temporary_folder(beside: Path, ending: str = "part") -> Iterator[Path]:
    """Lend a new folder beside a path; it is gone in the end unless it was renamed.

    Folders that killed processes left for the same path are removed first. Raises OutputError when
    nothing can be written there. What reading in the block raises is passed on.
    """
    folder = temporary_beside(beside, ending)
    remove_leftovers(beside.parent, folder.name.removesuffix(f"{os.getpid()}.{ending}"))
    _lent.add(folder)
    try:
        with _writing(beside):
            folder.mkdir(parents=True)
        with _writing(beside, folder):
            yield folder
    finally:
        _lent.discard(folder)
        shutil.rmtree(folder, ignore_errors=True)


def temporary_beside(path: Path, ending: str) -> Path:
    """A hidden name beside a path that no other process uses."""
    return hidden_beside(path, f"{os.getpid()}.{ending}")


def hidden_beside(path: Path, ending: str) -> Path:
    """A hidden name beside a path, after the path's own, and short where that is long."""
    name = path.name.lstrip(".")
    if len(os.fsencode(name)) > _LONGEST:
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return path.with_name(f".{name}.{ending}")


def remove_leftovers(folder: Path, start: str = ".") -> None:
    """Remove temporary files and folders, of names that begin so, of processes that have ended."""
    with suppress(OSError):
        for path in list(folder.iterdir()):
            found = _LEFTOVER.fullmatch(path.name)
            ended = found and path not in _lent and not _is_alive(int(found[1]))
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
        found = f"cannot be written: it would name {text}, which is not UTF-8"
        raise OutputError(path, found, "Rename that file or folder") from None
    write_bytes(path, encoded)


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON whole or not at all. Raises OutputError."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def output_folder(path: Path) -> Path:
    """Make a folder for results and prove that it can be written. Raises OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def cannot_write(path: Path, error: OSError) -> OutputError:
    """Say in the user's words why a path cannot be written."""
    reason = error.strerror or str(error)
    remedy = "Choose a writable folder with free space"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        for each in (path, *path.parents):
            if each.is_file():
                reason, remedy = f"{each} is a file, and no folder", "Name a folder"
    return OutputError(path, f"cannot be written ({reason})", remedy)


@contextmanager
def _writing(path: Path, within: Path | None = None) -> Iterator[None]:
    """Turn OSErrors into an OutputError about ``path``.

    With ``within``, a file or folder that the block writes, those alone that are about it.
    """
    try:
        yield
    except OSError as error:
        if within is not None and not _is_of_writing(error, within):
            raise
        raise cannot_write(path, error) from error


def _is_of_writing(error: OSError, within: Path) -> bool:
    if error.errno in _ONLY_WRITING:
        return True
    if not isinstance(error.filename, str | bytes | os.PathLike):
        return False
    named = Path(os.path.realpath(os.fsdecode(error.filename)))
    return named.is_relative_to(os.path.realpath(within))


def _is_alive(process: int) -> bool:
    """Whether a process of this number runs; where that cannot be asked, it may."""
    if process == os.getpid():
        return False  # an earlier one of the same number, as in containers
    if os.name == "nt":  # there, such a signal would end it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
