"""Progress of long work: a bar in a terminal, plain lines elsewhere, both on standard error."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from steelscan.strip.errors import printable

T = TypeVar("T")

_SECONDS_BETWEEN_LINES = 10.0


class Progress(Protocol):
    """Shows how much of some work is done."""

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Add ``amount`` to what is done; ``note`` is shown next to the count."""


@contextmanager
def show_progress(label: str, total: int) -> Iterator[Progress]:
    """Show the progress of ``total`` units of work while the block runs."""
    if sys.stderr.isatty():
        with _bar(label, total) as bar:
            yield bar
    else:
        yield _Lines(label, total)


def track(items: Iterable[T], label: str, total: int) -> Iterator[T]:
    """Yield the items, and show how many of ``total`` are done."""
    with show_progress(label, total) as shown:
        for item in items:
            yield item
            shown.advance()


class _Lines:
    def __init__(self, label: str, total: int) -> None:
        self._label, self._total, self._done = label, total, 0
        self._start = self._last = time.monotonic()

    def advance(self, amount: int = 1, note: str = "") -> None:
        self._done += amount
        now = time.monotonic()
        if self._done < self._total and now - self._last < _SECONDS_BETWEEN_LINES:
            return
        self._last = now
        took = f"{now - self._start:.0f} s"
        text = f"{self._label}: {self._done}/{self._total}, {took}{', ' + note if note else ''}"
        print(text, file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def _bar(label: str, total: int) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as rich:
        task = rich.add_task(printable(label), total=total, note="")

        class Bar:
            def advance(self, amount: int = 1, note: str = "") -> None:
                rich.update(task, advance=amount, note=printable(note))

        yield Bar()
