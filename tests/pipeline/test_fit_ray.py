"""Fits as tasks of a Ray of this machine end with the files of a local run."""

import hashlib
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
import torch

from steelscan.pipeline import Options
from steelscan.pipeline.train import train
from steelscan.prediction import Ensemble
from steelscan.recipes import Recipe
from steelscan.strip.errors import InputError, MissingPartError, RunError
from steelscan.strip.remote import LocalCopy, held_copy
from steelscan.training import SGD

ray = pytest.importorskip("ray")

ON_RAY = Options(device="cpu", engine="ray")


@pytest.fixture(scope="module")
def two_folds(tiny: Recipe) -> Recipe:
    """The tiny recipe with segmenters that are fitted for four epochs."""
    (segmenter,) = tiny.segment.ensemble.members
    member = segmenter.but(stages=tuple(each.but(epochs=4) for each in segmenter.stages))
    segment = tiny.segment.but(ensemble=Ensemble(members=(member,)))
    return tiny.but(steps=(*tiny.steps[:1], segment, *tiny.rules))


@pytest.fixture(scope="module")
def alone(
    two_folds: Recipe, strips: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A run by this process, with the one thread that each network has on Ray."""
    run = tmp_path_factory.mktemp("alone") / "run"
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    train(two_folds, strips, run, Options(device="cpu"))
    yield run
    torch.set_num_threads(before)


def digests(run: Path) -> dict[str, str]:
    """The digests of checkpoints and of all numbers of a run."""
    paths = [*run.rglob("checkpoint.safetensors"), *run.rglob("metrics.csv")]
    paths += [run / name for name in ("scores.json", "thresholds.json", "submission.csv")]
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths
    }


def kill_who_fits(folder: Path) -> Thread:
    """Kill the process that fits a network as soon as its first epoch is saved."""

    def kill() -> None:
        end = time.monotonic() + 120
        while not (folder / "last" / "state.safetensors").exists() and time.monotonic() < end:
            time.sleep(0.002)
        (number,) = re.findall(r"process (\d+) on", (folder / "fit.log").read_text())
        os.kill(int(number), signal.SIGKILL)

    thread = Thread(target=kill)
    thread.start()
    return thread


@pytest.mark.usefixtures("ray_of_two", "unreported")
def test_two_workers_of_which_one_is_killed_end_with_the_files_of_a_local_run(
    two_folds: Recipe, strips: Path, alone: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    killed = run / "networks" / "segment-0-fold1"
    thread = kill_who_fits(killed)
    train(two_folds, strips, run, ON_RAY)
    thread.join()
    assert digests(run) == digests(alone)
    log = (killed / "fit.log").read_text()
    assert len(set(re.findall(r"process (\d+) on", log))) == 2
    assert log.count("epoch 1,") == 1  # it went on after its last epoch
    assert str(os.getpid()) not in "".join(path.read_text() for path in run.rglob("fit.log"))
    assert not list(run.rglob(".lease*"))
    printed = capfd.readouterr().err
    assert "segment 1, fold 1 has ended" in printed
    assert "Fitting segment 1, fold 0: 12/12" in printed


@pytest.mark.usefixtures("ray_of_two", "unreported")
def test_a_run_and_a_data_set_at_urls_end_with_the_files_of_a_local_run(
    two_folds: Recipe, strips: Path, alone: Path, tmp_path: Path
) -> None:
    data = LocalCopy.of(f"file://{strips}", tmp_path / "data")
    data.fetch()
    run = LocalCopy.of(f"file://{tmp_path}/shared/run", tmp_path / "run")
    with held_copy(run.path):
        train(two_folds, data.path, run.path, ON_RAY)
    assert digests(run.path) == digests(tmp_path / "shared" / "run") == digests(alone)


@pytest.mark.usefixtures("ray_of_two", "unreported")
def test_a_fit_that_always_fails_is_named_and_the_others_go_on(
    two_folds: Recipe, strips: Path, tmp_path: Path
) -> None:
    assert two_folds.classify is not None
    (good,) = two_folds.classify.ensemble.members
    (stage,) = good.stages
    bad = good.but(name="bad", stages=(stage.but(optimizer=SGD(lr=1e30), epochs=50),))
    step = two_folds.classify.but(ensemble=Ensemble(members=(good, bad)))
    recipe = two_folds.but(steps=(step, *two_folds.steps[1:]))
    with pytest.raises(RunError, match=r"ended 3 times each .*the fit has diverged") as end:
        train(recipe, strips, tmp_path / "run", ON_RAY)
    assert end.value.where == "classify bad, fold 0; classify bad, fold 1"
    networks = tmp_path / "run" / "networks"
    fitted = sorted(path.parent.name for path in networks.rglob("checkpoint.safetensors"))
    assert fitted == ["classify-0-fold0", "classify-0-fold1"]
    assert (networks / "classify-1-fold0" / "fit.log").read_text().count("has failed") == 3


@pytest.mark.slow
@pytest.mark.usefixtures("ray_of_two", "unreported", "alone")
def test_rounds_of_pseudo_labels_are_the_same(rounds: Recipe, strips: Path, tmp_path: Path) -> None:
    for name, options in (("local", Options(device="cpu")), ("ray", ON_RAY)):
        train(rounds, strips, tmp_path / name, options)
    assert len(list((tmp_path / "ray").rglob("networks/round2/*/checkpoint.safetensors"))) == 2
    assert digests(tmp_path / "ray") == digests(tmp_path / "local")


@pytest.mark.usefixtures("ray_of_two")
def test_a_network_that_no_machine_has_room_for_is_refused(
    two_folds: Recipe, strips: Path, tmp_path: Path
) -> None:
    large = Options(device="cpu", engine="ray", cpus_per_network=3)
    with pytest.raises(
        InputError, match="--cpus-per-network: is 3, and no machine has more than 2"
    ):
        train(two_folds, strips, tmp_path / "run", large)


def test_without_ray_one_line_names_the_way_out(
    two_folds: Recipe, strips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "ray", None)
        with pytest.raises(MissingPartError, match=r"pip install 'steelscan\[ray\]'"):
            train(two_folds, strips, tmp_path / "run", ON_RAY)
