"""Two processes fit one network as one process does, and end together."""

import json
import multiprocessing
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from steelscan.augment import HFlip
from steelscan.data import RandomCrop
from steelscan.losses import BCE
from steelscan.models import StripNetwork
from steelscan.strip import Frame
from steelscan.strip.errors import InputError, RunError
from steelscan.training import (
    SGD,
    AdamW,
    BalancedSampler,
    BestAverage,
    CropPass,
    EveryStrip,
    Last,
    Training,
    TrainingData,
)
from steelscan.training.fit import fit
from steelscan.training.specs import Ema

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "steelscan.training.fit",
        "steelscan.augment.transforms",
        "steelscan.pipeline.processes",
        "torch._dynamo",  # which torch imports for several processes
    ]
)

FRAME = Frame(32, 48)
TRAINING = Training(
    crop=RandomCrop(height=32, width=32, defect=0.5),
    augment=(HFlip(),),
    sampler=BalancedSampler(samples=15),
    loss=BCE(),
    optimizer=SGD(lr=0.5, momentum=0.9),
    batch=5,
    accumulate_to=10,
    epochs=2,
    keep=Last(),
)
"""Batches of five crops, which two processes cannot share evenly, two or one of them per step."""


class Strips:
    """Six strips in memory; ``broken`` ones cannot be read by the second process."""

    frames = (FRAME,) * 6

    def __init__(self, broken: bool) -> None:
        self.broken = broken
        self.present = np.stack([self.masks(row).any((1, 2)) for row in range(6)])

    def picture(self, row):
        if self.broken and os.environ.get("RANK") == "1":
            raise RunError("a strip", "cannot be read by the second process", "Restore it")
        return np.random.default_rng(row).integers(0, 256, FRAME).astype(np.uint8)

    def masks(self, row):
        masks = np.zeros((2, *FRAME), np.bool_)
        masks[row % 3 :, 4:20, 8 * (row % 4) : 8 * (row % 4) + 6] = True
        return masks


