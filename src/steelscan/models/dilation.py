"""Dilate encoders that timm cannot dilate: deep maps keep a finer stride, with their weights."""

from functools import cache
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.func import functional_call

from steelscan.strip.errors import RecipeError

_SIDE = 128
"""Sides of the pixels that are traced; a multiple of every stride of an encoder."""


@cache
def timm_dilates(encoder: str) -> bool:
    """Return whether an encoder of timm has the option ``output_stride``."""
    try:
        with torch.device("meta"):
            timm.create_model(encoder, features_only=True, output_stride=8)
    except TypeError:
        return False
    return True


def dilate(encoder: nn.Module, name: str, channels: int, stride: int) -> None:
    """Replace all strides of an encoder beyond ``stride`` by dilation, in place.

    Convolutions behind a removed stride skip as many pixels as it did, so every kernel covers the
    same pixels as before, and pretrained weights keep their meaning (Chen et al. 2016,
    arXiv:1606.00915). ``encoder`` takes pixels ``(strips, channels, height, width)`` and returns
    its maps. Raises RecipeError, with ``name``, for an encoder with strides in other layers than
    convolutions with odd sides.
    """
    for layer, before in _strides(encoder, channels).items():
        if before < stride:
            continue
        reach = before // stride
        layer.stride = (1, 1)
        layer.dilation = tuple(gap * reach for gap in layer.dilation)
        if isinstance(layer.padding, tuple):
            layer.padding = tuple(pixels * reach for pixels in layer.padding)
    if not _has_maps_up_to(stride, encoder, channels):
        problem = f"cannot be dilated to stride {stride}: not only convolutions have strides"
        raise RecipeError(f"encoder {name}", problem, "Use another encoder, or dilated false")


def _has_maps_up_to(stride: int, encoder: nn.Module, channels: int) -> bool:
    """Return whether all maps of an encoder have strides up to this one, as exact multiples."""
    try:
        sides = [maps.shape[2] for maps in _traced(encoder, channels)]
    except RuntimeError:  # layers that are added to each other have maps of different sizes
        return False
    return sides == [max(_SIDE >> step, _SIDE // stride) for step in range(1, len(sides) + 1)]


def _strides(encoder: nn.Module, channels: int) -> dict[nn.Conv2d, int]:
    """Return the stride of the pixels that each convolution of an encoder takes."""
    strides: dict[nn.Conv2d, int] = {}

    def note(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, nn.Conv2d)
        if given[0].shape[2] > 1 or layer.kernel_size != (1, 1):  # one pixel: pooled channels
            strides[layer] = _SIDE // given[0].shape[2]

    convolutions = [layer for layer in encoder.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_pre_hook(note) for layer in convolutions]
    _traced(encoder, channels)
    for hook in hooks:
        hook.remove()
    return strides


def _traced(encoder: nn.Module, channels: int) -> list[Tensor]:
    """Return the maps of an encoder without values or memory, for pixels of `_SIDE`."""
    state: dict[str, Any] = {
        name: tensor.to("meta")
        for name, tensor in (*encoder.named_parameters(), *encoder.named_buffers())
    }
    pixels = torch.empty(2, channels, _SIDE, _SIDE, device="meta")
    maps: list[Tensor] = functional_call(encoder, state, (pixels,))
    return maps
