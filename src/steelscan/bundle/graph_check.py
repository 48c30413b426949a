"""What a network's file may hold: plain layers, all weights inside, outputs of known sizes.

A graph of a stranger is read as what it is, a protobuf message, before any runtime sees it. What it
computes for a strip of a given size is inferred, so that memory and time are known before they are
spent. No torch here.
"""

from collections.abc import Callable, Iterator, Mapping
from math import prod

import numpy as np
import onnx
from onnx import AttributeProto, NodeProto, TensorProto, ValueInfoProto

from steelscan.bundle.spec import Graph
from steelscan.strip import Frame

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
"""All that a graph may ask for; nothing in it repeats, branches, draws, or leaves the graph."""

BYTES_A_PIXEL = 2**13
"""That a network may hold at once, beside its weights, for each pixel that it sees of a strip."""

MOST_BYTES = 2**33
"""That a network may hold at once, whatever it sees."""

WORK_A_PIXEL = 2**23
"""Multiplications for each of these pixels. The recipes' networks take an eighth at the most."""

_LEAST_PIXELS = 2**17
"""For strips of fewer pixels as much may be held as for one of so many."""

_LEAST_WORKED = 2**14
"""For strips of fewer pixels as much work may be done as for one of so many.

That is also the most for what does not depend on the strip, and is computed when a graph is loaded.
"""

_MOST_LOOSE = 16 * 2**20
"""Bytes of a graph that are not raw data of weights: each may take fifty in memory."""

_FIELD = 64
"""Bytes that a field counts at the least."""

_KEPT = 4096
"""Weights with more numbers than this can say nothing of shapes."""

_KINDS = {
    AttributeProto.FLOAT,
    AttributeProto.INT,
    AttributeProto.STRING,
    AttributeProto.TENSOR,
    AttributeProto.FLOATS,
    AttributeProto.INTS,
    AttributeProto.STRINGS,
}

_NUMBERS: Mapping[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.INT64: "int64_data",
    **dict.fromkeys(
        (
            TensorProto.FLOAT16,
            TensorProto.INT32,
            TensorProto.INT8,
            TensorProto.UINT8,
            TensorProto.BOOL,
        ),
        "int32_data",
    ),
}
"""Types of numbers, and the field that holds them where they are not raw."""

_INTEGERS = frozenset(
    (
        TensorProto.INT8,
        TensorProto.UINT8,
        TensorProto.INT16,
        TensorProto.UINT16,
        TensorProto.INT32,
        TensorProto.UINT32,
        TensorProto.INT64,
        TensorProto.UINT64,
    )
)

Shape = tuple[int, tuple[int, ...]]
"""Type of the numbers of a tensor, and its sides."""


