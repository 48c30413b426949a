"""The log of a fit, in the folder of its network: who fitted it when, its epochs, its errors."""

import os
import socket
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from steelscan.strip.errors import printable
from steelscan.strip.files import writing

FIT_LOG = "fit.log"


@contextmanager
def logged(folder: Path, label: str, how: str) -> Iterator[None]:
    """Log that a fit begins, that it has ended or why not; ``how`` are its device and threads."""
    _add(folder, f"{label}: process {os.getpid()} on {socket.gethostname()}, {how}")
    try:
        yield
    except BaseException as error:
        _add(folder, f"{label} has failed: {printable(''.join(traceback.format_exception(error)))}")
        raise
    _add(folder, f"{label} is fitted")


def log_epoch(folder: Path, label: str, row: Mapping[str, float]) -> None:
    """Log the numbers of an epoch: loss, learning rates, and those of its validation."""
    numbers = ", ".join(f"{name} {value:.6g}" for name, value in row.items())
    _add(folder, f"{label}: {numbers}")


def _add(folder: Path, text: str) -> None:
    """Append a line with the time. Raises OutputError."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with writing(folder), (folder / FIT_LOG).open("a", encoding="utf-8") as log:
        log.write(f"{now} {text.rstrip()}\n")
