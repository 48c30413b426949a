"""How fast this machine is: each network on random pixels, each stage on a few crops."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from steelscan.models import build_network
from steelscan.pipeline.forecast.fits import Fit, Pass
from steelscan.pipeline.forecast.memory import loss_of, size_of
from steelscan.pipeline.forecast.network_facts import NetworkFacts
from steelscan.strip import Frame


def measure(fit: Fit, device: torch.device, workers: int) -> NetworkFacts:
    """Return the size and the speed of a network on a device, from a few passes.

    Loader workers cut crops while the network trains. Raises RecipeError for a network that cannot
    be built.
    """
    network, _ = build_network(fit.network, fit.classes)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    size, kept = size_of(network, fit)
    first = fit.passes[0]
    precision = first.training.precision

    def train(strips: Tensor) -> None:
        loss_of(network, precision, strips).backward()  # type: ignore[no-untyped-call]

    train_pixel = _seconds_per_pixel(train, first.training.batch, first.frame, device)
    predict = torch.inference_mode()(network.eval())
    predict_pixel = _seconds_per_pixel(predict, 1, fit.strip, device)
    seconds = 0.0
    for each in fit.passes:
        training, cutting = each.pixels * train_pixel, _crop_seconds(fit, each)
        apart = max(training, cutting / max(1, workers))
        seconds += each.crops * (apart if workers else training + cutting)
    reading = _crop_seconds(fit, first) / fit.strip_pixels
    return NetworkFacts(
        bytes=size, kept=kept, train=seconds / fit.pixels, predict=predict_pixel + reading
    )


def size_alone(fit: Fit) -> NetworkFacts:
    """Return the size of a network, without its speed: nothing is computed in full precision."""
    exact = fit.passes[0].training.precision == "float32"
    with torch.device("meta" if exact else "cpu"):
        network, _ = build_network(fit.network, fit.classes)
    size, kept = size_of(network, fit)
    return NetworkFacts(bytes=size, kept=kept)


def _crop_seconds(fit: Fit, each: Pass) -> float:
    """Return the mean seconds to read, cut and augment a crop, after one that warms up."""
    crops = fit.data.crops(each.training)
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