def plain() -> StripNetwork:
    """Return a network whose outputs depend on its weights and one crop only."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 2, 1))
    return StripNetwork(body, encoder="", mean=0.5, std=0.25, stride=32, head="masks")


def with_norm() -> StripNetwork:
    """Return a network with batch norm and dropout."""
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.2), nn.Conv2d(4, 2, 1)
    )
    return StripNetwork(body, encoder="", mean=0.5, std=0.25, stride=32, head="masks")


def carry(
    folder: Path,
    stages: tuple[Training, ...],
    build: Callable[[], StripNetwork],
    broken: bool,
    dies_at: int | None,
) -> None:
    """Fit in this process, with others if the environment names them; record what happened."""
    from steelscan.pipeline import accelerator
    from steelscan.pipeline.processes import lost_process_reported

    torch.set_num_threads(1)
    steps, rank = 0, os.environ.get("RANK", "0")
    for kind in (torch.optim.SGD, torch.optim.AdamW):

        def count(self, *arguments, step=kind.step):
            nonlocal steps
            if steps == dies_at and rank == "1":
                os.kill(os.getpid(), 9)
            steps += 1
            return step(self, *arguments)

        kind.step = count
    network, scores = build(), []

    def validate(candidate):
        total = sum(float(one.double().abs().sum()) for one in candidate.state_dict().values())
        scores.append(total)
        return {"score": total}

    found = {}
    try:
        processes = accelerator("cpu")
        data = TrainingData(Strips(broken), np.arange(6), None, 3)
        with lost_process_reported(processes):
            fit(network, stages, data, validate, folder / "fit", accelerator=processes)
    except (RunError, InputError) as error:
        found["error"] = str(error)
    weights = {name: one.tolist() for name, one in network.state_dict().items()}
    found |= {"steps": steps, "scores": scores, "weights": weights}
    (folder / f"process{rank}.json").write_text(json.dumps(found))


def start(folder: Path, *arguments: object, processes: int = 2) -> list[dict]:
    """Fit in processes of their own; return what each recorded, {} for one that was killed."""
    folder.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = [
        _FORKS.Process(target=_of_many, args=(rank, processes, port, folder, *arguments))
        for rank in range(processes)
    ]
    for process in started:
        process.start()
    end = time.monotonic() + 60
    for process in started:
        process.join(max(0, end - time.monotonic()))
    hanging = [process for process in started if process.exitcode is None]
    for process in hanging:
        process.kill()
    assert not hanging
    files = [folder / f"process{rank}.json" for rank in range(processes)]
    return [json.loads(file.read_text()) if file.exists() else {} for file in files]


def _of_many(rank: int, processes: int, port: str, folder: Path, *arguments: object) -> None:
    """Set what a launcher sets, and fit."""
    os.environ["OMP_NUM_THREADS"] = "1"
    if processes > 1:
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(processes),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "TORCHELASTIC_RUN_ID": "test",
        }
    carry(folder, *arguments)


def fitted(folder: Path) -> dict[str, torch.Tensor]:
    assert sorted(path.name for path in (folder / "fit").iterdir()) == [
        "checkpoint.safetensors",
        "metrics.csv",
    ]
    return load_file(folder / "fit" / "checkpoint.safetensors")


def test_two_processes_fit_as_one_with_the_whole_batch(tmp_path: Path) -> None:
    """Sums of float32 numbers in another order differ by some 1e-7 of their size per step."""
    more = (CropPass(crop=RandomCrop(height=32, width=64), batch=2),)
    stages = (TRAINING, TRAINING.but(extra_passes=more, optimizer=SGD(lr=0.1), epochs=1))
    (alone,) = start(tmp_path / "one", stages, plain, False, None, processes=1)
    both = start(tmp_path / "two", stages, plain, False, None)
    assert [each["steps"] for each in both] == [alone["steps"]] * 2 == [2 * 2 + 2 + 2] * 2
    one, two, begun = fitted(tmp_path / "one"), fitted(tmp_path / "two"), plain().state_dict()
    for name, weights in one.items():
        assert torch.allclose(weights, two[name], rtol=1e-5, atol=1e-6), name
        if name.startswith("body"):
            assert not torch.allclose(weights, begun[name], atol=1e-3), name
    assert both[0]["weights"] == both[1]["weights"]
    assert both[0]["scores"] == both[1]["scores"]
    losses = [(tmp_path / name / "fit/metrics.csv").read_text() for name in ("one", "two")]
    table = [[line.split(",") for line in text.splitlines()[1:]] for text in losses]
    assert np.allclose(np.array(table[0], float), np.array(table[1], float), rtol=1e-5)


RICH = TRAINING.but(
    sampler=EveryStrip(),
    optimizer=AdamW(lr=0.01),
    batch=2,
    accumulate_to=None,
    epochs=3,
    averaging=Ema(decay=0.8),
    keep=BestAverage(count=2, refresh=2),
)
"""Shares of one crop, batch norms, dropout, averages: all that may differ between processes."""


def test_processes_end_with_the_same_network_also_after_one_of_them_is_killed(
    tmp_path: Path,
) -> None:
    both = start(tmp_path / "whole", (RICH,), with_norm, False, None)
    assert both[0]["weights"] == both[1]["weights"]
    assert both[0]["scores"] == both[1]["scores"]
    cut = start(tmp_path / "cut", (RICH,), with_norm, False, 4)
    assert cut[1] == {}
    assert "another process of this training has ended" in cut[0]["error"]
    assert not (tmp_path / "cut" / "fit" / "checkpoint.safetensors").exists()
    again = start(tmp_path / "cut", (RICH,), with_norm, False, None)
    assert again[0]["steps"] == 6  # the first epoch is not fitted again
    for name, weights in fitted(tmp_path / "whole").items():
        assert torch.equal(weights, fitted(tmp_path / "cut")[name]), name


def test_an_error_in_one_process_ends_both(tmp_path: Path) -> None:
    both = start(tmp_path, (TRAINING,), plain, True, None)
    assert "a strip cannot be read by the second process" in both[1]["error"]
    assert "another process of this training has ended" in both[0]["error"]


def test_a_diverging_fit_is_reported_alike_by_both(tmp_path: Path) -> None:
    both = start(tmp_path, (TRAINING.but(optimizer=SGD(lr=1e30)),), plain, False, None)
    assert "stage 1, epoch 1: step 1 has weights" in both[0]["error"]
    assert both[0]["error"] == both[1]["error"]


def test_a_batch_with_fewer_crops_than_processes_is_refused(tmp_path: Path) -> None:
    both = start(tmp_path, (TRAINING.but(batch=1),), plain, False, None)
    assert both[0]["error"] == both[1]["error"]
    assert "2 processes: share a batch of 1 crops" in both[0]["error"]
