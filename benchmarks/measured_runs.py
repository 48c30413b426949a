"""Commands that are run and measured: wall minutes, CPU minutes, peak memory; finished ones once.

Each command runs in its own process group with a log next to its run folder, and a JSON file there
records what it has cost. A command that succeeded is not run again. One that was interrupted, or
failed, is run again (`steelscan train` then continues), and its minutes are those of all calls. The
record is also written while the command runs, so that a crash loses little of it.

Peak memory is that of the command and its child processes together, sampled a few times a second;
memory that several processes share counts once where the system can tell (Linux).
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NoReturn

import psutil

from steelscan.strip.files import output_folder, write_json

_POLL = 0.25
"""Seconds between two looks at the running commands."""

_RECORD = 20.0
"""Seconds between two records of a running command."""


@dataclass(frozen=True)
class Job:
    """A command whose results are in ``run``, a folder or file that the command writes."""

    name: str
    run: Path
    command: tuple[str, ...]
    """Decides what the results are: if it changes, a finished run is no longer that of the job."""

    extra: tuple[str, ...] = ()
    """More arguments, which change no result: ``("--jobs", "2")``."""

    @property
    def log(self) -> Path:
        """What the command prints."""
        return self.run.with_name(f"{self.run.name}.log")


def steelscan(*arguments: object) -> tuple[str, ...]:
    """Return the command that runs steelscan with these arguments."""
    return (sys.executable, "-m", "steelscan", *map(str, arguments))


@dataclass(frozen=True)
class Cost:
    """What a command has cost so far, in all its calls together."""

    seconds: float = 0.0
    """Wall time."""

    cpu_seconds: float = 0.0
    """User and system time, child processes included."""

    gib: float = 0.0
    """Peak memory of the command and its child processes together."""

    calls: int = 0
    done: bool = False
    commit: str = "?"
    """Of the last call."""

    threads: int = 0
    """OMP_NUM_THREADS of the last call."""

    side_by_side: int = 0
    """Number of commands that could run at the same time, in the last call."""

    command: tuple[str, ...] = field(default=())


def cost_path(run: Path) -> Path:
    """Return the path of the record next to a run."""
    return run.with_name(f"{run.name}.cost.json")


def read_cost(run: Path) -> Cost:
    """Return what a run has cost; nothing if it was never begun."""
    if not cost_path(run).exists():
        return Cost()
    stored = json.loads(cost_path(run).read_text())
    known = {each.name for each in fields(Cost)}
    values = {name: value for name, value in stored.items() if name in known}
    return Cost(**{**values, "command": tuple(stored.get("command", ()))})


def side_by_side(jobs: Sequence[Job], count: int = 1) -> dict[str, str]:
    """Run the commands that are not done, at most ``count`` at the same time.

    Each gets ``OMP_NUM_THREADS`` of the cores divided by ``count``, at least 1. Goes on if one
    fails. Ctrl-C or SIGTERM stops and records those that run. Returns the reason per name of a job
    that failed; {} if all are done.
    """
    threads = max(1, cores() // count)
    failed: dict[str, str] = {}
    waiting, running = list(jobs), list[_Running]()
    with _terminable():
        try:
            while waiting or running:
                while waiting and len(running) < count:
                    job = waiting.pop(0)
                    if read_cost(job.run).done:
                        if not is_done(job):
                            failed[job.name] = f"{job.run} was made by another command; remove it"
                        continue
                    print(f"{time.strftime('%H:%M')} {job.name}", flush=True)
                    running.append(_Running(job, threads, count))
                time.sleep(_POLL if running else 0)
                for each in [each for each in running if each.ended()]:
                    running.remove(each)
                    if not each.cost.done:
                        failed[each.job.name] = f"exit status {each.status}, see {each.job.log}"
                        print(f"{each.job.name} failed: {failed[each.job.name]}", flush=True)
        finally:
            for each in running:
                each.stop()
    return failed


def is_done(job: Job) -> bool:
    """Return whether this command has succeeded, and not another one for the same run."""
    cost = read_cost(job.run)
    return cost.done and cost.command[1:] == job.command[1:]


def stop_if_failed(failed: Mapping[str, str]) -> None:
    """End the program with the names of the failed jobs, if there are any."""
    if failed:
        sys.exit("Failed: " + "; ".join(f"{name} ({why})" for name, why in failed.items()))


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def commit() -> str:
    """Return the commit of the working tree, with "+" if files differ from it; "?" if unknown."""
    here = Path(__file__).parent
    head, changes = (
        subprocess.run(["git", *command], cwd=here, capture_output=True, text=True, check=False)
        for command in (
            ("rev-parse", "--short", "HEAD"),
            ("status", "--porcelain", "--untracked-files=no", "--", "../src", "."),
        )
    )
    if head.returncode:
        return "?"
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "")


class _Running:
    """A command that runs, and what it has cost with its calls before."""

    def __init__(self, job: Job, threads: int, count: int) -> None:
        output_folder(job.run.parent)
        self.job = job
        self.status: int | None = None
        self._before = replace(
            read_cost(job.run),
            commit=commit(),
            threads=threads,
            side_by_side=count,
            command=job.command,
        )
        self._before = replace(self._before, calls=self._before.calls + 1)
        self.cost = self._before
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self._start = self._recorded = time.monotonic()
        with job.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*job.command, *job.extra],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        self._tree = psutil.Process(self._process.pid)

    def ended(self) -> bool:
        """Measure the command, and return whether it has ended."""
        self._sample()
        process, status, used = os.wait4(self._process.pid, os.WNOHANG)
        if process == 0:
            if time.monotonic() - self._recorded > _RECORD:
                self._write(self.cost)
            return False
        self._finish(status, used)
        return True

    def stop(self) -> None:
        """Interrupt the command and its child processes, wait for the end, and record its cost."""
        for kind in (signal.SIGINT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, kind)
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                process, status, used = os.wait4(self._process.pid, os.WNOHANG)
                if process:
                    self._finish(status, used)
                    return
                time.sleep(_POLL)

    def _sample(self) -> None:
        memory, cpu = 0, 0.0
        with suppress(psutil.Error):
            for each in [self._tree, *self._tree.children(recursive=True)]:
                with suppress(psutil.Error):
                    memory += _memory(each)
                    cpu += sum(each.cpu_times()[:2])
            cpu += sum(self._tree.cpu_times()[2:4])  # of child processes that have ended
        self.cost = replace(
            self._before,
            seconds=self._before.seconds + time.monotonic() - self._start,
            cpu_seconds=max(self.cost.cpu_seconds, self._before.cpu_seconds + cpu),
            gib=max(self.cost.gib, memory / 2**30),
        )

    def _finish(self, status: int, used: Any) -> None:
        self.status = self._process.returncode = os.waitstatus_to_exitcode(status)
        cost = replace(
            self.cost,
            seconds=self._before.seconds + time.monotonic() - self._start,
            cpu_seconds=self._before.cpu_seconds + used.ru_utime + used.ru_stime,
            done=self.status == 0,
        )
        self._write(cost)

    def _write(self, cost: Cost) -> None:
        self.cost, self._recorded = cost, time.monotonic()
        write_json(cost_path(self.job.run), asdict(cost))


def _memory(process: psutil.Process) -> int:
    """Return the bytes of a process; those that it shares with others in part, if known."""
    with suppress(psutil.Error, AttributeError):
        return int(process.memory_full_info().pss)
    return int(process.memory_info().rss)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does; only the main thread can receive it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_: object) -> NoReturn:
        sys.exit(143)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
