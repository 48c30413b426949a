"""What a process that fits networks sends to the one that started it: progress and results."""

import pickle
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from threading import Event, Lock, Thread
from typing import Protocol, TypeAlias

from steelscan.pipeline.fit_queue import Work
from steelscan.strip import Progress, show_progress

_SECONDS_BETWEEN_MESSAGES = 0.2


@dataclass
class Shown:
    """How far some work is; ``number`` counts the works of a process."""

    number: int
    label: str
    total: int
    done: int = 0
    note: str = ""
    ended: bool = False


@dataclass(frozen=True)
class Fitted:
    """A network is fitted, or a step predicted; ``source`` is the sentence on first weights."""

    source: str | None


@dataclass(frozen=True)
class Failed:
    """A fit failed, or its process has ended."""

    error: BaseException


@dataclass(frozen=True)
class Leased:
    """Another process fits this network."""


Result: TypeAlias = Fitted | Failed | Leased
Message: TypeAlias = list[Shown] | Result


def sendable(error: BaseException) -> BaseException:
    """Return an error that another process can raise; its trace is a note of it."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # the constructors of some errors cannot be repeated
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


class Channel(Protocol):
    """Takes the messages of a process."""

    def send(self, message: Message, /) -> None:
        """Send a message to the other process."""


class Sender:
    """Sends messages of this process, and at most every ``seconds`` how far its work is.

    A thread sends the progress: a fit does not wait until the other process reads it.
    """

    def __init__(self, connection: Channel, seconds: float = _SECONDS_BETWEEN_MESSAGES) -> None:
        self._connection, self._lock, self._seconds = connection, Lock(), seconds
        self._works: dict[int, Shown] = {}
        self._changed: set[int] = set()
        self._count, self._something = 0, Event()
        self.task: Work | None = None
        """The task that is being done; its label is added to work that does not name it."""
        Thread(target=self._send_often, daemon=True).start()

    @contextmanager
    def show(self, label: str, total: int) -> Iterator[Progress]:
        """Send the progress of a block; as `show_progress`."""
        if self.task is not None and self.task.label not in label:
            label = f"{label}, {self.task.label}"
        self._count += 1
        work = Shown(self._count, label, total)
        self._works[work.number] = work
        self._change(work, 0, "")

        class Sent:
            @staticmethod
            def advance(amount: int = 1, note: str = "") -> None:
                self._change(work, amount, note)

        try:
            yield Sent()
        finally:
            self._change(work, 0, work.note, ended=True)

    def _change(self, work: Shown, amount: int, note: str, *, ended: bool = False) -> None:
        with self._lock:
            work.done, work.note, work.ended = work.done + amount, note, ended
            self._changed.add(work.number)
        self._something.set()

    def send(self, message: Message) -> None:
        """Send a message, after the progress up to now."""
        with self._lock:
            self._send_progress()
            self._connection.send(message)

    def _send_often(self) -> None:
        pause = Event()
        while self._something.wait():
            self._something.clear()
            with self._lock:
                try:
                    self._send_progress()
                except OSError:  # the other process has ended
                    return
            pause.wait(self._seconds)

    def _send_progress(self) -> None:
        changed = [replace(self._works[number]) for number in sorted(self._changed)]
        self._changed.clear()
        for work in changed:
            if work.ended:
                del self._works[work.number]
        if changed:
            self._connection.send(changed)


class Display:
    """Shows the progress that another process sends."""

    def __init__(self) -> None:
        self._shown: dict[int, tuple[ExitStack, Progress, int]] = {}

    def update(self, works: list[Shown]) -> None:
        """Show how far works of that process are now."""
        for work in works:
            if work.number not in self._shown:
                stack = ExitStack()
                self._shown[work.number] = (
                    stack,
                    stack.enter_context(show_progress(work.label, work.total)),
                    0,
                )
            stack, progress, before = self._shown[work.number]
            if work.done > before:
                progress.advance(work.done - before, work.note)
            self._shown[work.number] = stack, progress, work.done
            if work.ended:
                stack.close()
                del self._shown[work.number]

    def close(self) -> None:
        """Close the bars of work that did not end."""
        for stack, *_ in self._shown.values():
            stack.close()
        self._shown.clear()
