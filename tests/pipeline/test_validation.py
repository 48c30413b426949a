"""A checkpoint is scored as its step uses it, and that number chooses it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from steelscan import recipes
from steelscan.data import WholeStrip
from steelscan.decision import Gate, HardGate, OwnGate, SoftGate
from steelscan.losses import BCE, BothHeads
from steelscan.models import Outputs, StripNetwork, TwoHeaded
from steelscan.pipeline import Options, RunContext, RunFolder, tasks, validation
from steelscan.pipeline.fit_tasks import Task, fitted_before
from steelscan.pipeline.networks import training_data
from steelscan.pipeline.train import begin_run
from steelscan.pipeline.validation import Validation, ValidationStrips
from steelscan.pipeline.validation_strips import decision_before, validation_strips
from steelscan.postprocess import MinArea, ScaledMinArea, Threshold
from steelscan.prediction import EncoderOf, ProbabilityStore
from steelscan.recipes import Classify, KeepPresent, Recipe
from steelscan.training import SGD, BestAverage, Metrics, Plateau, Training
from steelscan.training.checkpoint import load_network
from steelscan.training.fit import fit
from steelscan.training.specs import Best
from steelscan.training.stage import Stage

Predict = Callable[[int, int], tuple[NDArray[np.bool_], NDArray[np.bool_]]]
"""From epoch and strip to masks and to the classes of the strip."""


class Stub(StripNetwork):
    """Predicts as ``predict`` returns for its epoch and the row of a strip, which it recognises."""

    def __init__(
        self, context: RunContext, predict: Predict, head: Any = "masks", epoch: float = 0
    ) -> None:
        body = nn.Module()
        super().__init__(body, encoder="", mean=0.5, std=0.5, stride=32, head=head)
        self.idle = nn.Parameter(torch.zeros(1))
        self.register_buffer("epoch", torch.tensor(float(epoch)))
        self._predict, self._classes = predict, context.classes
        rows = range(len(context.dataset))
        self._rows = {context.dataset.picture(row).tobytes(): row for row in rows}
        self.predicted: list[int] = []

    def forward(self, strips: Tensor) -> Outputs:
        """Return logits of 5 and -5; in train mode nothing, and the epoch is over."""
        if self.training:
            self.epoch += 1
            none = torch.zeros(len(strips), self._classes) + self.idle
            maps = none[:, :, None, None].expand(-1, -1, *strips.shape[-2:])
            return self._outputs(maps, none)
        found = [self._rows[strip[0].to(torch.uint8).numpy().tobytes()] for strip in strips]
        self.predicted += found
        each = [self._predict(int(self.epoch), row) for row in found]
        masks, classes = (
            torch.from_numpy(np.stack(part)) * 10.0 - 5.0 for part in zip(*each, strict=True)
        )
        return self._outputs(masks, classes)

    def _outputs(self, masks: Tensor, classes: Tensor) -> Outputs:
        if self.head == "both":
            return Outputs(masks, classes)
        return Outputs(**{self.head: masks if self.head == "masks" else classes})


def begin(recipe: Recipe, strips: Path, folder: Path) -> RunContext:
    return begin_run(RunFolder(folder / "run"), recipe, strips, Options(device="cpu"))[0]


def store(context: RunContext, step: str, output: Callable[[int], NDArray[Any]]) -> None:
    """Store the outputs of a step for all strips, as if its networks had predicted them."""
    pixels = output(0).ndim == 3
    frames = context.dataset.frames if pixels else ()
    folder = context.run.probabilities(step)
    stored = ProbabilityStore(folder, len(context.dataset), context.classes, frames)
    for row in range(len(context.dataset)):
        stored[row] = output(row)


def task_of(context: RunContext, step: str) -> Task:
    return next(task for task in tasks(context.recipe, (0,)) if task.step == step)


def two_stages(tiny: Recipe, gate: Gate = "image") -> Recipe:
    """The steps of the 12th place."""
    assert tiny.classify is not None
    first = tiny.classify.but(threshold=0.5, gate=gate)
    steps = (first, tiny.segment, Threshold(), KeepPresent(), tiny.segment, Threshold())
    return tiny.but(name="two", steps=steps, tune=None)


def one_stage(tiny: Recipe, gate: Gate) -> Recipe:
    assert tiny.classify is not None
    first = tiny.classify.but(threshold=(0.5, 0.5, 0.5, 0.7), gate=gate)
    return tiny.but(name="one", steps=(first, tiny.segment, Threshold(pixel=0.4)), tune=None)


def two_headed(tiny: Recipe, gate: OwnGate, *rules: Any) -> Recipe:
    """The steps of the 14th or the 4th place."""
    (member,) = tiny.segment.ensemble.members
    loss = BothHeads(masks=BCE(), classes=BCE())
    (stage,) = member.stages
    both = member.but(network=TwoHeaded(segmenter=member.network), stages=(stage.but(loss=loss),))
    step = tiny.segment.but(ensemble=tiny.segment.ensemble.but(members=(both,)), gate=gate)
    return tiny.but(name="heads", steps=(step, *(rules or (Threshold(),))), tune=None)


def plain_dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    together = int(one.sum()) + int(other.sum())
    return 1.0 if together == 0 else 2 * int((one & other).sum()) / together


def plain_mean(context: RunContext, masks: Mapping[int, Any], pairs: Sequence[Any]) -> float:
    """The mean Dice over (row, class) pairs, one after the other."""
    values = [plain_dice(masks[row][at], context.dataset.masks(row)[at]) for row, at in pairs]
    return sum(values) / len(values)


def every_pair(context: RunContext) -> list[tuple[int, int]]:
    return [(row, at) for row in context.rows(0).tolist() for at in range(context.classes)]


def painted(context: RunContext, row: int) -> NDArray[np.bool_]:
    """The truth where there is a defect; everything else is covered."""
    truth = context.dataset.masks(row)
    return np.where(truth.any((1, 2), keepdims=True), truth, True)


def numbers(context: RunContext, task: Task, network: StripNetwork) -> Metrics:
    return Validation(context, task, validation_strips(context, task))(network.eval())


def fitted_stub(
    context: RunContext,
    task: Task,
    predict: Predict,
    folder: Path,
    head: Any = "masks",
    **fields: Any,
) -> float:
    """Fit a stub for three epochs; return the epoch whose weights were kept."""
    stage = Training(
        crop=WholeStrip(),
        loss=BothHeads(masks=BCE(), classes=BCE()) if head == "both" else BCE(),
        optimizer=SGD(lr=1.0),
        batch=1000,
        epochs=3,
    ).but(**fields)
    stub = Stub(context, predict, head)
    none = np.empty(0, np.int64)
    data = training_data(context, task, context.dataset, none, None)
    validate = Validation(context, task, validation_strips(context, task))
    fit(stub, (stage,), data, validate, folder, accelerator=context.accelerator)
    load_network(folder / "checkpoint.safetensors", stub)
    return float(stub.epoch)


@pytest.fixture
def last_stage(tiny: Recipe, strips: Path, tmp_path: Path) -> RunContext:
    """A last stage behind perfect steps: pairs with a defect are open."""
    context = begin(two_stages(tiny), strips, tmp_path)
    present = context.dataset.present
    assert 0 < present[context.rows(0)].mean() < 0.5  # most pairs are clean
    store(context, "classify", lambda row: present[row].astype(np.float32))
    store(context, "segment", lambda row: context.dataset.masks(row).astype(np.uint8) * 255)
    return context


def empty_then_painted(context: RunContext) -> Predict:
    """Epoch 1 predicts nothing, epochs 2 and 3 are perfect on defects and cover clean pairs."""

    def predict(epoch: int, row: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        masks = painted(context, row)
        return (masks if epoch > 1 else np.zeros_like(masks)), context.dataset.present[row]

    return predict


def test_in_the_last_stage_an_empty_network_loses_against_one_that_is_perfect_on_defects(
    last_stage: RunContext, tmp_path: Path
) -> None:
    context, task = last_stage, task_of(last_stage, "segment2")
    predict, rows = empty_then_painted(context), context.rows(0).tolist()
    found = [numbers(context, task, Stub(context, predict, epoch=epoch)) for epoch in (1, 2)]
    names = ("gated_mean_dice", "defect_dice")
    assert [dict(each) for each in found] == [dict.fromkeys(names, 0.0), dict.fromkeys(names, 1.0)]
    masks = [{row: predict(epoch, row)[0] for row in rows} for epoch in (1, 2)]
    empty, perfect = (plain_mean(context, each, every_pair(context)) for each in masks)
    assert empty == pytest.approx(1 - perfect)
    assert empty > perfect + 0.2  # on all pairs the empty network would win
    assert fitted_stub(context, task, predict, tmp_path / "best", keep=Best()) == 3
    average = BestAverage(count=2)
    assert fitted_stub(context, task, predict, tmp_path / "average", keep=average) >= 2


def test_a_plateau_follows_the_number_behind_the_gates(
    last_stage: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It rises from 0 to 1 in the second epoch, where that on all pairs falls."""
    steps: list[tuple[float, float]] = []
    step = Stage.step_plateau

    def recorded(stage: Stage, score: float) -> None:
        step(stage, score)
        steps.append((score, stage.optimizer.param_groups[0]["lr"]))

    monkeypatch.setattr(Stage, "step_plateau", recorded)
    task = task_of(last_stage, "segment2")
    schedule = Plateau(factor=0.1, patience=0)
    fitted_stub(last_stage, task, empty_then_painted(last_stage), tmp_path, schedule=schedule)
    assert steps == [(0.0, 1.0), (1.0, 1.0), (1.0, pytest.approx(0.1))]
    table = pl.read_csv(tmp_path / "metrics.csv")
    assert table.columns == ["stage", "epoch", "loss", "lr", "gated_mean_dice", "defect_dice"]
    assert table["gated_mean_dice"].to_list() == [0, 1, 1]


