"""Runs and data sets at URLs: what machines without a common disk train."""

import hashlib
import multiprocessing
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from steelscan import cli
from steelscan.pipeline import Options, RunFolder, fit_schedule
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_queue import CoreShare, Prediction, Work
from steelscan.pipeline.one_fit import do_work
from steelscan.pipeline.run_copies import RunCopies
from steelscan.pipeline.train import begin_run, train
from steelscan.recipes import Recipe
from steelscan.strip.errors import InputError, RunError
from steelscan.strip.remote import LocalCopy, held_copy

OPTIONS = Options(device="cpu")


def results(run: Path) -> dict[str, str]:
    """The digests of checkpoints and of all numbers of a run."""
    paths = [*run.rglob("checkpoint.safetensors"), *run.rglob("metrics.csv")]
    paths += [run / name for name in ("scores.json", "thresholds.json", "submission.csv")]
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths
    }


def test_a_stopped_run_goes_on_on_another_machine(
    tiny: Recipe, strips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tiny, strips, tmp_path / "plain", OPTIONS)
    url = f"file://{tmp_path}/shared/run"
    first, second = (LocalCopy.of(url, tmp_path / name).path for name in ("a", "b"))
    done = list[Work]()

    def one_work(context: RunContext, work: Work, share: CoreShare) -> object:
        if done:
            raise KeyboardInterrupt
        done.append(work)
        return do_work(context, work, share)

    with monkeypatch.context() as patch:
        patch.setattr(fit_schedule, "do_work", one_work)
        with pytest.raises(KeyboardInterrupt), held_copy(first):
            train(tiny, strips, first, OPTIONS)
    shutil.rmtree(first)
    with held_copy(second):
        fitted = list(second.rglob("checkpoint.safetensors"))
        assert len(fitted) == 1
        written = fitted[0].stat().st_mtime_ns
        train(tiny, strips, second, OPTIONS)
        assert fitted[0].stat().st_mtime_ns == written
    assert results(second) == results(tmp_path / "plain")
    assert results(tmp_path / "shared" / "run") == results(tmp_path / "plain")


def _on_another_machine(copies: RunCopies, context: RunContext, works: list[Work]) -> None:
    """Do works as a task of Ray does, in a process that has no copy yet."""
    for work in works:
        with copies.here(context, work):
            do_work(context, work, CoreShare(1))


def test_a_machine_without_the_folders_fetches_them_and_sends_what_it_made(
    tiny: Recipe, strips: Path, tmp_path: Path
) -> None:
    data = LocalCopy.of(f"file://{strips}", tmp_path / "data")
    data.fetch()
    run = LocalCopy.of(f"file://{tmp_path}/shared/run", tmp_path / "run")
    context, _ = begin_run(RunFolder(run.path), tiny, data.path, OPTIONS)
    copies = RunCopies.of(context)
    assert copies == (data, run)
    copies.send()
    tasks = [task for task in context.new_tasks if task.step == "classify"]
    for copy in (data, run):
        copy.path.rename(copy.path.with_name(f"{copy.path.name} of this machine"))
    works: list[Work] = [*tasks, Prediction("classify")]
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(_on_another_machine, copies, replace(context), works).result()
    for copy in (data, run):
        shutil.rmtree(copy.path)
        copy.path.with_name(f"{copy.path.name} of this machine").rename(copy.path)
    assert not list(run.path.rglob("checkpoint.safetensors"))
    for work in works:
        copies.fetch(context, work)
    for task in tasks:
        assert (context.run.network(task) / "checkpoint.safetensors").exists()
    assert any(context.run.probabilities("classify").iterdir())
    assert not list((tmp_path / "shared").rglob(".*"))  # no lease, no unfinished file


def test_the_command_line_takes_urls(
    tiny: Recipe, strips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    recipe, run = tmp_path / "tiny.json", f"file://{tmp_path}/shared/run"
    recipe.write_text(tiny.model_dump_json())

    def steelscan(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["steelscan", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code, capsys.readouterr()

    data = f"file://{strips}"
    options = ["--device", "cpu", "--jobs", "1"]  # the threads of the other run
    steelscan("train", str(recipe), "--data", data, "--out", run, *options)
    printed = capsys.readouterr()
    assert "Fetching" in printed.err
    assert f"Report: {run}/report.html" in printed.out
    train(tiny, strips, tmp_path / "plain", OPTIONS)
    assert results(tmp_path / "shared" / "run") == results(tmp_path / "plain")
    shutil.rmtree(tmp_path / "cache")
    pictures = str(strips / "test_images")
    steelscan("predict", run, pictures, "--out", str(tmp_path / "predicted"), "--device", "cpu")
    assert len(list((tmp_path / "predicted" / "masks").iterdir())) == 3
    steelscan("check", data)


def test_a_url_for_other_results_is_refused(
    strips: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["steelscan", "explore", str(strips), "--out", "s3://bucket/explored"]
    )
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code
    assert "results are written to a disk" in capsys.readouterr().err


def test_a_run_that_another_machine_trains_is_refused(
    tiny: Recipe, strips: Path, tmp_path: Path
) -> None:
    url = f"file://{tmp_path}/shared/run"
    first, second = (LocalCopy.of(url, tmp_path / name).path for name in ("a", "b"))
    with (
        held_copy(first),
        pytest.raises(RunError, match="is in use by process"),
        held_copy(second),
    ):
        train(tiny, strips, second, OPTIONS)
    assert not second.exists()


def test_a_store_that_is_lost_leaves_the_run_here(
    tiny: Recipe, strips: Path, tmp_path: Path
) -> None:
    copy = LocalCopy.of(f"file://{tmp_path}/shared/run", tmp_path / "run")

    def train_and_lose_the_store() -> None:
        train(tiny, strips, copy.path, OPTIONS)
        shutil.rmtree(tmp_path / "shared")
        (tmp_path / "shared").write_text("a file")

    with pytest.raises(InputError, match="cannot be reached"), held_copy(copy.path):
        train_and_lose_the_store()
    assert (copy.path / "scores.json").exists()
