"""What the environment says to accelerate changes no recipe."""

import os

import pytest
import torch

from steelscan.pipeline import accelerator, device
from steelscan.pipeline.device import ignored_variables
from steelscan.strip.errors import InputError
from steelscan.training.launch import NAMES, Launch, launch

SAID = {
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4",
    "ACCELERATE_MIXED_PRECISION": "bf16",
    "ACCELERATE_DYNAMO_BACKEND": "inductor",
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "1",
}


@pytest.fixture(autouse=True)
def anew() -> None:
    """An engine remembers what the first one of its process was told."""
    from accelerate.state import AcceleratorState, GradientState, PartialState

    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


def test_what_the_environment_says_is_not_heard_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ACCELERATE_")]:
        monkeypatch.delenv(name)
    assert ignored_variables() == []
    for name, value in SAID.items():
        monkeypatch.setenv(name, value)
    engine = accelerator("cpu")
    assert engine.gradient_accumulation_steps == 1
    assert engine.mixed_precision == "no"
    assert engine.num_processes == 1
    assert engine.state.dynamo_plugin.backend.value == "NO"
    weight = torch.ones(3, requires_grad=True)
    engine.backward(weight.sum())
    assert torch.equal(weight.grad, torch.ones(3))
    (told,) = ignored_variables()
    assert all(name in told for name in SAID)
    assert {name: os.environ[name] for name in SAID} == SAID


def test_a_variable_without_effect_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that torchrun and accelerate launch set for one process."""
    quiet = {
        "ACCELERATE_MIXED_PRECISION": "no",
        "ACCELERATE_DYNAMO_BACKEND": "no",
        "ACCELERATE_USE_CPU": "False",
        "RANK": "0",
        "WORLD_SIZE": "1",
    }
    for name, value in quiet.items():
        monkeypatch.setenv(name, value)
    assert ignored_variables() == []
    monkeypatch.setenv("MASTER_PORT", "29500")
    (note,) = ignored_variables()
    assert note.startswith("accelerate launch started one process")


@pytest.mark.parametrize(
    ("name", "gpus", "found"),
    [
        ("gpu", 1, "--device: is gpu, which is not a device"),
        ("cuda:-1", 1, "is cuda:-1, which is not a device"),
        ("cpu:0", 1, "is cpu:0, which is not a device"),
        ("cuda", 0, "cuda:0 does not exist: PyTorch finds no GPU"),
        ("cuda:2", 2, "cuda:2 does not exist: the last one is cuda:1"),
        ("mps", 2, "mps does not exist: PyTorch finds no Apple GPU"),
    ],
)
def test_a_device_that_does_not_exist_is_refused(
    name: str, gpus: int, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(InputError, match=found):
        accelerator(name)


def test_a_device_is_used_as_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU here: what accelerate would get."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert [device._alone(name) for name in ("cpu", "cuda", "cuda:1")] == ["cpu", "cuda", "cuda:1"]
    several = Launch(rank=3, local_rank=1, processes=4)
    assert [device._several(name, several) for name in ("cpu", "cuda", "auto")] == [
        "cpu",
        "cuda:1",
        "cuda:1",
    ]
    with pytest.raises(InputError, match="cuda:0, and 4 processes need a device each"):
        device._several("cuda:0", several)
    with pytest.raises(InputError, match="cuda:5 does not exist: the last one is cuda:1"):
        device._several("cuda", Launch(rank=5, local_rank=5, processes=6))


def test_only_a_launcher_makes_processes_wait_for_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in zip(NAMES, ("1", "1", "2", "127.0.0.1", "29500"), strict=True):
        monkeypatch.setenv(name, value)
    assert launch() is None
    assert accelerator("cpu").num_processes == 1
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert launch() == Launch(rank=1, local_rank=1, processes=2)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert launch() is None
