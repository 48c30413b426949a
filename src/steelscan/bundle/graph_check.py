"""Check what a network computes, and what that costs, before any runtime opens its file.

The shapes of all tensors are inferred for strips of a given size, so that memory and work are known
before they are spent.
"""

from collections.abc import Callable, Mapping
from math import prod

import onnx
from onnx import NodeProto, TensorProto, ValueInfoProto

from steelscan.bundle.graph_file import bytes_of, parse
from steelscan.bundle.spec import Graph
from steelscan.strip import Frame

BYTES_PER_PIXEL = 2**13
"""Memory of a network, besides its weights, per pixel of its input."""

MOST_BYTES = 2**33
"""Memory of a network, besides its weights, for any input."""

WORK_PER_PIXEL = 2**23
"""Multiplications per pixel of the input. The recipes' networks need at most an eighth."""

_LEAST_PIXELS = 2**17
"""Smaller inputs may use as much memory as one of this size."""

_LEAST_WORK_PIXELS = 2**14
"""Smaller inputs may need as much work as one of this size.

This is also the limit for what does not depend on the input, and is computed at loading.
"""

_KEPT = 4096
"""Weights with more numbers than this cannot be part of a shape."""

_INTEGERS = frozenset(
    TensorProto.DataType.Value(f"{sign}INT{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)
)

Shape = tuple[int, tuple[int, ...]]
"""Type and shape of a tensor."""


class GraphCheck:
    """A network whose file was checked, and whose costs can be checked for any size of strips."""

    def __init__(
        self, graph: Graph, content: bytes, views: int, classes: int, *, logits: bool = False
    ) -> None:
        """Check the file of a network that predicts probabilities, or ``logits``.

        Raises ValueError with a message for users.
        """
        model = parse(content)
        self._graph = graph
        self._outputs = _outputs_of(graph, views, classes, logits)
        if len(model.graph.output) != len(graph.heads):
            raise ValueError(f"has {len(model.graph.output)} outputs, not {len(graph.heads)}")
        self._model = _without_weights(model)
        self._checked: set[Frame] = set()

    def check(self, frame: Frame) -> None:
        """Raise ValueError if its outputs or its costs for strips of this size are not allowed."""
        if frame in self._checked:
            return
        shapes = self._inferred(frame)
        for name, output in zip(self._graph.heads, self._model.graph.output, strict=True):
            kind, sides = shapes[output.name]
            views, *rest = sides or (0,)
            counts, shape = self._outputs[name](frame)
            if kind != TensorProto.FLOAT or views not in counts or tuple(rest) != shape:
                raise ValueError(f"has {name} of shape {sides}, not {(1, *shape)}")
        _check_integers(self._model.graph, shapes)
        held, work, fixed = _costs(self._model.graph, shapes)
        most = min(MOST_BYTES, BYTES_PER_PIXEL * max(frame.pixels, _LEAST_PIXELS))
        if held > most:
            sizes = f"{held / 2**30:.1f} GiB for a strip of {frame}, more than {most >> 30}"
            raise ValueError(f"would take {sizes}")
        for part, pixels in (
            (fixed, _LEAST_WORK_PIXELS),
            (work, max(frame.pixels, _LEAST_WORK_PIXELS)),
        ):
            if part > WORK_PER_PIXEL * pixels:
                sizes = f"{part:.0e} multiplications, more than {WORK_PER_PIXEL * pixels:.0e}"
                raise ValueError(f"would take {sizes} for a strip of {frame}")
        self._checked.add(frame)

    def _inferred(self, frame: Frame) -> dict[str, Shape]:
        """Return type and shape of every tensor for strips of a size. Raises ValueError."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        (first, *_) = model.graph.input
        shape = first.type.tensor_type.shape
        for side, length in zip(shape.dim, (1, 1, *frame), strict=True):
            side.dim_value = length
        graph = onnx.shape_inference.infer_shapes(
            model, check_type=True, strict_mode=True, data_prop=True
        ).graph
        shapes = {
            tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in graph.initializer
        }
        for value in (*graph.input, *graph.value_info, *graph.output):
            if (known := _shape(value)) is not None:
                shapes[value.name] = known
        for node in graph.node:
            for name in filter(None, node.output):
                if name not in shapes:
                    raise ValueError(f"{node.op_type} has an output of unknown size")
        return shapes


def _outputs_of(
    graph: Graph, views: int, classes: int, logits: bool
) -> dict[str, Callable[[Frame], tuple[set[int], tuple[int, ...]]]]:
    """Return per output, for a frame: possible numbers of views, and the rest of the shape."""
    known = len(graph.classes or range(classes))
    planes = known + (graph.softmax and logits)  # softmax has a plane for clean steel
    return {
        "masks": lambda frame: ({1, views}, (1, planes, *frame)),
        "classes": lambda _: ({1, views}, (1, known)),
    }


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with large weights as inputs, and without the shapes that it claims."""
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
    """Raise ValueError for integers that runtimes compute otherwise than the shape inference.

    The inference does not change sizes in a Cast, but runtimes truncate them. A division of the
    smallest integer by -1 ends the process, so a divisor must be a known positive number.
    """
    known = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            known[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
        kinds = [shapes[name][0] for name in (*node.input, *node.output) if name in shapes]
        if node.op_type == "Cast" and kinds[-1] in _INTEGERS and kinds[0] != kinds[-1]:
            raise ValueError(
                "converts numbers to integers of another type, which bundles may not do"
            )
        if node.op_type in ("Div", "Mod") and kinds[0] in _INTEGERS:
            divisor = known.get(node.input[1])
            if divisor is None or (divisor <= 0).any():
                raise ValueError("divides integers by something other than a known positive number")


def _shape(value: ValueInfoProto) -> Shape | None:
    """Return type and shape of a tensor; None if any side is unknown."""
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
    """Return the peak bytes, all multiplications, and those that do not depend on the strip.

    A tensor is held until the last node that uses it. One that does not depend on the strip is
    never freed: runtimes compute it at loading, and keep it.
    """
    last = {name: at for at, node in enumerate(graph.node) for name in node.input}
    ends: dict[int, int] = {}
    dynamic = {graph.input[0].name}
    held = most = work = fixed = 0
    for at, node in enumerate(graph.node):
        depends = not dynamic.isdisjoint(node.input)
        work += _work(node, shapes)
        fixed += 0 if depends else _work(node, shapes)
        for name in filter(None, node.output):
            size = bytes_of(shapes[name][0]) * prod(shapes[name][1])
            held += size
            if depends:
                dynamic.add(name)
                end = last.get(name, len(graph.node))
                ends[end] = ends.get(end, 0) + size
        most = max(most, held)
        held -= ends.pop(at, 0)
    return most, work, fixed


def _work(node: NodeProto, shapes: Mapping[str, Shape]) -> int:
    """Return roughly the multiplications of a node."""
    inputs = [shapes[name][1] for name in node.input if name in shapes]
    results = [shapes[name][1] for name in node.output if name in shapes]
    match node.op_type:
        case "Conv":
            return prod(results[0]) * prod(inputs[1][1:])
        case "ConvTranspose":
            return prod(inputs[0]) * prod(inputs[1][1:])
        case "MatMul" | "Gemm":
            return prod(results[0]) * max(inputs[0])
        case "AveragePool" | "MaxPool":
            sides = [each.ints for each in node.attribute if each.name == "kernel_shape"]
            return prod(results[0]) * prod(map(int, sides[0]))
        case _:
            return max(map(prod, (*inputs, *results)), default=0)
