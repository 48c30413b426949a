"""Bundles in reduced precision: written if decisions stay, refused if a class is lost."""

import json
import subprocess
import sys
import weakref
from collections import Counter
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from steelscan.bundle import (
    Bundle,
    Graph,
    Manifest,
    Package,
    certified,
    load,
    make_keys,
    private_key,
    read_package,
    write_package,
)
from steelscan.bundle.precision.graphs import to_fp16, to_int8
from steelscan.bundle.precision.networks import MOST_DRIFT, StripInputs, drift_of
from steelscan.bundle.precision.quantize import SEED, prove_reduced, quantize
from steelscan.bundle.proof import (
    Expected,
    Kept,
    failures,
    kept_per_class,
    picture_sha256,
    record,
    to_json_lines,
)
from steelscan.bundle.proof.per_class import FEW
from steelscan.bundle.proof.records import read_json_lines
from steelscan.bundle.proof.verify import verify
from steelscan.data import Shrink
from steelscan.decision import Decision, SegmentStep, Stage
from steelscan.postprocess import Threshold
from steelscan.prediction import Tiles
from steelscan.strip import Classes, encode
from steelscan.strip.errors import BundleError, MissingPartError

HEIGHT, WIDTH = 32, 96
CLASSES = Classes(names=("bright", "faint"))
PROVEN, OTHERS = 12, 5


