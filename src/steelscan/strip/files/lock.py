"""A lock on a folder, which ends with its process even if that is killed."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from steelscan.strip.errors import RunError
from steelscan.strip.files.output import output_folder, writing


@contextmanager
def lock_folder(folder: Path, name: str = ".lock", where: Path | None = None) -> Iterator[None]:
    """Lock a folder for this process with a file ``name`` in it, which is not removed afterwards.

    Messages name ``where``, or the folder. Raises RunError, naming the other process, if the folder
    is in use, and OutputError if it cannot be written.
    """
    from filelock import FileLock, Timeout  # slow to import, and not needed for reading

    where = where or folder
    file = output_folder(folder) / name
    lock = FileLock(file)
    with writing(where):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            problem = f"is in use by {_holder(file)}"
            raise RunError(where, problem, "Wait until it ends, or choose another --out") from None
    try:
        with suppress(OSError):  # a full disk: the lock works nevertheless
            file.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        lock.release()


def _holder(file: Path) -> str:
    try:
        holder = file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # on Windows, a locked file cannot be read
        holder = ""
    return f"another process ({holder[:80]})" if holder else "another process"
