"""Parse the file of a network, and accept only plain layers with their own weights.

The file may come from a stranger. It is read as a protobuf message before any runtime opens it.
"""

from collections.abc import Iterator, Mapping
from math import prod

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto

_NAMES = """
Abs Add And AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv
ConvTranspose CumSum DepthToSpace DequantizeLinear Div Elu Equal Erf Exp Expand Flatten Floor Gather
Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid
HardSwish Identity InstanceNormalization LayerNormalization LeakyRelu Less LessOrEqual Log MatMul
Max MaxPool Min Mish Mod Mul Neg Not Or PRelu Pad Pow QuantizeLinear Reciprocal ReduceMax ReduceMean
ReduceMin ReduceSum Relu Reshape Resize Round Selu Shape Sigmoid Size Slice Softmax Softplus Split
Sqrt Squeeze Sub Sum Tanh Tile Transpose Unsqueeze Where Xor
"""
OPERATORS = frozenset(_NAMES.split())
"""The operators that a graph may use; none of them loops, branches, draws, or reads a file."""

_MOST_LOOSE = 16 * 2**20
"""Bytes of a file besides the raw data of weights; each of them may take fifty in memory."""

_FIELD = 64
"""Bytes that each field counts at least."""

_ATTRIBUTES = frozenset(
    map(
        AttributeProto.AttributeType.Value,
        ["FLOAT", "INT", "STRING", "TENSOR", "FLOATS", "INTS", "STRINGS"],
    )
)
"""Types of attributes that a node may have."""

_NUMBERS: Mapping[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.INT64: "int64_data",
    **dict.fromkeys(
        map(TensorProto.DataType.Value, ["FLOAT16", "INT32", "INT8", "UINT8", "BOOL"]), "int32_data"
    ),
}
"""Types of numbers, and the field that holds them if they are not stored as raw data."""


def parse(content: bytes) -> onnx.ModelProto:
    """Parse an ONNX file and check its structure. Raises ValueError."""
    _check_loose_bytes(content)
    try:
        model = onnx.load_model_from_string(content)
    except Exception:  # an error of protobuf, which onnx does not wrap
        raise ValueError("is no ONNX graph") from None
    _check_structure(model)
    return model


def _check_loose_bytes(content: bytes) -> None:
    """Raise ValueError if a file holds too much besides the raw data of weights.

    Field 7 of a model is its graph, field 5 of a graph an initializer, and field 9 of that its raw
    data.
    """
    loose = 0
    for number, part in _fields(memoryview(content)):
        for inner, tensor in _fields(part) if number == 7 else ((0, part),):
            for field, numbers in _fields(tensor) if (number, inner) == (7, 5) else ((0, tensor),):
                loose += _FIELD + (0 if field == 9 else len(numbers))
                if loose > _MOST_LOOSE:
                    raise ValueError(f"holds over {_MOST_LOOSE >> 20} MiB besides raw weights")


def _fields(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of each field of a protobuf message; numbers have no content."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        length = 0
        match key & 7:
            case 0:
                _, at = _varint(content, at)
            case 1:
                at += 8
            case 2:
                length, at = _varint(content, at)
            case 5:
                at += 4
            case _:
                raise ValueError("is no ONNX graph")
        if at + length > len(content):
            raise ValueError("is no ONNX graph, or is cut off")
        yield key >> 3, content[at : at + length]
        at += length


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    """Read a number of protobuf; return it and the position after it."""
    value = 0
    for position, byte in enumerate(content[at : at + 10]):
        value |= (byte & 127) << (7 * position)
        if byte < 128:
            return value, at + position + 1
    raise ValueError("is no ONNX graph, or is cut off")


def _check_structure(model: onnx.ModelProto) -> None:
    """Raise ValueError unless a graph is a sequence of plain layers with their own weights."""
    graph = model.graph
    if model.functions or model.training_info or graph.sparse_initializer:
        raise ValueError("holds functions, training or sparse weights")
    for tensor in graph.initializer:
        _check_tensor(tensor)
    for node in graph.node:
        if node.op_type not in OPERATORS or node.domain not in ("", "ai.onnx"):
            name = ".".join(filter(None, (node.domain, node.op_type)))
            raise ValueError(f"has the operator {name[:60]!r}, which bundles may not use")
        for attribute in node.attribute:
            inner = (attribute.graphs, attribute.tensors, attribute.sparse_tensors)
            odd = any(map(attribute.HasField, ("g", "sparse_tensor", "tp"))) or any(map(len, inner))
            if odd or attribute.type not in _ATTRIBUTES:
                raise ValueError(f"{node.op_type} has an attribute that is no number or weight")
            if attribute.HasField("t"):
                _check_tensor(attribute.t)
    images = [each for each in graph.input if each.type.tensor_type.elem_type == TensorProto.UINT8]
    sides = [len(each.type.tensor_type.shape.dim) for each in images]
    if len(graph.input) != 1 or sides != [4]:
        raise ValueError("does not take one input, strips of uint8 (1, 1, height, width)")


def _check_tensor(tensor: TensorProto) -> None:
    """Raise ValueError for weights in another file, or whose size is not that of their data."""
    if tensor.data_location != TensorProto.DEFAULT or tensor.external_data:
        raise ValueError("has weights in another file")
    field = _NUMBERS.get(tensor.data_type)
    if field is None or tensor.HasField("segment") or any(side < 0 for side in tensor.dims):
        raise ValueError("holds weights that are no plain numbers")
    size = bytes_of(tensor.data_type)
    if len(tensor.raw_data) + size * len(getattr(tensor, field)) != size * prod(tensor.dims):
        raise ValueError("holds weights whose size is not that of their data")


def bytes_of(kind: int) -> int:
    """Return the bytes per number of an ONNX type."""
    size: int = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind)).itemsize
    return size
