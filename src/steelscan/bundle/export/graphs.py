"""The networks of a run as graphs that need no torch."""

import copy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any, TypeAlias

import torch
from segmentation_models_pytorch.decoders.fpn.decoder import MergeBlock
from segmentation_models_pytorch.decoders.pspnet.decoder import PSPBlock
from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.nn import functional

from steelscan.prediction import NetworkOfViews, OutputKind, TorchModel, View

_OPSET = 18


def _example() -> Tensor:
    return torch.zeros(1, 1, 128, 256, dtype=torch.uint8)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the tracer has to say: the sizes that it warns of are those of a stride."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def exportable(
    voter: TorchModel, views: Sequence[View], sort: OutputKind, *, averaged: bool
) -> nn.Module:
    """The module that answers for a voter, of parts that can be traced for strips of any size."""
    network = copy.deepcopy(voter.network).cpu().float().eval()
    _replace(network)
    return NetworkOfViews(network, views, sort, together=False, averaged=averaged).eval()


def to_onnx(module: nn.Module) -> bytes:
    """A module as ONNX for strips whose sides are any multiples of 32.

    By torch's tracing exporter: its other one takes some twenty times as long for these networks,
    and what either writes is held against the network afterwards.
    """
    content = BytesIO()
    with _quiet(), torch.inference_mode():
        torch.onnx.export(
            _Plain(module),
            (_example(),),
            content,  # type: ignore[arg-type]  # it takes files too
            dynamo=False,
            input_names=["strips"],
            dynamic_axes={"strips": {2: "height", 3: "width"}},
            opset_version=_OPSET,
        )
    return content.getvalue()


class _Plain(nn.Module):
    """A module whose heads are a tuple of those that are there."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, strips: Tensor) -> tuple[Tensor, ...]:
        """Return the heads."""
        return tuple(head for head in self.module(strips) if head is not None)


def _replace(module: nn.Module) -> None:
    """Put other parts in the place of some: the same for strips of any size, or in less time."""
    for name, child in list(module.named_children()):
        if isinstance(child, Conv2dSame):
            setattr(module, name, _SameConv(child))
        elif isinstance(child, MergeBlock) and child.policy == "add":
            setattr(module, name, _Sum())
        elif isinstance(child, nn.Mish):
            setattr(module, name, GraphMish())
        elif isinstance(child, PSPBlock):
            setattr(module, name, _Bins(child))
        else:
            _replace(child)


class _Sum(nn.Module):
    """Maps added one by one: to stack them first takes as long as a convolution."""

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the sum."""
        total, *others = maps
        for each in others:
            total = total + each
        return total


class GraphMish(nn.Module):
    """Mish by one power of e: onnxruntime takes 2.8 times as long for softplus and tanh."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return ``x * tanh(softplus(x))``: with n = e^x (e^x + 2) that is x n / (n + 2)."""
        power = torch.exp(maps.clamp(max=20.0))  # above, the quotient is 1 in float32
        product = power * (power + 2)
        return maps * (product / (product + 2))


class _SameConv(nn.Conv2d):
    """TensorFlow's padding, which is the same for all sizes that the stride divides."""

    def __init__(self, other: Conv2dSame) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(other.__dict__)
        sides = zip(other.kernel_size, other.stride, other.dilation, strict=True)
        high, wide = (max(apart * (kernel - 1) + 1 - step, 0) for kernel, step, apart in sides)
        self._around = [wide // 2, wide - wide // 2, high // 2, high - high // 2]

    def forward(self, maps: Tensor) -> Tensor:
        """Pad and convolve."""
        how = (self._around, self.stride, self.dilation, self.groups)
        if torch.onnx.is_in_onnx_export():
            given = (maps, self.weight) if self.bias is None else (maps, self.weight, self.bias)
            convolved: Tensor = _PaddedConv.apply(how, *given)
            return convolved
        return _padded_conv(how, maps, self.weight, self.bias)


_How: TypeAlias = tuple[list[int], tuple[int, ...], tuple[int, ...], int]
"""Padding left, right, above and below; stride; dilation; groups."""


def _padded_conv(how: _How, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    around, step, apart, groups = how
    padded = functional.pad(maps, around)
    return functional.conv2d(padded, weight, bias, step, 0, apart, groups)


class _PaddedConv(torch.autograd.Function):
    """A convolution that pads one side more than the other, which ONNX has and torch has not.

    Padding as a step of its own has onnxruntime turn maps into another layout and back: a quarter
    of the time of an EfficientNet-lite0.
    """

    @staticmethod
    def forward(ctx: Any, how: _How, maps: Tensor, weight: Tensor, *bias: Tensor) -> Tensor:
        """Pad and convolve."""
        del ctx
        return _padded_conv(how, maps, weight, bias[0] if bias else None)

    @staticmethod
    def symbolic(graph: Any, how: _How, *given: Any) -> Any:
        """The same as one operator."""
        (left, right, above, below), step, apart, groups = how
        return graph.op(
            "Conv",
            *given,
            pads_i=[above, left, below, right],
            strides_i=step,
            dilations_i=apart,
            group_i=groups,
        )


class _Bins(nn.Module):
    """A block of a PSPNet: means over bins of maps of any size, as products of matrices."""

    def __init__(self, other: nn.Module) -> None:
        super().__init__()
        self._bins = int(str(other.pool_size))
        assert isinstance(other.pool, nn.Sequential)
        self.behind = other.pool[1]

    def forward(self, maps: Tensor) -> Tensor:
        """Return ``(strips, channels, height, width)``."""
        height, width = maps.shape[-2:]
        lines = maps[0, 0, :, 0], maps[0, 0, 0]
        rows, columns = (_shares(self._bins, line) for line in lines)
        means = self.behind(rows @ maps @ columns.transpose(0, 1))
        return functional.interpolate(
            means, size=(height, width), mode="bilinear", align_corners=True
        )


def _shares(bins: int, line: Tensor) -> Tensor:
    """What each place of a line adds to each bin, ``(bins, length)``.

    Places are counted by adding up: of a graph's range nobody can tell the size beforehand.
    """
    length = line.shape[0]
    number = torch.arange(bins, device=line.device)[:, None]
    first = torch.div(number * length, bins, rounding_mode="floor")
    last = torch.div((number + 1) * length + bins - 1, bins, rounding_mode="floor")
    place = torch.ones_like(line, dtype=torch.int64).cumsum(0)[None] - 1
    inside = ((place >= first) & (place < last)).to(line.dtype)
    return inside / (last - first).to(line.dtype)
