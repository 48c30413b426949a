"""What trackers hold of a run is what its metrics.csv holds, once, however often it was stopped."""

import io
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import polars as pl
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from steelscan import cli
from steelscan.models import build_network
from steelscan.pipeline import Options, Outcome, RunFolder, tasks, trackers
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_tasks import Task
from steelscan.pipeline.networks import load_models
from steelscan.pipeline.tracking import tracked
from steelscan.pipeline.train import begin_run, train
from steelscan.recipes import Recipe
from steelscan.strip.errors import InputError, MissingPartError, RunError

Points = dict[str, list[tuple[int, float]]]


@pytest.fixture(scope="module")
def run(strips: Path, tiny: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with TensorBoard that was stopped twice: within a fit, and within the next one."""
    out = tmp_path_factory.mktemp("tracked") / "run"
    options = Options(device="cpu", track="tensorboard")
    log = trackers._TensorBoard.log
    calls = 0

    def stopping(self: Any, values: dict[str, float], epoch: int) -> None:
        nonlocal calls
        calls += 1
        log(self, values, epoch)
        if calls in (1, 5):
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trackers._TensorBoard, "log", stopping)
        patch.setattr(import_module("steelscan.pipeline.train"), "report_run", lambda *_: None)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                train(tiny, strips, out, options)
        train(tiny, strips, out, options)
    return out


def all_tasks(recipe: Recipe) -> list[Task]:
    return tasks(recipe, recipe.folds.validation)


def in_csv(run: Path, task: Task) -> Points:
    """The numbers of a network in its metrics.csv, by column."""
    table = pl.read_csv(RunFolder(run).network(task) / "metrics.csv")
    epochs = table["epoch"].to_list()
    return {
        name: [
            (int(epoch), value)
            for epoch, value in zip(epochs, table[name].to_list(), strict=True)
            if value is not None
        ]
        for name in table.columns
        if name != "epoch"
    }


def in_events(run: Path, task: Task) -> EventAccumulator:
    everything = dict.fromkeys(("scalars", "images", "tensors"), 0)
    return EventAccumulator(str(run / "track" / task.label), everything).Reload()


def test_tensorboard_has_each_epoch_of_each_network_once(run: Path, tiny: Recipe) -> None:
    labels = {task.label for task in all_tasks(tiny)}
    assert len(labels) == 4
    assert {path.name for path in (run / "track").iterdir() if path.is_dir()} == labels
    for task in all_tasks(tiny):
        events, expected = in_events(run, task), in_csv(run, task)
        assert {"loss", "lr", "stage"} < set(expected)  # and validations
        assert set(events.Tags()["scalars"]) == set(expected)
        for name, points in expected.items():
            found = [(event.step, event.value) for event in events.Scalars(name)]
            assert [step for step, _ in found] == [step for step, _ in points]
            values = [value for _, value in points]
            assert [value for _, value in found] == pytest.approx(values, rel=1e-6)  # float32


def test_tracking_changes_no_number(
    run: Path, tiny: Recipe, finished: tuple[Path, Outcome]
) -> None:
    for task in all_tasks(tiny):
        for name, points in in_csv(finished[0], task).items():
            found = dict(in_csv(run, task)[name])
            assert found == pytest.approx(dict(points), rel=1e-4, abs=1e-6)


def test_rates_are_those_of_the_schedule(run: Path, tiny: Recipe) -> None:
    """The cosine of the segmenter falls from step to step, and the classifier has none."""
    for task in all_tasks(tiny):
        first, last = (rate for _, rate in in_csv(run, task)["lr"])
        if task.step == "classify":
            assert first == last == 1e-3
        else:
            assert 1e-3 > first > last >= 0


def test_tensorboard_has_the_settings(run: Path, tiny: Recipe) -> None:
    for task in all_tasks(tiny):
        content = in_events(run, task).PluginTagToContent("hparams")
        session = HParamsPluginData.FromString(content["_hparams_/session_start_info"])
        settings = {
            name: getattr(value, value.WhichOneof("kind"))
            for name, value in session.session_start_info.hparams.items()
        }
        assert settings["recipe"] == "tiny"
        assert settings["fold"] == task.fold
        assert settings["network.encoder"] == "test_resnet"
        assert settings["stages.1.optimizer.lr"] == pytest.approx(1e-3)
        assert settings["stages.1.batch"] == 4
        assert settings["stages.1.crop.kind"] == ("whole" if task.step == "classify" else "random")


def test_overlays_show_true_outlines_above_predicted_ones(
    run: Path, tiny: Recipe, context: RunContext
) -> None:
    for task in all_tasks(tiny):
        events = in_events(run, task)
        shown = [tag for tag in events.Tags()["images"] if tag.startswith("true above predicted/")]
        assert bool(shown) == (task.step == "segment")
        assert len(shown) <= 4
        for tag in shown:
            (event,) = events.Images(tag)
            drawn = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
            assert drawn.shape == (64 + 4 + 64, 160, 3)
            row = context.dataset.names.index(tag.partition("/")[2])
            assert context.folds[row] == task.fold
            masks = context.dataset.masks(row)
            assert masks.any()
            colored = np.ptp(drawn[:64].astype(int), axis=2) > 30
            near = cv2.dilate(masks.any(0).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
            assert colored.any()
            assert not (colored & ~near).any()


@pytest.fixture
def context(
    strips: Path, tiny: Recipe, tmp_path: Path, fitted: Callable[[Recipe, Path], None]
) -> RunContext:
    """A run with all networks fitted, of which no tracker knows."""
    path = tmp_path / "a run"
    fitted(tiny, path)
    options = Options(device="cpu", track="mlflow")
    return begin_run(RunFolder(path), tiny, strips, options)[0]


def rows_of(context: RunContext, task: Task) -> list[dict[str, float]]:
    path = context.run.network(task) / "metrics.csv"
    return [
        {name: value for name, value in row.items() if value is not None}
        for row in pl.read_csv(path).to_dicts()
    ]


def follow(context: RunContext, task: Task, epochs: int = 0, stop: bool = False) -> bool:
    """Do as a fit of which so many epochs are done; return whether it was tracked."""
    network, _ = build_network(task.member.network, context.classes)
    folder = context.run.network(task)
    with tracked(context, task, task.member.stages, network, folder, task.label) as log:
        if log is not None:
            log(rows_of(context, task)[:epochs])
            if stop:
                raise KeyboardInterrupt
    return log is not None


def test_mlflow_has_each_epoch_once_after_an_interruption(
    context: RunContext, tiny: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    task = next(task for task in all_tasks(tiny) if task.step == "segment")
    store = f"sqlite:///{context.run.path / 'mlruns' / 'mlflow.db'}"

    def only_run() -> Any:
        client = MlflowClient(store)
        (experiment,) = [each for each in client.search_experiments() if each.name != "Default"]
        assert experiment.name == "tiny a run"
        (found,) = client.search_runs([experiment.experiment_id])
        return found

    with pytest.raises(KeyboardInterrupt):
        follow(context, task, epochs=1, stop=True)
    assert only_run().info.status == "KILLED"
    assert follow(context, task, epochs=2)
    assert not follow(context, task)  # complete: left alone
    assert "MLFLOW_TRACKING_URI" not in os.environ
    found, client = only_run(), MlflowClient(store)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == task.label
    assert found.data.params["network.encoder"] == "test_resnet"
    assert float(found.data.params["stages.1.optimizer.lr"]) == 1e-3
    expected = in_csv(context.run.path, task)
    assert set(found.data.metrics) == set(expected)
    for name, points in expected.items():
        history = client.get_metric_history(found.info.run_id, name)
        assert sorted((point.step, point.value) for point in history) == points
    pictures = client.list_artifacts(found.info.run_id, "true above predicted")
    assert 1 <= len(pictures) <= 4
    assert len(list((context.run.path / "mlruns" / "pictures").rglob("*.png"))) == len(pictures)


def test_final_weights_make_the_overlays(context: RunContext, tiny: Recipe) -> None:
    """Not those of the network that the fit was given."""
    from steelscan.pipeline.tracking import overlays

    task = next(task for task in all_tasks(tiny) if task.step == "segment")
    (model,) = load_models(context.run, [task], context.classes, context.accelerator.device)
    shown: dict[str, np.ndarray] = {}
    with pytest.MonkeyPatch.context() as patch:
        tracker = SimpleNamespace(
            run_id="1",
            logged=0,
            log=lambda *_: None,
            show=lambda name, picture, _: shown.update({name: picture}),
            close=lambda complete: None,  # noqa: ARG005
        )
        patch.setattr("steelscan.pipeline.tracking.open_tracker", lambda *_: tracker)
        follow(context, task)
    expected = overlays(context, task, model.network)
    assert shown.keys() == expected.keys()
    assert all(np.array_equal(shown[name], expected[name]) for name in shown)


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A stand-in for the package wandb that keeps runs in memory."""
    runs: list[dict[str, Any]] = []
    module: Any = ModuleType("wandb")

    def init(**given: Any) -> Any:
        same = [each for each in runs if each["id"] == given["id"]]
        state = same[0] if same else {**given, "logged": [], "settings": {}}
        runs[:] = [*(each for each in runs if each is not state), state]
        module.config = SimpleNamespace(update=lambda new, **_: state["settings"].update(new))
        return SimpleNamespace(
            step=len({step for step, _ in state["logged"]}) + bool(same),
            resumed=bool(same),
            log=lambda values, step: state["logged"].append((step, values)),
            finish=lambda exit_code: state.update(exit_code=exit_code),
        )

    module.init, module.Image = init, lambda picture: picture
    module.__spec__ = ModuleSpec("wandb", None)
    monkeypatch.setitem(sys.modules, "wandb", module)
    return runs


def test_wandb_continues_the_run_of_an_interrupted_fit(
    context: RunContext, tiny: Recipe, wandb: list[dict[str, Any]]
) -> None:
    context = replace(context, options=replace(context.options, track="wandb"))
    task = next(task for task in all_tasks(tiny) if task.step == "classify")
    with pytest.raises(KeyboardInterrupt):
        follow(context, task, epochs=1, stop=True)
    assert wandb[0]["exit_code"] == 1
    assert follow(context, task, epochs=2)
    (only,) = wandb
    assert only["exit_code"] == 0
    assert only["name"] == task.label
    assert only["settings"]["stages.1.batch"] == 4
    expected = in_csv(context.run.path, task)
    found = [(step, values["loss"]) for step, values in only["logged"]]
    assert found == expected["loss"]


@pytest.mark.parametrize(
    ("kind", "package", "command"),
    [
        ("tensorboard", "tensorboard", r"pip install 'steelscan\[track\]'"),
        ("mlflow", "mlflow", r"pip install 'steelscan\[track\]'"),
        ("mlflow", "sqlalchemy", r"pip install 'steelscan\[track\]'"),
        ("wandb", "wandb", "pip install wandb"),
    ],
)
def test_a_missing_tracker_is_one_error_before_anything_is_written(
    kind: Any,
    package: str,
    command: str,
    strips: Path,
    tiny: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(trackers, "find_spec", lambda name: None if name == package else name)
    message = f"--track {kind}: needs the package {package}, .*Run: {command}"
    with pytest.raises(MissingPartError, match=message):
        train(tiny, strips, tmp_path / "run", Options(device="cpu", track=kind))
    assert not (tmp_path / "run").exists()


def test_one_mlflow_run_for_all_networks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0123")
    with pytest.raises(InputError, match=r"MLFLOW_RUN_ID: names one run .* Unset"):
        trackers.check_tracker("mlflow")
    trackers.check_tracker("tensorboard")


def test_a_tracker_that_fails_is_one_error(
    context: RunContext, tiny: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://server")
    with pytest.raises(RunError, match=r"--track mlflow: the tracker failed .*nowhere.*leave"):
        follow(context, all_tasks(tiny)[0])


def test_a_plan_takes_no_tracker(
    strips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    arguments = ["train", "quick", "--data", str(strips), "--out", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", ["steelscan", *arguments, "--plan", "--track", "mlflow"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert "--track: has no effect with --plan" in capsys.readouterr().err
