"""Shrink one network and one training stage to the limits of a budget. No torch here."""

from collections.abc import Sequence
from math import lcm

from steelscan.data import Crop, WholeStrip
from steelscan.models import FPN, Network, PSPNet, Segmenter, TwoHeaded, Unet
from steelscan.recipes.limits import Limits
from steelscan.training import BestAverage, Training

_STRIDE = 32
"""The sides of crops are multiples of this."""


def shrink_network(network: Network, limits: Limits) -> Network:
    """Return the network with a smaller encoder and a narrower decoder."""
    if isinstance(network, TwoHeaded):
        return network.but(segmenter=shrink_network(network.segmenter, limits))
    network = network.but(encoder=limits.encoders.get(network.encoder, network.encoder))
    return network if network.kind == "classifier" else _narrow(network, limits.width)


def shrink_stage(stage: Training, scale: float, limits: Limits) -> Training:
    """Return the stage with fewer epochs and strips, and sides of crops times ``scale``."""
    crops = _crops([each.crop for each in stage.passes], scale)
    sizes = [each.batch for each in stage.passes]
    batches = _batches(sizes, limits.batch)
    per_step = stage.accumulate_to
    if per_step is not None and batches != sizes:
        whole = lcm(*batches)
        per_step = max(1, per_step // stage.batch * batches[0] // whole) * whole
    keep = stage.keep
    if isinstance(keep, BestAverage):
        keep = keep.but(count=min(keep.count, limits.checkpoints))
    return stage.but(
        crop=crops[0],
        extra_passes=tuple(
            each.but(crop=crop, batch=batch)
            for each, crop, batch in zip(stage.extra_passes, crops[1:], batches[1:], strict=True)
        ),
        max_samples=_max_samples(stage, crops, limits),
        batch=batches[0],
        accumulate_to=per_step,
        epochs=min(stage.epochs, limits.epochs),
        precision="float32",
        validate_on=min(stage.validate_on or limits.validate_on, limits.validate_on),
        keep=keep,
    )


def _narrow(network: Segmenter, width: int) -> Segmenter:
    """Return the network with at most ``width`` times the fewest possible decoder channels.

    Attention needs 16 channels, group norms need 32.
    """

    def most(channels: Sequence[int], *fewest: int) -> tuple[int, ...]:
        pairs = zip(channels, fewest, strict=False)
        return tuple(min(channel, width * few) for channel, few in pairs)

    match network:
        case Unet():
            return network.but(decoder_channels=most(network.decoder_channels, 64, 32, 16, 16, 16))
        case FPN():
            pyramid, segmentation = most(
                (network.pyramid_channels, network.segmentation_channels), 64, 32
            )
            return network.but(pyramid_channels=pyramid, segmentation_channels=segmentation)
        case PSPNet():
            (channels,) = most((network.decoder_channels,), 64)
            return network.but(decoder_channels=channels)
        case _:
            (block,) = most((network.block_channels,), 16)
            return network.but(
                centre_channels=most(network.centre_channels, 64, 32),
                middle_channels=most(network.middle_channels, 32, 32, 32, 32),
                block_channels=block,
            )


def _crops(crops: Sequence[Crop], scale: float) -> tuple[Crop, ...]:
    """Return crops with sides times ``scale``, rounded down to multiples of the stride.

    Different widths stay different as far as possible.
    """
    if scale == 1:
        return tuple(crops)
    widths: dict[int, int] = {}
    for width in sorted({crop.width for crop in crops if crop.kind != "whole"}, reverse=True):
        below = min(widths.values(), default=width + _STRIDE) - _STRIDE
        widths[width] = max(_STRIDE, min(_side(width, scale), below))
    return tuple(
        crop
        if isinstance(crop, WholeStrip)
        else crop.but(height=_side(crop.height, scale), width=widths[crop.width])
        for crop in crops
    )


def _side(side: int, scale: float) -> int:
    return max(_STRIDE, int(side * scale) // _STRIDE * _STRIDE)


def _batches(sizes: Sequence[int], most: int) -> list[int]:
    """Return batch sizes, halved until none exceeds ``most``, which roughly keeps their ratios.

    None falls below 2: batch norms need two values.
    """
    batches = list(sizes)
    while max(batches) > most:
        batches = [max(size // 2, min(size, 2)) for size in batches]
    return batches


def _max_samples(stage: Training, crops: Sequence[Crop], limits: Limits) -> int:
    """Return how many strips an epoch may draw so that its crops stay within the area limit."""
    each = sum(
        limits.pixels if crop.kind == "whole" else crop.height * crop.width for crop in crops
    )
    most = max(limits.batch, limits.area // each)
    return most if stage.max_samples is None else min(most, stage.max_samples)
