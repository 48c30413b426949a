"""Read and write networks and half-done fits: safetensors and JSON, never pickle."""

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

from steelscan.strip.errors import RunError
from steelscan.strip.files import replacing

CHECKSUM = "blake2b"
"""The name of the checksum of all tensors: safetensors itself has none."""


def save_network(path: Path, network: nn.Module) -> None:
    """Write a network's weights completely or not at all. Raises OutputError."""
    _save(path, dict(network.state_dict()), {})


def load_network(path: Path, network: nn.Module) -> None:
    """Read weights into a network of the same shape.

    Raises RunError if the file is damaged or its weights do not fit the network.
    """
    remedy = "Remove it and run the same train command again, which fits the network again"
    with _read(path, "does not hold this network", remedy):
        network.load_state_dict(_tensors(path)[0])


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights that `save_network` wrote. Raises RunError if the file is damaged."""
    with _read(path, "does not hold this network", f"Remove {path.parent} to start the fit again"):
        return _tensors(path)[0]


def save_state(
    path: Path,
    network: nn.Module,
    optimizer: optim.Optimizer,
    average: Mapping[str, Tensor],
    progress: Any,
) -> None:
    """Write all that an interrupted fit needs to continue.

    ``average`` are averaged weights, or {}; ``progress`` is any JSON value.
    """
    state = optimizer.state_dict()
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.items()}
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
    """Read a half-done fit and load its weights into the network.

    Returns the progress, the optimizer's state, and the averaged weights, {} if there are none.
    Raises RunError if the file is damaged or belongs to a fit of another network.
    """
    found = "is not a half-done fit of this network"
    with _read(path, found, f"Remove {path.parent} to start the fit again"):
        return _load_state(path, network)


def _load_state(path: Path, network: nn.Module) -> tuple[Any, dict[str, Any], dict[str, Tensor]]:
    weights: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}}
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
    return document["progress"], optimizer, weights["average"]


@contextmanager
def _read(path: Path, found: str, remedy: str) -> Iterator[None]:
    """Turn the errors that readers raise on damaged bytes into RunError."""
    try:
        yield
    except RunError:
        raise
    except (OSError, SafetensorError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise RunError(path, f"{found} ({reason})", remedy) from error


def _tensors(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Return tensors and metadata of a file. Raises ValueError if the checksum does not match."""
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    state = json.loads(metadata.get("state", "{}"))
    written = metadata.get(CHECKSUM) or state.get(CHECKSUM)
    if written and written != _checksum(tensors):  # older files have no checksum
        raise ValueError("its content does not match its checksum")
    return tensors, metadata


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    whole = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        whole.update(name.encode())
        whole.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()


def _save(path: Path, tensors: dict[str, Tensor], document: dict[str, Any]) -> None:
    """Write tensors and a document, with a checksum of the tensors."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    checksum = {CHECKSUM: _checksum(contiguous)}
    # one entry only: safetensors writes several in a random order
    metadata = {"state": json.dumps(document | checksum)} if document else checksum
    with replacing(path) as temporary:
        try:
            save_file(contiguous, temporary, metadata=metadata)
        except SafetensorError as error:  # raised if the disk is full
            raise OSError(errno.EIO, str(error), temporary) from error
