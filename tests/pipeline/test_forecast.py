"""What a forecast expects a run to fit and predict, against what the run then does."""

import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from math import isnan
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from steelscan import cli
from steelscan.data import Folds, WholeStrip, open_dataset
from steelscan.data.duplicates import group_strips
from steelscan.data.folds import read_folds
from steelscan.models import Classifier, StripNetwork
from steelscan.pipeline import Options, Outcome, RunFolder, plan_run, tasks
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.forecast import memory, speed
from steelscan.pipeline.forecast.fits import fits_of
from steelscan.pipeline.forecast.forecast import Forecast, forecast
from steelscan.pipeline.train import train
from steelscan.postprocess import Threshold
from steelscan.prediction import EncoderFittedFor, Ensemble
from steelscan.recipes import Classify, KeepPresent, Recipe, Segment
from steelscan.strip.errors import RunError
from steelscan.strip.files import cache_folder
from steelscan.training import SGD, BalancedSampler, BestAverage
from steelscan.training.specs import Ema

CPU = Options(device="cpu")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No speed is known from another test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


class Counts:
    """What a run does: crops trained on, strips predicted, bytes of networks at most."""

    def __init__(self, run: Path) -> None:
        self.run, self.crops, self.predicted, self.most = run, 0, 0, 0

    def forward(self, network: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        if isinstance(network, StripNetwork):
            if network.training:
                self.crops += len(inputs[0])
            else:
                self.predicted += len(inputs[0])

    def replaced(self) -> None:
        files = (path for path in (self.run / "networks").rglob("*safetensors*") if path.is_file())
        self.most = max(self.most, sum(path.stat().st_size for path in files))


@pytest.fixture
def counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counts]:
    """Counts what happens from the forecast to the end of a test."""
    counts = Counts(tmp_path / "run")
    put = Path.replace

    def counted(self: Path, target: Path) -> Path:
        counts.replaced()
        return put(self, target)

    monkeypatch.setattr(Path, "replace", counted)
    handle = register_module_forward_pre_hook(counts.forward)
    yield counts
    handle.remove()


def averaged(recipe: Recipe) -> Recipe:
    """The same with two stages, averages of checkpoints, and the encoder of a classifier."""
    (segmenter,) = recipe.segment.ensemble.members
    (stage,) = segmenter.stages
    first = stage.but(
        optimizer=SGD(lr=1e-3), keep=BestAverage(count=2, refresh=1), batch=5, epochs=3
    )
    second = stage.but(accumulate_to=8, averaging=Ema(), validate_on=2)
    classifier = Classifier(encoder="test_resnet", weights="random")
    assert recipe.classify is not None
    (member,) = recipe.classify.ensemble.members
    fitted = EncoderFittedFor(network=classifier, stages=(member.stages[0].but(crop=WholeStrip()),))
    segmenter = segmenter.but(stages=(first, second), start=fitted, folds=(0,))
    other = segmenter.but(folds=(1,), start=None, classes=(1, 3))
    step = recipe.segment.but(ensemble=Ensemble(members=(segmenter, other), views=("identity",)))
    steps = [step if isinstance(old, Segment) else old for old in recipe.steps]
    return recipe.but(name="averaged", steps=tuple(steps))


def gated(recipe: Recipe) -> Recipe:
    """The same without tuning, with a second stage: its networks are validated behind the first."""
    *_, segment = recipe.network_steps
    open_all = Threshold(label=0.0, pixel=0.0)
    steps = (*recipe.network_steps, open_all, KeepPresent(), segment, *recipe.rules)
    return recipe.but(name="gated", steps=steps, tune=None)


@pytest.fixture(params=["rounds", "averaged", "gated"])
def case(request: pytest.FixtureRequest, tiny: Recipe) -> Recipe:
    rounds: Recipe = request.getfixturevalue("rounds")
    assert rounds.pseudo_labels is not None
    once = rounds.but(pseudo_labels=rounds.pseudo_labels.but(rounds=1))
    return {"rounds": once, "averaged": averaged(tiny), "gated": gated(once)}[request.param]


