"""Commands that benchmarks measure: interruptions, stopped time, processor time."""

import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import psutil
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("measured_runs")


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_interruption_ends_the_command_and_its_minutes_add_up(
    measured, tmp_path: Path, end: signal.Signals
) -> None:
    """The command starts a child process, which must not go on either."""
    run, pids = tmp_path / "place" / "run", tmp_path / "pids"
    child = "import time; time.sleep(600)"
    command = [
        *(sys.executable, "-c"),
        "import os, pathlib, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        f"part = pathlib.Path({str(pids)!r} + '.part')\n"
        "part.write_text(f'{os.getpid()} {child.pid}')\n"
        f"part.rename({str(pids)!r})\n"
        "child.wait()",
    ]
    call = f"from measured_runs import *; run_measured({command!r}, Path({str(run)!r}))"
    runner = subprocess.Popen(
        [sys.executable, "-c", call], cwd=BENCHMARKS, stderr=subprocess.DEVNULL
    )
    wait_for(pids.exists)
    runner.send_signal(end)
    assert runner.wait(60) != 0
    assert not any(psutil.pid_exists(int(pid)) for pid in pids.read_text().split())
    first = measured.cost_of(run)
    assert not first["done"]
    assert first["seconds"] > 0
    assert measured.run_measured([sys.executable, "-c", "print(1)"], run)
    both = measured.cost_of(run)
    assert both["done"]
    assert both["seconds"] > first["seconds"]
    assert both["cpu_seconds"] > first["cpu_seconds"]


def test_time_in_which_a_command_is_stopped_does_not_count(measured, tmp_path: Path) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"
    job = measured.Job([sys.executable, "-c", code], tmp_path / "run")
    running = measured._Running(job, None, 1)
    process = running._root  # this process may have other children
    wait_for(lambda: process.status() == psutil.STATUS_STOPPED)
    assert not running.has_ended()
    before = running.cost["seconds"]
    time.sleep(0.1)
    assert not running.has_ended()
    assert running.cost["seconds"] == before
    process.send_signal(signal.SIGCONT)
    wait_for(running.has_ended)
    assert running.cost["done"]
    assert running.cost["seconds"] > before


def test_processor_time_is_that_of_all_processes(measured, tmp_path: Path) -> None:
    work = "import time\nwhile time.process_time() < 0.3: pass"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}], check=True)"
    run = tmp_path / "run"
    assert measured.run_measured([sys.executable, "-c", code], run, 3)
    cost = measured.cost_of(run)
    assert cost["cpu_seconds"] >= 0.3
    assert (cost["threads"], cost["side_by_side"]) == (3, 1)
    assert cost["processor"]
    assert cost["commit"]


def test_what_succeeded_is_reported_whether_now_or_earlier(measured, tmp_path: Path) -> None:
    codes = {"earlier": "", "now": "", "fails": "raise SystemExit(2)"}
    jobs = [
        measured.Job([sys.executable, "-c", code], tmp_path / name) for name, code in codes.items()
    ]
    assert measured.run_measured(jobs[0].command, jobs[0].run)
    told: list[str] = []
    failed = measured.side_by_side(jobs, 2, lambda job: told.append(job.run.name))
    assert told == ["earlier", "now"]
    assert [job.run.name for job in failed] == ["fails"]


def test_jobs_share_the_cores(measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "cores", lambda: 6)
    code = "import os; print(os.environ['OMP_NUM_THREADS'])"
    runs = [tmp_path / str(number) for number in range(3)]
    jobs = [measured.Job([sys.executable, "-c", code], run) for run in runs]
    assert measured.side_by_side(jobs, 4) == []
    assert {Path(f"{run}.log").read_text() for run in runs} == {"1\n"}
    assert [measured.cost_of(run)["threads"] for run in runs] == [1, 1, 1]
    assert os.environ.get("OMP_NUM_THREADS") != "6"
