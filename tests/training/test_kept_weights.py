"""Which weights a stage keeps, and which validations decide that."""

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from tests.training.fits import FIRST, SECOND, ByWeights, InterruptedFitError, Validation, run

from steelscan.strip.errors import RecipeError
from steelscan.training import SGD, BestAverage, Last, Plateau
from steelscan.training.specs import Best, Swa


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
