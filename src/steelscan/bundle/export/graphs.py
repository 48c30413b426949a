"""Write the networks of a run as ONNX graphs."""

import copy
import warnings
from collections.abc import Sequence
from io import BytesIO
from typing import Any, TypeAlias

import torch
from segmentation_models_pytorch.decoders.fpn.decoder import MergeBlock
from segmentation_models_pytorch.decoders.pspnet.decoder import PSPBlock
from timm.layers import AvgPool2dSame, Conv2dSame
from torch import Tensor, nn
from torch.nn import functional

from steelscan.prediction import NetworkOfViews, OutputKind, TorchModel, View

_OPSET = 18

_PAIRS = ((2, 2), (1, 1))
"""Sides and strides of the pooling in shortcuts of dilated ResNets."""


def exportable(
    model: TorchModel, views: Sequence[View], kind: OutputKind, *, averaged: bool
) -> nn.Module:
    """Return a model with its views as one module, which can be traced for strips of any size."""
    network = copy.deepcopy(model.network).cpu().float().eval()
    _replace(network)
    return NetworkOfViews(network, views, kind, together=False, averaged=averaged).eval()


def to_onnx(module: nn.Module) -> bytes:
    """Return a module as ONNX for strips whose sides are any multiples of 32.

    This uses torch's tracing exporter. The newer one takes about twenty times as long for these
    networks, and the graph is compared with the network afterwards anyway.
    """
    content = BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of the tracer: the stride fixes the sizes it warns of
        torch.onnx.export(
            _Plain(module),
            (torch.zeros(1, 1, 128, 256, dtype=torch.uint8),),
            content,  # type: ignore[arg-type]  # files are accepted too
            dynamo=False,
            input_names=["strips"],
            dynamic_axes={"strips": {2: "height", 3: "width"}},
            opset_version=_OPSET,
        )
    return content.getvalue()


class _Plain(nn.Module):
    """A module that returns only the heads that the network has, as a tuple."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, strips: Tensor) -> tuple[Tensor, ...]:
        """Return the heads."""
        return tuple(head for head in self.module(strips) if head is not None)


def _replace(module: nn.Module) -> None:
    """Replace some layers by equal ones that work for strips of any size, or are faster."""
    for name, child in list(module.named_children()):
        if isinstance(child, Conv2dSame):
            setattr(module, name, _SameConv(child))
        elif isinstance(child, AvgPool2dSame) and (child.kernel_size, child.stride) == _PAIRS:
            setattr(module, name, _PairPool())
        elif isinstance(child, MergeBlock) and child.policy == "add":
            setattr(module, name, _Sum())
        elif isinstance(child, nn.Mish):
            setattr(module, name, GraphMish())
        elif isinstance(child, PSPBlock):
            setattr(module, name, _Bins(child))
        else:
            _replace(child)


class _PairPool(nn.Module):
    """A mean over 2x2 pixels that keeps the size: zeros follow the last row and column."""

    def forward(self, maps: Tensor) -> Tensor:
        """Pad on all sides and leave out the first row and column, because pads cannot differ."""
        return functional.avg_pool2d(maps, 2, stride=1, padding=1)[..., 1:, 1:]


class _Sum(nn.Module):
    """Add maps one by one; stacking them first would take as long as a convolution."""

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the sum."""
        total, *others = maps
        for each in others:
            total = total + each
        return total


class GraphMish(nn.Module):
    """Mish with one exponential; softplus and tanh take 2.8 times as long in onnxruntime."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return ``x * tanh(softplus(x))``: with n = e^x (e^x + 2) that is x n / (n + 2)."""
        power = torch.exp(maps.clamp(max=20.0))  # for larger values the quotient is 1 in float32
        product = power * (power + 2)
        return maps * (product / (product + 2))


class _SameConv(nn.Conv2d):
    """A convolution with TensorFlow's padding, which is equal for all multiples of the stride."""

    def __init__(self, other: Conv2dSame) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(other.__dict__)
        sides = zip(other.kernel_size, other.stride, other.dilation, strict=True)
        rows, columns = (max(gap * (kernel - 1) + 1 - step, 0) for kernel, step, gap in sides)
        self._padding = [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2]

    def forward(self, maps: Tensor) -> Tensor:
        """Pad and convolve."""
        options = (self._padding, self.stride, self.dilation, self.groups)
        if torch.onnx.is_in_onnx_export():
            inputs = (maps, self.weight) if self.bias is None else (maps, self.weight, self.bias)
            convolved: Tensor = _PaddedConv.apply(options, *inputs)
            return convolved
        return _padded_conv(options, maps, self.weight, self.bias)


_Options: TypeAlias = tuple[list[int], tuple[int, ...], tuple[int, ...], int]
"""Padding on the left, right, top and bottom; stride; dilation; groups."""


def _padded_conv(options: _Options, maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    padding, stride, dilation, groups = options
    padded = functional.pad(maps, padding)
    return functional.conv2d(padded, weight, bias, stride, 0, dilation, groups)


class _PaddedConv(torch.autograd.Function):
    """A convolution that pads one side more than the other, which ONNX supports but torch does not.

    With a separate padding, onnxruntime converts maps to another layout and back, which takes a
    quarter of the time of an EfficientNet-lite0.
    """

    @staticmethod
    def forward(ctx: Any, options: _Options, maps: Tensor, weight: Tensor, *bias: Tensor) -> Tensor:
        """Pad and convolve."""
        del ctx
        return _padded_conv(options, maps, weight, bias[0] if bias else None)

    @staticmethod
    def symbolic(graph: Any, options: _Options, *inputs: Any) -> Any:
        """Return the same as one operator."""
        (left, right, top, bottom), stride, dilation, groups = options
        return graph.op(
            "Conv",
            *inputs,
            pads_i=[top, left, bottom, right],
            strides_i=stride,
            dilations_i=dilation,
            group_i=groups,
        )


class _Bins(nn.Module):
    """A block of a PSPNet: means over bins of maps of any size, by matrix products."""

    def __init__(self, other: nn.Module) -> None:
        super().__init__()
        self._bins = int(str(other.pool_size))
        assert isinstance(other.pool, nn.Sequential)
        self.project = other.pool[1]

    def forward(self, maps: Tensor) -> Tensor:
        """Return ``(strips, channels, height, width)``."""
        height, width = maps.shape[-2:]
        lines = maps[0, 0, :, 0], maps[0, 0, 0]
        rows, columns = (_bin_weights(self._bins, line) for line in lines)
        means = self.project(rows @ maps @ columns.transpose(0, 1))
        return functional.interpolate(
            means, size=(height, width), mode="bilinear", align_corners=True
        )


def _bin_weights(bins: int, line: Tensor) -> Tensor:
    """Return the weight of each position of a line in the mean of each bin, ``(bins, length)``.

    Positions come from a cumulative sum, because the size of a range cannot be inferred in a graph.
    """
    length = line.shape[0]
    number = torch.arange(bins, device=line.device)[:, None]
    first = torch.div(number * length, bins, rounding_mode="floor")
    last = torch.div((number + 1) * length + bins - 1, bins, rounding_mode="floor")
    position = torch.ones_like(line, dtype=torch.int64).cumsum(0)[None] - 1
    members = ((position >= first) & (position < last)).to(line.dtype)
    return members / (last - first).to(line.dtype)
