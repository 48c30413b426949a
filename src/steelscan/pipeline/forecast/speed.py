"""How fast this machine is: each network on random pixels, each stage on a few crops."""

import time
from collections.abc import Callable
from functools import partial
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from steelscan.data import padded_frame
from steelscan.models import StripNetwork, build_network
from steelscan.pipeline import RunContext
from steelscan.pipeline.forecast.fits import Fit, Pass
from steelscan.strip import Frame
from steelscan.training import CHECKSUM

_LONG = 1.0
"""Seconds of a pass that is long enough to tell what larger ones take."""

_COPIES = 6
"""Of a checkpoint that a fit holds: weights, gradients, two moments, a mean, one to be written."""

_ROUNDED_UP = 2.0
"""Memory of a step, as a multiple of what is kept for the way back: gradients come on top."""

_ASKED = 0.5
"""Memory of a strip asked about, as a share of that of one learned from."""


class Cost(NamedTuple):
    """Of a fit: bytes of a checkpoint; seconds to build, to fit, to ask about a view of a strip.

    ``memory`` are the bytes that it takes at most. Of a network in general, fitting and asking are
    counted a pixel, and so is the memory: what is kept of a pixel for the way back.
    """

    bytes: int
    build: float
    fit: float
    ask: float
    memory: float


class Clock:
    """Times each distinct network and each distinct pass once."""

    def __init__(self, context: RunContext) -> None:
        self._device, self._workers = context.accelerator.device, context.options.workers
        self._frame = Frame(*np.ceil(np.mean(context.dataset.frames, axis=0)).astype(int).tolist())
        self._speeds: dict[object, Cost] = {}
        self._crops: dict[object, float] = {}

    def cost(self, fit: Fit) -> Cost:
        """What a fit costs; workers cut crops while the network learns."""
        resize, tiles = fit.material.resize, fit.task.member.tiles
        strip = padded_frame(resize.frame(self._frame) if resize else self._frame)
        case = fit.network, fit.classes, fit.passes[0].training.precision
        if case not in self._speeds:
            self._speeds[case] = _time_network(fit, strip, self._device)
        speed = self._speeds[case]
        twice = tiles.width / (tiles.width - tiles.overlap) if tiles else 1.0
        ask = speed.ask * prod(strip) * twice + self._crop(fit, fit.passes[0])
        seconds = speed.build + fit.judged * ask
        for each in fit.passes:
            learning, cutting = each.pixels * speed.fit, self._crop(fit, each)
            apart = max(learning, cutting / max(1, self._workers))
            seconds += each.crops * (apart if self._workers else learning + cutting)
        memory = _COPIES * speed.bytes + speed.memory * self._most_pixels(fit)
        return Cost(speed.bytes, speed.build, seconds, ask, memory)

    def _most_pixels(self, fit: Fit) -> float:
        """The most pixels of which a fit keeps all, as many as go through to be learned from."""
        resize, tiles = fit.material.resize, fit.task.member.tiles
        strips = {resize.frame(frame) if resize else frame for frame in fit.material.strips.frames}
        frames = [padded_frame(frame) for frame in strips]
        most = tiles.width if tiles else max(frame.width for frame in frames)
        asked = max(frame.height * min(frame.width, most) for frame in frames)
        return max(*(each.together for each in fit.passes), _ASKED * asked)

    def _crop(self, fit: Fit, each: Pass) -> float:
        """Mean seconds of a crop, after one that warms up: its strip read, cut and augmented."""
        case = each.training, fit.material.resize
        if case not in self._crops:
            crops = fit.material.crops(each.training)
            crops[0]
            start = time.perf_counter()
            for place in range(1, 5):
                crops[place % len(crops)]
            self._crops[case] = (time.perf_counter() - start) / 4
        return self._crops[case]


def _time_network(fit: Fit, strip: Frame, device: torch.device) -> Cost:
    start = time.perf_counter()
    network, _ = build_network(fit.network, fit.classes)
    build = time.perf_counter() - start
    size = len(save(dict(network.state_dict()), metadata={CHECKSUM: 32 * " "}))
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    first = fit.passes[0]
    batch = min(first.crops, first.training.batch)
    learning = partial(_learn, network.train(), first.training.precision)
    learn = _a_pixel(learning, batch, first.frame, first.together, device)
    kept = _kept_a_pixel(learning, network, min(first.frame.height, 128), device)
    ask = _a_pixel(torch.inference_mode()(network.eval()), 1, strip, prod(strip), device)
    return Cost(size, build, learn, ask, _ROUNDED_UP * kept)


def _kept_a_pixel(
    work: Callable[[Tensor], object], network: StripNetwork, side: int, device: torch.device
) -> float:
    """Bytes a pixel that a network keeps until the gradients come back."""
    own = {each.untyped_storage().data_ptr() for each in network.state_dict().values()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    strips = torch.randint(256, (2, 1, side, 128), dtype=torch.uint8, device=device)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        work(strips)
    return sum(kept.values()) / strips.numel()


def _learn(network: StripNetwork, precision: str, strips: Tensor) -> None:
    """Send crops forward and some loss backward."""
    kind = getattr(torch, precision)
    with torch.autocast(strips.device.type, kind, enabled=precision != "float32"):
        outputs = network(strips)
    loss = sum(head.float().square().mean() for head in outputs if head is not None)
    assert isinstance(loss, Tensor)
    loss.backward()  # type: ignore[no-untyped-call]


def _a_pixel(
    work: Callable[[Tensor], object], batch: int, whole: Frame, most: int, device: torch.device
) -> float:
    """Seconds a pixel: of ever more random pixels, until a pass is long, or is the whole batch.

    Where frames differ, that is as many pixels as go through together at ``most``.
    """
    # smaller crops would time how weights are read, not what is done with them
    count, frame = min(2, batch), Frame(min(128, whole.height), min(128, whole.width))
    while True:
        strips = torch.randint(256, (count, 1, *frame), dtype=torch.uint8, device=device)
        for _ in range(2):  # the first warms up: of small networks it takes many times as long
            start = time.perf_counter()
            work(strips)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds = time.perf_counter() - start
            if seconds >= 5 * _LONG:
                break
        larger = min(2 * count, batch) if frame == whole else count
        wider = Frame(min(2 * frame.height, whole.height), min(2 * frame.width, whole.width))
        largest = (count, frame) == (batch, whole) or larger * prod(wider) > most
        if seconds >= _LONG or largest:
            return seconds / (count * prod(frame))
        count, frame = larger, wider
