"""One network as ONNX in another precision: float16 inside, or 8-bit integers. No torch here."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from steelscan.strip import MissingPartError


class Strips(Protocol):
    """What a network sees of some strips, each read when it is wanted.

    Of each it is one array, or one a tile: uint8 ``(1, 1, height, width)``.
    """

    def __len__(self) -> int: ...
    def __getitem__(self, place: int, /) -> Sequence[NDArray[np.uint8]]: ...


_HEAVY = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
_ROOM = 16_384.0
"""What comes above this is left in float32: strips not seen may go four times as far."""


@dataclass(frozen=True)
class Lowered:
    """A network in another precision: so many layers with weights; other nodes stay, by name."""

    content: bytes
    layers: int
    kept: tuple[str, ...]


def check_parts() -> None:
    """Raise MissingPartError where what rewrites graphs is not installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime.quantization  # noqa: F401
    except ModuleNotFoundError as error:
        found = f"needs {error.name}, which is not installed"
        raise MissingPartError("quantize", found, "Run: pip install onnx onnxruntime") from None


def to_fp16(content: bytes, strips: Strips) -> Lowered:
    """A network that computes in float16 between its first and its last layers.

    In float32 stay what normalises the strip, whose 0 to 255 lose digits, what comes after the
    last layers (probabilities and their means), and whatever goes so high on ``strips`` that
    float16, which ends at 65504, may overflow.
    """
    import onnx
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with tempfile.TemporaryDirectory() as folder:
        prepared = _prepared(content, Path(folder))
        highest = _highest(prepared, strips)
        model = onnx.load(prepared)
    before, _, _, after = _ends(model.graph)
    high = {
        node.name
        for node in model.graph.node
        if any(highest.get(name, 0.0) > _ROOM for name in (*node.input, *node.output))
    }
    high |= _with_large_weights(model.graph)
    kept = sorted({*before, *after, *high})
    own = {node.name for node in model.graph.node}
    lowered = convert_float_to_float16(model, keep_io_types=True, node_block_list=kept)
    _shorten(lowered.graph, own)
    ONNXModel(lowered).topological_sort()  # the converter puts what it adds last
    layers = sum(node.op_type in _HEAVY and node.name not in kept for node in lowered.graph.node)
    return Lowered(lowered.SerializeToString(), layers, tuple(kept))


def to_int8(content: bytes, strips: Strips, behind: float = 0.0) -> Lowered:
    """A network whose convolutions compute in 8-bit integers, calibrated on ``strips``.

    Weights have a scale a channel, and 7 bits: without VNNI, sums of pairs of products of 8 bits
    are cut off in 16. In float32 stay the first and the last layers, and convolutions of each
    channel by itself, which 8 bits harm most and hasten least (docs/precision.md); and all layers
    up to ``behind``, a share of the network's depth, for what goes wrong early goes on.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with tempfile.TemporaryDirectory() as folder:
        prepared, written = _prepared(content, Path(folder)), Path(folder) / "int8.onnx"
        model = onnx.load(prepared)
        _, first, last, _ = _ends(model.graph)
        kept = sorted({*first, *last, *_grouped(model.graph), *_early(model.graph, behind)})
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
        return Lowered(written.read_bytes(), layers, tuple(kept))


class _Reader:
    """Strips as a calibrator of onnxruntime wants them, read one by one.

    It is told to take them in strides of one, and merges what it finds: given all at once it holds
    what it finds of each, and its own limit to that (CalibMaxIntermediateOutputs of onnxruntime
    1.32) forgets what lies beyond.
    """

    def __init__(self, name: str, strips: Strips) -> None:
        self._name, self._strips = name, strips
        self._now: Iterator[NDArray[np.uint8]] = iter(())

    def __len__(self) -> int:
        return len(self._strips)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Begin with these strips."""
        places = range(start_index, end_index)
        self._now = chain.from_iterable(self._strips[place] for place in places)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """The next strip, or tile of one; None behind the last of the range."""
        strip = next(self._now, None)
        return None if strip is None else {self._name: strip}