def network(loud=1.0, middle=1.0):
    """Bright pixels (255) are one class, slightly dark ones (120) the other; 128 is clean.

    ``loud`` is by how much the first layer makes the first class louder than the second; the next
    takes it ``middle`` times, the third makes both alike, and the fourth does nothing.
    """
    first, second = np.array([[loud], [-1.0]]), np.diag([middle, 1.0])
    third, last = np.diag([1 / (loud * middle), 1.0]), np.diag([50.0, 400.0])
    weights = {
        "mean": np.array(128.0),
        "deviation": np.array(64.0),
        "first": first.reshape(2, 1, 1, 1),
        "second": second.reshape(2, 2, 1, 1),
        "third": third.reshape(2, 2, 1, 1),
        "fourth": np.eye(2).reshape(2, 2, 1, 1),
        "last": last.reshape(2, 2, 1, 1),
        "bias": np.array([-50.0, -25.0]),
    }
    nodes = [
        helper.make_node("Cast", ["strips"], ["grey"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["grey", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "deviation"], ["normal"]),
        helper.make_node("Conv", ["normal", "first"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "second"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Conv", ["d", "third"], ["e"]),
        helper.make_node("Conv", ["e", "fourth"], ["f"]),
        helper.make_node("Conv", ["f", "last", "bias"], ["g"]),
        helper.make_node("Sigmoid", ["g"], ["h"]),
        helper.make_node("Unsqueeze", ["h", "axis"], ["masks"]),
    ]
    constants = [
        numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()
    ]
    constants.append(numpy_helper.from_array(np.array([0]), "axis"))
    taken = helper.make_tensor_value_info("strips", TensorProto.UINT8, [1, 1, "height", "width"])
    given = helper.make_tensor_value_info("masks", TensorProto.FLOAT, [1, 1, 2, "height", "width"])
    graph = helper.make_graph(nodes, "tiny", [taken], [given], constants)
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


def strip(number):
    """Two defects of each class, at places of their own; every fourth strip is clean."""
    rng = np.random.default_rng(number)
    picture = (128 + rng.integers(-1, 2, (HEIGHT, WIDTH))).astype(np.uint8)
    for at, grey in enumerate((255, 120, 255, 120) if number % 4 else ()):
        top, left = rng.integers(0, HEIGHT - 4), at * 24 + rng.integers(0, 16)
        picture[top : top + 4, left : left + 4] = grey
    return picture


def bundle_of(write_bundle, content, folder, other=None, **changes):
    """A bundle of a network or two, and the data set whose first strips it was proven on."""
    given = {"networks/segment-1.onnx": content, "networks/segment-2.onnx": other}
    networks = {file: each for file, each in given.items() if each is not None}
    graphs = tuple(Graph(file=file, heads=("masks",)) for file in networks)
    stage = Stage(segmenter=SegmentStep(name="segment"), rules=(Threshold(),))
    manifest = Manifest(
        made_with="test",
        recipe="test",
        classes=CLASSES,
        layout="columns",
        frame=(HEIGHT, WIDTH),
        decision=Decision(stages=(stage,)),
        networks={"segment": graphs},
    )
    package = Package(manifest, networks)
    trained, expected = Bundle(package, 1, "cpu"), []
    (folder / "data").mkdir()
    for number in range(PROVEN + OTHERS):
        picture = strip(number)
        cv2.imwrite(str(folder / "data" / f"{number:03}.png"), picture)
        if number < PROVEN:
            outputs = trained.detector.predict_steps(picture)
            masks = trained.detector.masks(picture)
            assert masks.any((1, 2)).tolist() == [bool(number % 4)] * 2
            expected.append(record(f"{number}", picture, masks, outputs, 0.5))
    path = folder / "fp32.steelscan"
    papers = {"expected.jsonl": to_json_lines(expected), "card.md": b"# A card\n"}
    write_bundle(path, manifest.but(**changes), {**package.contents, **papers})
    return path, str(folder / "data")


@pytest.mark.parametrize(
    ("to", "kind"), [("int8", TensorProto.INT8), ("fp16", TensorProto.FLOAT16)]
)
def test_a_bundle_that_decides_as_before_is_written(tmp_path, to, kind, write_bundle):
    path, data = bundle_of(write_bundle, network(), tmp_path)
    done = quantize(path, tmp_path / "new.steelscan", to=to, data=data, strips=3)
    package = read_package(done.path)
    assert package.manifest.precision == to
    assert done.parity.strips == PROVEN
    assert not done.parity.flipped
    assert [(each.defects, each.lost, each.new, each.strips) for each in done.kept] == [
        (18, 0, 0, 9)
    ] * 2
    model = onnx.load_from_string(package.contents["networks/segment-1.onnx"])
    assert kind in {each.data_type for each in model.graph.initializer}
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert model.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert verify(done.path, data) == done.parity
    for number in range(PROVEN):
        assert load(done.path).scan(strip(number)).defective == bool(number % 4)


def test_certificate_and_card_describe_the_reduction(tmp_path, write_bundle):
    path, data = bundle_of(write_bundle, network(), tmp_path)
    done = quantize(path, tmp_path / "new.steelscan", to="int8", data=data, strips=3, budget=0.2)
    package = read_package(done.path)
    certificate = package.certificate
    assert certificate.precision == "int8"
    assert certificate.limits.flipped == 0.2
    quantized = certificate.quantized
    assert quantized["from"] == read_package(path).sha256
    assert quantized["seed"] == SEED
    assert quantized["lost"] == 0.2
    assert len(quantized["calibrated"]) == 3
    (network_found,) = quantized["networks"].values()
    assert network_found["layers"] == 3
    assert len(network_found["fp32_nodes"]) == 2  # the first layer and the last
    card = package.contents["card.md"].decode()
    assert card.startswith("# A card\n")
    assert "## Precision" in card
    assert "class faint: 0 of 18 defects lost" in card
    assert 0 <= network_found["drift"] <= MOST_DRIFT["int8"]


def test_no_strip_is_used_for_both_calibration_and_proof(tmp_path, write_bundle):
    path, data = bundle_of(write_bundle, network(), tmp_path)
    done = quantize(path, tmp_path / "new.steelscan", to="int8", data=data, strips=99)
    assert len(done.calibrated) == OTHERS
    proof = {
        each.picture for each in read_json_lines(read_package(path).contents["expected.jsonl"])
    }
    assert len(proof) == PROVEN
    assert not proof & {sha256 for _, sha256 in done.calibrated}
    assert {sha256 for _, sha256 in done.calibrated} == {
        picture_sha256(strip(number)) for number in range(PROVEN, PROVEN + OTHERS)
    }
    again = quantize(path, tmp_path / "again.steelscan", to="fp16", data=data, strips=2)
    assert again.calibrated == done.calibrated[:2]


def test_a_class_that_is_lost_is_named_and_nothing_is_written(tmp_path, write_bundle):
    """If one class is a hundred times as loud, 8 bits have no step left for the faint one."""
    path, data = bundle_of(write_bundle, network(loud=100.0), tmp_path)
    out = tmp_path / "out" / "new.steelscan"
    with pytest.raises(BundleError, match="decides too differently in int8") as caught:
        quantize(path, out, to="int8", data=data)
    reason, by_class = caught.value.problem.split("Per class: ")
    assert "class faint: 18 of 18 defects lost" in reason
    assert "class bright" not in reason
    assert "class bright: 0 of 18 defects lost" in by_class
    assert not out.parent.exists()
    with pytest.raises(BundleError, match="IoU of masks") as caught:
        quantize(path, out, to="int8", data=data, budget=1.0)
    assert "class faint" not in caught.value.problem.split("Per class: ")[0]
    assert quantize(path, out, to="fp16", data=data).parity.iou == 1.0


def test_calibration_without_defects_is_refused(tmp_path, write_bundle):
    path, data = bundle_of(write_bundle, network(), tmp_path)
    for number in range(PROVEN, PROVEN + OTHERS):
        cv2.imwrite(str(tmp_path / "data" / f"{number:03}.png"), strip(4 * number))
    with pytest.raises(BundleError, match="9 of 12 verdicts flip"):
        quantize(path, tmp_path / "new.steelscan", to="int8", data=data)


def test_a_network_that_drifts_too_much_stays_in_float32(tmp_path, write_bundle):
    """The other one is reduced; the proof is of both together."""
    good, bad = network(), network(loud=100.0)
    path, data = bundle_of(write_bundle, good, tmp_path, other=bad)
    done = quantize(path, tmp_path / "new.steelscan", to="int8", data=data)
    assert [each.used for each in done.networks] == [True, False]
    package = read_package(done.path)
    assert package.contents["networks/segment-1.onnx"] != good
    assert package.contents["networks/segment-2.onnx"] == bad
    assert done.parity.iou == 1.0
    assert "still in fp32, for accuracy: networks/segment-2.onnx" in "".join(done.lines())


def test_layers_that_overflow_float16_stay_in_float32(tmp_path, write_bundle):
    content = network(loud=16_000.0, middle=4.0)  # 128,000 after the second layer
    path, data = bundle_of(write_bundle, content, tmp_path)
    done = quantize(path, tmp_path / "new.steelscan", to="fp16", data=data)
    assert done.parity.iou == 1.0
    assert done.networks[0].graph.layers == 2  # the fourth, the last; a CPU hides that others fail
    unaware = to_fp16(content, [[strip(0)[None, None]]])  # a clean strip overflows nothing
    assert unaware.layers > 2


def test_outputs_that_are_not_numbers_are_refused(tmp_path, write_bundle):
    """Otherwise the strip would pass as clean: NaN is above no threshold."""
    path, _ = bundle_of(write_bundle, network(), tmp_path)
    package = read_package(path)
    broken = network(loud=1e38, middle=1e38)
    ((step, graph),) = package.manifest.graphs
    inputs = [[strip(1)[None, None]]]
    assert drift_of(package, step, graph, broken, inputs) == 1
    reduced = Package(package.manifest, {**package.contents, graph.file: broken})
    with pytest.raises(BundleError, match="not a number"):
        prove_reduced(
            reduced,
            [
                (Expected.model_validate_json(line), strip(1))
                for line in package.contents["expected.jsonl"].splitlines()[1:2]
            ],
        )


def test_nodes_in_float32_are_connected_without_float16_between():
    """Float16 would round the mean and the deviation: the first layer gets the same values."""
    content = network()
    inputs = [[strip(number)[None, None]] for number in range(4)]
    model = onnx.load_from_string(to_fp16(content, inputs).content)
    casts = {node.output[0]: node for node in model.graph.node if node.op_type == "Cast"}
    makers = {name: node for node in model.graph.node for name in node.output}
    for op in ("Sub", "Div", "Sigmoid", "Unsqueeze"):
        (node,) = (each for each in model.graph.node if each.op_type == op)
        source = casts.get(node.input[0])
        if op in ("Div", "Unsqueeze"):  # after another node in float32
            assert source is None or makers[source.input[0]].op_type != "Cast"
    (output,) = model.graph.output
    assert makers[casts[output.name].input[0]].op_type == "Unsqueeze"


@pytest.mark.parametrize("to", [to_int8, to_fp16])
def test_strips_are_read_one_by_one(to):
    held, most = [], []

    class Counted:
        def __len__(self):
            return 20

        def __getitem__(self, place):
            part = strip(place)[None, None].copy()
            held.append(weakref.ref(part))
            most.append(sum(each() is not None for each in held))
            return [part]

    to(network(), Counted())
    assert len(most) == 20
    assert max(most) <= 2


def test_the_order_of_strips_does_not_matter():
    """The strip with the largest values sets the range, whether it comes first or last."""
    parts = [[strip(number)[None, None]] for number in (1, 4, 8)]
    assert to_int8(network(), parts).content == to_int8(network(), parts[::-1]).content
    assert to_int8(network(), parts).content != to_int8(network(), parts[1:]).content


@pytest.mark.parametrize(
    ("changes", "out", "message"),
    [
        ({"written_for": "openvino"}, "new", "is written for openvino"),
        ({"precision": "int8"}, "new", "is in int8 already"),
        ({}, "fp32", "is the bundle to be read"),
    ],
)
def test_other_bundles_are_refused(tmp_path, changes, out, message, write_bundle):
    path, data = bundle_of(write_bundle, network(), tmp_path, **changes)
    before = path.read_bytes()
    with pytest.raises(BundleError, match=message):
        quantize(path, tmp_path / f"{out}.steelscan", to="int8", data=data)
    assert path.read_bytes() == before


def test_strips_are_needed_of_both_kinds(tmp_path, write_bundle):
    path, data = bundle_of(write_bundle, network(), tmp_path)
    for number in range(PROVEN, PROVEN + OTHERS):
        (tmp_path / "data" / f"{number:03}.png").unlink()
    with pytest.raises(BundleError, match="none to calibrate on"):
        quantize(path, tmp_path / "new.steelscan", to="int8", data=data)


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(MissingPartError, match=r"pip install 'steelscan\[precision\]'"):
        quantize(tmp_path / "a", tmp_path / "b", to="int8", data="c")


def test_the_verb_needs_no_torch(tmp_path, write_bundle):
    path, data = bundle_of(write_bundle, network(), tmp_path)
    out = tmp_path / "new.steelscan"
    program = "import sys; sys.modules['torch'] = None; from steelscan.cli import main; main()"
    options = ["quantize", path, "--to", "int8", "--data", data, "--out", out]
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, options)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "class faint: 0 of 18 defects lost" in done.stdout
    assert "In int8: 1 of 1 networks" in done.stdout
    assert read_package(out).manifest.precision == "int8"


def test_calibration_uses_resized_padded_and_tiled_strips():
    graph = Graph(file="a", heads=("masks",), resize=Shrink(pixels=768))
    content = bytes(cv2.imencode(".png", strip(1))[1])
    files = [SimpleNamespace(name="1.png", read=lambda: content)]
    (part,) = StripInputs(graph, files)[0]
    assert part.shape == (1, 1, 32, 64)  # 16x48, padded
    tiles = Tiles(width=64, overlap=32)
    graph = Graph(file="a", heads=("masks", "classes"), tiles=tiles)
    first, second = StripInputs(graph, files)[0]
    assert np.array_equal(first[0, 0], strip(1)[:, :64])
    assert np.array_equal(second[0, 0], strip(1)[:, 32:])


masks = st.lists(st.booleans(), min_size=60, max_size=60).map(
    lambda bits: np.array(bits).reshape(6, 10)
)


def regions(mask):
    """Regions as sets of pixels, grown pixel by pixel."""
    left, found = set(zip(*map(np.ndarray.tolist, np.nonzero(mask)), strict=True)), []
    while left:
        region, edge = set(), {left.pop()}
        while edge:
            row, column = edge.pop()
            region.add((row, column))
            around = {(row + y, column + x) for y in (-1, 0, 1) for x in (-1, 0, 1)} & left
            left -= around
            edge |= around
        found.append(region)
    return found


@settings(max_examples=30)
@given(masks, masks, masks, masks)
def test_defects_of_each_class_are_counted_as_by_hand(first, second, third, fourth):
    trained, found = np.stack([first, second]), np.stack([third, fourth])
    expected = Expected(
        name="a",
        picture="0",
        frame=(6, 10),
        masks=tuple(map(encode, trained)),
        outputs=(),
        margin=0.0,
    )
    for kept, before, after in zip(
        kept_per_class(CLASSES, [(expected, found)] * 2), trained, found, strict=True
    ):
        counts = Counter()
        for region in regions(before):
            counts["defects"] += 2
            counts["lost"] += 2 * (not any(after[place] for place in region))
        for region in regions(after):
            counts["new"] += 2 * (not any(before[place] for place in region))
        assert (kept.defects, kept.lost, kept.new) == (
            counts["defects"],
            counts["lost"],
            counts["new"],
        )
        assert kept.strips == 2 * before.any()
        assert kept.strips_lost == 2 * (before.any() and not after.any())
        assert kept.strips_new == 2 * (after.any() and not before.any())


@pytest.mark.parametrize(
    ("defects", "lost", "said"),
    [
        (FEW, 1, True),
        (FEW, 2, False),
        (200, 10, True),
        (200, 11, False),
        (0, 0, None),
        (FEW - 1, 0, None),
        (5, 1, None),  # may be chance
        (5, 4, False),  # may not
    ],
)
def test_few_defects_give_no_result(defects, lost, said):
    kept = Kept(name="a", defects=defects, lost=lost, strips=defects)
    assert kept.within(0.05) is said
    assert bool(failures([kept], 0.05)) == (said is False)
    assert ("undecided" in kept.text(0.05)) == (said is None)


def test_a_signature_is_not_copied(tmp_path, write_bundle):
    path, data = bundle_of(write_bundle, network(), tmp_path)
    private, public = make_keys(tmp_path / "own")
    package = read_package(path)
    files = certified(package.manifest, package.contents, package.certificate, private_key(private))
    write_package(path, package.manifest, files)
    out = tmp_path / "new.steelscan"
    done = quantize(path, out, to="fp16", data=data, strips=1, signed_by=public)
    assert not done.package.signed
    with pytest.raises(BundleError, match="is not signed"):
        read_package(out, public)
    done = quantize(path, out, to="fp16", data=data, strips=1, sign=private)
    assert read_package(out, public) == done.package


def test_the_certificate_is_plain_json(tmp_path, write_bundle):
    path, data = bundle_of(write_bundle, network(), tmp_path)
    done = quantize(path, tmp_path / "new.steelscan", to="fp16", data=data, strips=1)
    text = read_package(done.path).contents["certificate.json"].decode()
    assert json.loads(text)["quantized"]["classes"][1]["name"] == "faint"
