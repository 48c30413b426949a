"""Several processes that a launcher started with one command: one of them prints."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from steelscan.training.launch import launch

_KEY = "steelscan/ended"


def check_verb(verb: str | None) -> None:
    """Raise InputError if several processes run a verb that does not share its work."""
    launched = launch()
    if launched is not None and verb != "train":
        from steelscan.strip.errors import InputError

        found = f"{launched.processes} of them run steelscan {verb}, which works in one"
        raise InputError("processes", found, "Run it without torchrun or accelerate launch")


@contextmanager
def one_process_prints() -> Iterator[Callable[[], bool]]:
    """Silence all processes but the first while the block runs.

    Yields a function that returns whether this process is the first to end with an error, and then
    lets it print: one error is one line, whichever process it happens in.
    """
    launched = launch()
    if launched is None:
        yield lambda: True
        return
    error_stream = sys.stderr

    def first_to_end() -> bool:
        first = _first()
        if first:
            sys.stderr = error_stream
        return first

    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        quiet = launched.rank > 0
        with (
            redirect_stdout(nowhere if quiet else sys.stdout),
            redirect_stderr(nowhere if quiet else sys.stderr),
        ):
            yield first_to_end


def _first() -> bool:
    """Return whether this process is the first to call this: the launcher's store counts."""
    from datetime import timedelta

    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    try:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = TCPStore(address, port, is_master=False, timeout=timedelta(seconds=5))
        return store.add(_KEY, 1) == 1
    except (RuntimeError, ValueError):  # the store ended with the first process
        return False
