"""Progress of long work: a bar in a terminal, plain lines elsewhere, both on standard error."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from steelscan.strip.errors import printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

T = TypeVar("T")

_SECONDS_BETWEEN_LINES = 10.0


class Progress(Protocol):
    """Shows how much of some work is done."""

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Add ``amount`` to what is done; ``note`` is shown next to the count."""


ShowProgress = Callable[[str, int], AbstractContextManager[Progress]]
"""A function like `show_progress`."""

_elsewhere: ShowProgress | None = None


def show_progress_by(show: ShowProgress) -> None:
    """Let another function show all progress of this process from now on."""
    global _elsewhere  # noqa: PLW0603
    _elsewhere = show


@contextmanager
def show_progress(label: str, total: int) -> Iterator[Progress]:
    """Show the progress of ``total`` units of work while the block runs.

    Blocks of the same time have a bar each, one below the other.
    """
    if _elsewhere is not None:
        with _elsewhere(label, total) as shown:
            yield shown
    elif sys.stderr.isatty():
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
    """Show a bar in the terminal's display, which the last of several bars closes."""
    rich = _open_display()
    task = rich.add_task(printable(label), total=total, note="")

    class Bar:
        def advance(self, amount: int = 1, note: str = "") -> None:
            rich.update(task, advance=amount, note=printable(note))

    try:
        yield Bar()
    finally:
        _close_bar(rich, task)


_display: "RichProgress | None" = None
"""The display that all bars share; None while nothing is shown."""


def _open_display() -> "RichProgress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    global _display  # noqa: PLW0603
    if _display is None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
        )
        _display = RichProgress(*columns, console=Console(stderr=True))
        _display.start()
    return _display


def _close_bar(rich: "RichProgress", number: int) -> None:
    """Close the display if it has no other bar; otherwise print this bar above the others."""
    global _display  # noqa: PLW0603
    if len(rich.tasks) == 1:
        _display = None
        rich.stop()
        return
    (ended,) = (task for task in rich.tasks if task.id == number)
    rich.print(rich.make_tasks_table([ended]))
    rich.remove_task(ended.id)
