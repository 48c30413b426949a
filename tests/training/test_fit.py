"""The numbers of a fit against a plain loop, and the fits that stop by themselves."""

from math import cos, inf, nan, pi

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from tests.training.fits import (
    FIRST,
    SECOND,
    Strips,
    Validation,
    entropy,
    run,
    with_state,
    without_state,
)

from steelscan.data import RandomCrop, WholeStrip
from steelscan.losses import BCE
from steelscan.strip.errors import RunError
from steelscan.training import SGD, AdamW, BalancedSampler, BestAverage, Cosine, CropPass, Last
from steelscan.training.crops import EpochCrops
from steelscan.training.specs import Best, Ema


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
