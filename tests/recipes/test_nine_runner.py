"""What the benchmark of all solutions runs: its options, folds, commands, and the plain U-Net."""

import sys
from argparse import Namespace
from importlib import import_module
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from steelscan.data import open_dataset
from steelscan.data.duplicates import find_groups
from steelscan.data.folds import read_given_folds
from steelscan.pipeline import RunFolder
from steelscan.pipeline.folds import assign_folds
from steelscan.recipes import load, with_budget
from steelscan.strip import decode


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))


def call(monkeypatch: pytest.MonkeyPatch, module: str, *arguments: object) -> None:
    """Call the main function of a benchmark as its command does."""
    monkeypatch.setattr(sys, "argv", [f"{module}.py", *map(str, arguments)])
    import_module(module).main()


def folds_in(command: list[str]) -> Path:
    return Path(command[command.index("--folds") + 1])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--only", "fifth_place"], "invalid choice: 'fifth_place'"),
        (["--budget", "full"], "invalid choice: 'full'"),  # most recipes then hold nothing out
        (["--report-only"], "has no records of this budget"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_made(
    options: list[str], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    with pytest.raises(SystemExit) as end:
        call(monkeypatch, "nine", *options, "--out", tmp_path / "out")
    assert end.value.code == 2
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_strips_of_another_call_are_not_taken_for_those_asked_for(
    strips: Path, tmp_path: Path
) -> None:
    (tmp_path / "mill").symlink_to(strips)
    count, pages = len(open_dataset(strips)), import_module("nine_pages")
    assert pages.made_mill(tmp_path / "mill", "small", count) == tmp_path / "mill"
    with pytest.raises(SystemExit, match=f"has {count} strips, not 480.* --strips {count}"):
        pages.made_mill(tmp_path / "mill", "small")


def test_the_held_out_strips_are_those_of_quick(strips: Path, tmp_path: Path) -> None:
    """Against the folds that `steelscan train quick --seed 0` gives itself."""
    dataset, spec = open_dataset(strips), load("quick").folds
    run = RunFolder(tmp_path / "run")
    folds, _ = assign_folds(run, spec, dataset, find_groups(dataset).numbers, seed=0)
    split = import_module("nine_folds").split_of_quick(dataset)
    assert np.array_equal(split.held_out, np.isin(folds, spec.holdout))
    assert np.isin(
        np.flatnonzero(np.isin(folds, spec.validation)), np.flatnonzero(split.validating)
    ).all()
    assert abs(split.validating.sum() - split.held_out.sum()) <= len(folds) // 10


def test_each_command_has_a_table_with_the_folds_of_its_recipe(
    strips: Path, tmp_path: Path
) -> None:
    dataset, away = open_dataset(strips), []
    names = ["ninth_place", "seventieth_place", "quick", "plain_unet"]
    options = Namespace(budget="small", only=names, jobs=2, records=tmp_path / "records")
    jobs = list(import_module("nine").train_jobs(options, strips, tmp_path))
    assert [job.run.name for job in jobs] == names[:3]
    for job in jobs:
        budget = "full" if job.run.name == "quick" else "small"
        command = list(job.command)
        assert command[3:7] == ["train", job.run.name, "--budget", budget]
        assert command[command.index("--jobs") + 1] == "2"
        spec = with_budget(load(job.run.name), budget).folds
        given = read_given_folds(folds_in(command), dataset)
        assert given.count == spec.count
        away.append(np.isin(given.numbers, spec.holdout).tolist())
    assert away[0] == away[1] == away[2]


def test_cross_validation_holds_each_strip_out_once_and_needs_a_finished_run(
    strips: Path, tmp_path: Path
) -> None:
    place, dataset = tmp_path / "severstal", open_dataset(strips)
    names = ["ninth_place", "third_place", "plain_unet"]
    for path in ("mill/ninth_place/scores.json", "mill/plain_unet/unet.safetensors"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("")  # the U-Net is not finished: its pairs are written last
    records = tmp_path / "records"
    options = Namespace(budget="small", only=names, repeats=2, records=records)
    module = import_module("nine_cross_validation")
    jobs = list(module._jobs(options, strips, place))
    assert {job.run.name for job in jobs} == {"ninth_place"}
    spec = with_budget(load("ninth_place"), "small").folds
    times = np.zeros(len(dataset), np.int64)
    for job in jobs:
        numbers = read_given_folds(folds_in(list(job.command)), dataset).numbers
        times += np.isin(numbers, spec.holdout)
    assert times.tolist() == [2] * len(dataset)
    (tmp_path / "mill/plain_unet/pairs.json").write_text("")
    names_then = {job.run.name for job in module._jobs(options, strips, place)}
    assert names_then == {"ninth_place", "plain_unet"}
    done = records / "small" / "severstal" / "repeat1-fold2" / "ninth_place.json"
    done.parent.mkdir(parents=True)
    done.write_text("")
    left = {job.run for job in module._jobs(options, strips, place)} - {
        place / "repeat1-fold2" / "ninth_place"
    }
    assert len(left) == 15


def test_the_plain_unet_masks_whole_held_out_strips_once(
    strips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    dataset, table, out = open_dataset(strips), tmp_path / "folds.csv", tmp_path / "unet"
    import_module("nine_folds").write_folds(table, dataset, np.arange(len(dataset)) % 4)
    given = ["--data", strips, "--folds", table, "--minutes", 0.02, "--pixels", 64 * 80]
    with pytest.raises(SystemExit):
        call(monkeypatch, "plain_unet", *given, "--held-out", 4, "--out", out)
    assert "must name some of its folds" in capsys.readouterr().err
    call(monkeypatch, "plain_unet", *given, "--held-out", 1, "--out", out)
    found = pl.read_json(out / "pairs.json").to_dicts()[0]
    assert found["images"] == [name for row, name in enumerate(dataset.names) if row % 4 == 1]
    pixels = np.zeros((len(found["images"]), len(dataset.classes)), np.int64)
    for image, class_id, runs in pl.read_csv(out / "masks.csv").iter_rows():
        frame = dataset.frames[dataset.names.index(image)]
        pixels[found["images"].index(image), class_id - 1] = decode(runs, frame).sum()
    assert pixels.tolist() == found["predicted"]
    before = (out / "unet.safetensors").stat().st_mtime_ns
    call(monkeypatch, "plain_unet", *given, "--held-out", 1, "--out", out)
    assert "is finished" in capsys.readouterr().out
    assert (out / "unet.safetensors").stat().st_mtime_ns == before
