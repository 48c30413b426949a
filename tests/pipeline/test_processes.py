"""A run that two processes train: its files, its end after one was killed, and its messages."""

import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from steelscan.pipeline import Options
from steelscan.recipes import Recipe

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["steelscan.pipeline.train", "steelscan.augment.transforms", "matplotlib.figure"]
)


def carry(rank: int, port: int, recipe: str, strips: Path, run: Path) -> None:
    """Train as one of two processes; end with 2 for an error, which is written next to the run."""
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    values = (rank, rank, 2, "127.0.0.1", port)
    os.environ |= dict(zip(names, map(str, values), strict=True))
    os.environ |= {"TORCHELASTIC_RUN_ID": "test", "OMP_NUM_THREADS": "1"}
    import torch

    from steelscan.pipeline.train import train
    from steelscan.strip.errors import SteelscanError

    torch.set_num_threads(1)
    try:
        train(Recipe.model_validate_json(recipe), strips, run, Options(device="cpu"))
    except SteelscanError as error:
        run.with_name(f"error{rank}.txt").write_text(str(error))
        sys.exit(2)
    assert rank == 0  # the others end in the function


def train_by_two(
    recipe: Recipe, strips: Path, run: Path, kill_at: Path | None = None
) -> list[int | None]:
    """Train in two processes, and kill the second one as soon as a file exists."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = (port, recipe.model_dump_json(), strips, run)
    started = [_FORKS.Process(target=carry, args=(rank, *arguments)) for rank in (0, 1)]
    for process in started:
        process.start()
    end = time.monotonic() + 120
    while kill_at is not None and time.monotonic() < end:
        if kill_at.exists():
            started[1].kill()
            break
        time.sleep(0.01)
    for process in started:
        process.join(max(0, end - time.monotonic()))
    codes = [process.exitcode for process in started]
    for process in started:
        process.kill()
    return codes


def results(run: Path) -> dict[str, bytes]:
    """Return all that a run computed."""
    names = ["thresholds.json", "scores.json", "submission.csv", "folds.csv"]
    paths = [*(run / name for name in names), *sorted((run / "networks").rglob("*.*"))]
    return {
        str(path.relative_to(run)): path.read_bytes() for path in paths if path.name != "fit.log"
    }


def test_a_run_of_two_processes_is_whole_and_the_same_after_one_was_killed(
    strips: Path, tiny: Recipe, finished: tuple[Path, object], tmp_path: Path
) -> None:
    one_fold = tiny.but(folds=tiny.folds.but(validation=(0,)))
    other = re.compile(r"fold1|zarr/c/")  # of another fold; chunks of its strips
    whole, broken = tmp_path / "whole" / "run", tmp_path / "broken" / "run"
    assert train_by_two(one_fold, strips, whole) == [0, 0]
    files, expected = (
        {str(path.relative_to(run)) for path in run.rglob("*") if not other.search(str(path))}
        for run in (whole, finished[0])
    )
    assert files == expected
    notes = json.loads((whole / "notes.json").read_text())
    assert sum("2 processes share each batch" in note for note in notes) == 1
    state = broken / "networks" / "segment-0-fold0" / "last" / "state.safetensors"
    assert train_by_two(one_fold, strips, broken, kill_at=state) == [2, -signal.SIGKILL]
    error = (broken.parent / "error0.txt").read_text()
    assert "another process of this training has ended" in error
    assert not (broken / "scores.json").exists()
    assert train_by_two(one_fold, strips, broken) == [0, 0]
    assert results(broken) == results(whole)


@pytest.fixture
def launched(tmp_path: Path) -> list[str]:
    """Return the beginning of a command that starts two processes of the program."""
    starts = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return [*starts, f"--log-dir={tmp_path / 'logs'}", "-m", "steelscan"]


def test_an_error_of_two_processes_is_one_line(launched: list[str], tmp_path: Path) -> None:
    command = [*launched, "train", "quick", "--device", "cpu", "--out", str(tmp_path / "run")]
    missing = [*command, "--data", str(tmp_path / "missing")]
    done = subprocess.run(missing, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1  # of the launcher
    (error,) = re.findall("^Error: .*$", done.stderr, re.MULTILINE)
    assert "missing" in error
    assert re.search(r"exitcode *: 2 ", done.stderr)
    assert not done.stdout


def test_other_verbs_do_not_run_in_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    from steelscan.cli.processes import check_verb
    from steelscan.strip.errors import InputError

    check_verb("predict")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    for name, value in zip(
        ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
        ("1", "1", "4", "127.0.0.1", "29500"),
        strict=True,
    ):
        monkeypatch.setenv(name, value)
    check_verb("train")
    with pytest.raises(InputError, match="4 of them run steelscan predict, which works in one"):
        check_verb("predict")
