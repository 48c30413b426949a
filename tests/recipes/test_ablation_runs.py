"""An ablation from a finished run to its row in the report, on a small recipe."""

import json
import shutil
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from steelscan import cli
from steelscan.analysis.compare.compare import compare
from steelscan.data import open_dataset
from steelscan.pipeline import Options, RunFolder, StoredOutputs, read_evaluated
from steelscan.pipeline.evidence import gather
from steelscan.pipeline.train import begin_run, train
from steelscan.recipes import Recipe

CPU = Options(device="cpu")
MODULES = ("ablations", "ablation_report", "ablation_list", "ablation_runs", "measured_runs")
COST = {"cpu_seconds": 75.0, "gib": 1.0, "done": True, "threads": 1, "commit": "abc"}
pytestmark = pytest.mark.usefixtures("unreported")


@pytest.fixture
def benchmark(monkeypatch):
    """The benchmark, which gives its commands to this process."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    module = import_module("ablations")

    def run_here(jobs, _, done) -> list:
        failed = []
        for job in jobs:
            assert job.command[:3] == [sys.executable, "-m", "steelscan"]
            assert job.run == Path(job.command[job.command.index("--out") + 1])
            monkeypatch.setattr(sys, "argv", ["steelscan", *job.command[3:], "--device", "cpu"])
            with pytest.raises(SystemExit) as end:
                cli.main()
            if end.value.code:
                failed.append(job)
            else:
                Path(f"{job.run}.json").write_text(json.dumps(COST))
                done(job)
        return failed

    monkeypatch.setattr(module, "side_by_side", run_here)
    yield module
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def base(finished, strips, tiny: Recipe, tmp_path_factory) -> RunFolder:
    """The finished run of a recipe that tunes nothing, and whose gate closes two classes."""
    run = tmp_path_factory.mktemp("base") / "mill" / "first_place"
    gate = tiny.named["classify"].but(gate="class", threshold=(0.0, 1.0, 0.0, 1.0))
    recipe = tiny.with_steps({"classify": gate}, tune=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("steelscan.pipeline.train"), "report_run", lambda *_: None)
        begin_run(RunFolder(run), recipe, strips, CPU)
        shutil.copytree(finished[0] / "networks", run / "networks")
        train(recipe, strips, run, CPU)
    return RunFolder(run)


@pytest.fixture(scope="module")
def in_rounds(finished, strips, rounds: Recipe, tmp_path_factory) -> RunFolder:
    """A run with two rounds of pseudo-labels, all of whose networks are those of another run."""
    recipe, run = rounds.but(tune=None), tmp_path_factory.mktemp("rounds") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("steelscan.pipeline.train"), "report_run", lambda *_: None)
        begin_run(RunFolder(run), recipe, strips, CPU)
        shutil.copytree(finished[0] / "networks", run / "networks")
        for number in (1, 2):
            for fold in (0, 1):
                name = f"segment-0-fold{fold}"
                folder = run / "networks" / f"round{number}" / name
                shutil.copytree(finished[0] / "networks" / name, folder)
        train(recipe, strips, run, CPU)
    return RunFolder(run)


def place_of(benchmark, base: RunFolder, folder: Path, kind: str, change):
    """Where an ablation of the small recipe is made."""
    texts = ("first_place", "less", "an idea", "No idea.", "nowhere")
    ablation = import_module("ablation_list").Ablation(*texts, kind, change)
    return benchmark.Place(ablation, "mill", base, RunFolder(folder))


def checkpoints(run: RunFolder) -> dict[str, bytes]:
    files = run.path.rglob("checkpoint.safetensors")
    return {str(path.parent.relative_to(run.path)): path.read_bytes() for path in files}


def counts(run: RunFolder, part: str) -> list[np.ndarray]:
    pairs = read_evaluated(run, len(run.load_record().classes))[part].pairs
    return [pairs.predicted, pairs.truth, pairs.shared]


def test_a_decision_is_taken_by_the_networks_of_the_run(
    benchmark, base: RunFolder, strips: Path, tmp_path: Path
) -> None:
    """Against the masks without the gate that the run itself counts for its verdict."""
    change = import_module("ablation_list").without_classifiers
    place = place_of(benchmark, base, tmp_path / "less", "decision", change)
    assert benchmark.ablate([place], tmp_path / "records", 1) == []
    made, before = checkpoints(place.run), checkpoints(base)
    assert made == {name: each for name, each in before.items() if "segment" in name}
    dataset = open_dataset(strips)
    outputs, tuned = StoredOutputs(base, dataset), base.load_tuned()
    for part, evaluated in read_evaluated(base, len(dataset.classes)).items():
        rows = np.array([dataset.names.index(name) for name in evaluated.images])
        without = gather(outputs, dataset, tuned.rules, rows).without["classify"]
        expected = [without.predicted, without.truth, without.shared]
        assert all(map(np.array_equal, counts(place.run, part), expected))
    predicted, gated = (counts(each, "held out")[0].sum(0) for each in (place.run, base))
    assert predicted[3] > gated[3] == 0


def test_networks_that_stay_and_those_fitted_again_are_those_of_a_whole_run(
    benchmark, base: RunFolder, strips: Path, tmp_path: Path
) -> None:
    def shorter(recipe: Recipe) -> Recipe:
        (member,) = recipe.segment.ensemble.members
        stages = tuple(stage.but(epochs=1) for stage in member.stages)
        return recipe.with_members({"segment": [member.but(stages=stages)]})

    place = place_of(benchmark, base, tmp_path / "less", "training", shorter)
    assert benchmark.ablate([place], tmp_path / "records", 1) == []
    made, before = checkpoints(place.run), checkpoints(base)
    assert {name for name in made if made[name] == before[name]} == {
        name for name in before if "classify" in name
    }
    whole = RunFolder(tmp_path / "whole")
    folds = Path(f"{place.run.path}.folds.csv")
    train(place.run.load_recipe(), strips, whole.path, Options(device="cpu", folds=folds))
    assert checkpoints(whole) == made
    for part in ("held out", "out of fold"):
        assert all(map(np.array_equal, counts(place.run, part), counts(whole, part)))


def test_networks_and_pseudo_labels_of_all_rounds_are_kept_or_left_out(
    benchmark, in_rounds: RunFolder, tmp_path: Path
) -> None:
    def without_area(recipe: Recipe) -> Recipe:
        return recipe.but(steps=recipe.steps[:-1])

    before = checkpoints(in_rounds)
    assert len(before) == 8
    place = place_of(benchmark, in_rounds, tmp_path / "kept", "decision", without_area)
    assert benchmark.ablate([place], tmp_path / "records", 1) == []
    assert checkpoints(place.run) == before
    labels = [
        path.relative_to(in_rounds.path) for path in in_rounds.path.rglob("pseudo_labels*.csv")
    ]
    assert len(labels) == 4
    for label in labels:
        assert (place.run.path / label).read_bytes() == (in_rounds.path / label).read_bytes()
    assert place.run.load_tuned().round == 2
    change = import_module("ablation_list").without_pseudo_labels
    place = place_of(benchmark, in_rounds, tmp_path / "none", "training", change)
    assert benchmark.ablate([place], tmp_path / "others", 1) == []
    first = {name: each for name, each in before.items() if "round" not in name}
    assert checkpoints(place.run) == first
    assert not (place.run.path / "rounds").exists()
    assert place.run.load_tuned().round == 0


def test_the_report_has_the_comparison_without_the_runs(
    benchmark, base: RunFolder, tmp_path: Path
) -> None:
    change = import_module("ablation_list").without_classifiers
    place = place_of(benchmark, base, tmp_path / "less", "decision", change)
    records = tmp_path / "records" / "small"
    known = replace(place.ablation, name="without_gate")
    place = place._replace(ablation=known, run=RunFolder(tmp_path / "less"))
    assert benchmark.ablate([place], records, 1) == []
    lines = list(benchmark.report(records.parent, "small"))
    scores = compare(place.run.path, base.path).scores
    (row,) = [line for line in lines if line.startswith("| `first_place`")]
    cells = [cell.strip(" *") for cell in row.strip("|").split("|")]
    assert cells[2] == f"{scores.strips} ({scores.groups})"
    for number, at in ((scores.mean_dice, 3), (scores.defect_dice, 6)):
        with_it, without, gain = cells[at : at + 3]
        assert [with_it, without] == [f"{number.other:.4f}", f"{number.one:.4f}"]
        value, low, high = gain.translate(str.maketrans("[],", "   ")).split()
        assert float(value) == pytest.approx(number.other - number.one, abs=5.1e-5)
        assert float(low) <= float(value) <= float(high)
    assert cells[-3:] == ["0 of 2", "1.2", "abc"]
    assert lines[0] == "# One idea less, budget small"
    assert "no results" in next(benchmark.report(records.parent, "tiny"))
    shutil.rmtree(place.run.path)
    assert benchmark.ablate([place], records, 1) == []  # recorded: not run again
    assert not place.run.path.exists()
    assert list(benchmark.report(records.parent, "small")) == lines


@pytest.mark.usefixtures("benchmark")
def test_runs_of_other_strips_are_not_compared(tmp_path: Path) -> None:
    record = import_module("records").Record
    both = (record(COST, 1, images=["a"]), record(COST, 1, images=["b"]))
    page = import_module("ablation_report")
    measured = page.Measured(import_module("ablation_list").ABLATIONS[0], *both, 0)
    with pytest.raises(ValueError, match="on other strips"):
        page.write_measured(tmp_path / "record.json", measured)


def test_runs_are_found_by_data_set(benchmark, base: RunFolder, tmp_path: Path) -> None:
    runs, every = base.path.parents[1], [each.label for each in benchmark.ABLATIONS]
    labels = [each.ablation.label for each in benchmark.places_of(runs, [], tmp_path, every)]
    assert labels == [
        "first_place_without_gate",
        "first_place_without_blackout",
        "first_place_without_pseudo_labels",
    ]
    assert benchmark.places_of(runs, ["neu"], tmp_path, every) == []
    (place, *_) = benchmark.places_of(runs, ["mill"], tmp_path, every)
    assert place.run.path == tmp_path / "mill" / "first_place_without_gate"


def test_a_run_of_other_settings_in_the_folder_fails_with_its_reason(
    benchmark, base: RunFolder, tmp_path: Path, capsys
) -> None:
    change = import_module("ablation_list").without_classifiers
    place = place_of(benchmark, base, tmp_path / "less", "decision", change)
    place.run.begin(base.load_recipe(), base.load_record())
    assert benchmark.ablate([place], tmp_path / "records", 1) == [f"{place.run.path}.log"]
    assert "other values of: name" in capsys.readouterr().out
    assert "other values of: name" in Path(f"{place.run.path}.log").read_text()


@pytest.mark.usefixtures("benchmark")
def test_a_command_runs_until_it_succeeds_once(tmp_path: Path) -> None:
    cost, run = import_module("measured_runs"), tmp_path / "deep" / "run"
    lines = "import pathlib, sys; path = pathlib.Path(sys.argv[1]); text = path.read_text()"
    count = tmp_path / "count"
    count.write_text("")
    fail = f"{lines}; path.write_text(text + 'x'); print('call'); sys.exit(text == '')"
    command = [sys.executable, "-c", fail, str(count)]
    assert [cost.run_measured(command, run) for _ in range(3)] == [False, True, True]
    assert count.read_text() == "xx"
    assert Path(f"{run}.log").read_text() == "call\ncall\n"
    assert 0 < cost.cost_of(run)["cpu_seconds"] < 600
