"""How much memory there is for a run: what the machine, its container and this process allow."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch

_GROUPS = Path("/sys/fs/cgroup")
_VERSION_1 = ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be had on a device; None where nobody can tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    return min(_limits(), default=None)


def _limits() -> Iterator[int]:
    """Bytes that each of those allows that limit a process on Linux."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        yield 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    for limit, usage in _groups():
        with suppress(OSError, ValueError):  # "max" where there is none
            yield max(
                0, int(limit.read_text(encoding="utf-8")) - int(usage.read_text(encoding="utf-8"))
            )
    with suppress(ImportError, OSError, ValueError):
        import resource

        allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
        if allowed != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
            yield max(0, allowed - pages * os.sysconf("SC_PAGE_SIZE"))


def _groups() -> Iterator[tuple[Path, Path]]:
    """Limit and usage of the control groups of this process, in both versions of them."""
    yield _GROUPS / _VERSION_1[0], _GROUPS / _VERSION_1[1]
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            own = _GROUPS / line.rpartition(":")[2].strip("/")
            for group in (own, *own.parents):
                if group.is_relative_to(_GROUPS):
                    yield group / "memory.max", group / "memory.current"
