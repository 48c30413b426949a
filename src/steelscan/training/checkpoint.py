"""Networks and half-done fits on disk: safetensors and JSON, never pickle."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn, optim

from steelscan.strip import RunError, replacing


def save_network(path: Path, network: nn.Module) -> None:
    """Write a network's weights whole or not at all. Raises OutputError."""
    _save(path, dict(network.state_dict()), {})


def load_network(path: Path, network: nn.Module) -> None:
    """Read weights into a network of the same shape. Raises RunError when they do not fit."""
    try:
        network.load_state_dict(load_file(path))
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        found = f"does not hold this network ({str(error).splitlines()[0]})"
        raise RunError(path, found, "Fit it again in a new run folder") from error


def save_state(path: Path, network: nn.Module, optimizer: optim.Optimizer, progress: Any) -> None:
    """Write all that a fit needs to go on: network, optimizer, and JSON-able progress."""
    state = optimizer.state_dict()
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    numbers: dict[str, dict[str, float]] = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
            else:
                numbers.setdefault(str(index), {})[name] = value
    document = {"progress": progress, "groups": state["param_groups"], "numbers": numbers}
    _save(path, tensors, {"state": json.dumps(document)})


def load_state(path: Path, network: nn.Module) -> tuple[Any, dict[str, Any]]:
    """Read a half-done fit: weights into the network, and return progress and optimizer state."""
    weights: dict[str, Tensor] = {}
    state: dict[int, dict[str, Any]] = {}
    with safe_open(path, "pt") as file:
        document = json.loads(file.metadata()["state"])
        for index, values in document["numbers"].items():
            state[int(index)] = dict(values)
        for name in file.keys():  # noqa: SIM118
            owner, _, rest = name.partition(".")
            if owner == "network":
                weights[rest] = file.get_tensor(name)
            else:
                index, _, key = rest.partition(".")
                state.setdefault(int(index), {})[key] = file.get_tensor(name)
    network.load_state_dict(weights)
    return document["progress"], {"state": state, "param_groups": document["groups"]}


def _save(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        try:
            save_file(contiguous, temporary, metadata=metadata)
        except SafetensorError as error:  # how it says that the disk is full
            raise OSError(str(error)) from error
