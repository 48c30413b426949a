"""The device on which networks run, and the accelerator of this process."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeAlias

import torch
from accelerate import Accelerator
from accelerate.utils import (
    DistributedDataParallelKwargs,
    InitProcessGroupKwargs,
    KwargsHandler,
)

from steelscan.strip.errors import InputError
from steelscan.training.launch import NAMES, Launch, launch

Device: TypeAlias = str
"""``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""

_PREFIXES = ("ACCELERATE_", "FSDP_", "MEGATRON_LM_", "PARALLELISM_CONFIG_")
_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_OF_MANY = ("LOCAL_RANK", "RANK", *_SIZES)
"""Set by schedulers too, for processes that work alone: they would wait for each other forever."""

_NO_EFFECT = ("", "0", "no", "none", "false", "default")
_LONGEST_WAIT = timedelta(days=30)
"""Other processes wait while the first one predicts; if one ends, its connection breaks at once."""


def accelerator(device: Device) -> Accelerator:
    """Return the accelerator of this process, on a device that exists.

    Processes that a launcher started together are joined; each uses a GPU of its own. Variables of
    the environment that configure accelerate are ignored: only the recipe counts. Raises InputError
    if the device does not exist, or is one GPU for several processes.
    """
    launched = launch()
    chosen = _several(device, launched) if launched else _alone(device)
    handlers: list[KwargsHandler] = []
    if launched:
        backend = "gloo" if chosen == "cpu" else "nccl"
        handlers = [
            InitProcessGroupKwargs(backend=backend, timeout=_LONGEST_WAIT),
            # the statistics of batch norms are averaged after each epoch instead
            DistributedDataParallelKwargs(broadcast_buffers=False),
        ]
    if chosen is not None and chosen.startswith("cuda:"):
        torch.cuda.set_device(chosen)
    with _environment({} if chosen is None or launched else {"ACCELERATE_TORCH_DEVICE": chosen}):
        return Accelerator(cpu=chosen == "cpu", kwargs_handlers=handlers)


def ignored_variables() -> list[str]:
    """Return sentences on variables of the environment that have no effect, if there are any."""
    values = {name: os.environ[name].lower() for name in _variables()}
    names = [
        name
        for name, value in values.items()
        if value not in _NO_EFFECT and (name, value) not in [(size, "1") for size in _SIZES]
    ]
    notes = []
    if names:
        given = ", ".join(names)
        notes.append(f"Ignored environment variables, because only the recipe counts: {given}.")
    if launch() is None and "ACCELERATE_DYNAMO_BACKEND" in values and "MASTER_PORT" in os.environ:
        notes.append(
            "accelerate launch started one process, as it does without GPUs. "
            "torchrun --nproc-per-node 2 -m steelscan train ... starts two."
        )
    return notes


def _variables() -> list[str]:
    launched = NAMES if launch() is not None else ()
    return sorted(
        name
        for name in os.environ
        if name.startswith(_PREFIXES) or (name in _OF_MANY and name not in launched)
    )


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Replace the ignored variables of the environment by others while the block runs."""
    aside = {name: os.environ.pop(name) for name in _variables()}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
        os.environ.update(aside)


def _alone(device: Device) -> str | None:
    """Return the device of a process that works alone; None: the best, as accelerate chooses it."""
    kind, _, number = device.partition(":")
    if device == "auto":
        return None
    if kind == "cuda" and (device == kind or number.isdecimal()):
        _check_gpu(int(number or 0))
    elif device == "mps":
        if not torch.backends.mps.is_available():
            raise _missing(device, "PyTorch finds no Apple GPU")
        os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    elif device != "cpu":
        found = f"is {device}, which is not a device"
        raise InputError("--device", found, "Use auto, cpu, cuda, cuda:N or mps")
    return device


def _several(device: Device, launched: Launch) -> str:
    """Return the device of one of several processes: the CPU, or the GPU of its number."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device not in ("cpu", "cuda"):
        found = f"is {device}, and {launched.processes} processes need a device each"
        raise InputError("--device", found, "Use cuda and choose GPUs with CUDA_VISIBLE_DEVICES")
    if device == "cpu":
        return device
    _check_gpu(launched.local_rank)
    return f"cuda:{launched.local_rank}"


def _check_gpu(number: int) -> None:
    """Raise InputError if there is no GPU of this number."""
    count = torch.cuda.device_count()
    if number >= count:
        found = f"the last one is cuda:{count - 1}" if count else "PyTorch finds no GPU"
        raise _missing(f"cuda:{number}", found)


def _missing(name: str, reason: str) -> InputError:
    remedy = "Use another device, or --device auto, which takes a GPU if there is one"
    return InputError("--device", f"{name} does not exist: {reason}", remedy)
