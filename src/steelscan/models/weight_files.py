"""Files of weights, read without running code, and fitted to an encoder by timm itself."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from timm.models import load_state_dict
from torch import Tensor

from steelscan.strip.errors import InputError

_COUNTER = "num_batches_tracked"
"""How names of counters in batch norms end: older files do not have them, and nothing uses them."""

_KINDS = "a .safetensors file, or a .pth file of tensors only"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file: safetensors, or what ``torch.save`` wrote.

    Tensors may be wrapped as ``state_dict`` or ``model``, as in checkpoints. Raises InputError if
    the file cannot be read, is cut, holds anything but tensors or a number that is not finite.
    """
    if not path.is_file():
        raise InputError(path, "is not a file", f"Name {_KINDS}")
    try:
        with warnings.catch_warnings(action="ignore"):  # of torch, on the format of pickles
            state = load_state_dict(str(path))
    except SafetensorError as error:
        problem = f"is cut, or is no safetensors file ({error})"
        raise InputError(path, problem, "Get the file again") from None
    except Exception as error:  # torch raises many kinds for files that it cannot read
        raise _unreadable(path, error) from None
    if not isinstance(state, dict) or not state:
        raise InputError(path, "holds no tensors", f"Name {_KINDS}")
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            problem = f"holds {name}, which is no tensor but of type {type(tensor).__name__}"
            raise InputError(path, problem, f"Name {_KINDS}")
        if not torch.isfinite(tensor).all():
            raise InputError(path, f"{name} has a number that is not finite", "Get the file again")
    return state


def _unreadable(path: Path, error: Exception) -> InputError:
    """Return the error of a file that torch refused."""
    if isinstance(error.__cause__, UnpicklingError):
        code = re.search(r"(?i)\bglobal:? (?:GLOBAL )?(\S+)", str(error.__cause__))
        named = f" ({code[1]})" if code else ""
        problem = f"holds more than tensors{named}: that could be code, which is never run"
        return InputError(path, problem, f"Save the tensors alone: {_KINDS}")
    problem = f"is cut, or is no file of tensors ({type(error).__name__})"
    return InputError(path, problem, f"Get it again, or name {_KINDS}")


def fit_encoder(encoder: str, tensors: Mapping[str, Tensor], where: object) -> dict[str, Tensor]:
    """Return tensors under the names of timm's encoder, without the last layer of its classifier.

    timm loads them into its own network of three colours and translates the names of original
    checkpoints. The last layer may be missing or have any number of classes; all other tensors
    must fit. Raises InputError, with ``where`` as the place, if they do not.
    """
    with torch.device("meta"):
        plain: Any = timm.create_model(encoder)
    shapes = {name: tensor.shape for name, tensor in plain.state_dict().items()}
    config = plain.pretrained_cfg
    head = last_layer(config)
    given = {
        name: tensor
        for name, tensor in tensors.items()
        if not name.startswith(head) and not name.endswith(_COUNTER)
    }
    for name, shape in shapes.items():
        if name.startswith(head):
            given[name] = torch.zeros(shape[0] + (config.get("label_offset") or 0), *shape[1:])
    try:
        fitted = _loaded(encoder, given)
    except Exception as error:  # of load_state_dict, or of timm's translation of names
        raise _misfit(encoder, tensors, shapes, head, str(error), where) from None
    needed = {name for name in shapes if not name.endswith(_COUNTER)}
    if not needed <= given.keys():  # timm translated names, and not all encoders load strictly
        changed = _loaded(encoder, {name: _other(tensor) for name, tensor in given.items()})
        same = {name for name in needed if torch.equal(fitted[name], changed[name])}
        missing = [f'"{name}"' for name in same if not name.startswith(head)]
        if missing:
            raise _misfit(encoder, tensors, shapes, head, " ".join(missing), where)
    return {name: tensor for name, tensor in fitted.items() if not name.startswith(head)}


def last_layer(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return how the names of a classifier's last layer begin, from timm's settings."""
    names = config.get("classifier") or ()
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))


def _loaded(encoder: str, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        overlay = {"state_dict": dict(given)}
        network = timm.create_model(encoder, pretrained=True, pretrained_cfg_overlay=overlay)
    state: dict[str, Tensor] = network.state_dict()
    return state


def _other(tensor: Tensor) -> Tensor:
    """Return a tensor that differs in every number."""
    return tensor + 1 + tensor.abs()


def _misfit(
    encoder: str,
    tensors: Mapping[str, Tensor],
    shapes: Mapping[str, torch.Size],
    head: tuple[str, ...],
    reason: str,
    where: object,
) -> InputError:
    """Return the error of tensors that do not fit; ``reason`` names those of the encoder."""
    names = [name for name in shapes if not name.startswith(head) and not name.endswith(_COUNTER)]
    wrong = [name for name in names if f'"{name}"' in reason or f"mismatch for {name}:" in reason]
    extra = [name for name in tensors if name not in shapes and f'"{name}"' in reason]
    if wrong:
        first = wrong[0]
        found = f"is {_size(tensors[first].shape)}" if first in tensors else "is missing"
        found = f"{first} {found} and should be {_size(shapes[first])}"
    elif extra:
        found = f"{extra[0]} is not part of that encoder, nor are {len(extra) - 1} more tensors"
    else:
        found, wrong = f"its names are not understood ({' '.join(reason.split())[:80]})", names
    fit = f"{len(names) - len(wrong)} of the encoder's {len(names)} tensors fit"
    remedy = "Name a file of that encoder, or the encoder of that file"
    return InputError(where, f"does not fit {encoder}: {found}; {fit}", remedy)


def _size(shape: torch.Size) -> str:
    return "x".join(map(str, shape)) or "one number"
