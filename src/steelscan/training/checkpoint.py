"""Networks and half-done fits on disk: safetensors and JSON, never pickle."""

import errno
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn, optim

from steelscan.strip import RunError, replacing

CHECKSUM = "blake2b"
"""The name of the checksum of all tensors: safetensors has none, and a flipped bit is a weight."""


def save_network(path: Path, network: nn.Module) -> None:
    """Write a network's weights whole or not at all. Raises OutputError."""
    _save(path, dict(network.state_dict()), {})


def load_network(path: Path, network: nn.Module) -> None:
    """Read weights into a network of the same shape.

    Raises RunError for a file that is damaged, and for weights that do not fit.
    """
    remedy = "Remove it and give the same train command again: it is fitted anew"
    with _read(path, "does not hold this network", remedy):
        network.load_state_dict(_tensors(path)[0])


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights that `save_network` wrote. Raises RunError for a damaged file."""
    with _read(path, "does not hold this network", f"Remove {path.parent}: the fit begins anew"):
        return _tensors(path)[0]


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
    _save(path, tensors, document)


def load_state(path: Path, network: nn.Module) -> tuple[Any, dict[str, Any], dict[str, Tensor]]:
    """Read a half-done fit: weights go into the network.

    Returns progress, the optimizer's state, and the mean weights, {} where there were none.
    Raises RunError for a file that is damaged, and for a fit of another network.
    """
    with _read(path, "is no half-done fit of this", f"Remove {path.parent}: it begins anew"):
        return _load_state(path, network)


def _load_state(path: Path, network: nn.Module) -> tuple[Any, dict[str, Any], dict[str, Tensor]]:
    weights: dict[str, dict[str, Tensor]] = {"network": {}, "mean": {}}
    state: dict[int, dict[str, Any]] = {}
    tensors, metadata = _tensors(path)
    document = json.loads(metadata["state"])
    for index, values in document["numbers"].items():
        state[int(index)] = dict(values)
    for name, tensor in tensors.items():
        owner, _, rest = name.partition(".")
        if owner in weights:
            weights[owner][rest] = tensor
        else:
            index, _, key = rest.partition(".")
            state.setdefault(int(index), {})[key] = tensor
    network.load_state_dict(weights["network"])
    optimizer = {"state": state, "param_groups": document["groups"]}
    return document["progress"], optimizer, weights["mean"]


@contextmanager
def _read(path: Path, found: str, remedy: str) -> Iterator[None]:
    """Turn what readers raise on damaged bytes into RunError."""
    try:
        yield
    except RunError:
        raise
    except (OSError, SafetensorError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise RunError(path, f"{found} ({reason})", remedy) from error


def _tensors(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Tensors and metadata of a file. Raises ValueError for tensors that are not those written."""
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    state = json.loads(metadata.get("state", "{}"))
    written = metadata.get(CHECKSUM) or state.get(CHECKSUM)
    if written and written != _checksum(tensors):  # older files say nothing
        raise ValueError("its content is not what was written")
    return tensors, metadata


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    whole = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        whole.update(name.encode())
        whole.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()


def _save(path: Path, tensors: dict[str, Tensor], document: dict[str, Any]) -> None:
    """Write tensors, and a document beside their checksum."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    checksum = {CHECKSUM: _checksum(contiguous)}
    # of several entries safetensors writes now one first, now another
    metadata = {"state": json.dumps(document | checksum)} if document else checksum
    with replacing(path) as temporary:
        try:
            save_file(contiguous, temporary, metadata=metadata)
        except SafetensorError as error:  # how it says that the disk is full
            raise OSError(errno.EIO, str(error), temporary) from error
