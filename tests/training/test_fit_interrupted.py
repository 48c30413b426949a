"""A fit gives the same files after any interruption."""

from math import inf

import pytest
from tests.training.fits import (
    FIRST,
    SECOND,
    ByWeights,
    InterruptedFitError,
    Strips,
    Validation,
    files_of,
    run,
)

from steelscan.augment import Mixup
from steelscan.data import RandomCrop
from steelscan.losses import BCE
from steelscan.strip.errors import OutputError
from steelscan.training import BestAverage, CropPass, Last, Plateau
from steelscan.training.resized import ResizedStrips
from steelscan.training.specs import Best, Ema, Swa


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


@pytest.mark.parametrize("averaging", [None, Ema(decay=0.8), Swa(start=0.5)])
@pytest.mark.parametrize("turn", [1, 3, 4, 7])
def test_a_rich_fit_stopped_anywhere_ends_with_the_same_files(tmp_path, averaging, turn):
    stages = (RICH.but(averaging=averaging), SECOND)
    run(tmp_path / "whole", stages, ByWeights())
    with pytest.raises(InterruptedFitError):
        run(tmp_path / "cut", stages, ByWeights(calls_left=turn))
    run(tmp_path / "cut", stages, ByWeights())
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")
