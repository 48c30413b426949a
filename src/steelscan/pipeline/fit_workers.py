"""Processes that fit networks at the same time, each one network after another.

Each is started anew, because a fork of a process with threads of torch may hang, and ends when this
process ends, however that happens.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from threading import Thread
from types import FrameType
from typing import Self

import cv2
import torch

from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_messages import Display, Failed, Result, Sender, sendable
from steelscan.pipeline.fit_queue import CoreShare, Prediction, Work
from steelscan.pipeline.one_fit import do_work
from steelscan.strip import show_progress_by
from steelscan.strip.errors import RunError

_FEWER = "Give the same command with fewer --jobs: it continues where it stopped"
_SECONDS_TO_END = 2.0
"""What all processes have to end their fits, such as to close a tracker."""


class _Worker:
    """One process that fits networks; ``task`` is the one that it fits now."""

    def __init__(self, context: RunContext) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.connection, its_end = spawn.Pipe()
        self.process = spawn.Process(target=_work, args=(its_end,))
        self.display = Display()
        self.task: Work | None = None
        with _interrupts_blocked():
            self.process.start()
        its_end.close()
        self._send(replace(context))  # without its accelerator

    def fit(self, task: Work, share: CoreShare) -> None:
        """Let the idle process fit a network."""
        self.task = task
        self._send((task, share))

    def _send(self, message: RunContext | tuple[Work, CoreShare]) -> None:
        with suppress(ConnectionError):  # it has ended, which `receive` finds
            self.connection.send(message)

    def receive(self) -> Result | None:
        """Read a message; return how the fit has ended, None if it goes on."""
        try:
            message = self.connection.recv()
        except (EOFError, ConnectionError):
            return Failed(self._ended())
        if isinstance(message, list):
            self.display.update(message)
            return None
        result: Result = message
        return result

    @property
    def lost(self) -> bool:
        """Whether the process has ended, or is about to."""
        return self.process.exitcode is not None

    def _ended(self) -> RunError:
        self.process.join()
        label = "networks" if self.task is None else self.task.label
        code = self.process.exitcode
        if code == -signal.SIGKILL:
            problem = "the process that fitted it was killed; perhaps memory ran out"
        else:
            problem = f"the process that fitted it has ended with status {code}"
        return RunError(label, problem, _FEWER)


class LocalProcesses:
    """The engine of several fits at the same time, in processes of this machine.

    This process alone predicts what several fits need; the fits only read it.
    """

    def __init__(self, context: RunContext, count: int) -> None:
        self._context, self._count = context, count
        self._workers: list[_Worker] = []
        self._predicted: list[tuple[Work, Result]] = []

    def __enter__(self) -> Self:
        return self

    def give(self, work: Work, share: CoreShare) -> None:
        """Let an idle process fit a network; the first call starts all of them."""
        if isinstance(work, Prediction):
            self._predicted.append((work, do_work(self._context, work, share)))
            return
        while len(self._workers) < self._count:  # all first: each takes seconds to be ready
            self._workers.append(_Worker(self._context))
        at = next(at for at, each in enumerate(self._workers) if each.task is None)
        if self._workers[at].lost:
            self._workers[at] = _Worker(self._context)
        self._workers[at].fit(work, share)

    def wait(self, seconds: float | None) -> Sequence[tuple[Work, Result]]:
        """Wait until fits have ended, or so long, and show the progress; return them."""
        ended, self._predicted = self._predicted, []
        end = None if seconds is None else time.monotonic() + seconds
        while not ended and (busy := [each for each in self._workers if each.task is not None]):
            left = None if end is None else max(0, end - time.monotonic())
            ready = wait([each.connection for each in busy], left)
            for worker in busy:
                if worker.connection in ready and (result := worker.receive()) is not None:
                    assert worker.task is not None
                    ended.append((worker.task, result))
                    worker.task = None
                    worker.display.close()
            if not ready:
                break
        return ended

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.connection.close()  # an idle process ends
            if any(error):
                worker.process.terminate()
        end = time.monotonic() + _SECONDS_TO_END
        for worker in self._workers:
            worker.process.join(max(0, end - time.monotonic()))
            assert worker.process.pid is not None
            _kill_group(worker.process.pid)
            worker.process.kill()
            worker.process.join()
            worker.display.close()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Start processes in the block that do not get Ctrl-C: this process ends them.

    This process gets it after the block.
    """
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kill_group(number: int) -> None:
    """Kill the processes of a group at once: one that fits networks, and those that load for it."""
    if hasattr(os, "killpg"):  # not on Windows
        with suppress(ProcessLookupError):
            os.killpg(number, signal.SIGKILL)


def _work(connection: Connection) -> None:
    """Do the tasks that come through a connection until it is closed."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # with the processes that load strips, a group that can be ended whole
    Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        sender = Sender(connection)
        show_progress_by(sender.show)
        context: RunContext = connection.recv()
        while True:
            task, share = connection.recv()
            sender.task = task
            sender.send(result_of(context, task, share))
    except (EOFError, ConnectionError):
        return
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGTERM) from None
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def result_of(context: RunContext, work: Work, share: CoreShare) -> Result:
    """Do a work with the threads of its share; return its error, if it raises one."""
    torch.set_num_threads(share.threads)
    cv2.setNumThreads(share.threads)
    try:
        return do_work(context, work, share)
    except Exception as error:
        return Failed(sendable(error))


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Stop the fit, so that files and trackers are closed."""
    del number, frame
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """End this process at once when the one that started it has ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    _kill_group(os.getpid())
    os._exit(1)
