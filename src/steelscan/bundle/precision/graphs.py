"""Reduce the precision of one network in ONNX: to float16 or to 8-bit integers."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from steelscan.strip.errors import MissingPartError


class Calibration(Protocol):
    """The inputs for the strips that calibrate, each read when needed.

    The inputs for a strip are one array, or one per tile: uint8 ``(1, 1, height, width)``.
    """

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Sequence[NDArray[np.uint8]]: ...


_LAYERS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
"""Operators with weights."""

_LARGEST = 16_384.0
"""Tensors above this stay in float32: on other strips they may be four times as large."""


@dataclass(frozen=True)
class ReducedGraph:
    """A network in reduced precision.

    Attributes:
        content: the ONNX file.
        layers: number of layers with weights in reduced precision.
        fp32_nodes: names of the nodes that stay in float32.
    """

    content: bytes
    layers: int
    fp32_nodes: tuple[str, ...]


def check_parts() -> None:
    """Raise MissingPartError if a package that rewrites graphs is not installed."""
    try:
        import ml_dtypes  # noqa: F401
        import onnxruntime.quantization  # noqa: F401
    except ModuleNotFoundError as error:
        problem = f"needs {error.name}, which is not installed"
        remedy = "Run: pip install 'steelscan[precision]'"
        raise MissingPartError("quantize", problem, remedy) from None


def to_fp16(content: bytes, strips: Calibration) -> ReducedGraph:
    """Return a network that computes in float16 from its first to its last layers.

    These stay in float32: the normalisation, because values from 0 to 255 would lose digits; what
    follows the last layers (probabilities and their means); and all that becomes so large on
    ``strips`` that it may overflow float16, whose largest number is 65504.
    """
    import onnx
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with tempfile.TemporaryDirectory() as folder:
        prepared = _prepared(content, Path(folder))
        largest = _largest(prepared, strips)
        model = onnx.load(prepared)
    before, _, _, after = _ends(model.graph)
    large = {
        node.name
        for node in model.graph.node
        if any(largest.get(name, 0.0) > _LARGEST for name in (*node.input, *node.output))
    }
    large |= _with_large_weights(model.graph)
    kept = sorted({*before, *after, *large})
    own = {node.name for node in model.graph.node}
    reduced = convert_float_to_float16(model, keep_io_types=True, node_block_list=kept)
    _remove_round_trips(reduced.graph, own)
    ONNXModel(reduced).topological_sort()  # the converter appends the nodes that it adds
    layers = sum(node.op_type in _LAYERS and node.name not in kept for node in reduced.graph.node)
    return ReducedGraph(reduced.SerializeToString(), layers, tuple(kept))


def to_int8(content: bytes, strips: Calibration, fp32_depth: float = 0.0) -> ReducedGraph:
    """Return a network whose convolutions compute in 8-bit integers, calibrated on ``strips``.

    Weights have one scale per channel and 7 bits, because CPUs without VNNI add pairs of products
    in 16 bits, which 8-bit weights would overflow. These stay in float32: the first and the last
    layers; depthwise convolutions, which lose most accuracy and gain least speed
    (docs/precision.md); and all layers in the first ``fp32_depth`` of the network's depth, a share
    of 1, because errors of early layers grow.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with tempfile.TemporaryDirectory() as folder:
        prepared, written = _prepared(content, Path(folder)), Path(folder) / "int8.onnx"
        model = onnx.load(prepared)
        _, first, last, _ = _ends(model.graph)
        kept = sorted({*first, *last, *_grouped(model.graph), *_early(model.graph, fp32_depth)})
        quantize_static(
            prepared,
            written,
            _Reader(model.graph.input[0].name, strips),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=kept,
            extra_options={"CalibStridedMinMax": 1},
        )
        layers = sum(node.op_type == "Conv" and node.name not in kept for node in model.graph.node)
        return ReducedGraph(written.read_bytes(), layers, tuple(kept))


