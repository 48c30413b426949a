"""Graphs that a stranger's bundle may contain: each is refused before a runtime opens it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from steelscan.bundle import Graph, Manifest, load, read_package
from steelscan.bundle.graph_check import GraphCheck
from steelscan.bundle.graph_file import OPERATORS
from steelscan.decision import Decision, SegmentStep, Stage
from steelscan.postprocess import Threshold
from steelscan.strip import Classes, Frame
from steelscan.strip.errors import BundleError

FRAME = Frame(64, 96)
FILE = "networks/a.onnx"


def manifest(written_for="onnx"):
    graph = Graph(file=FILE, heads=("masks",))
    stage = Stage(segmenter=SegmentStep(name="segment"), rules=(Threshold(),))
    return Manifest(
        made_with="0",
        recipe="made",
        classes=Classes(names=("rust",)),
        layout="joined",
        frame=tuple(FRAME),
        written_for=written_for,
        decision=Decision(stages=(stage,)),
        networks={"segment": (graph,)},
    )


def node(op, given, made, **attributes):
    return helper.make_node(op, given, made, **attributes)


def number(value, name, kind=np.int64):
    return numpy_helper.from_array(np.array(value, kind), name)


def model(before=(), weights=(), last="x", strips=(1, 1, "h", "w"), kind=TensorProto.UINT8):
    """A graph of one class that predicts the brightness of a pixel, after some other nodes."""
    nodes = [
        node("Cast", ["strips"], ["x"], to=TensorProto.FLOAT),
        *before,
        node("Div", [last, "white"], ["share"]),
        node("Unsqueeze", ["share", "axis"], ["masks"]),
    ]
    held = [number(255, "white", np.float32), number([0], "axis"), *weights]
    given = helper.make_tensor_value_info("strips", kind, strips)
    made = helper.make_tensor_value_info("masks", TensorProto.FLOAT, [1, 1, 1, None, None])
    graph = helper.make_graph(nodes, "bright", [given], [made], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def checked(made, frame=FRAME):
    graph = Graph(file=FILE, heads=("masks",))
    content = made if isinstance(made, bytes) else made.SerializeToString()
    GraphCheck(graph, content, 1, 1).check(frame)


def largest(name, made):
    """Nodes that add 0 times the largest number of a tensor, so that it is needed."""
    return [
        node("ReduceMax", [name], [made + "-max"], keepdims=0),
        node("Mul", [made + "-max", "none"], [made + "-nothing"]),
        node("Add", ["x", made + "-nothing"], [made]),
    ]


NONE = number(0, "none", np.float32)


def external():
    made = model()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/hostname"
    return made


def external_without_mark():
    made = external()
    made.graph.initializer[0].data_location = TensorProto.DEFAULT
    return made


def external_in_an_attribute():
    made = model([node("Constant", [], ["y"], value=number([1.0], "v", np.float32))])
    tensor = made.graph.node[1].attribute[0].t
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.value, entry.key = "weights.bin", "location"
    return made


def sparse():
    made = model()
    values, places = number([1.0], "s", np.float32), number([0], "p")
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [10**9]))
    return made


def function():
    made = model([helper.make_node("Mine", ["x"], ["y"], domain="mine")], last="y")
    made.opset_import.append(helper.make_opsetid("mine", 1))
    body = [node("Relu", ["a"], ["b"])]
    opset = [helper.make_opsetid("", 18)]
    made.functions.append(helper.make_function("mine", "Mine", ["a"], ["b"], body, opset))
    return made


def loop():
    """An endless loop."""
    body = helper.make_graph(
        [node("Identity", ["going"], ["goes"]), node("Relu", ["a"], ["b"])],
        "body",
        [
            helper.make_tensor_value_info("at", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("a", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("b", TensorProto.FLOAT, None),
        ],
    )
    before = [node("Loop", ["", "true", "x"], ["y"], body=body)]
    return model(before, [number(True, "true", np.bool_)], last="y")


def branch():
    one = helper.make_graph(
        [node("Identity", ["x"], ["z"])],
        "one",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
    )
    before = [node("If", ["true"], ["y"], then_branch=one, else_branch=one)]
    return model(before, [number(True, "true", np.bool_)], last="y")


def constant(count):
    """Many zeros, from a shape that takes a few bytes."""
    before = [node("ConstantOfShape", ["shape"], ["zeros"]), *largest("zeros", "y")]
    return model(before, [number([count], "shape"), NONE], last="y")


def expanded(op):
    given = number(np.zeros((1, 1), np.float32), "one", np.float32)
    sizes = number([50_000, 50_000], "sizes")
    before = [node(op, ["one", "sizes"], ["many"]), *largest("many", "y")]
    return model(before, [given, sizes, NONE], last="y")


def resized():
    scales = number([1, 1, 500, 500], "scales", np.float32)
    before = [node("Resize", ["x", "", "scales"], ["many"]), *largest("many", "y")]
    return model(before, [scales, NONE], last="y")


def padded():
    pads = number([0, 0, 0, 0, 0, 0, 10**6, 10**5], "pads")
    return model([node("Pad", ["x", "pads"], ["many"]), *largest("many", "y")], [pads, NONE], "y")


def multiplied():
    """No large tensor, but hours of work."""
    sizes = number([1, 1, 2_000, 2_000], "sizes")
    before = [node("Resize", ["x", "", "", "sizes"], ["many-0"])]
    before += [
        node("MatMul", [f"many-{at}", f"many-{at}"], [f"many-{at + 1}"]) for at in range(999)
    ]
    return model([*before, *largest("many-999", "y")], [sizes, NONE], "y")


def multiplied_at_loading():
    """What does not depend on the strip is computed at loading."""
    sizes = number([4_000, 4_000], "sizes")
    before = [node("Expand", ["one", "sizes"], ["many-0"])]
    before += [node("MatMul", ["many-0", "many-0"], [f"many-{at}"]) for at in range(1, 9)]
    adding = [node("Sum", [f"many-{at}" for at in range(9)], ["sum"])]
    weights = [number([[0.0]], "one", np.float32), sizes, NONE]
    return model([*before, *adding, *largest("sum", "y")], weights, "y")


def sized_by_the_picture():
    """The brightness of the strip decides on the memory."""
    before = [
        node("ReduceMax", ["x"], ["most"], keepdims=0),
        node("Cast", ["most"], ["count"], to=TensorProto.INT64),
        node("Mul", ["count", "million"], ["counts"]),
        node("Reshape", ["counts", "one"], ["shape"]),
        node("ConstantOfShape", ["shape"], ["zeros"]),
        *largest("zeros", "y"),
    ]
    weights = [number(10**6, "million"), number([1], "one"), NONE]
    return model(before, weights, last="y")


def claims_wrong_sizes():
    """Claims that a tensor of unknown size is small."""
    made = sized_by_the_picture()
    made.graph.value_info.append(helper.make_tensor_value_info("zeros", TensorProto.FLOAT, [1]))
    return made


def larger_than_its_data():
    made = model()
    del made.graph.initializer[1].dims[:]
    made.graph.initializer[1].dims.append(2**31)
    return made


def output(**fields):
    made = model()
    shape = fields.pop("shape")
    before = [node("Cast", ["strips"], ["x"], to=TensorProto.FLOAT), *shape]
    del made.graph.node[:]
    made.graph.node.extend(before)
    made.graph.initializer.extend(fields.pop("weights", []))
    return made


def two_inputs():
    made = model()
    made.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [2**30]))
    return made


def of_nothing():
    """An output without any number, which would pass as a clean strip."""
    weights = [number([0], "from"), number([0], "to"), number([3], "over")]
    before = [node("Slice", ["x", "from", "to", "over"], ["y"])]
    return model(before, weights, last="y")


def other_planes():
    before = [node("Concat", ["x", "x"], ["y"], axis=1)]
    return model(before, last="y")


def other_size():
    before = [node("Resize", ["x", "", "scales"], ["y"])]
    return model(before, [number([1, 1, 0.5, 0.5], "scales", np.float32)], last="y")


def other_numbers():
    made = model()
    made.graph.node.append(node("Cast", ["masks"], ["whole"], to=TensorProto.UINT8))
    made.graph.output[0].name = "whole"
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    return made


def two_outputs():
    made = model()
    made.graph.output.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, None))
    return made


def cut_by_a_cast():
    """A Cast that runtimes truncate, but the shape inference does not."""
    before = [
        node("Cast", ["large"], ["cut"], to=TensorProto.INT8),
        node("Cast", ["cut"], ["back"], to=TensorProto.INT64),
        node("Sub", ["large", "back"], ["size"]),
        node("Expand", ["one", "size"], ["many"]),
        *largest("many", "y"),
    ]
    weights = [number([1_500_000_000], "large"), number([0.0], "one", np.float32), NONE]
    return model(before, weights, last="y")


def divided(divisor):
    """The smallest integer divided by -1 ends a process."""
    before = [
        node("Cast", ["x"], ["whole"], to=TensorProto.FLOAT),
        node("Shape", ["whole"], ["sides"]),
        node("Mul", ["sides", "none-whole"], ["zeros"]),
        node("Add", ["zeros", "divisor"], ["other"]),
        node("Div", ["sides", divisor], ["parts"]),
        node("Cast", ["parts"], ["shares"], to=TensorProto.FLOAT),
        *largest("shares", "y"),
    ]
    weights = [number([-1] * 4, "divisor"), number([0] * 4, "none-whole"), NONE]
    return model(before, weights, last="y")


HOSTILE = {
    "sizes cut by a cast": (cut_by_a_cast, "integers of another type"),
    "integers divided by a result": (
        lambda: divided("other"),
        "other than a known positive number",
    ),
    "integers divided by a negative number": (
        lambda: divided("divisor"),
        "other than a known positive number",
    ),
    "weights in another file": (external, "weights in another file"),
    "the same without its mark": (external_without_mark, "weights in another file"),
    "a constant in another file": (external_in_an_attribute, "weights in another file"),
    "sparse weights": (sparse, "sparse"),
    "a function": (function, "functions"),
    "a loop": (loop, "'Loop'"),
    "a branch": (branch, "'If'"),
    "an operator of others": (
        lambda: model([helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")], last="y"),
        r"'com\.microsoft\.Gelu'",
    ),
    "a draw": (lambda: model([node("RandomNormalLike", ["x"], ["y"])], last="y"), "Random"),
    "8 GB of zeros": (lambda: constant(2**31), "would take 8"),
    "zeros without end": (lambda: constant(2**62), "would take"),
    "a negative number of zeros": (lambda: constant(-5), "non-negative"),
    "an expanded number": (lambda: expanded("Expand"), "would take 9"),
    "a tiled number": (lambda: expanded("Tile"), "would take 9"),
    "an enlarged strip": (resized, "would take"),
    "a padded strip": (padded, "would take"),
    "hours of work": (multiplied, "multiplications"),
    "sizes by brightness": (sized_by_the_picture, "unknown size|another type"),
    "claimed sizes": (claims_wrong_sizes, "unknown size"),
    "larger than its data": (larger_than_its_data, "not that of their data"),
    "two inputs": (two_inputs, "one input"),
    "an input of floats": (lambda: model(kind=TensorProto.FLOAT), "one input"),
    "an input of two sides": (lambda: model(strips=("h", "w")), "one input"),
    "nothing": (of_nothing, "has masks of shape"),
    "other planes": (other_planes, "has masks of shape"),
    "another size": (other_size, "has masks of shape"),
    "other numbers": (other_numbers, "has masks of shape"),
    "two outputs": (two_outputs, "2 outputs"),
    "no graph": (lambda: b"no network", "is no ONNX graph"),
    "nothing at all": (lambda: b"", "one input"),
    "cut off": (lambda: model().SerializeToString()[:-30], "is no ONNX graph"),
    "a million nodes": (lambda: b"\x3a\x80\x80\x80\x01" + b"\x0a\x00" * 2**20, "besides raw"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_graph_is_refused_with_the_reason(name: str) -> None:
    build, message = HOSTILE[name]
    with pytest.raises(Exception, match=message):
        checked(build())


def test_the_limit_at_loading_does_not_grow_with_the_strip() -> None:
    for frame in (FRAME, Frame(2_048, 4_096)):
        with pytest.raises(ValueError, match="would take 5e\\+11 multiplications, more than 1e"):
            checked(multiplied_at_loading(), frame)


def test_a_plain_graph_is_accepted() -> None:
    checked(model())
    checked(model(), Frame(4_096, 4_096))
    with pytest.raises(ValueError, match="GiB for a strip of 40000x40000, more than 8"):
        checked(model(), Frame(40_000, 40_000))


@pytest.mark.parametrize("written_for", ["onnx", "openvino"])
def test_a_bundle_with_a_hostile_graph_is_not_loaded(
    written_for, tmp_path: Path, write_bundle
) -> None:
    """For both runtimes."""
    for build in (external, loop, lambda: constant(2**31), lambda: b"no network"):
        made = build()
        content = made if isinstance(made, bytes) else made.SerializeToString()
        write_bundle(tmp_path / "bad", manifest(written_for), {FILE: content})
        with pytest.raises(BundleError, match=r"networks/a\.onnx: cannot be loaded"):
            load(tmp_path / "bad")


def test_costs_are_checked_for_each_size_of_strips(tmp_path: Path, write_bundle) -> None:
    """Harmless for strips of the bundle's frame, but 40 GiB for a larger strip."""
    sizes = [
        node("Shape", ["x"], ["shape"]),
        node("Mul", ["shape", "shape"], ["square"]),
        node("ConstantOfShape", ["square"], ["zeros"]),
        *largest("zeros", "y"),
    ]
    content = model(sizes, [NONE], "y").SerializeToString()
    write_bundle(tmp_path / "bad", manifest(), {FILE: content})
    bundle = load(tmp_path / "bad")
    assert bundle.scan(np.full(FRAME, 255, np.uint8)).defective
    with pytest.raises(BundleError, match="cannot predict a strip of 64x1600 "):
        bundle.scan(np.full((64, 1_600), 255, np.uint8))


