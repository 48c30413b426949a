"""The device that fits and predicts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from accelerate import Accelerator

Device = Literal["auto", "cpu"]

_PREFIXES = ("ACCELERATE_", "FSDP_", "MEGATRON_LM_", "PARALLELISM_CONFIG_")
_OF_MANY = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
"""What launchers say of other processes: a fit is that of one, and would wait for them."""


def accelerator(device: Device) -> Accelerator:
    """The engine of this process: the fastest device there is, or the CPU when told so.

    What the environment tells accelerate is not heard: a recipe alone says how networks are fitted.
    """
    with _unheard():
        return Accelerator(cpu=device == "cpu")


def ignored_variables() -> list[str]:
    """A sentence on the variables of the environment that would change how networks are fitted."""
    names = _variables()
    if not names:
        return []
    return [f"Ignored in the environment, the recipe alone counts: {', '.join(names)}."]


def _variables() -> list[str]:
    return sorted(name for name in os.environ if name.startswith(_PREFIXES) or name in _OF_MANY)


@contextmanager
def _unheard() -> Iterator[None]:
    aside = {name: os.environ.pop(name) for name in _variables()}
    try:
        yield
    finally:
        os.environ.update(aside)
