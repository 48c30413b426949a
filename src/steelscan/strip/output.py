"""Writing results so that nothing is ever half-written."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from steelscan.strip.errors import OutputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Lend a temporary path beside ``path``; put it in place when the block ends without error.

    Readers see the old file or the whole new one, also after a crash. Raises OutputError when
    the folder cannot be written or the disk is full; the temporary file is then gone.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # a device would be replaced by a file
            raise OSError(errno.EINVAL, "it is no ordinary file")
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):  # where it never came to be: the error above is the one to tell
            temporary.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises OutputError."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file whole or not at all. Raises OutputError."""
    write_bytes(path, content.encode())


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
    return OutputError(
        path, f"cannot be written ({reason})", "Choose a writable folder with free space"
    )
