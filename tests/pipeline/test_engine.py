"""What the environment says to accelerate changes no recipe."""

import os

import pytest
import torch

from steelscan.pipeline import accelerator
from steelscan.pipeline.context import ignored_variables

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
