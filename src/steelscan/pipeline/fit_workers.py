"""Processes that fit networks at the same time, each one network after another.

This process alone predicts what several fits need, before it gives out the first of them; the
others only read it. Each is started anew, because a fork of a process with threads of torch may
hang, and ends when this process ends, however that happens.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from threading import Thread
from types import FrameType, TracebackType
from typing import Self

import cv2
import torch

from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_messages import Display, Failed, Fitted, Sender, sendable
from steelscan.pipeline.fit_queue import CoreShare, FitQueue
from steelscan.pipeline.fit_tasks import Task
from steelscan.pipeline.one_fit import fit_one, is_fitted, predict_needed
from steelscan.strip import show_progress_by
from steelscan.strip.errors import RunError

_FEWER = "Give the same command with fewer --jobs: it continues where it stopped"
_SECONDS_TO_END = 2.0
"""What all processes have to end their fits, such as to close a tracker."""


def fit_side_by_side(context: RunContext) -> set[str]:
    """Fit the networks of a round, several at the same time.

    Returns a sentence on each source of first weights. An error in any fit stops the others, which
    can be continued. Raises what the fit raised, and RunError if its process was killed.
    """
    cores, jobs, sources = torch.get_num_threads(), context.options.jobs, set()
    queue = FitQueue(context.recipe, context.new_tasks, jobs, cores)
    left = sum(not is_fitted(context, task) for task in context.new_tasks)
    with _Workers(context, min(jobs, left)) as workers:
        while queue:
            while (taken := queue.take()) is not None:
                task, share = taken
                if is_fitted(context, task):
                    sources.add(fit_one(context, task, share))
                    queue.done(task)
                else:
                    predict_needed(context, task)
                    workers.give(task, share)
            for task, source in workers.wait():
                sources.add(source)
                queue.done(task)
    return sources


class _Worker:
    """One process that fits networks; ``task`` is the one that it fits now."""

    def __init__(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.connection, its_end = spawn.Pipe()
        self.process = spawn.Process(target=_work, args=(its_end,))
        self.display = Display()
        self.task: Task | None = None
        with _interrupts_blocked():
            self.process.start()
        its_end.close()

    def send(self, message: RunContext | tuple[Task, CoreShare]) -> None:
        """Send the context, then tasks. Raises RunError if the process has ended."""
        try:
            self.connection.send(message)
        except ConnectionError:
            raise self._ended() from None

    def receive(self) -> str | None:
        """Read a message; return the sentence on first weights if the network is fitted.

        Raises the error of the fit, and RunError if the process has ended.
        """
        try:
            match self.connection.recv():
                case Fitted(source):
                    return source
                case Failed(error):
                    raise error
                case works:
                    self.display.update(works)
                    return None
        except (EOFError, ConnectionError):
            raise self._ended() from None

    def _ended(self) -> RunError:
        self.process.join()
        label = "networks" if self.task is None else self.task.label
        code = self.process.exitcode
        if code == -signal.SIGKILL:
            problem = "the process that fitted it was killed; perhaps memory ran out"
        else:
            problem = f"the process that fitted it has ended with status {code}"
        return RunError(label, problem, _FEWER)


class _Workers:
    """All processes that fit networks of a round; started when the first network is given."""

    def __init__(self, context: RunContext, count: int) -> None:
        self._context, self._count = context, count
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def give(self, task: Task, share: CoreShare) -> None:
        """Let an idle process do a task."""
        if not self._workers:
            for _ in range(self._count):  # all first: each takes seconds to be ready
                self._workers.append(_Worker())
            for worker in self._workers:
                worker.send(replace(self._context))  # without its accelerator
        worker = next(each for each in self._workers if each.task is None)
        worker.task = task
        worker.send((task, share))

    def wait(self) -> list[tuple[Task, str]]:
        """Wait until tasks are done, and show the progress; return them with their sentences.

        Returns an empty list if no process does any. Raises as `_Worker.receive` does.
        """
        done: list[tuple[Task, str]] = []
        while not done and (busy := [each for each in self._workers if each.task is not None]):
            ready = wait([each.connection for each in busy])
            for worker in busy:
                if worker.connection in ready and (source := worker.receive()) is not None:
                    assert worker.task is not None
                    done.append((worker.task, source))
                    worker.task = None
        return done

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.connection.close()  # an idle process ends
            if kind is not None:
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
            torch.set_num_threads(share.threads)
            cv2.setNumThreads(share.threads)
            try:
                sender.send(Fitted(fit_one(context, task, share)))
            except Exception as error:
                sender.send(Failed(sendable(error)))
    except (EOFError, ConnectionError):
        return
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGTERM) from None
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


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