@pytest.mark.usefixtures("unreported")
def test_a_run_does_what_its_forecast_counts(
    case: Recipe, strips: Path, tmp_path: Path, counts: Counts
) -> None:
    # classifiers that clear nothing, so that gates skip nothing
    steps = [step.but(threshold=0.0) if step.kind == "classify" else step for step in case.steps]
    case = case.but(steps=tuple(steps))
    plan_run(case, strips, tmp_path / "run", CPU)  # speeds are known from now on
    forecasts: list[Forecast] = []

    def started(expected: Forecast) -> None:
        forecasts.append(expected)
        assert not (tmp_path / "run" / "networks").exists()
        counts.crops = counts.predicted = 0

    train(case, strips, tmp_path / "run", CPU, started)
    (found,) = forecasts

    refreshed = counts.crops - sum(row.crops for row in found.fits)
    assert refreshed == (4 * 5 * 2 if case.name == "averaged" else 0)
    predicted = sum(row.validated for row in found.fits)
    predicted += sum(row.passes for row in found.predictions)
    assert predicted == counts.predicted

    checkpoints = list((tmp_path / "run").rglob("checkpoint.safetensors"))
    assert sum(row.folds * row.rounds for row in found.fits) == len(checkpoints)
    size = sum(path.stat().st_size for path in checkpoints)
    assert sum(row.bytes for row in found.fits) == size
    most = found.peak - sum(row.bytes for row in found.predictions)
    assert counts.most <= most < 1.7 * counts.most

    rows = sum(len(pl.read_csv(path.with_name("metrics.csv"))) for path in checkpoints)
    assert sum(row.epochs * row.folds * row.rounds for row in found.fits) == rows
    folders = Counter(path.parent.name for path in checkpoints)
    for row in found.fits:
        step, number = row.name.removesuffix(" encoder").split(" ")
        kind = f"{step}-encoder" if row.name.endswith(" encoder") else step
        mine = {
            name: count
            for name, count in folders.items()
            if name.startswith(f"{kind}-{int(number) - 1}-fold")
        }
        assert (row.folds, row.folds * row.rounds) == (len(mine), sum(mine.values()))
        assert row.done == 0
        assert row.seconds > 0


def test_nothing_is_left_of_a_finished_run(
    finished: tuple[Path, Outcome], strips: Path, tiny: Recipe
) -> None:
    run, _ = finished
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    found = plan_run(tiny, strips, run, CPU)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert [row.done for row in found.fits] == [2, 2]
    names = [row.name for row in found.predictions]
    assert len([name for name in names if name.endswith("test strips")]) == 2
    assert len(names) == 4
    assert all(row.done == row.passes > 0 for row in found.predictions)
    assert found.seconds == 0
    assert found.peak == found.bytes
    with pytest.raises(RunError, match="other values of: seed"):
        plan_run(tiny, strips, run, Options(device="cpu", seed=9))


