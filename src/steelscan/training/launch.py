"""Whether a launcher started this process as one of several that train together. No torch."""

import os
from typing import NamedTuple

NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher sets for each of its processes; torch reads the same variables."""


class Launch(NamedTuple):
    """This process among those of a launcher: its number, its number on this machine, the count."""

    rank: int
    local_rank: int
    processes: int


def launch() -> Launch | None:
    """Return this process's place among those of a launcher, or None if it works alone.

    A process has a place only if `NAMES` and ``TORCHELASTIC_RUN_ID`` are set, as ``torchrun`` and
    ``accelerate launch`` do. A cluster's scheduler sets some of `NAMES` for processes that work
    alone; they would wait for each other forever.
    """
    values = [os.environ.get(name, "") for name in NAMES]
    if "TORCHELASTIC_RUN_ID" not in os.environ or not all(values):
        return None
    if not all(value.isdecimal() for value in values[:3]) or int(values[2]) < 2:
        return None
    return Launch(*map(int, values[:3]))