class _Reader:
    """Feeds strips to a calibrator of onnxruntime one by one.

    The calibrator is set to merge the ranges after each strip (CalibStridedMinMax). Otherwise it
    would keep the ranges of all strips in memory, and its limit to that
    (CalibMaxIntermediateOutputs of onnxruntime 1.32) drops what is beyond.
    """

    def __init__(self, name: str, strips: Calibration) -> None:
        self._name, self._strips = name, strips
        self._inputs: Iterator[NDArray[np.uint8]] = iter(())

    def __len__(self) -> int:
        return len(self._strips)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Start with these strips."""
        indices = range(start_index, end_index)
        self._inputs = chain.from_iterable(self._strips[index] for index in indices)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """Return the next strip or tile; None after the last one."""
        strip = next(self._inputs, None)
        return None if strip is None else {self._name: strip}


def _prepared(content: bytes, folder: Path) -> Path:
    """Write a network with folded constants, inferred shapes and named nodes to a file."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    given, prepared = folder / "given.onnx", folder / "prepared.onnx"
    given.write_bytes(content)
    quant_pre_process(given, prepared, skip_symbolic_shape=True)
    model = onnx.load(prepared)
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.name or node.op_type}#{number}"
    onnx.save(model, prepared)
    return prepared


def _largest(prepared: Path, strips: Calibration) -> Mapping[str, float]:
    """Return the largest absolute value of each tensor on some strips, by the tensor's name."""
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import create_calibrator

    calibrator = create_calibrator(
        prepared,
        augmented_model_path=(prepared.parent / "augmented.onnx").as_posix(),
        calibrate_method=CalibrationMethod.MinMax,
    )
    reader = _Reader(calibrator.infer_session.get_inputs()[0].name, strips)
    for index in range(len(strips)):
        reader.set_range(index, index + 1)
        calibrator.collect_data(reader)
    return {
        tensor: float(np.abs(each.range_value).max())
        for tensor, each in calibrator.compute_data().items()
    }


def _with_large_weights(graph: Any) -> set[str]:
    """Return the nodes with a weight that is too large for float16."""
    from onnx import TensorProto, numpy_helper

    large = {
        each.name
        for each in graph.initializer
        if each.data_type == TensorProto.FLOAT
        and np.abs(numpy_helper.to_array(each)).max(initial=0) > _LARGEST
    }
    return {node.name for node in graph.node if large & set(node.input)}


def _remove_round_trips(graph: Any, own: set[str]) -> None:
    """Connect nodes in float32 directly.

    The converter casts every output of a node in float32 to float16, and back to float32 before
    another such node. ``own`` are the nodes that the converter did not add.
    """
    added = [node for node in graph.node if node.op_type == "Cast" and node.name not in own]
    before = {node.output[0]: node.input[0] for node in added if _to(node) == "FLOAT16"}
    for node in added:
        if _to(node) == "FLOAT" and node.input[0] in before:
            node.input[0] = before[node.input[0]]


def _to(cast: Any) -> str:
    """Return the type that a node casts to."""
    from onnx import TensorProto

    return str(TensorProto.DataType.Name(cast.attribute[0].i))


def _grouped(graph: Any) -> set[str]:
    """Return the convolutions in groups of channels, such as depthwise ones."""
    return {
        node.name
        for node in graph.node
        for attribute in node.attribute
        if attribute.name == "group" and attribute.i > 1
    }


def _early(graph: Any, share: float) -> set[str]:
    """Return the layers within this share of the depth, which counts layers in sequence."""
    depth: dict[str, int] = {}
    layers: dict[str, int] = {}
    for node in graph.node:
        before = max((depth.get(name, 0) for name in node.input), default=0)
        if node.op_type in _LAYERS:
            layers[node.name] = before
            before += 1
        depth.update(dict.fromkeys(node.output, before))
    deepest = max(layers.values(), default=0)
    return {name for name, before in layers.items() if before < share * deepest}


def _ends(graph: Any) -> tuple[set[str], set[str], set[str], set[str]]:
    """Return the nodes before all layers, the first layers, the last ones, and the nodes after."""
    before, first = _until_layer(graph.node, lambda node: (node.input, node.output), graph.input)
    backwards = list(reversed(graph.node))
    after, last = _until_layer(backwards, lambda node: (node.output, node.input), graph.output)
    return before, first, last, after


def _until_layer(nodes: Any, ends: Any, starts: Any) -> tuple[set[str], set[str]]:
    """Return the nodes that are reached before any layer, and the layers that are reached first."""
    reached = {each.name for each in starts}
    passed: set[str] = set()
    others: set[str] = set()
    layers: set[str] = set()
    for node in nodes:
        near, far = map(set, ends(node))
        if passed & near:
            passed |= far
        elif reached & near:
            if node.op_type in _LAYERS:
                layers.add(node.name)
                passed |= far
            else:
                others.add(node.name)
                reached |= far
    return others, layers