class GraphCheck:
    """A network's file that was checked, and can tell what it takes for strips of any size."""

    def __init__(
        self, graph: Graph, content: bytes, views: int, classes: int, *, logits: bool = False
    ) -> None:
        """Read the file of a network that predicts probabilities, or ``logits``.

        Raises ValueError in the user's words.
        """
        model = _parsed(content)
        _check_structure(model)
        self._graph = graph
        self._outputs = _outputs_of(graph, views, classes, logits)
        if len(model.graph.output) != len(graph.heads):
            raise ValueError(f"has {len(model.graph.output)} outputs, not {len(graph.heads)}")
        self._model = _without_weights(model)
        self._checked: set[Frame] = set()

    def check(self, frame: Frame) -> None:
        """Refuse what it predicts for strips of this size, or takes for it. Raises ValueError."""
        if frame in self._checked:
            return
        shapes = self._inferred(frame)
        for name, output in zip(self._graph.heads, self._model.graph.output, strict=True):
            kind, sides = shapes[output.name]
            answers, *rest = sides or (0,)
            wanted = self._outputs[name](frame)
            if kind != TensorProto.FLOAT or answers not in wanted[0] or tuple(rest) != wanted[1]:
                raise ValueError(f"gives {name} of shape {sides}, not {(1, *wanted[1])}")
        _check_integers(self._model.graph, shapes)
        held, work, fixed = _costs(self._model.graph, shapes)
        most = min(MOST_BYTES, BYTES_A_PIXEL * max(frame.pixels, _LEAST_PIXELS))
        if held > most:
            sizes = f"{held / 2**30:.1f} GiB for a strip of {frame}, more than {most >> 30}"
            raise ValueError(f"would take {sizes}")
        for part, pixels in ((fixed, _LEAST_WORKED), (work, max(frame.pixels, _LEAST_WORKED))):
            if part > WORK_A_PIXEL * pixels:
                sizes = f"{part:.0e} multiplications, more than {WORK_A_PIXEL * pixels:.0e}"
                raise ValueError(f"would take {sizes} for a strip of {frame}")
        self._checked.add(frame)

    def _inferred(self, frame: Frame) -> dict[str, Shape]:
        """Type and shape of every tensor for strips of a size."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        (first, *_) = model.graph.input
        shape = first.type.tensor_type.shape
        for side, length in zip(shape.dim, (1, 1, *frame), strict=True):
            side.dim_value = length
        found = onnx.shape_inference.infer_shapes(
            model, check_type=True, strict_mode=True, data_prop=True
        ).graph
        shapes = {
            tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in found.initializer
        }
        for value in (*found.input, *found.value_info, *found.output):
            if (known := _shape(value)) is not None:
                shapes[value.name] = known
        for node in found.node:
            for name in filter(None, node.output):
                if name not in shapes:
                    raise ValueError(f"{node.op_type} gives a tensor of no known size")
        return shapes


def _outputs_of(
    graph: Graph, views: int, classes: int, logits: bool
) -> dict[str, Callable[[Frame], tuple[set[int], tuple[int, ...]]]]:
    """By head and frame: how many answers there may be, and the other sides."""
    known = len(graph.classes or range(classes))
    planes = known + (graph.softmax and logits)  # logits for softmax have one of sound steel
    return {
        "masks": lambda frame: ({1, views}, (1, planes, *frame)),
        "classes": lambda _: ({1, views}, (1, known)),
    }


def _parsed(content: bytes) -> onnx.ModelProto:
    loose = 0
    for number, part in _fields(memoryview(content)):
        for inner, tensor in _fields(part) if number == 7 else ((0, part),):
            for field, numbers in _fields(tensor) if (number, inner) == (7, 5) else ((0, tensor),):
                loose += _FIELD + (0 if field == 9 else len(numbers))
                if loose > _MOST_LOOSE:
                    raise ValueError(f"holds over {_MOST_LOOSE >> 20} MiB beside raw weights")
    try:
        return onnx.load_model_from_string(content)
    except Exception:  # of protobuf, which onnx does not turn into an error of its own
        raise ValueError("is no ONNX graph") from None


def _fields(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields of a protobuf message: their numbers and contents; of plain numbers none."""
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
    """A number of protobuf, and where it ends."""
    value = 0
    for place, byte in enumerate(content[at : at + 10]):
        value |= (byte & 127) << (7 * place)
        if byte < 128:
            return value, at + place + 1
    raise ValueError("is no ONNX graph, or is cut off")


def _check_structure(model: onnx.ModelProto) -> None:
    """Refuse all but plain layers, one after another, with their weights beside them."""
    graph = model.graph
    if model.functions or model.training_info or graph.sparse_initializer:
        raise ValueError("holds functions, training or sparse weights")
    for tensor in graph.initializer:
        _check_tensor(tensor)
    for node in graph.node:
        if node.op_type not in OPERATORS or node.domain not in ("", "ai.onnx"):
            name = ".".join(filter(None, (node.domain, node.op_type)))
            raise ValueError(f"asks for the operator {name[:60]!r}, which bundles may not use")
        for attribute in node.attribute:
            inner = (attribute.graphs, attribute.tensors, attribute.sparse_tensors)
            odd = any(map(attribute.HasField, ("g", "sparse_tensor", "tp"))) or any(map(len, inner))
            if odd or attribute.type not in _KINDS:
                raise ValueError(f"{node.op_type} has an attribute that is no number or weight")
            if attribute.HasField("t"):
                _check_tensor(attribute.t)
    taken = [each for each in graph.input if each.type.tensor_type.elem_type == TensorProto.UINT8]
    sides = [len(each.type.tensor_type.shape.dim) for each in taken]
    if len(graph.input) != 1 or sides != [4]:
        raise ValueError("does not take one input, strips of uint8 (1, 1, height, width)")


