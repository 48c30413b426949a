"""Run commands until each has succeeded once, and record what they cost over all calls.

A command runs in a process group of its own, which ends with this program: after Ctrl-C, SIGTERM,
or the end of the terminal. ``RUN.log`` has its output, ``RUN.json`` its cost so far, also while it
runs: its wall time, without that in which it was stopped by a signal, its processor time, and the
peak memory of it and its child processes together, where memory that several of them share counts
once (Linux).
"""

import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import psutil

from steelscan.strip.files import write_json

_SAMPLE = 0.25
"""Seconds between two looks at the running commands."""

_RECORD = 20.0
"""Seconds between two records of a running command."""


class Job(NamedTuple):
    """A command and the run folder that it makes."""

    command: Sequence[str]
    run: Path


def run_measured(command: Sequence[str], run: Path, threads: int | None = None) -> bool:
    """Run a command that makes a run folder, unless it has succeeded; return whether it has.

    ``threads`` are the cores that PyTorch uses (None: all).
    """
    return not _run([Job(command, run)], 1, threads, lambda _: None)


def side_by_side(
    jobs: Iterable[Job], count: int, done: Callable[[Job], object] = lambda _: None
) -> list[Job]:
    """Run several commands, ``count`` at the same time with equal shares of the cores.

    Goes on if one fails. ``done`` is called with each that has succeeded, earlier or now. Returns
    those that failed.
    """
    return _run(list(jobs), count, None if count == 1 else max(1, cores() // count), done)


def cost_of(run: Path) -> Mapping[str, Any]:
    """Return what was recorded for a run; nothing spent if it never ran."""
    path = Path(f"{run}.json")
    nothing = {"seconds": 0.0, "cpu_seconds": 0.0, "gib": 0.0, "done": False}
    return {**nothing, **json.loads(path.read_text(encoding="utf-8"))} if path.exists() else nothing


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def commit() -> str:
    """Return the commit of this program, with a + if its files differ from it; else "?"."""
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


def processor() -> str:
    """Return the name of the processor, and whether it has AVX-512."""
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    name = names[0] if names else platform.machine()
    return f"{name}, {'AVX-512' if 'avx512f' in text else 'without AVX-512'}"


def _run(
    jobs: list[Job], count: int, threads: int | None, done: Callable[[Job], object]
) -> list[Job]:
    """Run the jobs that are not done, so many at the same time; return those that failed."""
    waiting = [job for job in jobs if not cost_of(job.run)["done"]]
    for job in jobs:
        if job not in waiting:
            done(job)
    running, failed = list[_Running](), list[Job]()
    with _terminable():
        try:
            while waiting or running:
                while waiting and len(running) < count:
                    running.append(_Running(waiting.pop(0), threads, count))
                time.sleep(_SAMPLE)
                for each in [each for each in running if each.has_ended()]:
                    running.remove(each)
                    if each.cost["done"]:
                        done(each.job)
                    else:
                        failed.append(each.job)
                        print(f"{each.job.run} failed, see {each.job.run}.log", flush=True)
        finally:
            for each in running:
                each.end()
    return failed


class _Running:
    """A command that runs, and its cost together with that of its calls before."""

    def __init__(self, job: Job, threads: int | None, side_by_side: int) -> None:
        print(f"{time.strftime('%H:%M')} {job.run}", flush=True)
        job.run.parent.mkdir(parents=True, exist_ok=True)
        self.job, self.cost = job, dict(cost_of(job.run))
        self._before = float(self.cost["cpu_seconds"])
        self.cost |= {
            "threads": threads or cores(),
            "side_by_side": side_by_side,
            "commit": commit(),
            "processor": processor(),
        }
        environment = dict(os.environ)
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        with Path(f"{job.run}.log").open("ab") as log:
            self._process = subprocess.Popen(
                job.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        self._root = psutil.Process(self._process.pid)
        self._looked = self._recorded = self._measure = time.monotonic()

    def has_ended(self) -> bool:
        """Measure the command; record its cost now and then, and at its end."""
        self._sample()
        process, status, used = os.wait4(self._process.pid, os.WNOHANG)
        if process:
            code = self._process.returncode = os.waitstatus_to_exitcode(status)
            self.cost["cpu_seconds"] = self._before + used.ru_utime + used.ru_stime
            self.cost["done"] = code == 0
        if process or self._looked - self._recorded > _RECORD:
            self._recorded = self._looked
            write_json(Path(f"{self.job.run}.json"), self.cost)
        return bool(process)

    def end(self) -> None:
        """Interrupt the command and its child processes, and record its cost."""
        for kind in (signal.SIGINT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGCONT)
                os.killpg(self._process.pid, kind)
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                if self.has_ended():
                    return
                time.sleep(_SAMPLE)

    def _sample(self) -> None:
        """Add the time since the last look, unless the command is stopped, and see its memory."""
        now, size, cpu = time.monotonic(), 0, 0.0
        with suppress(psutil.Error):
            if self._root.status() != psutil.STATUS_STOPPED:
                self.cost["seconds"] += now - self._looked
        self._looked = now
        if now < self._measure:
            return
        with suppress(psutil.Error):
            for each in (self._root, *self._root.children(recursive=True)):
                with suppress(psutil.Error):
                    size += _memory(each)
                    cpu += sum(each.cpu_times()[:2])
            cpu += sum(self._root.cpu_times()[2:4])  # of child processes that have ended
        self._measure = now + 50 * (time.monotonic() - now)  # 2 % of a core at most
        self.cost["gib"] = max(self.cost["gib"], size / 2**30)
        self.cost["cpu_seconds"] = max(self.cost["cpu_seconds"], self._before + cpu)


def _memory(process: psutil.Process) -> int:
    """Return the bytes of a process; those that it shares with others in part, if known."""
    with suppress(psutil.Error, AttributeError):
        return int(process.memory_full_info().pss)
    return int(process.memory_info().rss)


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM, and the end of the terminal, end the block as Ctrl-C does.

    Only the main thread can receive them. ``nohup`` still works.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(kind: int, _: object) -> NoReturn:
        sys.exit(128 + kind)

    before = {kind: signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGHUP)}
    for kind, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(kind, end)
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