def _prepared(content: bytes, folder: Path) -> Path:
    """A network with its constants folded, its shapes known and its nodes named, as a file."""
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


def _highest(prepared: Path, strips: Strips) -> Mapping[str, float]:
    """How far from 0 each tensor of a network goes on some strips, by the tensor's name."""
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import create_calibrator

    calibrator = create_calibrator(
        prepared,
        augmented_model_path=(prepared.parent / "augmented.onnx").as_posix(),
        calibrate_method=CalibrationMethod.MinMax,
    )
    reader = _Reader(calibrator.infer_session.get_inputs()[0].name, strips)
    for place in range(len(strips)):
        reader.set_range(place, place + 1)
        calibrator.collect_data(reader)
    return {
        tensor: float(np.abs(found.range_value).max())
        for tensor, found in calibrator.compute_data().items()
    }


def _with_large_weights(graph: Any) -> set[str]:
    """The nodes with a weight that float16 has no number for."""
    from onnx import TensorProto, numpy_helper

    large = {
        each.name
        for each in graph.initializer
        if each.data_type == TensorProto.FLOAT
        and np.abs(numpy_helper.to_array(each)).max(initial=0) > _ROOM
    }
    return {node.name for node in graph.node if large & set(node.input)}


def _shorten(graph: Any, own: set[str]) -> None:
    """Let float32 go straight from node to node, and not by way of float16.

    The converter turns to float16 all that a node in float32 gives, for whoever takes it.
    ``own`` are the nodes that it did not add.
    """
    added = [node for node in graph.node if node.op_type == "Cast" and node.name not in own]
    before = {node.output[0]: node.input[0] for node in added if _to(node) == "FLOAT16"}
    for node in added:
        if _to(node) == "FLOAT" and node.input[0] in before:
            node.input[0] = before[node.input[0]]


def _to(cast: Any) -> str:
    """What a node casts to."""
    from onnx import TensorProto

    return str(TensorProto.DataType.Name(cast.attribute[0].i))


def _grouped(graph: Any) -> set[str]:
    """Convolutions in groups of channels, most of them of one channel each."""
    return {
        node.name
        for node in graph.node
        for attribute in node.attribute
        if attribute.name == "group" and attribute.i > 1
    }


def _early(graph: Any, share: float) -> set[str]:
    """Layers with weights before this share of the depth: of such layers, one behind another."""
    depth: dict[str, int] = {}
    layers: dict[str, int] = {}
    for node in graph.node:
        before = max((depth.get(name, 0) for name in node.input), default=0)
        if node.op_type in _HEAVY:
            layers[node.name] = before
            before += 1
        depth.update(dict.fromkeys(node.output, before))
    deepest = max(layers.values(), default=0)
    return {name for name, before in layers.items() if before < share * deepest}


def _ends(graph: Any) -> tuple[set[str], set[str], set[str], set[str]]:
    """Nodes before all layers with weights, the first such layers, the last, and what is behind."""
    before, first = _until_heavy(graph.node, lambda node: (node.input, node.output), graph.input)
    turned = list(reversed(graph.node))
    after, last = _until_heavy(turned, lambda node: (node.output, node.input), graph.output)
    return before, first, last, after


def _until_heavy(nodes: Any, sides: Any, starts: Any) -> tuple[set[str], set[str]]:
    """The nodes reached before a heavy one, and the heavy ones that are reached first."""
    reached = {each.name for each in starts}
    passed: set[str] = set()
    light: set[str] = set()
    heavy: set[str] = set()
    for node in nodes:
        near, far = sides(node)
        if passed & set(near):
            passed |= set(far)
        elif reached & set(near):
            if node.op_type in _HEAVY:
                heavy.add(node.name)
                passed |= set(far)
            else:
                light.add(node.name)
                reached |= set(far)
    return light, heavy
