"""Leases: one holder at a time, whoever takes over, renews, ends or was too slow."""

import json
import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from steelscan.pipeline import Options
from steelscan.pipeline.lease import Lease, LeasedError
from steelscan.pipeline.train import train
from steelscan.recipes import Recipe
from steelscan.strip.errors import RunError

_SPAWN = multiprocessing.get_context("forkserver")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def left_by_another_machine(folder: Path, number: int = 1, age: float = 0.0) -> Path:
    """Write the lease of a process of another machine, renewed ``age`` seconds ago."""
    path = folder / f".lease-{number}"
    folder.mkdir(exist_ok=True)
    path.write_text(json.dumps({"host": "far", "machine": "other", "process": 1, "started": "1"}))
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))
    return path


def test_one_holds_it_until_it_is_released(tmp_path: Path) -> None:
    first, second = Lease(tmp_path / "a"), Lease(tmp_path / "a")
    assert second.holder() is None
    assert first.take()
    first.check()
    assert not second.take()
    assert f"({os.getpid()} on " in (second.holder() or "")
    with pytest.raises(LeasedError, match="is in use by another process"), second.held(wait=False):
        pytest.fail("two hold it")
    first.release()
    assert files(tmp_path / "a") == []
    with second.held(wait=False):
        assert files(tmp_path / "a") == [".lease-1"]
    assert files(tmp_path / "a") == []


@pytest.mark.parametrize("age", [None, 1000.0])
def test_of_many_threads_one_takes_a_free_or_a_stale_lease(
    tmp_path: Path, age: float | None
) -> None:
    for turn in range(20):
        folder = tmp_path / str(turn)
        if age is not None:
            left_by_another_machine(folder, 7, age)
        leases, together = [Lease(folder) for _ in range(8)], Barrier(8)

        def take(lease: Lease, together: Barrier = together) -> bool:
            together.wait()
            return lease.take()

        with ThreadPoolExecutor(8) as threads:
            taken = list(threads.map(take, leases))
        assert sum(taken) <= 1
        assert sum(taken) == 1 or any(lease.take() for lease in leases)  # two may stand back
        assert len(files(folder)) == 1
        for lease in leases:
            lease.release()
        assert files(folder) == []


def add_ones(folder: Path, count: int) -> None:
    """Add 1 to a number in a file so often; what is lost if two work at the same time."""
    number = folder / "number.txt"
    for _ in range(count):
        with Lease(folder / "lease").held():
            before = int(number.read_text())
            time.sleep(0.001)
            number.write_text(str(before + 1))


def test_processes_exclude_each_other(tmp_path: Path) -> None:
    (tmp_path / "number.txt").write_text("0")
    left_by_another_machine(tmp_path / "lease", age=1000)
    processes = [_SPAWN.Process(target=add_ones, args=(tmp_path, 25)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert (tmp_path / "number.txt").read_text() == "100"


def test_a_lease_of_another_machine_is_stale_after_missed_renewals(tmp_path: Path) -> None:
    lease = Lease(tmp_path, seconds=10, missed=3)
    left = left_by_another_machine(tmp_path, age=25)
    assert not lease.take()
    assert lease.holder() == "another process (1 on far)"
    left_by_another_machine(tmp_path, age=35)
    assert lease.holder() is None
    assert lease.take()
    assert not left.exists()
    lease.release()


def test_ages_do_not_depend_on_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_by_another_machine(tmp_path, age=25)
    monkeypatch.setattr(time, "time", lambda: 1e12)
    assert not Lease(tmp_path, seconds=10, missed=3).take()


def test_a_lease_is_renewed_while_it_is_held(tmp_path: Path) -> None:
    lease, other = Lease(tmp_path, seconds=0.05), Lease(tmp_path, seconds=0.05)
    assert lease.take()
    end = time.monotonic() + 1.0  # over three times what makes it stale
    while time.monotonic() < end:
        assert not other.take()
        time.sleep(0.02)
    lease.check()
    lease.release()
    assert other.take()
    other.release()


def test_who_was_too_slow_finds_that_out_and_leaves_the_new_lease_alone(tmp_path: Path) -> None:
    slow, fast = Lease(tmp_path, seconds=1000), Lease(tmp_path, seconds=1, missed=1)
    assert slow.take()
    then = time.time() - 60
    os.utime(tmp_path / ".lease-1", (then, then))
    assert fast.take()
    with pytest.raises(RunError, match="was taken over by another process"):
        slow.check()
    slow.release()
    fast.check()
    fast.release()
    assert files(tmp_path) == []


def test_a_lease_that_was_renewed_meanwhile_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, lease = left_by_another_machine(tmp_path, age=1000), Lease(tmp_path)
    create = lease._create

    def renewed_first(number: int) -> bool:
        os.utime(left)
        return create(number)

    monkeypatch.setattr(lease, "_create", renewed_first)
    assert not lease.take()
    assert files(tmp_path) == [".lease-1"]


def hold(folder: Path) -> None:
    assert Lease(folder).take()
    time.sleep(60)


def test_a_lease_of_a_process_of_this_machine_that_was_killed_is_stale_at_once(
    tmp_path: Path,
) -> None:
    process = _SPAWN.Process(target=hold, args=(tmp_path,))
    process.start()
    end = time.monotonic() + 60
    while not (tmp_path / ".lease-1").exists() and time.monotonic() < end:
        time.sleep(0.01)
    lease = Lease(tmp_path)
    assert not lease.take()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert lease.take()
    assert files(tmp_path) == [".lease-2"]
    lease.release()


def test_a_fit_whose_lease_was_taken_over_writes_nothing_more(
    strips: Path, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks, check = [], Lease.check

    def taken_over_at_the_second_epoch(lease: Lease) -> None:
        checks.append(lease.folder)
        if len(checks) == 2:
            for path in lease.folder.glob(".lease-*"):
                path.unlink()
            left_by_another_machine(lease.folder, 2)
        check(lease)

    monkeypatch.setattr(Lease, "check", taken_over_at_the_second_epoch)
    with pytest.raises(RunError, match=r"was taken over by another process \(1 on far\)"):
        train(tiny, strips, tmp_path / "run", Options(device="cpu"))
    folder = tmp_path / "run" / "networks" / "classify-0-fold0"
    assert len((folder / "metrics.csv").read_text().splitlines()) == 2  # a header and an epoch
    assert not (folder / "checkpoint.safetensors").exists()
    assert (folder / ".lease-2").exists()  # the other process's
    assert len(checks) == 2
