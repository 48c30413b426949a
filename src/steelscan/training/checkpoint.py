"""Networks and half-done fits on disk: safetensors and JSON, never pickle."""

import errno
import json
from collections.abc import Mapping
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


def save_state(
    path: Path,
    network: nn.Module,
    optimizer: optim.Optimizer,
    mean: Mapping[str, Tensor],
    progress: Any,
) -> None:
    """Write all that a fit needs to go on: network, optimizer, mean weights, JSON-able progress."""
    state = optimizer.state_dict()
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"mean.{name}": tensor for name, tensor in mean.items()}
    numbers: dict[str, dict[str, float]] = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
            else:
                numbers.setdefault(str(index), {})[name] = value
    document = {"progress": progress, "groups": state["param_groups"], "numbers": numbers}
    _save(path, tensors, {"state": json.dumps(document)})


def load_state(path: Path, network: nn.Module) -> tuple[Any, dict[str, Any], dict[str, Tensor]]:
    """Read a half-done fit: weights go into the network.

    Returns progress, the optimizer's state, and the mean weights, {} where there were none.
    """
    weights: dict[str, dict[str, Tensor]] = {"network": {}, "mean": {}}
    state: dict[int, dict[str, Any]] = {}
    with safe_open(path, "pt") as file:
        document = json.loads(file.metadata()["state"])
        for index, values in document["numbers"].items():
            state[int(index)] = dict(values)
        for name in file.keys():  # noqa: SIM118
            owner, _, rest = name.partition(".")
            if owner in weights:
                weights[owner][rest] = file.get_tensor(name)
            else:
                index, _, key = rest.partition(".")
                state.setdefault(int(index), {})[key] = file.get_tensor(name)
    network.load_state_dict(weights["network"])
    optimizer = {"state": state, "param_groups": document["groups"]}
    return document["progress"], optimizer, weights["mean"]


def _save(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        try:
            save_file(contiguous, temporary, metadata=metadata)
        except SafetensorError as error:  # how it says that the disk is full
            raise OSError(errno.EIO, str(error), temporary) from error
