"""Works of a run as tasks of Ray, on one machine or on many; the files of the run decide."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from queue import SimpleQueue
from threading import Thread
from typing import Any, Self

from steelscan.pipeline.context import Options, RunContext
from steelscan.pipeline.fit_messages import Display, Failed, Message, Result, Sender, sendable
from steelscan.pipeline.fit_queue import CoreShare, Work
from steelscan.pipeline.fit_workers import result_of
from steelscan.pipeline.run_copies import RunCopies
from steelscan.strip import show_progress_by
from steelscan.strip.cluster import connect
from steelscan.strip.errors import InputError, RunError

_SECONDS_BETWEEN_MESSAGES = 1.0
_SECONDS_TO_LOOK = 60.0


@contextmanager
def ray_of(options: Options) -> Iterator["RayTasks | None"]:
    """Yield the engine of a run on Ray, connected while the block runs; None for another engine.

    Raises MissingPartError if Ray is not installed, RunError if the cluster cannot be reached,
    InputError if no machine has what a network needs.
    """
    if options.engine != "ray":
        yield None
        return
    ray, own = connect(options.address, None)
    try:
        yield RayTasks(ray, options)
    finally:
        if own:
            ray.shutdown()


class RayTasks:
    """The engine whose works are tasks of Ray: paths and progress go through Ray, strips do not."""

    def __init__(self, ray: Any, options: Options) -> None:
        """Check that a machine has the cores and GPUs of one network. Raises InputError."""
        self._ray, self.cores = ray, options.cpus_per_network
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        gpus = options.gpus_per_network
        if gpus is None:
            some = options.device != "cpu" and any(each.get("GPU") for each in machines)
            gpus = 1.0 if some else 0.0
        for option, kind, count in (("cpus", "CPU", self.cores), ("gpus", "GPU", gpus)):
            most = max((each.get(kind, 0) for each in machines), default=0)
            if count > most:
                found = f"is {count:g}, and no machine has more than {most:g} of them"
                raise InputError(f"--{option}-per-network", found, "Give a smaller number")
        # what is done again is decided by `fit_all`
        self._do = ray.remote(num_cpus=self.cores, num_gpus=gpus, max_retries=0)(_do)
        self._running: dict[Any, tuple[Work, Display]] = {}

    def of(self, context: RunContext) -> Self:
        """Return the engine for the works of a context."""
        self._context = replace(context)  # without its accelerator
        self._copies = RunCopies.of(context)
        self._copies.send()
        self._given = self._ray.put((self._context, self._copies))
        return self

    def __enter__(self) -> Self:
        return self

    def give(self, work: Work, share: CoreShare) -> None:
        """Let Ray do a work as soon as a machine has the cores and GPUs."""
        self._running[self._do.remote(self._given, work, share)] = work, Display()

    def wait(self, seconds: float | None) -> Sequence[tuple[Work, Result]]:
        """Wait until works have ended, or so long, and show the progress; return them."""
        ended: list[tuple[Work, Result]] = []
        while not ended and self._running:
            timeout = _SECONDS_TO_LOOK if seconds is None else seconds
            ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout)
            for task in ready:
                work, display = self._running[task]
                message = self._next(task, work)
                if isinstance(message, list):
                    display.update(message)
                    continue
                ended.append((work, message))
                display.close()
                self._copies.fetch(self._context, work)
                del self._running[task]
            if not ready and seconds is not None:
                break
        return ended

    def _next(self, task: Any, work: Work) -> Message:
        from ray.exceptions import RayError

        try:
            message: Message = self._ray.get(next(task))
        except (RayError, StopIteration) as error:
            problem = f"the process that did it was lost (Ray: {type(error).__name__})"
            return Failed(RunError(work.label, problem, "See the logs of Ray"))
        return message

    def __exit__(self, *_: object) -> None:
        for task, (_work, display) in self._running.items():
            self._ray.cancel(task, force=True)
            display.close()
        self._running.clear()


@cache
def _sender() -> tuple[Sender, "SimpleQueue[Message]"]:
    """Return what sends the messages of this process, and where they arrive."""

    class Channel:
        messages: SimpleQueue[Message] = SimpleQueue()

        def send(self, message: Message) -> None:
            self.messages.put(message)

    sender = Sender(Channel(), _SECONDS_BETWEEN_MESSAGES)
    show_progress_by(sender.show)
    return sender, Channel.messages


def _do(given: tuple[RunContext, RunCopies], work: Work, share: CoreShare) -> Iterator[Message]:
    """Do a work in a thread; yield its progress, then its result."""
    context, copies = given
    sender, messages = _sender()
    sender.task = work

    def do() -> None:
        try:
            with copies.here(context, work):
                result = result_of(context, work, share)
            sender.send(result)
        except BaseException as error:  # otherwise the loop below would wait forever
            sender.send(Failed(sendable(error)))

    Thread(target=do, daemon=True).start()
    while isinstance(message := messages.get(), list):
        yield message
    yield message
