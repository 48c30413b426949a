"""Send the files of a local copy while something writes them."""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from steelscan.strip.errors import InputError, RunError
from steelscan.strip.remote.file_system import file_system, time_of
from steelscan.strip.remote.local_copy import LocalCopy

_SECONDS = 30.0
"""Between two looks at changed files; and how often a holder is renewed."""

_STALE = 6 * _SECONDS

_HOLDER = ".steelscan-in-use"


@contextmanager
def sent_meanwhile(copy: LocalCopy | None, *folders: str) -> Iterator[None]:
    """Send changed files every 30 seconds while the block runs, and at its end, also on errors.

    ``folders`` are those in which the block writes; none: all. Without ``copy`` nothing is sent.
    What cannot be sent meanwhile is reported and tried again. Raises InputError if it cannot be
    sent at the end; the files are then still in the local copy.
    """
    if copy is None:
        yield
        return
    ended = Event()

    def send() -> None:
        while not ended.wait(_SECONDS):
            with _reported():
                copy.send(*folders)

    thread = Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        copy.send(*folders)


@contextmanager
def held_copy(path: Path) -> Iterator[None]:
    """Fetch the local copy at a path, if it is one, and send what the block writes into it.

    One process at a time: an object store cannot lock. Raises RunError if another one, perhaps on
    another machine, has renewed its name at the URL in the last three minutes, InputError if the
    URL cannot be reached.
    """
    copy = LocalCopy.at(path)
    if copy is None:
        yield
        return
    fs, base = file_system(copy.url)
    name = f"process {os.getpid()} on {socket.gethostname()}"
    mine = json.dumps({"holder": name, "since": time.time_ns()}).encode()
    file, ended = f"{base}/{_HOLDER}", Event()

    def hold() -> None:
        with copy.reached():
            fs.invalidate_cache()
            with suppress(FileNotFoundError):
                content, info = fs.cat_file(file), fs.info(file)
                recent = time.time() - time_of(info) / 1e9 < _STALE
                if content != mine and recent:
                    holder = json.loads(content).get("holder", "another process")
                    remedy = f"Wait until it ends, or {_STALE / 60:g} minutes if it was killed"
                    raise RunError(copy.url, f"is in use by {holder}", remedy)
            fs.makedirs(base, exist_ok=True)
            fs.pipe_file(file, mine)

    def renew() -> None:
        while not ended.wait(_SECONDS):
            with _reported():
                hold()

    hold()
    copy.fetch()
    thread = Thread(target=renew, daemon=True)
    thread.start()
    try:
        with sent_meanwhile(copy):
            yield
    finally:
        ended.set()
        thread.join()
        with suppress(Exception):  # it becomes stale
            if fs.cat_file(file) == mine:
                fs.rm_file(file)


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except (InputError, RunError) as error:
        print(f"Warning: {error}", file=sys.stderr, flush=True)  # noqa: T201
