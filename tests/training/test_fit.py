"""The fit: its numbers against a plain loop, and the same numbers after any interruption."""

from dataclasses import dataclass, field
from math import cos, inf, nan, pi

import numpy as np
import polars as pl
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import nn

from steelscan.augment import HFlip, Mixup
from steelscan.data import RandomCrop, WholeStrip
from steelscan.losses import BCE, BothHeads, Dice, Mix, WherePresent
from steelscan.models import StripNetwork
from steelscan.strip import Classes, Frame
from steelscan.strip.errors import OutputError, RecipeError, RunError
from steelscan.training import (
    SGD,
    AdamW,
    BalancedSampler,
    BestAverage,
    Cosine,
    CropPass,
    EveryStrip,
    Last,
    Plateau,
    Training,
    TrainingData,
)
from steelscan.training.crops import EpochCrops
from steelscan.training.fit import fit
from steelscan.training.resized import ResizedStrips
from steelscan.training.specs import Best, Ema, Swa

FRAME = Frame(32, 48)
TWO = Classes(names=("scratch", "hole"))
FIRST = Training(
    crop=RandomCrop(height=32, width=32, defect=0.5),
    augment=(HFlip(),),
    sampler=EveryStrip(),
    loss=BCE(pos_weight=(2.0, 1.0)),
    optimizer=AdamW(lr=0.05),
    schedule=Cosine(warmup=0.3),
    batch=2,
    epochs=3,
)
SECOND = FIRST.but(
    loss=Mix(parts=((1.0, BCE()), (1.0, Dice()))), optimizer=SGD(lr=0.1, momentum=0.9), epochs=2
)
SCORES = (0.2, 0.5, 0.3, 0.1, 0.4)
"""By epochs of training of a network; the first stage is best in its middle, so the second one
continues from two epochs if the best is kept, from three if the last is."""


class InterruptedFitError(Exception):
    """Stops a fit."""


@dataclass
class Strips:
    """Six strips in memory; reading fails once ``reads_left`` are used up."""

    classes: Classes = TWO
    frames: tuple[Frame, ...] = (FRAME,) * 6
    reads_left: float = inf
    present: np.ndarray = field(init=False)

    def __post_init__(self):
        self.present = np.stack([self.masks(row).any((1, 2)) for row in range(6)])

    def __len__(self):
        return 6

    def picture(self, row):
        self.reads_left -= 1
        if self.reads_left < 0:
            raise InterruptedFitError
        return np.random.default_rng(row).integers(0, 256, FRAME).astype(np.uint8)

    def masks(self, row):
        masks = np.zeros((2, *FRAME), np.bool_)
        masks[row % 3 :, 4:20, 8 * (row % 4) : 8 * (row % 4) + 6] = True
        return masks


@dataclass
class Validation:
    """Returns the scores of a list, records the weights, and fails after ``calls_left`` calls."""

    scores: tuple[float, ...] = SCORES
    calls_left: float = inf
    states: list[dict[str, torch.Tensor]] = field(default_factory=list)

    def __call__(self, network):
        assert not network.training
        self.calls_left -= 1
        if self.calls_left < 0:
            raise InterruptedFitError
        state = network.state_dict()
        self.states.append({name: tensor.clone() for name, tensor in state.items()})
        # a score must depend only on the network: here on the steps counted by its batch norm
        return {"score": self.scores[int(state["body.1.num_batches_tracked"]) // 3 - 1]}


def with_state(seed=0, head="masks"):
    """Return a network with all that an interruption could lose: batch norm, dropout, weights."""
    torch.manual_seed(seed)
    end = [nn.AdaptiveMaxPool2d(1), nn.Flatten()] if head == "classes" else []
    body = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Conv2d(4, 2, 1),
        *end,
    )
    return stripped(body, head=head)


def stripped(body, encoder="", head="masks"):
    """Return a network around any body."""
    return StripNetwork(body, encoder=encoder, mean=0.5, std=0.25, stride=32, head=head)


def without_state(seed=0):
    """Return a network whose outputs depend only on its weights and the strip."""
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 2, 1))
    return stripped(body)


