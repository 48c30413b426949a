"""A run with a damaged file: reading it is an error that names the file."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
import torch

from steelscan.analysis.compare.compare import compare
from steelscan.analysis.score import ScoreOptions
from steelscan.analysis.score.run import score_run
from steelscan.analysis.tune import tune_run
from steelscan.data import open_dataset
from steelscan.pipeline import (
    Options,
    Outcome,
    RunFolder,
    StoredOutputs,
    open_run,
    plan_run,
    submit,
)
from steelscan.pipeline.runs import find_runs
from steelscan.pipeline.train import train
from steelscan.recipes import Recipe
from steelscan.strip.errors import RunError, SteelscanError

Finished = tuple[Path, Outcome]
CPU = Options(device="cpu")


@pytest.fixture(scope="module")
def run(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a finished run; what a test damages there it mends."""
    run = tmp_path_factory.mktemp("damaged") / "run"
    shutil.copytree(finished[0], run)
    return run


@contextmanager
def damaged(file: Path, damage: str) -> Iterator[bool]:
    """Damage a file inside the block; gives whether that changed it."""
    content = file.read_bytes()
    DAMAGES[damage](file)
    try:
        yield not (file.is_file() and file.read_bytes() == content)
    finally:
        if file.is_dir():
            file.rmdir()
        file.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda file: file.write_bytes(b""),
    "garbage": lambda file: file.write_text('neither "this\nnor, that\n'),
    "binary": lambda file: file.write_bytes(Random(0).randbytes(3000)),
    "another type": lambda file: file.write_text("[1, [2]]"),
    "deep": lambda file: file.write_text("[" * 100_000),
    "huge": lambda file: file.write_bytes(
        re.sub(rb"\d+", b"9" * 5000, file.read_bytes(), count=99)
    ),
    "large": lambda file: file.write_bytes(re.sub(rb"\d+", b"9" * 30, file.read_bytes(), count=99)),
    "half": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "folder": lambda file: (file.unlink(), file.mkdir()),
    "missing": lambda file: file.unlink(),
}


def stored(run: Path, strips: Path) -> object:
    outputs = StoredOutputs(RunFolder(run), open_dataset(strips))
    return [outputs.masks(row).sum() for row in outputs.rows.tolist()]


READERS: dict[str, Callable[[Path, Path], object]] = {
    "stored": stored,
    "score": lambda run, strips: score_run(run, open_dataset(strips), ScoreOptions()),
    "submit": lambda run, _: submit(run, run.parent / "out.csv"),
    "compare": lambda run, _: compare(run, run),
    "tune": lambda run, strips: tune_run(run, strips, run.parent / "out"),
    "predict": lambda run, _: open_run(RunFolder(run), torch.device("cpu")),
    "data": lambda run, _: RunFolder(run).open_data(),
    "scores": lambda run, _: RunFolder(run).load_json(RunFolder(run).scores),
    "notes": lambda run, _: RunFolder(run).load_json(RunFolder(run).notes),
}
CHUNKS = "probabilities/{}/probabilities.zarr/c"
READ_BY = {
    "recipe.json": "stored score tune predict",
    "run.json": "stored score submit tune compare predict data",
    "thresholds.json": "stored score submit tune predict",
    "folds.csv": "stored score",
    "pairs.csv": "score tune compare",
    "predicted.csv": "submit",
    "submission.csv": "submit",
    "scores.json": "scores",
    "notes.json": "notes",
    "data.txt": "data",
    "probabilities/segment/strips.txt": "stored score tune",
    "probabilities/classify/strips.txt": "stored score tune",
    "probabilities/segment/probabilities.zarr/zarr.json": "stored score tune",
    "probabilities/classify/probabilities.zarr/zarr.json": "stored score tune",
    "probabilities/segment/probabilities.zarr/c": "stored score tune",
    "probabilities/classify/probabilities.zarr/c": "stored score tune",
    "networks/segment-0-fold0/checkpoint.safetensors": "predict",
    "networks/classify-0-fold1/checkpoint.safetensors": "predict",
    "checksums.json": "stored score submit tune compare predict scores notes",
}


