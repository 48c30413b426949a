"""Sizes and speeds of networks on this machine: measured, and remembered in the user's cache."""

import hashlib
import platform
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, TypeAdapter
from safetensors.torch import save
from torch import Tensor

from steelscan.models import StripNetwork, build_network
from steelscan.pipeline.fit_queue import CoreShare
from steelscan.pipeline.forecast.fits import Fit
from steelscan.strip import Frame, Spec
from steelscan.strip.errors import OutputError
from steelscan.strip.files import cache_folder, write_text
from steelscan.training import CHECKSUM
from steelscan.training.crops import EpochCrops

_PREDICTION = 1 / 3
"""Seconds per predicted pixel, as a share of those per trained pixel, before it was measured."""


class NetworkFacts(Spec):
    """Size and speed of a network; speeds are None until they were measured on this machine."""

    bytes: NonNegativeInt
    """Of a checkpoint."""
    kept: NonNegativeFloat
    """Bytes per pixel that are kept for the backward pass."""
    train: NonNegativeFloat | None = None
    """Seconds per pixel to train on it, with reading and augmentation."""
    predict: NonNegativeFloat | None = None
    """Seconds per pixel to predict it, with reading."""

    def after_fit(self, seconds: float, trained: float, predicted: float) -> "NetworkFacts":
        """Return the facts with speeds scaled to a fit that took ``seconds`` for these pixels."""
        train, predict = self.train or 1.0, self.predict or _PREDICTION
        factor = seconds / (trained * train + predicted * predict)
        return self.but(train=train * factor, predict=predict * factor)


_FACTS = TypeAdapter(dict[str, NetworkFacts])
"""Facts by `Fit.key`."""


def read_facts(device: torch.device, share: CoreShare | None = None) -> dict[str, NetworkFacts]:
    """Return what is remembered of networks with a share of this machine's cores (None: all).

    Nothing if the file is unreadable.
    """
    with suppress(OSError, RuntimeError, ValueError):
        return _FACTS.validate_json(_path(device, share).read_bytes())
    return {}


def remember_facts(
    device: torch.device, facts: dict[str, NetworkFacts], share: CoreShare | None = None
) -> None:
    """Add facts to the file of this machine; a folder that cannot be written is ignored."""
    with suppress(OutputError, RuntimeError):
        content = _FACTS.dump_json(read_facts(device, share) | facts, indent=1).decode()
        write_text(_path(device, share), content + "\n")


def _path(device: torch.device, share: CoreShare | None) -> Path:
    """Return the file of this machine. Raises RuntimeError for a user without a home folder."""
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    share = share or CoreShare(torch.get_num_threads())
    machine = f"{platform.node()} {platform.machine()} {chip} {share.cores}"
    if share.fits > 1:
        machine += f" for {share.fits}"
    name = hashlib.blake2b(machine.encode(), digest_size=16).hexdigest()
    return cache_folder().expanduser() / "speeds" / f"{name}.json"


def measure_size(fit: Fit) -> NetworkFacts:
    """Return the size of a network, without its speed: nothing is computed in full precision.

    Raises RecipeError for a network that cannot be built.
    """
    with torch.device("meta" if fit.stages[0].precision == "float32" else "cpu"):
        network, _ = build_network(fit.network, fit.classes)
    return _size(network, fit)


def measure(fit: Fit, device: torch.device, workers: int) -> NetworkFacts:
    """Return the size and the speed of a network on a device, from a few passes.

    Loader workers cut crops while the network trains. Raises RecipeError for a network that cannot
    be built.
    """
    network, _ = build_network(fit.network, fit.classes)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    size = _size(network, fit)
    first, first_crops = fit.passes[0]

    def train(strips: Tensor) -> None:
        _loss(network, first.precision, strips).backward()  # type: ignore[no-untyped-call]

    train_pixel = _seconds_per_pixel(train, first.batch, first_crops.frame, device)
    predict = torch.inference_mode()(network.eval())
    predict_pixel = _seconds_per_pixel(predict, 1, fit.strip, device)
    seconds = 0.0
    for count, (_, crops) in zip(fit.crops, fit.passes, strict=True):
        training, cutting = crops.pixels * train_pixel, _crop_seconds(crops)
        seconds += count * (max(training, cutting / workers) if workers else training + cutting)
    reading = _crop_seconds(first_crops) / fit.strip_pixels
    return size.but(train=seconds / fit.pixels, predict=predict_pixel + reading)


def _size(network: StripNetwork, fit: Fit) -> NetworkFacts:
    """Return the size of a network; on the meta device nothing is computed."""
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

    first, crops = fit.passes[0]
    shape, device = (2, 1, min(crops.frame.height, 128), 128), next(network.parameters()).device
    strips = torch.randint(256, shape, dtype=torch.uint8, device=device)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = _loss(network.train(), first.precision, strips)  # noqa: F841
        return NetworkFacts(bytes=size, kept=sum(kept.values()) / strips.numel())


def _loss(network: StripNetwork, precision: str, strips: Tensor) -> Tensor:
    """Return some loss of the network's outputs for strips."""
    kind, device = getattr(torch, precision), strips.device.type
    with torch.autocast(device, kind) if kind != torch.float32 else nullcontext():
        outputs = network(strips)
    loss = sum(head.float().square().mean() for head in outputs if head is not None)
    assert isinstance(loss, Tensor)
    return loss


def _crop_seconds(crops: EpochCrops) -> float:
    """Return the mean seconds to read, cut and augment a crop, after one that warms up."""
    crops[0]
    start = time.perf_counter()
    for position in range(1, 5):
        crops[position % len(crops)]
    return (time.perf_counter() - start) / 4


def _seconds_per_pixel(
    work: Callable[[Tensor], object], batch: int, whole: Frame, device: torch.device
) -> float:
    """Time random pixels, at most two strips of 256 x 256, after a pass that warms up."""
    shape = min(2, batch), 1, *(min(256, side) for side in whole)
    strips = torch.randint(256, shape, dtype=torch.uint8, device=device)
    for _ in range(2):
        start = time.perf_counter()
        work(strips)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / strips.numel()