@pytest.mark.parametrize("keep", [Best(), BestAverage(count=2)])
def test_a_two_headed_network_is_scored_behind_its_aux_head(
    tiny: Recipe, strips: Path, tmp_path: Path, keep: Any
) -> None:
    """A mask head that covers clean pairs, closed by the aux head, wins against half the masks."""
    context = begin(two_headed(tiny, HardGate(threshold=0.9)), strips, tmp_path)
    task, rows = task_of(context, "segment"), context.rows(0).tolist()

    def predict(epoch: int, row: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        truth = context.dataset.masks(row)
        half = truth & (np.arange(truth.shape[2]) % 2 == 0)
        return (half if epoch == 1 else painted(context, row)), context.dataset.present[row]

    halves, painting = (
        plain_mean(context, {row: predict(epoch, row)[0] for row in rows}, every_pair(context))
        for epoch in (1, 2)
    )
    assert halves > painting + 0.2
    found = [numbers(context, task, Stub(context, predict, "both", at)) for at in (1, 2)]
    assert [each["gated_mean_dice"] for each in found] == pytest.approx([halves, 1.0])
    assert fitted_stub(context, task, predict, tmp_path / "fit", "both", keep=keep) >= 2


def test_a_soft_gate_multiplies_before_the_threshold(
    tiny: Recipe, strips: Path, tmp_path: Path
) -> None:
    """Both probabilities are 0.9933, so a threshold between their product and one closes all."""
    single = 1 / (1 + np.exp(-5))
    for pixel, closed in ((0.98, False), ((single + single**2) / 2, True)):
        rules = (Threshold(pixel=float(pixel)),)
        context = begin(two_headed(tiny, SoftGate(), *rules), strips, tmp_path / str(closed))
        rows = context.rows(0).tolist()
        truth = lambda _, row: (painted(context, row), context.dataset.present[row])  # noqa: E731, B023
        found = numbers(context, task_of(context, "segment"), Stub(context, truth, "both"))
        clean = (~context.dataset.present[rows]).mean()
        assert found["gated_mean_dice"] == pytest.approx(clean if closed else 1.0)
        assert found["defect_dice"] == (0.0 if closed else 1.0)


@pytest.mark.parametrize("gate", ["image", "class"])
@pytest.mark.parametrize("classes", [None, (1, 4)])
def test_the_number_behind_a_classifier_is_that_of_a_plain_computation(
    tiny: Recipe, strips: Path, tmp_path: Path, gate: Gate, classes: tuple[int, ...] | None
) -> None:
    recipe = one_stage(tiny, gate)
    (member,) = recipe.segment.ensemble.members
    recipe = recipe.with_members({"segment": [member.but(classes=classes)]})
    context = begin(recipe, strips, tmp_path)
    present, rng = context.dataset.present, np.random.default_rng(5)
    given = rng.uniform(0.0, 0.6, present.shape).astype(np.float32)
    given[present & (rng.random(present.shape) < 0.8)] = 0.9
    given[~present.any(1) | (rng.random(len(present)) < 0.3)] /= 2
    noise = [rng.random((4, *frame)) < 0.02 for frame in context.dataset.frames]
    store(context, "classify", given.__getitem__)
    own = [each - 1 for each in classes or (1, 2, 3, 4)]

    def predict(_: int, row: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        return (context.dataset.masks(row) ^ noise[row])[own], present[row]

    stub = Stub(context, predict)
    found = numbers(context, task_of(context, "segment"), stub)
    passes = given > np.array([0.5, 0.5, 0.5, 0.7])
    if gate == "image":
        passes = np.repeat(passes.any(1, keepdims=True), 4, axis=1)
    pairs = [(row, at) for row, at in every_pair(context) if passes[row, at] and at in own]
    assert 0 < len(pairs) < len(every_pair(context)) * len(own) / 4
    masks = {row: context.dataset.masks(row) ^ noise[row] for row in context.rows(0).tolist()}
    assert found["gated_mean_dice"] == pytest.approx(plain_mean(context, masks, pairs))
    defects = [(row, at) for row, at in pairs if present[row, at]]
    assert found["defect_dice"] == pytest.approx(plain_mean(context, masks, defects))
    assert stub.predicted == sorted({row for row, _ in pairs})  # no other strip is predicted


def test_the_rules_behind_the_step_count(tiny: Recipe, strips: Path, tmp_path: Path) -> None:
    """Single pixels on clean pairs cost nothing if the recipe removes them."""
    for area, clean in ((0, 0.0), (2, 1.0)):
        recipe = one_stage(tiny, "image")
        recipe = recipe.but(steps=(*recipe.steps, MinArea(pixels=area)))
        context = begin(recipe, strips, tmp_path / str(area))
        store(context, "classify", lambda _: np.ones(4, np.float32))

        def predict(_: int, row: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
            masks = context.dataset.masks(row)  # noqa: B023
            masks[~masks.any((1, 2)), 3, 3] = True
            return masks, masks.any((1, 2))

        rows = context.rows(0)
        share = context.dataset.present[rows].mean()
        found = numbers(context, task_of(context, "segment"), Stub(context, predict))
        assert found["gated_mean_dice"] == pytest.approx(share + clean * (1 - share))


def test_if_no_defect_passes_the_gates_are_left_out(
    tiny: Recipe, strips: Path, tmp_path: Path
) -> None:
    context = begin(one_stage(tiny, "class"), strips, tmp_path)
    present = context.dataset.present
    task = task_of(context, "segment")
    stub = Stub(context, lambda _, row: (context.dataset.masks(row), present[row]))
    # first nothing passes at all, then only classes that are not there
    for number, passing in enumerate((np.zeros_like(present), ~present)):
        given = passing.astype(np.float32)
        context = replace(context, run=RunFolder(tmp_path / f"run{number}"))
        store(context, "classify", given.__getitem__)
        found = validation_strips(context, task)
        assert found.rows.tolist() == context.rows(0).tolist()
        assert found.open.all()
        assert found.gates == ()
        assert dict(numbers(context, task, stub)) == {"mean_dice": 1.0, "defect_dice": 1.0}


def test_without_a_defect_the_defect_dice_is_zero_and_nothing_is_divided_by_zero() -> None:
    none = np.zeros((2, 3), np.int64)
    chosen = np.array([[True, False, False], [False, False, False]])
    pairs = validation.Pairs(none + 4, none, none)
    found = validation.mask_metrics(pairs, chosen, gated=True)
    assert dict(found) == {"gated_mean_dice": 0.0, "defect_dice": 0.0}


def test_no_more_strips_than_wanted_and_the_first_that_pass(
    tiny: Recipe, strips: Path, tmp_path: Path
) -> None:
    recipe = one_stage(tiny, "image")
    (member,) = recipe.segment.ensemble.members
    stages = (member.stages[0].but(validate_on=2),)
    context = begin(recipe.with_members({"segment": [member.but(stages=stages)]}), strips, tmp_path)
    defective = context.dataset.present.any(1)
    rows = context.rows(0)
    assert defective[rows].sum() > 2
    store(context, "classify", lambda row: np.full(4, defective[row], np.float32))
    found = validation_strips(context, task_of(context, "segment"))
    assert found.rows.tolist() == rows[defective[rows]][:2].tolist()
    assert found.gates == ("classify",)


def test_a_fitted_network_needs_no_predictions_of_the_steps_before(
    tiny: Recipe, strips: Path, tmp_path: Path
) -> None:
    context = begin(one_stage(tiny, "image"), strips, tmp_path)
    task = task_of(context, "segment")
    context.run.network(task).mkdir(parents=True)
    (context.run.network(task) / "checkpoint.safetensors").touch()
    assert validation_strips(context, task).gates == ()
    assert not context.run.probabilities("classify").exists()


class OtherProcessError(Exception):
    """Ends what another process computes, where it would wait for this one."""


def test_processes_share_the_strips_and_get_the_same_numbers(
    tiny: Recipe, strips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = begin(two_headed(tiny, SoftGate()), strips, tmp_path)
    task, present = task_of(context, "segment"), context.dataset.present

    def predict(_: int, row: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        return painted(context, row), present[row] ^ (row % 2 == 0)

    alone, shares = numbers(context, task, Stub(context, predict, "both")), list[Any]()
    assert 0 < alone["gated_mean_dice"] < 1
    given = ValidationStrips.ungated(context.rows(0), 4, (Threshold(),))

    def share_of(process: int) -> Metrics:
        own = replace(context)
        own.__dict__["accelerator"] = SimpleNamespace(process_index=process, num_processes=2)
        stub = Stub(context, predict, "both")
        found = Validation(own, task, given)(stub.eval())
        assert stub.predicted == context.rows(0).tolist()[process::2]
        return found

    def waiting(values: list[Any]) -> list[Any]:
        shares.extend(values)
        raise OtherProcessError

    monkeypatch.setattr(validation, "gather_object", waiting)
    with pytest.raises(OtherProcessError):
        share_of(1)
    monkeypatch.setattr(validation, "gather_object", lambda values: [*values, *shares])
    assert share_of(0) == alone


def test_a_classifier_is_scored_on_the_pairs_that_are_open(
    tiny: Recipe, strips: Path, tmp_path: Path
) -> None:
    """Of two classifiers, the second gets what the first lets pass."""
    assert tiny.classify is not None
    first = tiny.classify.but(threshold=0.5, gate="class")
    recipe = tiny.but(steps=(first, first, tiny.segment, *tiny.rules))
    context = begin(recipe, strips, tmp_path)
    present, rows = context.dataset.present, context.rows(0)
    rng = np.random.default_rng(2)
    opened, predicted = rng.random(present.shape) < 0.6, rng.random(present.shape) < 0.5
    store(context, "classify", lambda row: opened[row].astype(np.float32))
    (member,) = first.ensemble.members
    recipe = recipe.with_members({"classify2": [member.but(resize=None)]})
    context = replace(context, recipe=recipe)
    stub = Stub(context, lambda _, row: (predicted[row], predicted[row]), "classes")
    found = numbers(context, task_of(context, "classify2"), stub)
    right = predicted[rows] == present[rows]
    sure = 1 / (1 + np.exp(-5))
    logs = np.log(np.where(right, sure, 1 - sure))[opened[rows]]
    assert found["minus_cross_entropy"] == pytest.approx(logs.mean(), rel=1e-5)
    assert list(found) == ["minus_cross_entropy", "clean_or_not"]


GATES = {
    "first_place": {"segment": ("classify",)},
    "ninth_place": {"segment": ("classify",)},
    "tenth_place": {"segment": ("classify",)},
    "twelfth_place": {"segment": ("classify",), "segment2": ("classify", "segment")},
    "quick": {},  # its classifier starts from the encoder of its segmenter
}


@pytest.mark.parametrize("name", recipes.names())
def test_the_steps_before_are_fitted_before(name: str) -> None:
    recipe = recipes.load(name)
    order = tasks(recipe, recipe.folds.validation)
    found = {}
    for at, task in enumerate(order):
        before = fitted_before(recipe, task)
        assert not {other.step for other in order[at:]} & set(before)
        assert set(decision_before(recipe, task).steps) >= set(before)
        if before:
            found[task.step] = before
    assert found == GATES.get(name, {})


def test_a_rule_that_needs_a_classifier_is_left_out_without_it(tiny: Recipe) -> None:
    """As in the recipe quick, the classifier is fitted after the segmenter."""
    assert tiny.classify is not None
    (member,) = tiny.classify.ensemble.members
    (other,) = tiny.segment.ensemble.members
    start = EncoderOf(step="segment", member=other.name)
    waiting = Classify(ensemble=tiny.classify.ensemble.but(members=(member.but(start=start),)))
    recipe = tiny.but(
        steps=(waiting, tiny.segment, Threshold(), ScaledMinArea(pixels=9)), tune=None
    )
    task = next(task for task in tasks(recipe, (0,)) if task.step == "segment")
    decision = decision_before(recipe, task)
    assert decision.last.classifiers == ()
    assert decision.last.rules == (Threshold(),)


def test_the_report_names_the_number_that_chose_a_network(
    finished: tuple[Path, Any], tiny: Recipe
) -> None:
    text = (finished[0] / "report.html").read_text()
    assert "classify 1, fold 0: epoch chosen by minus cross entropy" in text
    assert "segment 1, fold 1: last epoch" in text
    columns = pl.read_csv(finished[0] / "networks" / "segment-0-fold0" / "metrics.csv").columns
    assert columns[4] in ("gated_mean_dice", "mean_dice")
    assert json.loads((finished[0] / "recipe.json").read_text())["name"] == tiny.name
