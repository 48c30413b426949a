"""Ctrl-C and SIGTERM: a command ends with one line on how to continue."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

RESUMED = frozenset({"demo", "ensemble", "mill", "predict", "train"})
"""Verbs that continue where they stopped if the same command is repeated."""


class Interruption:
    """The signal that interrupted the work; None if there was none."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._process = os.getpid()

    def stop(self, number: int, _: FrameType | None) -> None:
        """Handle a signal: stop the work; the second signal ends the process at once."""
        if os.getpid() != self._process:  # a forked worker ends as without this handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif self.signal is not None:
            os._exit(128 + number)
        self.signal = number
        raise KeyboardInterrupt

    def text(self, verb: str | None) -> str:
        """Return one line on what happened and how to continue."""
        stopped = "Interrupted" if self.signal == signal.SIGINT else "Terminated"
        if verb in RESUMED:
            return f"{stopped}. Repeat the same command: it continues where it stopped."
        return f"{stopped}. No file is half-written; the same command starts from the beginning."


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Turn SIGINT and SIGTERM into KeyboardInterrupt while the block runs, and record which.

    A signal that is ignored, as under nohup, stays ignored.
    """
    interruption = Interruption()
    before = {}
    if current_thread() is main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
                before[number] = signal.signal(number, interruption.stop)
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
