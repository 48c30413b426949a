"""Leases: files that show which process works on a part of a run, on any machine.

The files of a lease are named ``.lease-1``, ``.lease-2``... in its folder; the process that created
the file with the highest number holds it. Creating a file that must not exist is atomic, also
on network file systems: of several processes that take over a stale lease, one creates the next
number. The holder renews the time of its file; all ages are differences of times that the same file
system wrote, so that clocks of machines do not matter.
"""

import json
import os
import re
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple

from steelscan.strip.errors import RunError
from steelscan.strip.files import temporary_path, writing

SECONDS = 20.0
"""Between two renewals."""

MISSED = 6
"""Renewals that are missing when a lease is stale: two minutes, more than files are cached."""

_FILE = re.compile(r"\.lease-(\d{1,9})")
_LONGEST_PAUSE = 2.0


class LeasedError(RunError):
    """Another process holds the lease."""


class _Seen(NamedTuple):
    """The file of a lease: its number, its content, and when it was renewed last (ns)."""

    number: int
    content: bytes
    renewed: int


class Lease:
    """The lease of a folder, for this process or one of its threads."""

    def __init__(self, folder: Path, seconds: float = SECONDS, missed: int = MISSED) -> None:
        self.folder = folder
        self._seconds, self._oldest = seconds, seconds * missed
        self._content = json.dumps({**_process(), "token": uuid.uuid4().hex}).encode()
        self._number = 0
        self._ended = Event()

    def take(self) -> bool:
        """Take the lease if nobody holds it or if it is stale; return whether it was taken.

        Raises OutputError if the folder cannot be written.
        """
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            seen = self._last()
            if seen is not None and not self._is_stale(seen):
                return False
            number = 1 if seen is None else seen.number + 1
            if not self._create(number):
                return False
            # if it was released or renewed since, or if this list was old, another one may hold it
            numbers = self._numbers()
            if max(numbers, default=0) != number or (seen and self._seen(seen.number) != seen):
                self._remove(number)
                return False
            for lower in numbers:
                if lower < number:
                    self._file(lower).unlink(missing_ok=True)
        self._number, self._ended = number, Event()
        Thread(target=self._renew, args=(number, self._ended), daemon=True).start()
        return True

    def holder(self) -> str | None:
        """Return the process that holds the lease, as text; None if it can be taken."""
        seen = self._last() if self.folder.is_dir() else None
        return None if seen is None or self._is_stale(seen) else _name(seen)

    def check(self) -> None:
        """Raise RunError if another process has taken the lease over: this one was too slow."""
        if not self._is_own(self._number):
            seen = self._last()
            found = "was taken over" if seen is None else f"was taken over by {_name(seen)}"
            why = f"{found}, because this process had stopped for over {self._oldest:.0f} s"
            raise RunError(self.folder, why, "Give the same command again: it continues")

    def release(self) -> None:
        """Release the lease, if it was not taken over. Raises no error."""
        self._ended.set()
        with suppress(OSError):
            self._remove(self._number)

    @contextmanager
    def held(self, *, wait: bool = True) -> Iterator[None]:
        """Hold the lease while the block runs.

        Waits until it is free, with a line on standard error; without ``wait`` raises LeasedError.
        """
        pause, reported = 0.01, False
        while not self.take():
            holder = self.holder()
            if holder is not None and not wait:
                problem = f"is in use by {holder}"
                raise LeasedError(self.folder, problem, "Wait until that has ended")
            if holder is not None and not reported and pause >= _LONGEST_PAUSE:
                print(f"Waiting for {self.folder}: {holder} works there", file=sys.stderr)  # noqa: T201
                reported = True
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        try:
            yield
        finally:
            self.release()

    def _renew(self, number: int, ended: Event) -> None:
        while not ended.wait(self._seconds):
            with suppress(OSError):  # the next renewal may succeed
                if self._is_own(number):
                    os.utime(self._file(number))

    def _create(self, number: int) -> bool:
        """Create the file of a number; return False if it exists."""
        try:
            descriptor = os.open(self._file(number), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return False
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._content)
        except OSError:
            self._file(number).unlink(missing_ok=True)
            raise
        return True

    def _remove(self, number: int) -> None:
        if self._is_own(number):
            self._file(number).unlink(missing_ok=True)

    def _is_own(self, number: int) -> bool:
        seen = self._seen(number)
        return seen is not None and seen.content == self._content

    def _is_stale(self, seen: _Seen) -> bool:
        return _has_ended(_holder(seen)) or self._now() - seen.renewed > self._oldest * 1e9

    def _now(self) -> int:
        """Return the time of the file system (ns), that of a file written now."""
        probe = temporary_path(self.folder / "lease", "part")
        try:
            with probe.open("wb") as file:
                return os.fstat(file.fileno()).st_mtime_ns
        finally:
            probe.unlink(missing_ok=True)

    def _file(self, number: int) -> Path:
        return self.folder / f".lease-{number}"

    def _numbers(self) -> list[int]:
        names = [path.name for path in self.folder.iterdir()]
        return [int(match[1]) for name in names if (match := _FILE.fullmatch(name))]

    def _last(self) -> _Seen | None:
        return self._seen(max(self._numbers(), default=0))

    def _seen(self, number: int) -> _Seen | None:
        """Read the file of a number; None if it does not exist."""
        try:
            with self._file(number).open(
                "rb"
            ) as file:  # opening it makes NFS look at its time anew
                return _Seen(number, file.read(), os.fstat(file.fileno()).st_mtime_ns)
        except FileNotFoundError:
            return None


def _process() -> dict[str, Any]:
    """Return what identifies this process among those of all machines."""
    number = os.getpid()
    return {
        "host": socket.gethostname(),
        "machine": _machine(),
        "process": number,
        "started": _started(number),
    }


def _machine() -> str:
    """Return what is the same for processes that see each other's numbers: boot and container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return f"{socket.gethostname()} {uuid.getnode()}"


def _started(number: int) -> str | None:
    """Return when a process started, in ticks since boot; "" if unknown, None if it has ended."""
    try:
        text = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None if Path("/proc/self/stat").exists() else ""
    state, *fields = text.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]


def _holder(seen: _Seen) -> dict[str, Any]:
    """Return the content of a lease's file; {} if its process was killed while it wrote that."""
    try:
        content = json.loads(seen.content)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _has_ended(holder: dict[str, Any]) -> bool:
    """Return whether a holder was a process of this machine that is known to have ended."""
    if holder.get("machine") != _machine():
        return False
    number, started = holder.get("process"), holder.get("started")
    return isinstance(number, int) and started != "" and _started(number) != started


def _name(seen: _Seen) -> str:
    holder = _holder(seen)
    return f"another process ({holder.get('process', '?')} on {str(holder.get('host', '?'))[:80]})"