def run(
    folder, stages=(FIRST, SECOND), validate=None, strips=None, network=None, seed=3, rows=range(6)
):
    """Fit from the start, or continue the fit in the folder; return the network."""
    network = network or with_state()
    data = TrainingData(strips or Strips(), np.array(rows), None, seed)
    validate = validate or Validation()
    fit(network, stages, data, validate, folder, accelerator=Accelerator(cpu=True))
    return network


def files_of(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoint.safetensors",
        "metrics.csv",
    ]
    return [path.read_bytes() for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The files of an uninterrupted fit of both stages, by what the first one keeps."""
    found = {}
    for keep in (Best(), Last()):
        folder = tmp_path_factory.mktemp(keep.kind)
        run(folder, (FIRST.but(keep=keep), SECOND))
        found[keep.kind] = files_of(folder)
    return found


def test_the_same_seed_gives_the_same_files_and_another_one_others(tmp_path, expected):
    run(tmp_path / "again")
    assert files_of(tmp_path / "again") == expected["best"]
    run(tmp_path / "other", seed=4)
    assert files_of(tmp_path / "other")[0] != expected["best"][0]
    assert expected["best"][0] != expected["last"][0]


@pytest.mark.parametrize("keep", [Best(), Last()], ids=lambda keep: keep.kind)
@pytest.mark.parametrize("turn", range(5))
def test_a_fit_stopped_in_any_validation_ends_with_the_same_files(tmp_path, expected, turn, keep):
    stages = (FIRST.but(keep=keep), SECOND)
    with pytest.raises(InterruptedFitError):
        run(tmp_path, stages, Validation(calls_left=turn))
    assert not (tmp_path / "checkpoint.safetensors").exists()
    again = Validation()
    run(tmp_path, stages, again)
    assert len(again.states) == 5 - turn  # whole epochs are not fitted again
    assert files_of(tmp_path) == expected[keep.kind]


@pytest.mark.parametrize("reads", range(0, 30, 4))
def test_a_fit_stopped_while_reading_a_strip_ends_with_the_same_files(
    tmp_path, expected, reads, monkeypatch
):
    monkeypatch.setattr(ResizedStrips.__init__, "__defaults__", (0,))  # no strip stays in memory
    with pytest.raises(InterruptedFitError):
        run(tmp_path, strips=Strips(reads_left=reads))
    run(tmp_path)
    assert files_of(tmp_path) == expected["best"]


@pytest.mark.parametrize("keep", [Best(), Last()], ids=lambda keep: keep.kind)
def test_a_fit_stopped_before_any_of_its_writes_ends_with_the_same_files(
    tmp_path, expected, keep, monkeypatch
):
    stages = (FIRST.but(keep=keep), SECOND)
    left = [inf]

    def disk(_):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("steelscan.strip.files.output.os.fsync", disk)
    for writes in range(40):
        folder, left[0] = tmp_path / str(writes), writes
        try:
            run(folder, stages)
        except OutputError:
            left[0] = inf
            run(folder, stages)
            assert files_of(folder) == expected[keep.kind], f"after {writes} writes"
        else:
            break
    assert 12 <= writes < 20  # per epoch its metrics and state, bests, and the checkpoint


def test_a_fit_stopped_again_and_again_ends_with_the_same_files(tmp_path, expected):
    for _ in range(12):
        try:
            run(tmp_path, validate=Validation(calls_left=1), strips=Strips(reads_left=14))
        except InterruptedFitError:
            continue
        break
    assert files_of(tmp_path) == expected["best"]


def test_a_complete_fit_is_left_alone(tmp_path, expected):
    run(tmp_path)
    (tmp_path / "last").mkdir()  # left by a crash in the last moment
    (tmp_path / "last" / "state.safetensors").write_bytes(b"half")
    validate, strips = Validation(calls_left=0), Strips(reads_left=0)
    run(tmp_path, validate=validate, strips=strips)
    assert files_of(tmp_path) == expected["best"]


def test_the_best_network_of_a_stage_is_kept_or_the_last(tmp_path):
    for keep, number in ((Best(), 1), (Last(), 2)):
        validate = Validation()
        network = run(tmp_path / keep.kind, (FIRST.but(keep=keep),), validate)
        checkpoint = load_file(tmp_path / keep.kind / "checkpoint.safetensors")
        assert len(validate.states) == 3
        for name, tensor in validate.states[number].items():
            assert torch.equal(checkpoint[name], tensor), name
            assert torch.equal(network.state_dict()[name], tensor), name
        other = validate.states[3 - number]
        assert not torch.equal(checkpoint["body.0.weight"], other["body.0.weight"])


def test_the_last_of_equal_scores_is_the_best(tmp_path):
    validate = Validation(scores=(0.5, 0.5, 0.4))
    run(tmp_path, (FIRST,), validate)
    checkpoint = load_file(tmp_path / "checkpoint.safetensors")
    assert torch.equal(checkpoint["body.0.weight"], validate.states[1]["body.0.weight"])


def test_the_next_stage_begins_with_what_the_one_before_kept(tmp_path):
    still = SECOND.but(optimizer=SGD(lr=1e-30), epochs=1)
    for keep, number in ((Best(), 1), (Last(), 2)):
        validate = Validation()
        run(tmp_path / keep.kind, (FIRST.but(keep=keep), still), validate)
        kept, after = validate.states[number], validate.states[3]
        assert torch.equal(after["body.0.weight"], kept["body.0.weight"])
        assert not torch.equal(after["body.1.running_mean"], kept["body.1.running_mean"])


def test_scores_of_one_stage_do_not_count_in_the_next(tmp_path):
    validate = Validation(scores=(0.2, 0.9, 0.3, 0.4))
    run(tmp_path, validate=validate)
    counted = [int(seen["body.1.num_batches_tracked"]) // 3 for seen in validate.states]
    assert counted == [1, 2, 3, 3, 4]  # the second stage went on from the epoch scored 0.9
    checkpoint = load_file(tmp_path / "checkpoint.safetensors")
    for name, tensor in validate.states[4].items():  # and ends with 0.4, better than its own 0.3
        assert torch.equal(checkpoint[name], tensor), name


@pytest.mark.parametrize("keep", [Best(), Last()])
@pytest.mark.parametrize("score", [nan, inf, -inf])
def test_a_score_that_is_not_finite_stops_the_fit(tmp_path, keep, score):
    scores = (0.1, score, 0.3, 0.4, 0.5)
    for _ in range(2):  # the same when it is tried again
        with pytest.raises(RunError, match="training: stage 1, epoch 2: its validation returns s"):
            run(tmp_path, (FIRST.but(keep=keep), SECOND), Validation(scores=scores))
    assert not (tmp_path / "checkpoint.safetensors").exists()


def without_numbers(*_):
    raise RunError("a network", "predicts what is not a number", "Train anew")


def test_outputs_that_are_not_finite_stop_the_fit_and_its_epoch_is_named(tmp_path):
    with pytest.raises(RunError, match="training: stage 1, epoch 1: a network predicts what is n"):
        run(tmp_path, validate=without_numbers)


@pytest.mark.parametrize("averaging", [None, Ema(decay=0.9)])
@pytest.mark.parametrize(("lr", "found"), [(1e30, "step 1 has weights"), (1e19, "step . ")])
def test_a_fit_that_diverges_stops_at_its_step_and_leaves_no_such_weights(
    tmp_path, lr, found, averaging
):
    first = FIRST.but(optimizer=SGD(lr=lr), averaging=averaging, keep=Last())
    for _ in range(2):
        with pytest.raises(RunError, match=rf"training: stage 1, epoch 1: {found}") as caught:
            run(tmp_path, (first, SECOND), Validation())
        assert "lower learning rate" in str(caught.value)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_statistics_that_are_not_finite_stop_the_fit(tmp_path):
    network = with_state()
    network.body[1].running_var.fill_(inf)
    with pytest.raises(
        RunError, match=r"the last step has weights in body\.1\.running_var that are not finite"
    ):
        run(tmp_path, network=network)


def test_validations_follow_validate_every_and_the_last_epoch(tmp_path):
    validate = Validation(scores=tuple(np.linspace(0.1, 0.9, 9)))
    run(tmp_path, (FIRST.but(epochs=5, validate_every=2), SECOND.but(validate_every=9)), validate)
    table = pl.read_csv(tmp_path / "metrics.csv")
    assert table.columns == ["stage", "epoch", "loss", "lr", "score"]
    assert table["stage"].to_list() == [0, 0, 0, 0, 0, 1, 1]
    assert table["epoch"].to_list() == [1, 2, 3, 4, 5, 6, 7]
    scored = [score is not None for score in table["score"].to_list()]
    assert scored == [False, True, False, True, True, False, True]
    assert table["loss"].is_finite().all()
    assert len(validate.states) == 4


def entropy(logits, truth, weights=(1.0, 1.0)):
    """Binary cross entropy from probabilities, in float64."""
    p, y = logits.double().sigmoid(), truth.double()
    weights = torch.tensor(weights).reshape(-1, *[1] * (logits.ndim - 2))
    return -(weights * y * p.log() + (1 - y) * (1 - p).log()).mean()


@pytest.mark.parametrize(("batch", "together", "rows"), [(2, 1, 6), (2, 2, 6), (1, 3, 5)])
def test_losses_and_weights_are_those_of_a_loop_written_out(tmp_path, batch, together, rows):
    """Plain descent by hand: groups of batches a step, the last of an epoch maybe smaller."""
    stage = FIRST.but(
        optimizer=SGD(lr=0.5, momentum=0.0),
        batch=batch,
        accumulate_to=batch * together,
        epochs=2,
        keep=Last(),
    )
    fitted = without_state()
    chosen = range(rows)
    run(tmp_path, (stage,), lambda _: {"score": 0.0}, network=fitted, rows=chosen)

    network = without_state()
    groups_an_epoch = -(-(rows // batch) // together)
    steps, step, losses = groups_an_epoch * 2, 0, []
    for epoch in range(2):
        crops = EpochCrops(Strips(), np.array(chosen), stage, (3, 0, epoch))
        batches = [
            [torch.stack(part) for part in zip(*map(crops.__getitem__, numbers), strict=True)]
            for numbers in np.arange(rows // batch * batch).reshape(-1, batch).tolist()
        ]
        of_epoch = []
        for begin in range(0, len(batches), together):
            group = [
                entropy(network(pictures).masks, masks, (2.0, 1.0))
                for pictures, masks in batches[begin : begin + together]
            ]
            of_epoch += [float(loss.detach()) for loss in group]
            network.zero_grad()
            (sum(group) / len(group)).backward()
            warmup = 0.3 * steps
            factor = (
                (step + 1) / (warmup + 1)
                if step < warmup
                else (1 + cos(pi * (step - warmup) / (steps - warmup))) / 2
            )
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.sub_(0.5 * factor * parameter.grad)
            step += 1
        losses.append(sum(of_epoch) / len(of_epoch))
    assert step == steps
    assert pl.read_csv(tmp_path / "metrics.csv")["loss"].to_list() == pytest.approx(losses)
    checkpoint = load_file(tmp_path / "checkpoint.safetensors")
    for name, expected in network.state_dict().items():
        assert torch.allclose(checkpoint[name], expected, atol=1e-5), name


@pytest.mark.parametrize("optimizer", [SGD(lr=0.5), AdamW(lr=0.01)])
def test_gathered_batches_fit_as_one_large_batch(tmp_path, optimizer):
    states = []
    for batch, gathered in ((4, None), (2, 4), (1, 4)):
        stage = FIRST.but(
            optimizer=optimizer,
            sampler=BalancedSampler(samples=8),
            batch=batch,
            accumulate_to=gathered,
            keep=Last(),
        )
        folder = tmp_path / str(batch)
        run(folder, (stage,), lambda _: {"score": 0.0}, network=without_state())
        states.append(load_file(folder / "checkpoint.safetensors"))
    begun = without_state().state_dict()
    for name, large in states[0].items():
        assert not torch.allclose(large, begun[name], atol=1e-3)
        assert all(torch.allclose(large, state[name], atol=1e-5) for state in states[1:])


def test_a_classifier_is_trained_on_the_labels_of_its_crops(tmp_path):
    stage = FIRST.but(optimizer=SGD(lr=1e-30), batch=6, epochs=1, keep=Last())
    network = with_state(head="classes")
    network.body[3].p = 0.0
    run(tmp_path, (stage,), lambda _: {"score": 0.0}, network=network)
    crops = EpochCrops(Strips(), np.arange(6), stage, (3, 0, 0))
    pictures, masks = (
        torch.stack(part) for part in zip(*(crops[at] for at in range(6)), strict=True)
    )
    labels = torch.tensor([[bool(mask.any()) for mask in planes] for planes in masks])
    assert labels.any()
    assert not labels.all()
    again = with_state(head="classes").train()
    again.body[3].p = 0.0
    with torch.no_grad():
        loss = entropy(again(pictures).classes, labels, (2.0, 1.0))
    assert pl.read_csv(tmp_path / "metrics.csv")["loss"][0] == pytest.approx(float(loss))


def test_a_fit_finds_bright_defects(tmp_path):
    """Bright defects on dark steel: a threshold on the grey value is enough."""

    class Bright(Strips):
        def picture(self, row):
            return (40 + 150 * self.masks(row).any(0)).astype(np.uint8)

    stage = FIRST.but(optimizer=AdamW(lr=0.05), loss=BCE(), epochs=20, keep=Last())
    network = without_state()
    run(tmp_path, (stage,), lambda _: {"score": 0.0}, strips=Bright(), network=network)
    losses = pl.read_csv(tmp_path / "metrics.csv")["loss"].to_list()
    assert losses[-1] < losses[0] / 4
    with torch.inference_mode():
        crop = torch.from_numpy(Bright().picture(1)[None, None, :, :32])
        hole = network(crop).masks[0, 1] > 0
    truth = Bright().masks(1)[1, :, :32]
    assert truth.mean() > 0.05
    assert (hole.numpy() != truth).mean() < 0.01


RICH = FIRST.but(
    extra_passes=(CropPass(crop=RandomCrop(height=32, width=64), batch=3),),
    mixup=Mixup(alpha=0.4),
    loss=BCE(),
    schedule=Plateau(patience=0, factor=0.5),
    averaging=Ema(decay=0.8),
    keep=BestAverage(count=3),
    epochs=4,
)
"""A stage with everything that passes from epoch to epoch."""


@dataclass
class ByWeights(Validation):
    """Scores by the weights, so that averages of networks have scores of their own."""

    def __call__(self, network):
        self.calls_left -= 1
        if self.calls_left < 0:
            raise InterruptedFitError
        self.states.append({name: one.clone() for name, one in network.state_dict().items()})
        return {"score": -float(network.state_dict()["body.0.weight"].abs().sum())}


@pytest.mark.parametrize("averaging", [None, Ema(decay=0.8), Swa(start=0.5)])
@pytest.mark.parametrize("turn", [1, 3, 4, 7])
def test_a_rich_fit_stopped_anywhere_ends_with_the_same_files(tmp_path, averaging, turn):
    stages = (RICH.but(averaging=averaging), SECOND)
    run(tmp_path / "whole", stages, ByWeights())
    with pytest.raises(InterruptedFitError):
        run(tmp_path / "cut", stages, ByWeights(calls_left=turn))
    run(tmp_path / "cut", stages, ByWeights())
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def test_the_best_average_of_checkpoints_is_kept_after_all_are_tried(tmp_path):
    validate = ByWeights()
    stage = FIRST.but(epochs=5, keep=BestAverage(count=5))
    run(tmp_path, (stage,), validate)
    assert len(validate.states) == 5 + 31
    scores = [-float(state["body.0.weight"].abs().sum()) for state in validate.states[5:]]
    best = validate.states[5 + int(np.argmax(scores))]
    checkpoint = load_file(tmp_path / "checkpoint.safetensors")
    assert all(torch.equal(checkpoint[name], tensor) for name, tensor in best.items())
    assert max(scores) > -float(validate.states[4]["body.0.weight"].abs().sum())


def test_only_the_best_few_networks_are_on_disk(tmp_path):
    validate = Validation(scores=(0.2, 0.5, 0.3, 0.1, 0.4), calls_left=5)
    stage = FIRST.but(epochs=5, keep=BestAverage(count=2))
    with pytest.raises(InterruptedFitError):
        run(tmp_path, (stage,), validate)  # in the first validation of the averages
    waiting = sorted(path.name for path in (tmp_path / "last").glob("stage*"))
    assert waiting == ["stage0-epoch1.safetensors", "stage0-epoch4.safetensors"]


def test_refresh_recomputes_batch_norms_from_the_crops(tmp_path):
    found = {}
    for refresh in (0, 2):
        stage = FIRST.but(epochs=2, keep=BestAverage(count=2, refresh=refresh))
        run(tmp_path / str(refresh), (stage,), lambda _: {"score": 0.5})
        found[refresh] = load_file(tmp_path / str(refresh) / "checkpoint.safetensors")
    assert torch.equal(found[0]["body.0.weight"], found[2]["body.0.weight"])
    assert not torch.equal(found[0]["body.1.running_mean"], found[2]["body.1.running_mean"])
    network = with_state()
    network.load_state_dict(found[0])
    crops = EpochCrops(Strips(), np.arange(6), FIRST, (3, 0, 0))
    pictures = torch.stack([crops[at][0] for at in range(4)])
    with torch.no_grad():
        seen = network.body[0]((pictures.float() - network.mean) / network.std)
    expected = torch.stack([two.mean((0, 2, 3)) for two in seen.split(2)]).mean(0)
    assert torch.allclose(found[2]["body.1.running_mean"], expected, atol=1e-5)


def test_each_of_three_passes_uses_all_strips(tmp_path):
    seen = []
    passes = (
        CropPass(crop=RandomCrop(height=32, width=64), batch=3),
        CropPass(crop=WholeStrip(), batch=6),
    )
    stage = FIRST.but(extra_passes=passes, accumulate_to=6, epochs=2, schedule=Cosine())
    network = without_state()
    network.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    run(tmp_path, (stage,), lambda _: {"score": 0.0}, network=network)
    epoch = [(2, 1, 32, 32)] * 3 + [(3, 1, 32, 64)] * 2 + [(6, 1, 32, 64)]
    assert seen == epoch * 2


def test_averaged_weights_are_validated_and_kept(tmp_path):
    validate = ByWeights()
    network = run(tmp_path, (FIRST.but(averaging=Swa(start=0.0), keep=Last()),), validate)
    plain = ByWeights()
    run(tmp_path / "plain", (FIRST.but(keep=Last()),), plain)
    for epoch in range(3):  # the average does not change the fit
        states = [state["body.0.weight"] for state in plain.states[: epoch + 1]]
        expected = torch.stack(states).mean(0)
        assert torch.allclose(validate.states[epoch]["body.0.weight"], expected, atol=1e-6)
    assert torch.equal(network.state_dict()["body.0.weight"], validate.states[2]["body.0.weight"])


def test_a_plateau_slows_a_fit_down(tmp_path):
    stage = FIRST.but(
        optimizer=SGD(lr=0.1, momentum=0.0),
        schedule=Plateau(patience=0, factor=1e-9),
        epochs=3,
        keep=Last(),
    )
    validate = Validation(scores=(0.5, 0.1, 0.1))
    run(tmp_path, (stage,), validate)
    weights = [state["body.0.weight"] for state in validate.states]
    assert not torch.allclose(weights[0], weights[1], atol=1e-5)
    assert torch.allclose(weights[1], weights[2], atol=1e-6)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_fit_in_half_precision_is_near_that_in_single_precision(tmp_path, precision):
    losses = {}
    for kind in ("float32", precision):
        stage = FIRST.but(precision=kind, optimizer=SGD(lr=0.1), epochs=4)
        run(tmp_path / kind, (stage,), lambda _: {"score": 0.0}, network=without_state())
        losses[kind] = pl.read_csv(tmp_path / kind / "metrics.csv")["loss"].to_numpy()
    assert np.allclose(losses["float32"], losses[precision], rtol=0.05)
    assert not np.array_equal(losses["float32"], losses[precision])
    assert load_file(tmp_path / precision / "checkpoint.safetensors")["body.0.weight"].dtype == (
        torch.float32
    )


def test_a_missing_metric_cannot_be_monitored(tmp_path):
    with pytest.raises(RecipeError, match="a validation of this network returns score"):
        run(tmp_path, (FIRST.but(monitor="defect_dice"),))


def test_the_monitored_metric_ranks_networks(tmp_path):
    both = iter([(0.9, 0.1), (0.5, 0.7), (0.1, 0.3)])
    validate = lambda _: dict(zip(("score", "defect_dice"), next(both), strict=True))  # noqa: E731
    seen = Validation()
    run(tmp_path / "score", (FIRST,), seen)
    run(tmp_path / "defect", (FIRST.but(monitor="defect_dice"),), validate)
    checkpoint = load_file(tmp_path / "defect" / "checkpoint.safetensors")
    assert torch.equal(checkpoint["body.0.weight"], seen.states[1]["body.0.weight"])


class Parts(nn.Module):
    """An encoder with a batch norm, and a head."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, strips):
        return self.head(self.encoder(strips))


@pytest.mark.parametrize(
    ("freeze", "still"),
    [
        ("encoder", {"0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean"}),
        ("encoder_but_norms", {"0.weight", "0.bias"}),
        ("nothing", set()),
    ],
)
def test_frozen_parts_stay_until_the_next_stage(tmp_path, freeze, still):
    torch.manual_seed(0)
    network = stripped(Parts(), encoder="encoder")
    begun = {name: one.clone() for name, one in network.state_dict().items()}
    validate = Validation()
    stages = (FIRST.but(freeze=freeze, keep=Last()), FIRST.but(keep=Last()))
    folder = tmp_path / "fit"

    def score(network):
        validate.states.append({name: one.clone() for name, one in network.state_dict().items()})
        return {"score": 0.0}

    run(folder, stages, score, network=network)
    middle, end = validate.states[2], validate.states[5]
    for name in ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean"):
        whole = f"body.encoder.{name}"
        assert torch.equal(middle[whole], begun[whole]) == (name in still), name
        assert not torch.equal(end[whole], middle[whole])
    assert not torch.equal(middle["body.head.weight"], begun["body.head.weight"])


def test_mixup_blends_pictures_and_masks_alike(tmp_path):
    """One step by hand, with the blend written out."""
    stage = FIRST.but(
        mixup=Mixup(alpha=0.5), optimizer=SGD(lr=1e-30), loss=BCE(), batch=6, epochs=1
    )
    network = without_state()
    run(tmp_path, (stage,), lambda _: {"score": 0.0}, network=network)
    crops = EpochCrops(Strips(), np.arange(6), stage, (3, 0, 0))
    pictures, masks = (
        torch.stack(part).double() for part in zip(*(crops[at] for at in range(6)), strict=True)
    )
    rng = np.random.default_rng((3, 0, 0, 0, 0, 0))
    share = rng.beta(0.5, 0.5)
    share, other = max(share, 1 - share), rng.permutation(6)
    assert 0.5 < share < 1
    blended, truth = (share * one + (1 - share) * one[other] for one in (pictures, masks))
    with torch.no_grad():
        loss = entropy(without_state()(blended.float()).masks, truth)
    assert pl.read_csv(tmp_path / "metrics.csv")["loss"][0] == pytest.approx(float(loss), rel=1e-5)


class TwoHeads(nn.Module):
    """Logits of the masks, and their highest as those of the classes."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, strips):
        masks = self.body(strips)
        return masks, masks.amax((2, 3)) - 1


def test_two_heads_are_trained_on_masks_and_labels(tmp_path):
    torch.manual_seed(0)
    network = stripped(TwoHeads(), head="both")
    weights = {name: one.clone() for name, one in network.state_dict().items()}
    both = BothHeads(masks=BCE(), classes=BCE(), weight=3.0)
    stage = FIRST.but(loss=both, optimizer=SGD(lr=1e-30), batch=6, epochs=1, keep=Last())
    run(tmp_path, (stage,), lambda _: {"score": 0.0}, network=network)
    network.load_state_dict(weights)
    crops = EpochCrops(Strips(), np.arange(6), stage, (3, 0, 0))
    pictures, masks = (
        torch.stack(part) for part in zip(*(crops[at] for at in range(6)), strict=True)
    )
    with torch.no_grad():
        outputs = network(pictures)
        labels = torch.tensor([[bool(mask.any()) for mask in planes] for planes in masks])
        expected = entropy(outputs.masks, masks) + 3 * entropy(outputs.classes, labels)
    found = pl.read_csv(tmp_path / "metrics.csv")["loss"][0]
    assert found == pytest.approx(float(expected), rel=1e-5)


class OnlyHoles(Strips):
    """The six strips without the class scratch."""

    def masks(self, row):
        return super().masks(row)[1:]


HOLES = Classes(names=("hole",))
PAIRED = (
    (BCE(pos_weight=(2.0, 5.0)), BCE(pos_weight=(5.0,))),
    (BCE(pos_weight=3.0), BCE(pos_weight=3.0)),
    (
        Mix(parts=((0.5, BCE(pos_weight=(2.0, 5.0))), (1.0, Dice()))),
        Mix(parts=((0.5, BCE(pos_weight=(5.0,))), (1.0, Dice()))),
    ),
    (
        WherePresent(loss=BCE(pos_weight=(2.0, 5.0)), always=(False, True)),
        WherePresent(loss=BCE(pos_weight=(5.0,)), always=(True,)),
    ),
)


@pytest.mark.parametrize(("loss", "own"), PAIRED)
def test_a_network_for_one_class_is_fitted_as_if_the_strips_had_no_other(tmp_path, loss, own):
    for name, strips, classes, used in (
        ("some", Strips(), (2,), loss),
        ("all", OnlyHoles(classes=HOLES), None, own),
    ):
        torch.manual_seed(1)
        network = stripped(nn.Conv2d(1, 1, 3, padding=1))
        fit(
            network,
            (FIRST.but(loss=used, keep=Last()),),
            TrainingData(strips, np.arange(6), None, 3, classes),
            lambda _: {"score": 0.5},
            tmp_path / name,
            accelerator=Accelerator(cpu=True),
        )
    assert files_of(tmp_path / "some") == files_of(tmp_path / "all")


def test_a_setting_that_is_not_for_the_data_sets_classes_is_refused(tmp_path):
    """Also if it holds one value per class of the network."""
    with pytest.raises(RecipeError, match=r"BCE\.pos_weight: holds 1 values, the data set has 2"):
        fit(
            stripped(nn.Conv2d(1, 1, 3, padding=1)),
            (FIRST.but(loss=BCE(pos_weight=(2.0,))),),
            TrainingData(Strips(), np.arange(6), None, 3, (2,)),
            lambda _: {"score": 0.5},
            tmp_path,
            accelerator=Accelerator(cpu=True),
        )
