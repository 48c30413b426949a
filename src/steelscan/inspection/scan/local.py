"""Workers that are processes of this machine."""

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import Self

from steelscan.inspection.scan.engines import Done, Ended
from steelscan.inspection.scan.worker import Setup, ShardWorker, Work


class LocalWorkers:
    """Processes of this machine; each is started anew when it has ended."""

    def __init__(self, setup: Setup, count: int) -> None:
        self.count = count
        self._setup = setup
        self._processes: list[_Process] = []

    def __enter__(self) -> Self:
        self._processes = [_Process(self._setup) for _ in range(self.count)]
        return self

    def give(self, worker: int, work: Work) -> None:
        """Let an idle process scan a shard."""
        self._processes[worker].work(work)

    def wait(self, seconds: float) -> Sequence[Done | Ended]:
        """Wait until a process has finished or ended, or so long. Raises what it raised."""
        busy = [each.connection for each in self._processes if each.busy]
        ready, events = wait(busy, seconds), list[Done | Ended]()
        for number, each in enumerate(self._processes):
            if each.connection not in ready:
                continue
            try:
                result = each.result()
            except (EOFError, ConnectionError):
                events.append(Ended(number, each.end()))
                self._processes[number] = _Process(self._setup)
                continue
            if isinstance(result, BaseException):
                raise result
            events.append(Done(number, result))
        return events

    def __exit__(self, *_: object) -> None:
        for each in self._processes:
            each.end()


class _Process:
    """One process; ``busy`` while it scans a shard."""

    def __init__(self, setup: Setup) -> None:
        spawn = multiprocessing.get_context("spawn")  # a fork would copy locked locks
        self.connection, its_end = spawn.Pipe()
        self.busy = False
        self._process = spawn.Process(target=_work, args=(its_end, setup), daemon=True)
        self._process.start()
        its_end.close()

    def work(self, work: Work) -> None:
        self.busy = True
        with suppress(ConnectionError):  # it has ended, which `result` finds
            self.connection.send(work)

    def result(self) -> Counter[str] | BaseException:
        """Return the verdicts of the shard, or an error. Raises EOFError if it has ended."""
        result: Counter[str] | BaseException = self.connection.recv()
        self.busy = False
        return result

    def end(self) -> str:
        """End the process, if it has not; return why it ended."""
        self._process.join(0.2 if self.connection.closed or self.busy else 0)
        self.connection.close()
        self._process.kill()
        self._process.join()
        code = self._process.exitcode
        return f"was ended by signal {-code}" if code and code < 0 else f"ended with status {code}"


def _work(connection: Connection, setup: Setup) -> None:
    """Scan the shards that come through a connection, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started it ends it
    Thread(target=_end_with_parent, daemon=True).start()
    try:
        worker = ShardWorker(setup)
        while True:
            connection.send(worker.scan(connection.recv()))
    except (EOFError, ConnectionError):
        return
    except Exception as error:
        with suppress(ConnectionError):
            connection.send(error)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
