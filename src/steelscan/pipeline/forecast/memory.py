"""How much memory a fit takes, and how much this machine, container and process have free."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch

from steelscan.data import padded_frame
from steelscan.pipeline.forecast.fits import Fit
from steelscan.pipeline.forecast.speed import NetworkFacts

_COPIES = 6
"""Of a checkpoint that a fit holds: weights, gradients, two moments, a mean, one to be written."""

_ROUNDED_UP = 2.0
"""Memory of a step, as a multiple of what is kept for the backward pass: gradients are extra."""

_PREDICTION = 0.5
"""Memory to predict a pixel, as a share of that to train on it."""

PROCESS = 2**30
"""Bytes of one more process that fits networks: its libraries, and strips cached in memory."""

_GROUPS = Path("/sys/fs/cgroup")
_VERSION_1 = ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")


def fit_memory(fit: Fit, facts: NetworkFacts) -> int:
    """Return the bytes that a fit takes at most, from the size of its network."""
    resize, tiles = fit.data.resize, fit.task.member.tiles
    strips = {resize.frame(frame) if resize else frame for frame in set(fit.data.strips.frames)}
    frames = [padded_frame(frame) for frame in strips]
    width = tiles.width if tiles else max(frame.width for frame in frames)
    predicted = max(frame.height * min(frame.width, width) for frame in frames)
    trained = (crops.most_pixels(training.batch) for training, crops in fit.passes)
    pixels = max(*trained, _PREDICTION * predicted)
    return int(_COPIES * facts.bytes + _ROUNDED_UP * facts.kept * pixels)


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on a device; None if that cannot be found out."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return min(_limits(), default=None) if device.type == "cpu" else None


def _limits() -> Iterator[int]:
    """Yield the free bytes of each limit that applies to a process on Linux."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        yield 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    for group_files in _groups():
        with suppress(OSError, ValueError):  # "max" if there is no limit
            limit, usage = (int(file.read_text(encoding="utf-8")) for file in group_files)
            yield max(0, limit - usage)
    with suppress(ImportError, OSError, ValueError):
        import resource

        allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
        if allowed != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
            yield max(0, allowed - pages * os.sysconf("SC_PAGE_SIZE"))


def _groups() -> Iterator[tuple[Path, Path]]:
    """Yield limit and usage of the control groups of this process, in both versions of them."""
    yield _GROUPS / _VERSION_1[0], _GROUPS / _VERSION_1[1]
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            own = _GROUPS / line.rpartition(":")[2].strip("/")
            for group in (own, *own.parents):
                if group.is_relative_to(_GROUPS):
                    yield group / "memory.max", group / "memory.current"
