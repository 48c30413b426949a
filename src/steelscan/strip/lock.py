"""One folder, one writer: a lock that ends with its process, also with a killed one."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from steelscan.strip.errors import RunError
from steelscan.strip.output import cannot_write, output_folder


@contextmanager
def held(folder: Path, name: str = ".lock", where: Path | None = None) -> Iterator[None]:
    """Keep a folder for this process, by a file of that name in it, which stays there.

    ``where`` is how messages call what is kept; the folder if not given. Raises RunError, naming
    the other process, when one works there, and OutputError when the folder cannot be written.
    """
    from filelock import FileLock, Timeout  # costs what reading needs not pay

    where = where or folder
    file = output_folder(folder) / name
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        found = f"is in use by {_holder(file)}"
        raise RunError(where, found, "Wait for it to end, or name another --out") from None
    except OSError as error:
        raise cannot_write(where, error) from error
    try:
        with suppress(OSError):  # a disk that is full: the lock holds all the same
            file.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        lock.release()


def _holder(file: Path) -> str:
    try:
        told = file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # Windows lets nobody read what is locked
        told = ""
    return f"another process ({told[:80]})" if told else "another process"
