"""A bundle whose one network predicts the brightness of each pixel: bright pixels are defects."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from steelscan.bundle import Graph, Manifest
from steelscan.decision import Decision, SegmentStep, Stage
from steelscan.inspection.scan import ScanOptions, scan_source
from steelscan.postprocess import Threshold
from steelscan.strip import Classes

FRAME = (32, 64)


@pytest.fixture(scope="session")
def bright(tmp_path_factory: pytest.TempPathFactory, write_bundle) -> Path:
    """The bundle; its masks are those of the pixels above 127."""
    nodes = [
        helper.make_node("Cast", ["strips"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "white"], ["shares"]),
        helper.make_node("Unsqueeze", ["shares", "axis"], ["masks"]),
    ]
    held = [
        helper.make_tensor("white", TensorProto.FLOAT, [], [255.0]),
        helper.make_tensor("axis", TensorProto.INT64, [1], [0]),
    ]
    strips = helper.make_tensor_value_info("strips", TensorProto.UINT8, [1, 1, None, None])
    masks = helper.make_tensor_value_info("masks", TensorProto.FLOAT, [1, 1, 1, None, None])
    graph = helper.make_graph(nodes, "bright", [strips], [masks], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    file = "networks/segment-0.onnx"
    stage = Stage(classifiers=(), segmenter=SegmentStep(name="segment"), rules=(Threshold(),))
    manifest = Manifest(
        made_with="0",
        recipe="bright",
        classes=Classes(names=("spot",)),
        layout="columns",
        frame=FRAME,
        decision=Decision(stages=(stage,)),
        networks={"segment": (Graph(file=file, heads=("masks",)),)},
    )
    path = tmp_path_factory.mktemp("bright") / "bright.steelscan"
    write_bundle(path, manifest, {file: model.SerializeToString()})
    return path


@pytest.fixture(scope="session")
def spots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 12 pictures in two folders: every third is dark, the others have spots."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures") / "spots"
    for number in range(12):
        rng = np.random.default_rng(number)
        values = rng.integers(0, 100, FRAME)
        if number % 3:
            values[rng.random(FRAME) < 0.15] = 200
        place = folder / ("a" if number < 5 else "b") / f"{number:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values.astype(np.uint8)).save(place)
    return folder


@pytest.fixture(scope="session")
def whole(bright: Path, spots: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed scan."""
    out = tmp_path_factory.mktemp("whole") / "out"
    summary = scan_source(bright, str(spots), out, ScanOptions(workers=2, shard_size=5))
    assert (summary.pictures, summary.clean, summary.defective, summary.errors) == (12, 4, 8, 0)
    assert summary.per_class == {"spot": 8}
    assert summary.seconds > 0
    return out