def file_of(run: Path, name: str) -> Path:
    """A file by its name, or the chunk of some strip."""
    place = run / name
    return place if name[-2:] != "/c" else next(each for each in place.rglob("*") if each.is_file())


def test_everything_is_read_while_nothing_is_damaged(run: Path, strips: Path) -> None:
    for read in READERS.values():
        read(run, strips)
    assert {reader for readers in READ_BY.values() for reader in readers.split()} == READERS.keys()


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", READ_BY)
def test_a_damaged_file_is_one_line_with_its_name_and_a_remedy(
    run: Path, strips: Path, name: str, damage: str
) -> None:
    if (name, damage) == ("checksums.json", "missing"):
        pytest.skip("as in a run of an older program")
    file = file_of(run, name)
    with damaged(file, damage) as changed:
        for reader in READ_BY[name].split() if changed else ():
            with pytest.raises(RunError) as error:
                READERS[reader](run, strips)
            text = str(error.value)
            assert "\n" not in text
            assert len(text) < 900
            assert file.name in text or file.parent.parent.name in text
            assert re.search(r"Remove|Train|Name|Give|Restore", error.value.remedy)


@pytest.mark.parametrize("name", ["recipe.json", "run.json", "scores.json", "thresholds.json"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_listed_as_broken(run: Path, name: str, damage: str) -> None:
    with damaged(run / name, damage):
        (found,) = find_runs([run.parent])
    unfinished = (name, damage) == ("scores.json", "missing")
    assert found.state == "unfinished" if unfinished else found.state.startswith("broken: ")


@pytest.mark.parametrize(
    ("name", "damages"),
    [
        ("recipe.json", "empty binary folder missing"),
        ("run.json", "empty binary folder missing"),
        ("folds.csv", "empty binary huge folder half"),
        ("checksums.json", "empty binary folder"),
        ("tests.txt", "folder"),
        ("probabilities/segment/strips.txt", "binary huge folder"),
        ("probabilities/segment/probabilities.zarr/zarr.json", "empty huge folder"),
        ("probabilities/segment/probabilities.zarr/c", "empty binary missing half folder"),
        ("networks/segment-0-fold0/metrics.csv", "empty binary folder missing"),
    ],
)
def test_the_same_train_command_computes_nothing_from_what_is_left(
    run: Path, strips: Path, tiny: Recipe, name: str, damages: str
) -> None:
    before = (run / "submission.csv").read_bytes(), (run / "scores.json").read_bytes()
    file = file_of(run, name)
    for damage in damages.split():
        with damaged(file, damage):
            with pytest.raises(SteelscanError, match=re.escape(file.name)) as error:
                train(tiny, strips, run, CPU)
            assert "\n" not in str(error.value)
        after = (run / "submission.csv").read_bytes(), (run / "scores.json").read_bytes()
        assert after == before


def test_a_plan_does_not_count_a_missing_chunk_as_done(
    run: Path, strips: Path, tiny: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steelscan.pipeline.forecast import speed

    monkeypatch.setattr(speed, "_seconds_per_pixel", lambda *_: 1.0)
    assert plan_run(tiny, strips, run, CPU).seconds == 0
    chunk = file_of(run, CHUNKS.format("segment"))
    with (
        damaged(chunk, "missing"),
        pytest.raises(RunError, match=f"{re.escape(str(chunk))}: is missing"),
    ):
        plan_run(tiny, strips, run, CPU)


def test_tuning_a_run_writes_nothing_in_it(run: Path, strips: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    tune_run(run, strips, tmp_path / "out")
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_a_run_without_its_record_is_not_a_new_run(run: Path, strips: Path, tiny: Recipe) -> None:
    with (
        damaged(run / "run.json", "missing"),
        damaged(run / "recipe.json", "missing"),
        pytest.raises(RunError, match=r"holds networks, and no run\.json"),
    ):
        train(tiny.but(name="other"), strips, run, CPU)


def test_leftovers_of_killed_processes_are_removed_by_the_next_command(
    run: Path, strips: Path, tiny: Recipe
) -> None:
    left = file_of(run, CHUNKS.format("segment")).with_name("0.5a.partial")
    left.write_bytes(b"half")
    train(tiny, strips, run, CPU)
    assert not left.exists()
