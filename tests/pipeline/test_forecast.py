"""What a run is said to fit and ask, against what it then does."""

import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from steelscan import cli
from steelscan.data import Folds, WholeStrip, open_dataset, read_folds
from steelscan.data.duplicates import group_strips
from steelscan.models import Classifier, StripNetwork
from steelscan.pipeline import Options, Outcome, RunContext, RunFolder, plan_run
from steelscan.pipeline.forecast import Forecast, memory, speed
from steelscan.pipeline.forecast.fits import Fit, fits_of
from steelscan.pipeline.train import train
from steelscan.prediction import EncoderFittedFor, Ensemble
from steelscan.recipes import Classify, Recipe, Segment
from steelscan.strip import Frame, RunError
from steelscan.training import SGD, BalancedSampler, BestAverage
from steelscan.training.specs import Ema

CPU = Options(device="cpu")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first pass of a network is long enough."""
    monkeypatch.setattr(speed, "_LONG", 1e-9)


class Seen:
    """What a run does, counted from outside: crops that teach, strips asked, bytes."""

    def __init__(self, run: Path) -> None:
        self.run, self.crops, self.asked, self.most = run, 0, 0, 0

    def forward(self, network: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        if isinstance(network, StripNetwork):
            if network.training:
                self.crops += len(inputs[0])
            else:
                self.asked += len(inputs[0])

    def replaced(self) -> None:
        files = (path for path in (self.run / "networks").rglob("*safetensors*") if path.is_file())
        self.most = max(self.most, sum(path.stat().st_size for path in files))


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    """Counts all that happens between the forecast and the end of a test."""
    counts = Seen(tmp_path / "run")
    put = Path.replace

    def watched(self: Path, target: Path) -> Path:
        counts.replaced()
        return put(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    handle = register_module_forward_pre_hook(counts.forward)
    yield counts
    handle.remove()


def averaged(recipe: Recipe) -> Recipe:
    """The same, whose segmenter has two stages, means of checkpoints, and a lent encoder."""
    (outliner,) = recipe.segment.ensemble.members
    (stage,) = outliner.stages
    first = stage.but(
        optimizer=SGD(lr=1e-3), keep=BestAverage(count=2, refresh=1), batch=5, epochs=3
    )
    second = stage.but(accumulate_to=8, averaging=Ema(), validate_on=2)
    judge = Classifier(encoder="test_resnet", weights="random")
    assert recipe.classify is not None
    (clearer,) = recipe.classify.ensemble.members
    lent = EncoderFittedFor(network=judge, stages=(clearer.stages[0].but(crop=WholeStrip()),))
    outliner = outliner.but(stages=(first, second), start=lent, folds=(0,))
    other = outliner.but(folds=(1,), start=None, classes=(1, 3))
    step = recipe.segment.but(ensemble=Ensemble(members=(outliner, other), views=("identity",)))
    steps = [step if isinstance(old, Segment) else old for old in recipe.steps]
    return recipe.but(name="averaged", steps=tuple(steps))


@pytest.fixture(params=["rounds", "averaged"])
def case(request: pytest.FixtureRequest, tiny: Recipe) -> Recipe:
    rounds: Recipe = request.getfixturevalue("rounds")
    assert rounds.pseudo_labels is not None
    once = rounds.but(pseudo_labels=rounds.pseudo_labels.but(rounds=1))
    return once if request.param == "rounds" else averaged(tiny)


@pytest.mark.usefixtures("unreported")
def test_a_run_does_and_leaves_what_was_said(
    case: Recipe, strips: Path, tmp_path: Path, seen: Seen
) -> None:
    told: list[Forecast] = []

    def heard(found: Forecast) -> None:
        told.append(found)
        assert not (tmp_path / "run" / "networks").exists()
        seen.crops = seen.asked = 0

    # classifiers that clear nothing, so that no network is spared a strip
    steps = [step.but(threshold=0.0) if step.kind == "classify" else step for step in case.steps]
    case = case.but(steps=tuple(steps))
    train(case, strips, tmp_path / "run", CPU, heard)
    (found,) = told

    refreshed = seen.crops - sum(row.crops for row in found.fits)
    assert refreshed == (4 * 5 * 2 if case.name == "averaged" else 0)
    asked = sum(row.judged for row in found.fits) + sum(row.passes for row in found.asks)
    assert asked == seen.asked

    checkpoints = list((tmp_path / "run").rglob("checkpoint.safetensors"))
    assert sum(row.folds * row.rounds for row in found.fits) == len(checkpoints)
    size = sum(path.stat().st_size for path in checkpoints)
    assert sum(row.bytes for row in found.fits) == size
    most = found.peak - sum(row.bytes for row in found.asks)
    assert seen.most <= most < 1.7 * seen.most

    rows = sum(len(pl.read_csv(path.with_name("metrics.csv"))) for path in checkpoints)
    assert sum(row.epochs * row.folds * row.rounds for row in found.fits) == rows
    networks = Counter(path.parent.name for path in checkpoints)
    for row in found.fits:
        step, number = row.name.removesuffix(" lent").split(" ")
        kind = f"{step}-encoder" if row.name.endswith(" lent") else step
        mine = {
            name: count
            for name, count in networks.items()
            if name.startswith(f"{kind}-{int(number) - 1}-fold")
        }
        assert (row.folds, row.folds * row.rounds) == (len(mine), sum(mine.values()))
        assert row.done == 0
        assert row.seconds > 0


def test_of_a_finished_run_nothing_is_left(
    finished: tuple[Path, Outcome], strips: Path, tiny: Recipe
) -> None:
    run, _ = finished
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    found = plan_run(tiny, strips, run, CPU)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert [row.done for row in found.fits] == [2, 2]
    names = [row.name for row in found.asks]
    assert len([name for name in names if name.endswith("test strips")]) == 2
    assert len(names) == 4
    assert all(row.done == row.passes > 0 for row in found.asks)
    assert found.seconds == 0
    assert found.peak == found.bytes
    with pytest.raises(RunError, match="another seed"):
        plan_run(tiny, strips, run, Options(device="cpu", seed=9))


def test_test_strips_that_are_not_answered_are_left(
    finished: tuple[Path, Outcome], strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    log = run / "submission.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:1]))
    found = plan_run(tiny, strips, run, CPU)
    tests = [row for row in found.asks if row.name.endswith("test strips")]
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
    assert not [row.name for row in found.asks if "test" in row.name or "pseudo" in row.name]


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
    fits = planned(tiny, strips, run)
    left = {fit.folder: fit.left for fit in fits}
    assert left.pop(state.parent.parent) == 0.5
    assert set(left.values()) == {1.0}


def planned(recipe: Recipe, data: Path, run: Path) -> list[Fit]:
    dataset = open_dataset(data)
    folds = read_folds(run / "folds.csv", dataset.names)
    context = RunContext(RunFolder(run), recipe, dataset, group_strips(dataset), folds, CPU)
    return list(fits_of(context))


def test_a_network_takes_as_long_as_is_said(
    strips: Path, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks are timed once, whatever their folds."""
    build, built = speed.build_network, []

    def watched(*arguments: Any) -> Any:
        built.append(arguments)
        return build(*arguments)

    monkeypatch.setattr(speed, "build_network", watched)
    monkeypatch.setattr(speed, "_a_pixel", lambda *_: 1.0)
    found = plan_run(tiny, strips, tmp_path / "run", CPU)
    assert len(built) == 2
    (outlined,) = (row for row in found.fits if row.name == "segment 1")
    pixels = outlined.crops * 64 * 64 + outlined.judged * 64 * 160
    assert outlined.seconds == pytest.approx(pixels, rel=1e-3)