def test_test_strips_without_masks_are_left(
    finished: tuple[Path, Outcome], strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    log = run / "submission.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:1]))
    found = plan_run(tiny, strips, run, CPU)
    tests = [row for row in found.predictions if row.name.endswith("test strips")]
    assert [row.done * 3 for row in tests] == [row.passes for row in tests]
    assert found.seconds == sum(row.seconds for row in tests) > 0


def test_without_test_strips_there_are_no_rounds(
    rounds: Recipe, strips: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("train_images", "train.csv"):
        (data / name).symlink_to(strips / name)
    found = plan_run(rounds, data, tmp_path / "run", CPU)
    assert {row.rounds for row in found.fits} == {1}
    assert not [row.name for row in found.predictions if "test" in row.name or "pseudo" in row.name]


def test_epochs_of_a_fit_that_was_interrupted_are_done(
    strips: Path, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steelscan.training.fit import fit as _  # noqa: F401

    module = sys.modules["steelscan.training.fit"]
    save, saved = module.save_state, []

    def stop(*arguments: Any) -> None:
        save(*arguments)
        saved.append(arguments[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "save_state", stop)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(tiny, strips, run, CPU)
    (state,) = saved
    fits = fits_of(context_of(tiny, strips, run))
    left = {fit.folder: fit.left for fit in fits}
    assert left.pop(state.parent.parent) == 0.5
    assert set(left.values()) == {1.0}


def context_of(recipe: Recipe, data: Path, run: Path, other: Path | None = None) -> RunContext:
    """The context of a run with folds, or of another folder with the same folds."""
    dataset = open_dataset(data)
    folds = read_folds(run / "folds.csv", dataset.names)
    return RunContext(RunFolder(other or run), recipe, dataset, group_strips(dataset), folds, CPU)


def test_seconds_follow_from_the_measured_speed_of_each_network(
    strips: Path, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks are timed once, whatever their folds."""
    build, built = speed.build_network, []

    def counted(*arguments: Any) -> Any:
        built.append(arguments)
        return build(*arguments)

    monkeypatch.setattr(speed, "build_network", counted)
    monkeypatch.setattr(speed, "_seconds_per_pixel", lambda *_: 1.0)
    found = plan_run(tiny, strips, tmp_path / "run", CPU)
    assert len(built) == 2
    (segmenter,) = (row for row in found.fits if row.name == "segment 1")
    pixels = segmenter.crops * 64 * 64 + segmenter.validated * 64 * 160
    assert segmenter.seconds == pytest.approx(pixels, rel=1e-3)


def test_training_measures_no_speed_and_uses_those_that_are_known(
    strips: Path, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> float:
        raise AssertionError("a plain train timed a network")

    forecasts: list[Forecast] = []

    def stop(expected: Forecast) -> None:
        forecasts.append(expected)
        raise KeyboardInterrupt

    def forecast_of_train() -> Forecast:
        with monkeypatch.context() as patched:
            patched.setattr(speed, "_seconds_per_pixel", refused)
            with pytest.raises(KeyboardInterrupt):
                train(tiny, strips, tmp_path / "run", CPU, stop)
        return forecasts[-1]

    unknown = forecast_of_train()
    assert isnan(unknown.seconds)
    assert "--plan measures them" in unknown.table()
    measured = plan_run(tiny, strips, tmp_path / "run", CPU)
    known = forecast_of_train()
    assert known.seconds == measured.seconds > 0
    assert (known.memory, known.bytes) == (unknown.memory, unknown.bytes)
    assert known.memory == measured.memory


@pytest.mark.usefixtures("unreported")
def test_a_finished_fit_leaves_its_speed(
    strips: Path, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def fit(*arguments: Any, **named: Any) -> None:
        nonlocal now
        now += 100.0
        fit_network(*arguments, **named)

    networks = sys.modules["steelscan.pipeline.networks"]
    fit_network = networks.fit  # type: ignore[attr-defined]
    monkeypatch.setattr(networks, "fit", fit)
    module = sys.modules["steelscan.pipeline.forecast.known_speeds"]
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now))
    train(tiny, strips, tmp_path / "run", CPU, lambda _: None)
    known = forecast(
        context_of(tiny, strips, tmp_path / "run", other=tmp_path / "new"), timed=False
    )
    assert [row.seconds for row in known.fits] == pytest.approx([200.0, 200.0], rel=0.1)
    assert all(row.seconds > 0 for row in known.predictions)


def test_a_damaged_file_of_speeds_is_as_none(strips: Path, tiny: Recipe, tmp_path: Path) -> None:
    plan_run(tiny, strips, tmp_path / "run", CPU)
    (file,) = (cache_folder() / "speeds").iterdir()
    assert len(speed.read_facts(torch.device("cpu"))) == 2
    for content in ("", "{", "[]", '{"a": {"bytes": "many"}}'):
        file.write_text(content)
        assert speed.read_facts(torch.device("cpu")) == {}
    plan_run(tiny, strips, tmp_path / "run", CPU)
    assert len(speed.read_facts(torch.device("cpu"))) == 2


def test_the_first_random_numbers_of_a_process_are_left_alone(
    strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    plan_run(tiny, strips, tmp_path / "run", CPU)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("width", [80, 100])
def test_a_table_of_many_networks_fits_a_terminal(
    strips: Path, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(width))
    found = plan_run(tiny, strips, tmp_path / "run", CPU)
    long = [
        row.model_copy(update={"name": f"segment2 {at} encoder"})
        for at, row in enumerate(found.fits * 15)
    ]
    changes = {"seconds": 1e7, "bytes": 10**12, "crops": 10**8}
    huge = [row.model_copy(update=changes) for row in long]
    for fits in (found.fits, tuple(long), tuple(huge)):
        lines = found.model_copy(update={"fits": fits}).table().splitlines()
        assert max(map(len, lines)) <= width
        assert all(line == line.rstrip() for line in lines)
        rows = "\n".join(lines[1 : lines.index("")])
        assert rows.count("test_") == len(fits)
        assert "estimated" in " ".join(lines)


def test_the_verb_prints_its_plan_and_leaves_no_trace(
    strips: Path,
    tiny: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text(hurried(tiny).model_dump_json())
    verb = ["steelscan", "train", str(mine), "--data", str(strips), "--device", "cpu"]
    for arguments in (["--plan"], []):
        assert [path.name for path in tmp_path.iterdir()] == ["mine.json"]
        out = ["--out", str(tmp_path / "run")]
        monkeypatch.setattr(sys, "argv", [*verb, *out, *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
        assert "2 fits, 0 done" in capsys.readouterr().out
    assert (tmp_path / "run" / "scores.json").exists()


def hurried(recipe: Recipe) -> Recipe:
    """The same with one fold, one epoch and one batch."""
    steps: list[Any] = []
    for step in recipe.steps:
        if isinstance(step, Classify | Segment):
            (member,) = step.ensemble.members
            stage = member.stages[0].but(epochs=1, sampler=BalancedSampler(samples=4))
            ensemble = Ensemble(members=(member.but(stages=(stage,)),))
            steps.append(step.but(ensemble=ensemble))
        else:
            steps.append(step)
    return recipe.but(steps=tuple(steps), folds=Folds(count=4, validation=(0,)), tune=None)


def test_memory_grows_with_the_pixels_that_go_through_at_once(
    strips: Path, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "_seconds_per_pixel", lambda *_: 1.0)
    found = plan_run(tiny, strips, tmp_path / "run", CPU)
    (line,) = (line for line in found.table().splitlines() if line.startswith("In memory"))
    assert "at most" in line
    (segmenter,) = tiny.segment.ensemble.members
    (stage,) = segmenter.stages
    large = segmenter.but(stages=(stage.but(crop=WholeStrip(), batch=12),))
    steps = [
        old.but(ensemble=old.ensemble.but(members=(large,))) if isinstance(old, Segment) else old
        for old in tiny.steps
    ]
    more = plan_run(tiny.but(steps=tuple(steps)), strips, tmp_path / "run", CPU)
    assert more.memory - found.memory > 3 * 12 * 64 * 160  # a float32 a pixel at the very least


def test_a_run_that_takes_more_memory_than_is_free_is_refused_before_it_begins(
    strips: Path, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "_seconds_per_pixel", lambda *_: 1.0)
    monkeypatch.setattr("steelscan.pipeline.forecast.forecast.free_memory", lambda _: 1000)
    forecasts: list[Forecast] = []
    with pytest.raises(RunError, match=r"memory: takes about .*B, and 1\.0 kB are free.*--budget"):
        train(tiny, strips, tmp_path / "run", CPU, forecasts.append)
    assert "1.0 kB are free" in forecasts[0].table()
    assert not (tmp_path / "run" / "networks").exists()


def test_free_memory_is_what_the_tightest_limit_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, gigabyte = torch.device("cpu"), 2**30
    monkeypatch.setattr(memory, "_GROUPS", tmp_path)
    free = memory.free_memory(cpu)
    assert free is None or free > 0
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("7\n")
    assert memory.free_memory(cpu) is None or memory.free_memory(cpu) > 7
    (tmp_path / "memory").mkdir()
    for name, value in zip(memory._VERSION_1, (gigabyte, gigabyte - 5000), strict=True):
        (tmp_path / name).write_text(f"{value}\n")
    assert memory.free_memory(cpu) == 5000
    assert memory.free_memory(torch.device("meta")) is None


def test_rows_and_labels_have_the_names_of_the_members(
    strips: Path, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "_seconds_per_pixel", lambda *_: 1.0)
    (member,) = tiny.segment.ensemble.members
    recipe = tiny.with_members({"segment": [member.but(name="unet")]})
    found = plan_run(recipe, strips, tmp_path / "run", CPU)
    assert [row.name for row in found.fits] == ["classify 1", "segment unet"]
    labels = [task.label for task in tasks(recipe, (0, 1))]
    assert labels == [
        "classify 1, fold 0",
        "classify 1, fold 1",
        "segment unet, fold 0",
        "segment unet, fold 1",
    ]
