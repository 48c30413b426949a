"""How much memory a fit takes, and how much this machine, container and process have free."""

import os
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from steelscan.data import padded_frame
from steelscan.models import StripNetwork
from steelscan.pipeline.forecast.fits import Fit
from steelscan.training import CHECKSUM

_COPIES = 6
"""Of a checkpoint that a fit holds: weights, gradients, two moments, a mean, one to be written."""

_ROUNDED_UP = 2.0
"""Memory of a step, as a multiple of what is kept for the backward pass: gradients are extra."""

_PREDICTION = 0.5
"""Memory to predict a pixel, as a share of that to train on it."""

_GROUPS = Path("/sys/fs/cgroup")
_VERSION_1 = ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")


def fit_memory(fit: Fit, size: int, kept: float) -> float:
    """Return the bytes that a fit takes at most, from what `size_of` returns for its network."""
    resize, tiles = fit.data.resize, fit.task.member.tiles
    strips = {resize.frame(frame) if resize else frame for frame in set(fit.data.strips.frames)}
    frames = [padded_frame(frame) for frame in strips]
    width = tiles.width if tiles else max(frame.width for frame in frames)
    predicted = max(frame.height * min(frame.width, width) for frame in frames)
    pixels = max(*(each.at_once for each in fit.passes), _PREDICTION * predicted)
    return _COPIES * size + _ROUNDED_UP * kept * pixels


def size_of(network: StripNetwork, fit: Fit) -> tuple[int, float]:
    """Return the bytes of a checkpoint, and of what is kept per pixel for the backward pass.

    On the meta device nothing is computed.
    """
    state = network.state_dict()
    weights = {name: torch.empty(each.shape, dtype=each.dtype) for name, each in state.items()}
    size = len(save(weights, metadata={CHECKSUM: 32 * " "}))
    own = {each.untyped_storage()._cdata for each in state.values()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    first, device = fit.passes[0], next(network.parameters()).device
    shape = 2, 1, min(first.frame.height, 128), 128
    strips = torch.randint(256, shape, dtype=torch.uint8, device=device)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = loss_of(network.train(), first.training.precision, strips)  # noqa: F841
        return size, sum(kept.values()) / strips.numel()


def loss_of(network: StripNetwork, precision: str, strips: Tensor) -> Tensor:
    """Return some loss of the network's outputs for strips."""
    kind, device = getattr(torch, precision), strips.device.type
    with torch.autocast(device, kind) if kind != torch.float32 else nullcontext():
        outputs = network(strips)
    loss = sum(head.float().square().mean() for head in outputs if head is not None)
    assert isinstance(loss, Tensor)
    return loss


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that are free on a device; None if that cannot be found out."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    return min(_limits(), default=None)


def _limits() -> Iterator[int]:
    """Yield the free bytes of each limit that applies to a process on Linux."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        yield 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    for limit, usage in _groups():
        with suppress(OSError, ValueError):  # "max" if there is no limit
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
    """Yield limit and usage of the control groups of this process, in both versions of them."""
    yield _GROUPS / _VERSION_1[0], _GROUPS / _VERSION_1[1]
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            own = _GROUPS / line.rpartition(":")[2].strip("/")
            for group in (own, *own.parents):
                if group.is_relative_to(_GROUPS):
                    yield group / "memory.max", group / "memory.current"
