"""Graphs that a bundle of a stranger might hold: each is refused before any runtime sees it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from steelscan.bundle import Graph, Manifest, load, read_package
from steelscan.bundle.graph_check import OPERATORS, GraphCheck
from steelscan.decision import Decision, SegmentStep, Stage
from steelscan.postprocess import Threshold
from steelscan.strip import BundleError, Classes, Frame

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
    """A graph of one class that says how bright a pixel is, with other nodes before that."""
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
    """Nodes that add 0 times the highest number of a tensor, so that it is needed."""
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
    """A loop without end."""
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
    """So many zeros, of a shape that takes some bytes."""
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
    """Nothing large, and hours of work."""
    sizes = number([1, 1, 2_000, 2_000], "sizes")
    before = [node("Resize", ["x", "", "", "sizes"], ["many-0"])]
    before += [
        node("MatMul", [f"many-{at}", f"many-{at}"], [f"many-{at + 1}"]) for at in range(999)
    ]
    return model([*before, *largest("many-999", "y")], [sizes, NONE], "y")


def multiplied_beforehand():
    """What does not depend on the strip is computed when a graph is loaded."""
    sizes = number([4_000, 4_000], "sizes")
    before = [node("Expand", ["one", "sizes"], ["many-0"])]
    before += [node("MatMul", ["many-0", "many-0"], [f"many-{at}"]) for at in range(1, 9)]
    adding = [node("Sum", [f"many-{at}" for at in range(9)], ["sum"])]
    weights = [number([[0.0]], "one", np.float32), sizes, NONE]
    return model([*before, *adding, *largest("sum", "y")], weights, "y")


def sized_by_the_picture():
    """What is bright decides how much is held."""
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


def lies_about_sizes():
    """Says itself of a tensor of unknown size that it is small."""
    made = sized_by_the_picture()
    made.graph.value_info.append(helper.make_tensor_value_info("zeros", TensorProto.FLOAT, [1]))
    return made


def more_than_it_holds():
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
    """An output without a number in it, which would pass for sound steel."""
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
    """Sizes that inference carries through a Cast of which runtimes make others."""
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
    """The least integer by -1 ends a process."""
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
    "integers by what a strip makes": (lambda: divided("other"), "no known positive number"),
    "integers by less than nothing": (lambda: divided("divisor"), "no known positive number"),
    "weights in another file": (external, "lie outside"),
    "the same without its mark": (external_without_mark, "lie outside"),
    "a constant in another file": (external_in_an_attribute, "lie outside"),
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
    "fewer than none": (lambda: constant(-5), "non-negative"),
    "an expanded number": (lambda: expanded("Expand"), "would take 9"),
    "a tiled number": (lambda: expanded("Tile"), "would take 9"),
    "an enlarged strip": (resized, "would take"),
    "a padded strip": (padded, "would take"),
    "hours of work": (multiplied, "multiplications"),
    "sizes by what is seen": (sized_by_the_picture, "no known size|another type"),
    "sizes that are told": (lies_about_sizes, "no known size"),
    "more than it holds": (more_than_it_holds, "more, or fewer"),
    "two inputs": (two_inputs, "one input"),
    "an input of floats": (lambda: model(kind=TensorProto.FLOAT), "one input"),
    "an input of two sides": (lambda: model(strips=("h", "w")), "one input"),
    "nothing": (of_nothing, "gives masks of shape"),
    "other planes": (other_planes, "gives masks of shape"),
    "another size": (other_size, "gives masks of shape"),
    "other numbers": (other_numbers, "gives masks of shape"),
    "two outputs": (two_outputs, "2 outputs"),
    "no graph": (lambda: b"no network", "is no ONNX graph"),
    "nothing at all": (lambda: b"", "one input"),
    "cut off": (lambda: model().SerializeToString()[:-30], "is no ONNX graph"),
    "a million nodes": (lambda: b"\x3a\x80\x80\x80\x01" + b"\x0a\x00" * 2**20, "beside raw"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_with_its_reason(name: str) -> None:
    build, message = HOSTILE[name]
    with pytest.raises(Exception, match=message):
        checked(build())


def test_what_is_computed_beforehand_is_not_allowed_more_for_large_strips() -> None:
    for frame in (FRAME, Frame(2_048, 4_096)):
        with pytest.raises(ValueError, match="would take 5e\\+11 multiplications, more than 1e"):
            checked(multiplied_beforehand(), frame)


def test_a_plain_one_is_not() -> None:
    checked(model())
    checked(model(), Frame(4_096, 4_096))
    with pytest.raises(ValueError, match="GiB for a strip of 40000x40000, more than 8"):
        checked(model(), Frame(40_000, 40_000))


@pytest.mark.parametrize("written_for", ["onnx", "openvino"])
def test_a_bundle_with_one_is_not_loaded(written_for, tmp_path: Path, write_bundle) -> None:
    """Whatever runtime it is for: both are given what was checked."""
    for build in (external, loop, lambda: constant(2**31), lambda: b"no network"):
        made = build()
        content = made if isinstance(made, bytes) else made.SerializeToString()
        write_bundle(tmp_path / "bad", manifest(written_for), {FILE: content})
        with pytest.raises(BundleError, match=r"networks/a\.onnx: cannot be loaded"):
            load(tmp_path / "bad")


def test_what_takes_too_much_for_one_strip_alone_is_refused_there(
    tmp_path: Path, write_bundle
) -> None:
    """Harmless at the frame of the bundle: 40 GiB for a strip of another size."""
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


def test_the_verb_says_one_line_with_little_memory(tmp_path: Path, write_bundle) -> None:
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


def test_all_that_a_bundle_of_ours_asks_for_is_allowed(exported: Path) -> None:
    package = read_package(exported)
    graphs = [each for name, each in package.contents.items() if name.endswith(".onnx")]
    assert len(graphs) == 4
    for content in graphs:
        asked = {each.op_type for each in onnx.load_from_string(content).graph.node}
        assert asked <= OPERATORS
