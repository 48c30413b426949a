"""Run commands until each has succeeded once, and record what they cost over all calls."""

import json
import os
import platform
import resource
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from steelscan.strip.files import write_json


class Job(NamedTuple):
    """A command and the run folder that it makes."""

    command: Sequence[str]
    run: Path


def run_measured(command: Sequence[str], run: Path, threads: int | None = None) -> bool:
    """Run a command that makes a run folder, unless it has succeeded; return whether it has.

    Its output is appended to ``RUN.log``. ``RUN.json`` has the seconds of all calls together, the
    peak memory, the commit of the last call and the processor. ``threads`` are the cores that
    PyTorch uses (None: all).
    """
    before = cost_of(run)
    if before["done"]:
        return True
    run.parent.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    start = time.monotonic()
    with Path(f"{run}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        with _Watch(process.pid) as watch:
            done = process.wait() == 0
    cost = {
        "seconds": before["seconds"] + time.monotonic() - start,
        "gib": max(before["gib"], watch.peak / 2**30),
        "threads": threads or os.cpu_count(),
        "commit": output_of("git", "rev-parse", "--short", "HEAD"),
        "processor": _processor(),
        "done": done,
    }
    write_json(Path(f"{run}.json"), cost)
    return done


def side_by_side(jobs: Iterable[Job], count: int) -> list[Job]:
    """Run several commands, ``count`` at the same time with equal shares of the cores.

    Goes on if one fails. Returns those that failed.
    """
    jobs = list(jobs)
    threads = None if count == 1 else max(1, (os.cpu_count() or 1) // count)

    def run(job: Job) -> bool:
        print(f"{job.run}", flush=True)
        return run_measured(job.command, job.run, threads)

    with ThreadPoolExecutor(count) as pool:
        return [job for job, done in zip(jobs, pool.map(run, jobs), strict=True) if not done]


def cost_of(run: Path) -> Mapping[str, Any]:
    """Return what `run_measured` recorded for a run; nothing spent if it never ran."""
    path = Path(f"{run}.json")
    if not path.exists():
        return {"seconds": 0.0, "gib": 0.0, "done": False}
    return {"gib": 0.0, **json.loads(path.read_text(encoding="utf-8"))}


def minutes_of(run: Path) -> float:
    """Return the minutes of all calls of `run_measured` for a run."""
    return float(cost_of(run)["seconds"]) / 60


def output_of(*command: str) -> str:
    """Return what a command prints; a question mark if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "?"


class _Watch:
    """The peak of the memory of a process and all processes that it started, in bytes."""

    def __init__(self, pid: int) -> None:
        self._pid, self._ended = pid, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.peak = 0

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.5):
            self.peak = max(self.peak, sum(map(_resident, _tree(self._pid))))


def _tree(pid: int) -> list[int]:
    """Return a process and all that it started, directly or not (Linux)."""
    found, left = [], [pid]
    while left:
        current = left.pop()
        found.append(current)
        for listed in Path(f"/proc/{current}/task").glob("*/children"):
            try:
                left += map(int, listed.read_text(encoding="ascii").split())
            except OSError:  # the process has ended
                continue
    return found


def _resident(pid: int) -> int:
    """Return the bytes of a process in memory; pages that processes share count in each."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * resource.getpagesize()


def _processor() -> str:
    """Return the name of the processor, and whether it has AVX-512."""
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    name = names[0] if names else platform.machine()
    return f"{name}, {'AVX-512' if 'avx512f' in text else 'without AVX-512'}"
