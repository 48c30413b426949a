"""Shrink one network and the stages of one fit to the limits of a budget. No torch here."""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil

from steelscan.data import Crop, WholeStrip
from steelscan.models import FPN, Network, PSPNet, Segmenter, TwoHeaded, Unet
from steelscan.recipes.limits import Limits
from steelscan.training import BalancedSampler, BestAverage, Plateau, Training

_STRIDE = 32
"""The sides of crops are multiples of this."""


def shrink_network(network: Network, encoders: Mapping[str, str]) -> Network:
    """Return the network with a smaller encoder and a narrower decoder."""
    if isinstance(network, TwoHeaded):
        return network.but(segmenter=shrink_network(network.segmenter, encoders))
    encoder = encoders.get(network.encoder, network.encoder)
    stem = network.stem if "resnet" in encoder else "plain"
    network = network.but(encoder=encoder, stem=stem)
    return network if network.kind == "classifier" else _narrow(network)


def shrink_stages(stages: Sequence[Training], scale: float, limits: Limits) -> tuple[Training, ...]:
    """Return the stages of a fit with fewer epochs and smaller batches, and scaled crops.

    Sides of crops are multiplied by ``scale``.
    """
    whole = sum(stage.epochs for stage in stages)
    return tuple(
        _shrink_stage(stage, scale, max(1, limits.epochs * stage.epochs // whole), limits)
        for stage in _with_least_rates(stages, limits)
    )


def with_samples(stages: Iterable[Training], area: int, limits: Limits) -> tuple[Training, ...]:
    """Return the stages of a fit with so many strips per epoch that their crops fill an area.

    Each stage gets a share of the ``area``, in pixels, by its epochs. A sampler with a number of
    samples of its own draws no more than that.
    """
    stages = tuple(stages)
    whole = sum(stage.epochs for stage in stages)
    sized = []
    for stage in stages:
        each = sum(_pixels(one.crop, limits) for one in stage.passes)
        most = max(stage.batch, area // (each * whole))
        if stage.max_samples is not None:
            most = min(most, stage.max_samples)
        least = None if isinstance(stage.sampler, BalancedSampler) else most
        sized.append(stage.but(max_samples=most, min_samples=least))
    return tuple(sized)


def _shrink_stage(stage: Training, scale: float, epochs: int, limits: Limits) -> Training:
    crops = _crops([each.crop for each in stage.passes], scale)
    first, *others = (
        each.but(crop=crop, batch=_batch(each.batch, crop, limits))
        for each, crop in zip(stage.passes, crops, strict=True)
    )
    epochs = min(stage.epochs, epochs)
    keep, schedule = stage.keep, stage.schedule
    if isinstance(keep, BestAverage):
        keep = keep.but(count=min(keep.count, limits.checkpoints))
    if isinstance(schedule, Plateau):
        schedule = schedule.but(
            patience=ceil(schedule.patience * epochs / stage.epochs),
            cooldown=ceil(schedule.cooldown * epochs / stage.epochs),
        )
    return stage.but(
        crop=first.crop,
        batch=first.batch,
        extra_passes=tuple(others),
        accumulate_to=None,
        schedule=schedule,
        epochs=epochs,
        precision="float32",
        validate_on=min(stage.validate_on or limits.validate_on, limits.validate_on),
        keep=keep,
    )


def _with_least_rates(stages: Sequence[Training], limits: Limits) -> list[Training]:
    """Return the stages with rates multiplied until that of the first is high enough.

    A later stage keeps its ratio to the first one. The rate of an encoder has its own least value.
    Rates of a fit that is not shortened stay.
    """
    if limits.least_rates is None or sum(stage.epochs for stage in stages) <= limits.epochs:
        return list(stages)
    first = stages[0].optimizer
    factor = max(1.0, limits.least_rates[first.kind] / first.lr)
    least, raised = limits.least_rates["encoder"], []
    for stage in stages:
        rates = stage.optimizer
        encoder = None if rates.encoder_lr is None else max(rates.encoder_lr * factor, least)
        optimizer = rates.but(lr=rates.lr * factor, encoder_lr=encoder)
        raised.append(stage.but(optimizer=optimizer))
    return raised


def _narrow(network: Segmenter) -> Segmenter:
    """Return the network with the fewest decoder channels.

    Attention needs 16 channels, group norms need 32.
    """

    def most(channels: Sequence[int], *fewest: int) -> tuple[int, ...]:
        return tuple(map(min, channels, fewest))

    match network:
        case Unet():
            return network.but(decoder_channels=most(network.decoder_channels, 64, 32, 16, 16, 16))
        case FPN():
            pyramid, segmentation = most(
                (network.pyramid_channels, network.segmentation_channels), 64, 32
            )
            return network.but(pyramid_channels=pyramid, segmentation_channels=segmentation)
        case PSPNet():
            return network.but(decoder_channels=min(network.decoder_channels, 64))
        case _:
            return network.but(
                centre_channels=most(network.centre_channels, 64, 32),
                middle_channels=most(network.middle_channels, 32, 32, 32, 32),
                block_channels=min(network.block_channels, 16),
            )


def _crops(crops: Sequence[Crop], scale: float) -> tuple[Crop, ...]:
    """Return crops with sides times ``scale``, rounded to multiples of the stride.

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
    return max(1, round(side * scale / _STRIDE)) * _STRIDE


def _batch(batch: int, crop: Crop, limits: Limits) -> int:
    """Return a batch size within the area of a step, or 2: batch norms need two values."""
    return min(batch, max(2, limits.step_area // _pixels(crop, limits)))


def _pixels(crop: Crop, limits: Limits) -> int:
    return limits.pixels if isinstance(crop, WholeStrip) else crop.height * crop.width
