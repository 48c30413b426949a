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
from steelscan.pipeline.forecast.fits import Fit, Pass
from steelscan.pipeline.plan import Plan
from steelscan.strip import Frame
from steelscan.training.checkpoint import CHECKSUM

_LONG = 1.0
"""Seconds of a pass that is long enough to tell what larger ones take."""


class Cost(NamedTuple):
    """Of a fit: bytes of a checkpoint; seconds to build, to fit, to ask about a view of a strip.

    Of a network in general, fitting and asking are counted a pixel.
    """

    bytes: int
    build: float
    fit: float
    ask: float


class Clock:
    """Times each distinct network and each distinct pass once."""

    def __init__(self, plan: Plan) -> None:
        self._device, self._workers = plan.accelerator.device, plan.options.workers
        self._frame = Frame(*np.ceil(np.mean(plan.dataset.frames, axis=0)).astype(int).tolist())
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
            learning, cutting = prod(each.frame) * speed.fit, self._crop(fit, each)
            apart = max(learning, cutting / max(1, self._workers))
            seconds += each.crops * (apart if self._workers else learning + cutting)
        return Cost(speed.bytes, speed.build, seconds, ask)

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
    learn = _a_pixel(learning, batch, first.frame, device)
    ask = _a_pixel(torch.inference_mode()(network.eval()), 1, strip, device)
    return Cost(size, build, learn, ask)


def _learn(network: StripNetwork, precision: str, strips: Tensor) -> None:
    """Send crops forward and some loss backward."""
    kind = getattr(torch, precision)
    with torch.autocast(strips.device.type, kind, enabled=precision != "float32"):
        outputs = network(strips)
    loss = sum(head.float().square().mean() for head in outputs if head is not None)
    assert isinstance(loss, Tensor)
    loss.backward()  # type: ignore[no-untyped-call]


def _a_pixel(
    work: Callable[[Tensor], object], batch: int, whole: Frame, device: torch.device
) -> float:
    """Seconds a pixel: of ever more random pixels, until a pass is long, or is the whole batch."""
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
        if seconds >= _LONG or (count, frame) == (batch, whole):
            return seconds / (count * prod(frame))
        if frame == whole:
            count = min(2 * count, batch)
        frame = Frame(min(2 * frame.height, whole.height), min(2 * frame.width, whole.width))