def _check_tensor(tensor: TensorProto) -> None:
    """Refuse weights that lie elsewhere, or that say to be more than they are."""
    if tensor.data_location != TensorProto.DEFAULT or tensor.external_data:
        raise ValueError("its weights lie outside of it")
    field = _NUMBERS.get(tensor.data_type)
    if field is None or tensor.HasField("segment") or any(side < 0 for side in tensor.dims):
        raise ValueError("holds weights that are no plain numbers")
    size = _bytes_of(tensor.data_type)
    if len(tensor.raw_data) + size * len(getattr(tensor, field)) != size * prod(tensor.dims):
        raise ValueError("holds weights that are more, or fewer, than they say")


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its large weights as inputs, and without what it says of shapes itself."""
    graph = model.graph
    small = [each for each in graph.initializer if prod(each.dims) <= _KEPT]
    large = [each for each in graph.initializer if prod(each.dims) > _KEPT]
    graph.input.extend(
        onnx.helper.make_tensor_value_info(each.name, each.data_type, list(each.dims))
        for each in large
    )
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(small)
    onnx.checker.check_model(model)
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    return model


def _check_integers(graph: onnx.GraphProto, shapes: Mapping[str, Shape]) -> None:
    """Refuse integers of which runtimes make others than were inferred, or at which they break off.

    Inference carries sizes through a Cast as they are, and runtimes cut them. The least integer by
    -1, divided where neither was known beforehand, ends the process.
    """
    known = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            known[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
        kinds = [shapes[name][0] for name in (*node.input, *node.output) if name in shapes]
        if node.op_type == "Cast" and kinds[-1] in _INTEGERS and kinds[0] != kinds[-1]:
            raise ValueError("turns numbers into integers of another type, which bundles may not")
        if node.op_type in ("Div", "Mod") and kinds[0] in _INTEGERS:
            divisor = known.get(node.input[1])
            if divisor is None or (divisor <= 0).any():
                raise ValueError("divides integers by what is no known positive number")


def _shape(value: ValueInfoProto) -> Shape | None:
    """Type and sides of a tensor; None where one is not known."""
    tensor = value.type.tensor_type
    sides = [each.dim_value for each in tensor.shape.dim if each.HasField("dim_value")]
    if (
        not tensor.HasField("shape")
        or len(sides) < len(tensor.shape.dim)
        or min(sides, default=0) < 0
    ):
        return None
    return tensor.elem_type, tuple(sides)


def _costs(graph: onnx.GraphProto, shapes: Mapping[str, Shape]) -> tuple[int, int, int]:
    """The most bytes that a network holds at once, and its multiplications: all, and beforehand.

    A tensor is held until the last node has taken it. What does not depend on the strip is held
    for ever: runtimes compute it beforehand, and keep it.
    """
    last = {name: at for at, node in enumerate(graph.node) for name in node.input}
    ends: dict[int, int] = {}
    moving = {graph.input[0].name}
    held = most = work = fixed = 0
    for at, node in enumerate(graph.node):
        moves = not moving.isdisjoint(node.input)
        work += _work(node, shapes)
        fixed += 0 if moves else _work(node, shapes)
        for name in filter(None, node.output):
            size = _bytes_of(shapes[name][0]) * prod(shapes[name][1])
            held += size
            if moves:
                moving.add(name)
                end = last.get(name, len(graph.node))
                ends[end] = ends.get(end, 0) + size
        most = max(most, held)
        held -= ends.pop(at, 0)
    return most, work, fixed


def _work(node: NodeProto, shapes: Mapping[str, Shape]) -> int:
    """The multiplications of a node, about."""
    given = [shapes[name][1] for name in node.input if name in shapes]
    made = [shapes[name][1] for name in node.output if name in shapes]
    match node.op_type:
        case "Conv":
            return prod(made[0]) * prod(given[1][1:])
        case "ConvTranspose":
            return prod(given[0]) * prod(given[1][1:])
        case "MatMul" | "Gemm":
            return prod(made[0]) * max(given[0])
        case "AveragePool" | "MaxPool":
            sides = [each.ints for each in node.attribute if each.name == "kernel_shape"]
            return prod(made[0]) * prod(map(int, sides[0]))
        case _:
            return max(map(prod, (*given, *made)), default=0)


def _bytes_of(kind: int) -> int:
    size: int = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind)).itemsize
    return size
