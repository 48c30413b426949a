"""A run that is killed at any file that it writes goes on, and ends with the same numbers."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from steelscan.pipeline import Options
from steelscan.recipes import Recipe

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["steelscan.pipeline.train", "steelscan.augment.transforms", "matplotlib.figure"]
)


def carry(recipe: str, strips: Path, run: Path, die_at: int | str | None) -> None:
    """Train in a process of its own, which kills itself when it opens a file to write.

    The nth of all, or the first that has such a name.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    from steelscan.pipeline.train import train

    torch.set_num_threads(1)
    written = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal written
        if event not in {"open", "os.rename"} or not str(arguments[0]).startswith(str(run)):
            return
        if event == "open" and not any(letter in str(arguments[1]) for letter in "wa+"):
            return
        written += 1
        if written == die_at or (isinstance(die_at, str) and die_at in str(arguments[0])):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    train(Recipe.model_validate_json(recipe), strips, run, Options(device="cpu"))
    (run.parent / "writes.txt").write_text(str(written))


def in_a_process(recipe: Recipe, strips: Path, run: Path, die_at: int | str | None) -> int:
    process = _FORKS.Process(target=carry, args=(recipe.model_dump_json(), strips, run, die_at))
    process.start()
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode


@pytest.fixture(scope="module")
def undisturbed(strips: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Recipe], Path]:
    """Gives a run of a recipe that nothing happened to, made once."""

    @cache
    def made(name: str, recipe: str) -> Path:
        run = tmp_path_factory.mktemp(name) / "run"
        assert in_a_process(Recipe.model_validate_json(recipe), strips, run, None) == 0
        return run

    return lambda recipe: made(recipe.name, recipe.model_dump_json())


def results(run: Path) -> dict[str, bytes]:
    """All that a run computed; the report holds the same numbers and is left out."""
    names = ["thresholds.json", "scores.json", "submission.csv", "folds.csv"]
    paths = [run / name for name in names]
    for folder in ("networks", "rounds"):
        paths += sorted((run / folder).rglob("*.*"))
    return {
        str(path.relative_to(run)): path.read_bytes() for path in paths if path.name != "fit.log"
    }


EVERY_KIND = (
    "run.json",
    "folds.csv",
    "networks/classify-0-fold1/",
    "probabilities/classify/",
    "last/.state.safetensors",
    "networks/segment-0-fold0/.checkpoint",
    "probabilities/segment/strips.txt",
    "rounds/round1/pseudo_labels-fold1.jsonl",
    "rounds/round1/.pseudo_labels-fold1.csv",
    "networks/round1/segment-0-fold1/.metrics",
    "probabilities/round1/segment/probabilities.zarr",
    "rounds/round2/.pseudo_labels-fold0.json",
    "networks/round2/segment-0-fold0/.checkpoint",
    "thresholds.json",
    "submission.jsonl",
    "predicted.csv",
    "submission.csv",
    "pairs.csv",
    "scores.json",
    "report.html",
)
"""Files that a run writes, in this order: each new start gets as far as the next."""

SOME = tuple(EVERY_KIND[at] for at in (0, 5, 6, 8, 12, 14, 19))
"""One of each kind of step: fit, prediction, pseudo-labels, refit, submission and report."""

NTH = (1, 5, 11, 12, 14, 17, 23, 31)
"""Files of which the nth that a start writes is its last."""


@pytest.mark.parametrize(
    ("way", "deadly"),
    [
        ("rounds", SOME),
        pytest.param("rounds", EVERY_KIND, marks=pytest.mark.slow),
        pytest.param("tiny", NTH, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_killed_repeatedly_ends_with_the_same_results(
    way: str,
    deadly: tuple[int | str, ...],
    strips: Path,
    undisturbed: Callable[[Recipe], Path],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    recipe: Recipe = request.getfixturevalue(way)
    whole, broken = undisturbed(recipe), tmp_path / "run"
    writes = int((whole.parent / "writes.txt").read_text())
    assert writes > 60
    deaths = 0
    fitted: dict[Path, int] = {}
    for die_at in (*deadly, None):
        end = in_a_process(recipe, strips, broken, die_at)
        deaths += end == -signal.SIGKILL
        now = {path: path.stat().st_mtime_ns for path in broken.rglob("checkpoint.safetensors")}
        assert fitted.items() <= now.items()  # what was fitted is not fitted again
        fitted = now
    assert end == 0
    assert deaths >= len(deadly) - (way == "tiny")
    assert results(broken) == results(whole)
    assert json.loads((broken / "scores.json").read_text())["held out"]["strips"] > 0


def carry_until_full(recipe: str, strips: Path, run: Path, limit: int | None) -> None:
    """Train in a process of its own that ends with 7 when a result cannot be written."""
    import resource

    from steelscan.pipeline.train import train
    from steelscan.strip.errors import OutputError

    if limit is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        train(Recipe.model_validate_json(recipe), strips, run, Options(device="cpu"))
    except OutputError:
        sys.exit(7)


def full_in_a_process(
    recipe: Recipe, strips: Path, run: Path, limit: int | None = None
) -> int | None:
    arguments = (recipe.model_dump_json(), strips, run, limit)
    process = _FORKS.Process(target=carry_until_full, args=arguments)
    process.start()
    process.join(120)
    return process.exitcode


def test_a_file_that_cannot_grow_is_one_error_and_the_run_continues_later(
    strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert full_in_a_process(tiny, strips, run, limit=300_000) == 7
    assert not list(run.rglob("*.part"))
    assert in_a_process(tiny, strips, run, None) == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Gives a disk of a size, with what is on it, again and again. Only root may mount one."""
    place = tmp_path / "disk"
    place.mkdir()

    def sized(size: str) -> Path:
        options = f"size={size}" + (",remount" if place.is_mount() else "")
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("a small disk cannot be mounted here")
        return place

    yield sized
    if place.is_mount():
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_one_error_anywhere_and_the_run_continues_with_more_space(
    strips: Path,
    rounds: Recipe,
    undisturbed: Callable[[Recipe], Path],
    disk: Callable[[str], Path],
) -> None:
    for size in ("4k", "64k", "1m", "4m", "8m", "12m", "16m", "18m"):
        run = disk(size) / "run"
        assert full_in_a_process(rounds, strips, run) == 7, size
        assert not list(run.rglob("*.part"))
    assert full_in_a_process(rounds, strips, disk("100m") / "run") == 0
    assert results(disk("100m") / "run") == results(undisturbed(rounds))


@pytest.mark.parametrize("torn", ["", "[", '["a.jpg", ["1'])
def test_a_prediction_that_a_crash_cut_off_is_made_again(tmp_path: Path, torn: str) -> None:
    import numpy as np

    from steelscan.decision.prediction_log import Predicted, PredictionLog

    path = tmp_path / "predictions.jsonl"
    mask = np.ones((1, 2, 2), np.bool_)
    images = ["whole.jpg", "a.jpg"]
    PredictionLog(path, images).add("whole.jpg", Predicted(mask))
    with path.open("a") as log:
        log.write(torn)
    log_again = PredictionLog(path, images)
    assert log_again.done == {"whole.jpg"}
    log_again.add("a.jpg", Predicted(mask))
    assert [image for image, _ in PredictionLog(path, images).rows()] == images
    assert [image for image, _ in PredictionLog(path, ["a.jpg"]).rows()] == ["a.jpg"]
    assert PredictionLog(path, ["a.jpg"]).done == {"a.jpg"}