PROGRAM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (6_000_000 * 1024,) * 2)
from steelscan.cli import main
main()
"""


def test_a_hostile_bundle_gives_a_one_line_error_with_little_memory(
    tmp_path: Path, write_bundle
) -> None:
    write_bundle(tmp_path / "bad", manifest(), {FILE: constant(2**31).SerializeToString()})
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "verify", tmp_path / "bad"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert "would take 8.0 GiB" in line


def test_a_network_that_takes_too_long_is_stopped(
    tmp_path: Path, write_bundle, monkeypatch: pytest.MonkeyPatch, capfd
) -> None:
    from steelscan.bundle import engines as models

    many = [node("Exp", [f"e-{at}" if at else "x"], [f"e-{at + 1}"]) for at in range(2_000)]
    last = [node("Mul", ["e-2000", "none"], ["zero"]), node("Add", ["x", "zero"], ["y"])]
    content = model([*many, *last], [NONE], "y").SerializeToString()
    write_bundle(tmp_path / "slow", manifest(), {FILE: content})
    bundle = load(tmp_path / "slow")
    monkeypatch.setattr(models, "SECONDS_A_MILLION_PIXELS", 0.001)
    with pytest.raises(BundleError, match="cannot predict a strip of 640x960"):
        bundle.scan(np.zeros((640, 960), np.uint8))
    assert not capfd.readouterr().err


def test_all_operators_of_an_exported_bundle_are_allowed(exported: Path) -> None:
    package = read_package(exported)
    graphs = [each for name, each in package.contents.items() if name.endswith(".onnx")]
    assert len(graphs) == 4
    for content in graphs:
        used = {each.op_type for each in onnx.load_from_string(content).graph.node}
        assert used <= OPERATORS