@pytest.mark.parametrize(
    ("pixel", "most", "last"),
    [
        (1e-6, 7 * 256 * 320, (7, 256, 320)),
        (1e-6, 7 * 256 * 320 - 1, (4, 256, 320)),  # of unlike frames fewer go through together
        (1e-5, 7 * 256 * 320, (2, 256, 256)),
        (1e-3, 7 * 256 * 320, (2, 128, 128)),
    ],
)
def test_a_pass_grows_until_it_is_long_or_the_whole_batch(
    monkeypatch: pytest.MonkeyPatch, pixel: float, most: int, last: tuple[int, int, int]
) -> None:
    now, passes = 0.0, []

    def work(strips: torch.Tensor) -> None:
        nonlocal now
        now += pixel * strips.numel()
        passes.append(tuple(strips[:, 0].shape))

    monkeypatch.setattr(speed, "_LONG", 1.0)
    with monkeypatch.context() as patched:
        patched.setattr(speed.time, "perf_counter", lambda: now)
        found = speed._a_pixel(work, 7, Frame(256, 320), most, torch.device("cpu"))
    assert found == pytest.approx(pixel)
    assert passes[-1] == last
    assert len(passes) == 2 * len(set(passes)) - (pixel * prod(last) >= 5)


def test_the_first_random_numbers_of_a_process_are_left_alone(
    strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    plan_run(tiny, strips, tmp_path / "run", CPU)
    assert torch.equal(torch.rand(3), expected)


def test_a_table_of_many_networks_fits_a_page(strips: Path, tiny: Recipe, tmp_path: Path) -> None:
    found = plan_run(tiny, strips, tmp_path / "run", CPU)
    long = [replace(row, name=f"segment2 {at} lent") for at, row in enumerate(found.fits * 15)]
    huge = [replace(row, seconds=1e7, bytes=10**12, crops=10**8) for row in long]
    for fits in (found.fits, tuple(long), tuple(huge)):
        lines = replace(found, fits=fits).table().splitlines()
        assert max(map(len, lines)) <= 100
        assert all(line == line.rstrip() for line in lines)
        named = lines[1 : lines.index("")]
        assert len(named) == len(fits)
        assert all("fpn test_" in line or "classifier test_" in line for line in named)
        assert "estimates" in lines[-1]


def test_the_verb_says_what_it_would_do_and_leaves_no_trace(
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


def test_memory_is_told_and_grows_with_what_goes_through_at_once(
    strips: Path, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "_a_pixel", lambda *_: 1.0)
    found = plan_run(tiny, strips, tmp_path / "run", CPU)
    (line,) = (line for line in found.table().splitlines() if line.startswith("In memory"))
    assert "at most" in line
    (outliner,) = tiny.segment.ensemble.members
    (stage,) = outliner.stages
    large = outliner.but(stages=(stage.but(crop=WholeStrip(), batch=12),))
    steps = [
        old.but(ensemble=old.ensemble.but(members=(large,))) if isinstance(old, Segment) else old
        for old in tiny.steps
    ]
    more = plan_run(tiny.but(steps=tuple(steps)), strips, tmp_path / "run", CPU)
    assert more.memory - found.memory > 3 * 12 * 64 * 160  # a float32 a pixel at the very least


def test_a_run_that_takes_more_memory_than_there_is_is_refused_before_it_begins(
    strips: Path, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "_a_pixel", lambda *_: 1.0)
    monkeypatch.setattr("steelscan.pipeline.forecast.forecast.free_memory", lambda _: 1000)
    told: list[Forecast] = []
    with pytest.raises(RunError, match=r"memory: takes about .*B, and 1\.0 kB are free.*--budget"):
        train(tiny, strips, tmp_path / "run", CPU, told.append)
    assert "1.0 kB are free" in told[0].table()
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
