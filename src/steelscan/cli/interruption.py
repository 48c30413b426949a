"""Ctrl-C and SIGTERM: a command ends with one line that says how to go on."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

RESUMED = frozenset({"demo", "ensemble", "mill", "predict", "train"})
"""Verbs that go on where they stopped when the same command is given again."""


class Interruption:
    """The signal that ended the work, if any did."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._process = os.getpid()

    def stop(self, number: int, _: FrameType | None) -> None:
        """Handle a signal: stop the work; at the second one, stop at once."""
        if os.getpid() != self._process:  # a forked worker: it ends as it would have
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif self.signal is not None:
            os._exit(128 + number)
        self.signal = number
        raise KeyboardInterrupt

    def text(self, verb: str | None) -> str:
        """One line on what happened and how to go on."""
        stopped = "Interrupted" if self.signal == signal.SIGINT else "Terminated"
        if verb in RESUMED:
            return f"{stopped}. Give the same command again: it goes on where it stopped."
        return f"{stopped}. No file is half-written; the same command starts anew."


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Turn SIGINT and SIGTERM into KeyboardInterrupt while the block runs, and remember which.

    A signal that is ignored, as by nohup, stays ignored.
    """
    found = Interruption()
    before = {}
    if current_thread() is main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
                before[number] = signal.signal(number, found.stop)
    try:
        yield found
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
