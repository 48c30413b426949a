"""What a proof checks: limits of the program, decisions as in use, and all records or none."""

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from steelscan import cli
from steelscan.bundle import (
    Bundle,
    EarlyExit,
    Graph,
    Manifest,
    Package,
    read_package,
)
from steelscan.bundle.export import export as exporting
from steelscan.bundle.proof import LIMITS, limits_of, margin_of, record, to_json_lines
from steelscan.bundle.proof.parity import compare
from steelscan.bundle.proof.verify import verify
from steelscan.decision import (
    ClassifyStep,
    Decision,
    GivenOutputs,
    HardGate,
    SegmentStep,
    SoftGate,
    Stage,
    StepOutput,
)
from steelscan.evaluation.statistics import upper_bound
from steelscan.postprocess import Threshold, Triplet
from steelscan.strip import Classes
from steelscan.strip.errors import BundleError

FRAME = (32, 96)
FILES = ("networks/a.onnx", "networks/b.onnx")
STRIPS = (10, 250, 240, 230)
"""How bright the brightest place of each strip is: the first is clean."""


def network(times=1.0):
    """Says how bright each pixel is, so many times."""
    nodes = [
        helper.make_node("Cast", ["strips"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "share"], ["shares"]),
        helper.make_node("Unsqueeze", ["shares", "axis"], ["masks"]),
    ]
    held = [
        numpy_helper.from_array(np.float32(times / 255), "share"),
        numpy_helper.from_array(np.array([0]), "axis"),
    ]
    given = helper.make_tensor_value_info("strips", TensorProto.UINT8, [1, 1, None, None])
    made = helper.make_tensor_value_info("masks", TensorProto.FLOAT, [1, 1, 1, None, None])
    graph = helper.make_graph(nodes, "bright", [given], [made], held)
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


def strip(brightest):
    picture = np.zeros(FRAME, np.uint8)
    picture[4:20, 8:40] = brightest
    return picture


def manifest(early=None, **fields):
    segmenter = SegmentStep(name="s", early_exit=early)
    stage = Stage(segmenter=segmenter, rules=(Threshold(),))
    return Manifest(
        made_with="0",
        recipe="bright",
        classes=Classes(names=("bright",)),
        layout="columns",
        frame=FRAME,
        decision=Decision(stages=(stage,)),
        networks={"s": tuple(Graph(file=file, heads=("masks",)) for file in FILES)},
        **fields,
    )


def contents():
    """Two networks, and what they decide of the strips."""
    networks = dict.fromkeys(FILES, network())
    trained = Bundle(Package(manifest(), networks), 1, "cpu")
    records, strips = [], {}
    for number, brightest in enumerate(STRIPS):
        picture = strip(brightest)
        outputs, masks = trained.detector.predict_steps(picture), trained.detector.masks(picture)
        assert masks.any() == (number > 0)
        records.append(record(f"{number}", picture, masks, outputs, 0.1))
        strips[f"strips/{number}.png"] = bytes(cv2.imencode(".png", picture)[1])
    return {**networks, **strips, "expected.jsonl": to_json_lines(records)}


@pytest.fixture
def bundle(tmp_path, write_bundle):
    write_bundle(tmp_path / "good", manifest(), contents())
    return tmp_path / "good"


def test_a_good_one_is_as_trained(bundle, capsys):
    parity = verify(bundle)
    assert (parity.strips, parity.defective, parity.escaped) == (4, 3, ())
    assert cli.app(["verify", str(bundle)], standalone_mode=False) is None
    assert "Not signed: anybody could have made it" in capsys.readouterr().out


def test_limits_are_those_of_the_program(bundle, tmp_path, write_bundle):
    """All verdicts flip, and the certificate allows that; all hashes are right."""
    package = read_package(bundle)
    never = package.manifest.decision.with_rules((Threshold(label=1.0),))
    blind = package.manifest.but(decision=never)
    loose = LIMITS["fp32"].but(flipped=1.0, iou=0.0, changed=1.0, difference=1e9)
    write_bundle(tmp_path / "bad", blind, package.contents, limits=loose)
    with pytest.raises(BundleError, match="3 of 4 verdicts flip") as caught:
        verify(tmp_path / "bad")
    assert "--budget" in caught.value.remedy
    assert limits_of("fp32") == LIMITS["fp32"]
    assert limits_of("int8", 0.2) == LIMITS["int8"].but(flipped=0.2, changed=0.2)


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_records_that_are_missing_are_missed(bundle, tmp_path, write_bundle, kept):
    package = read_package(bundle)
    records = package.contents["expected.jsonl"].splitlines(keepends=True)
    fewer = package.contents | {"expected.jsonl": b"".join(records[:kept])}
    write_bundle(tmp_path / "bad", package.manifest, fewer)
    with pytest.raises(BundleError, match=f"records {kept} strips, .* certificate lists 4 and 3"):
        verify(tmp_path / "bad")


def test_strips_that_are_missing_are_missed(bundle, tmp_path, write_bundle):
    package = read_package(bundle)
    fewer = {name: each for name, each in package.contents.items() if name != "strips/2.png"}
    write_bundle(tmp_path / "bad", package.manifest, fewer)
    with pytest.raises(BundleError, match=r"contains 3 recorded strips; the certificate lists 4"):
        verify(tmp_path / "bad")
    other = bytes(cv2.imencode(".png", strip(99))[1])
    write_bundle(tmp_path / "bad", package.manifest, package.contents | {"strips/2.png": other})
    with pytest.raises(BundleError, match=r"contains 3 recorded strips; the certificate lists 4"):
        verify(tmp_path / "bad")


def test_some_of_the_strips_of_a_folder_are_enough(bundle, tmp_path):
    (tmp_path / "data").mkdir()
    for brightest in (250, 60):
        cv2.imwrite(str(tmp_path / "data" / f"{brightest}.png"), strip(brightest))
    assert verify(bundle, str(tmp_path / "data")).strips == 1


def output(**fields):
    def change(record):
        record["outputs"][0].update(fields)

    return change


@pytest.mark.parametrize(
    "change",
    [
        {"frame": [10**9, 10**9]},
        {"frame": [96, 32]},
        {"masks": []},
        {"masks": ["", ""]},
        {"outputs": []},
        output(step="other"),
        output(classes=[0.5]),
        output(cells=None),
        output(cells=""),
        output(cells="AAAA"),
        output(cells="\0\0\0\0"),
    ],
)
def test_records_that_fit_no_strip_are_refused(bundle, tmp_path, write_bundle, change):
    package, changed = read_package(bundle), []
    for line in package.contents["expected.jsonl"].splitlines():
        found = json.loads(line)
        if callable(change):
            change(found)
        else:
            found.update(change)
        changed.append(json.dumps(found).encode())
    parity = package.certificate.parity
    defective = 0 if change in ({"masks": []}, {"masks": ["", ""]}) else 3
    write_bundle(
        tmp_path / "bad",
        package.manifest,
        package.contents | {"expected.jsonl": b"\n".join(changed)},
        parity=parity.but(defective=defective),
    )
    with pytest.raises(BundleError, match=r"expected\.jsonl"):
        verify(tmp_path / "bad")


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"7",
        b"null",
        b"[" * 100_000,
        b'{"name": "a", "margin": NaN}',
        b"\xff",
        b'{"masks": [' + b"0," * 10**6 + b"0]}",
        b'{"masks": [' + b"0," * 10**7 + b"0]}",
    ],
    ids=range(8),
)
def test_records_of_another_kind_are_refused(bundle, tmp_path, write_bundle, text):
    package = read_package(bundle)
    write_bundle(tmp_path / "bad", package.manifest, package.contents | {"expected.jsonl": text})
    with pytest.raises(BundleError, match=r"expected\.jsonl: is missing or broken"):
        verify(tmp_path / "bad")


def measured(value, escapes=0, defective=3):
    """A measurement of an early exit."""
    most = upper_bound(escapes, defective)
    return EarlyExit(
        value=value, shown=4, skipped=1, defective=defective, escapes=escapes, at_most=most
    )


def test_the_early_exit_is_part_of_the_proof(bundle, tmp_path, write_bundle):
    """With this value all strips are called clean, which all networks alone would not show."""
    package = read_package(bundle)
    for name, level in (("all", 254), ("one", 231), ("none", 20)):
        early = package.manifest.but(decision=manifest(early=level).decision)
        write_bundle(tmp_path / name, early, package.contents, early=measured(level))
    with pytest.raises(BundleError, match="3 of 3 defective strips escape by the early exit"):
        verify(tmp_path / "all")
    assert verify(tmp_path / "all", escape_budget=1.0).escaped == ("1", "2", "3")
    one = verify(tmp_path / "one")  # one of three may be chance, and is told
    assert one.escaped == ("3",)
    assert "1 escape by the early exit" in one.text()
    assert verify(tmp_path / "none").escaped == ()


def test_more_escapes_than_usual_are_told_by_who_asks(bundle, tmp_path, write_bundle):
    early = read_package(bundle).manifest.but(decision=manifest(early=20).decision)
    found = measured(20, escapes=6, defective=100)
    write_bundle(tmp_path / "b", early, contents(), early=found)
    with pytest.raises(BundleError, match="6 of 100 defective strips escaped") as caught:
        verify(tmp_path / "b")
    assert "--escape-budget" in caught.value.remedy
    assert verify(tmp_path / "b", escape_budget=0.06).escaped == ()


def margin_from(outputs, rules, classifier=None, gate=None):
    """The margin of a strip of two classes, from its pixels, or from classes and pixels."""
    classes, pixels = outputs if isinstance(outputs, tuple) else (None, outputs)
    classes = None if classes is None else np.array(classes, np.float32)
    stage = Stage(segmenter=SegmentStep(name="s", gate=gate), rules=rules)
    if classifier is not None:
        step = ClassifyStep(name="c", threshold=classifier[0], gate=classifier[1])
        stage = stage.but(classifiers=(step,))
    pixels = np.rint(np.array(pixels) * 255).astype(np.uint8)
    given = {"c": StepOutput(None, classes), "s": StepOutput(pixels, classes if gate else None)}
    return margin_of(Decision(stages=(stage,)), GivenOutputs(given), 2, FRAME)


def plane(*pixels):
    return [[*pixels, *[0.0] * (8 - len(pixels))]]


CLEAR = plane(0.0)


@pytest.mark.parametrize(
    ("outputs", "settings", "margin"),
    [
        ([plane(0.88), CLEAR], {"rules": (Threshold(label=0.9, pixel=0.3),)}, 0.02),
        ([plane(0.5), CLEAR], {"rules": (Threshold(label=0.9, pixel=0.3),)}, 0.4),
        ([plane(0.5), CLEAR], {"rules": (Threshold(label=0.1, pixel=0.1),)}, 0.1),
        ([plane(0.12), plane(0.5)], {"rules": (Threshold(label=0.1, pixel=0.1),)}, 0.02),
        ([plane(0.12), plane(0.5)], {"rules": (Threshold(label=(0.9, 0.3), pixel=0.1),)}, 0.2),
        ([plane(0.3), CLEAR], {"rules": (Threshold(label=0.1, pixel=0.9),)}, 0.6),
        # as many pixels as the area asks for lie near the upper threshold, be they not the highest
        ([plane(1, 1, 0.62), CLEAR], {"rules": (Triplet(top=0.6, area=3, bottom=0.3),)}, 0.02),
        ([plane(1, 0.58), CLEAR], {"rules": (Triplet(top=0.6, area=2, bottom=0.3),)}, 0.02),
        ([plane(0.5), CLEAR], {"rules": (Triplet(top=0.9, area=0, bottom=0.45),)}, 0.05),
        ([plane(1), CLEAR], {"rules": (Triplet(top=0.6, area=99, bottom=0.5),)}, 0.6),
        # a gate decides by the class that comes nearest, or by each class for itself
        (((0.89, 0.2), [plane(1), CLEAR]), {"classifier": (0.9, "image")}, 0.01),
        (((0.89, 0.2), [plane(1), plane(1)]), {"classifier": (0.9, "class")}, 0.01),
        (((0.2, 0.2), [plane(1), plane(1)]), {"classifier": (0.9, "class")}, 0.7),
        (((0.12, 0.2), [plane(1), plane(1)]), {"classifier": (0.1, "image")}, 0.1),
        (((0.12, 0.2), [plane(1), plane(1)]), {"classifier": (0.1, "class")}, 0.02),
        (((np.nan, 0.2), [plane(0.6), CLEAR]), {"classifier": (0.2, "image")}, 0.1),
        (((0.48, 0.0), [plane(0.9), CLEAR]), {"gate": HardGate(threshold=0.5)}, 0.02),
        (((0.6, 0.0), [plane(0.9), CLEAR]), {"gate": SoftGate()}, 0.04),
    ],
)
def test_the_margin_is_that_of_the_nearest_threshold(outputs, settings, margin):
    settings = {"rules": (Threshold(),)} | settings
    assert margin_from(outputs, **settings) == pytest.approx(margin, abs=1 / 255)


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
def test_half_of_the_strips_of_a_proof_are_nearest_to_the_thresholds(monkeypatch, threshold):
    highest = np.linspace(0, 1, 101)
    pixels = np.rint(highest * 255).astype(np.uint8)[:, None, None, None]

    class Stored:
        rows = np.arange(101)

        def __init__(self, *_):
            pass

        def outputs(self, row):
            return GivenOutputs({"s": StepOutput(pixels[row], None)})

    monkeypatch.setattr(exporting, "StoredOutputs", Stored)
    rules = (Threshold(label=threshold, pixel=threshold / 2),)
    made = manifest().but(decision=manifest().decision.with_rules(rules))
    dataset = SimpleNamespace(frames=[(1, 1)] * 101)
    rows = exporting._chosen(None, dataset, made, 10)
    assert len(set(rows)) == 10
    assert all(abs(highest[row] - threshold) <= 0.031 for row in rows[:5])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["export", "RUN", "--out", "b", "--mm-per-pixel", "nan"], "--mm-per-pixel"),
        (["export", "RUN", "--out", "b", "--mm-per-pixel", "inf"], "--mm-per-pixel"),
        (["export", "RUN", "--out", "b", "--mm-per-pixel", "-1"], "--mm-per-pixel"),
        (["export", "RUN", "--out", "b", "--mm-per-pixel", "0"], "--mm-per-pixel"),
        (["export", "RUN", "--out", "b", "--escape-budget", "nan"], "--escape-budget"),
        (["export", "RUN", "--out", "b", "--escape-budget", "7"], "--escape-budget"),
        (["export", "RUN", "--out", "b", "--strips", "10000000"], "--strips"),
        (["verify", "BUNDLE", "--cores", "100000"], "--cores"),
        (["verify", "BUNDLE", "--budget", "nan"], "--budget"),
        (["verify", "BUNDLE", "--escape-budget", "-1"], "--escape-budget"),
        (["bench", "BUNDLE", "--cores", "100000"], "--cores"),
        (["bench", "BUNDLE", "--cores", "9" * 5_000], "--cores"),
        (["bench", "BUNDLE", "--strips", "1" + "0" * 15], "--strips"),
        (["line", "BUNDLE", "--speed", "nan"], "--speed"),
        (["line", "BUNDLE", "--speed", "inf"], "--speed"),
        (["line", "BUNDLE", "--speed", "1e300"], "--speed"),
        (["line", "BUNDLE", "--speed", "1e-300"], "--speed"),
        (["line", "BUNDLE", "--speed", "1", "--mm-per-pixel", "inf"], "--mm-per-pixel"),
        (["line", "BUNDLE", "--speed", "1", "--cores", "0"], "--cores"),
        (["line", "BUNDLE", "--speed", "1", "--strips-across", "99999999"], "--strips-across"),
        (["quantize", "BUNDLE", "--to", "int8", "--data", "d", "--out", "o", "--budget", "nan"],
         "--budget"),
        (["predict", "BUNDLE", "x", "--out", "o", "--cores", "100000"], "--cores"),
        (["predict", "RUN", "x", "--out", "o", "--cores", "2"], "--cores"),
        (["predict", "RUN", "x", "--out", "o", "--require-signed-by", "k"], "--require-signed-by"),
    ],
)  # fmt: skip
def test_absurd_numbers_and_options_without_use_are_told(
    bundle, tmp_path, capsys, monkeypatch, arguments, named
):
    given = [{"BUNDLE": str(bundle), "RUN": str(tmp_path)}.get(each, each) for each in arguments]
    monkeypatch.setattr("sys.argv", ["steelscan", *given])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize("near", [True, False])
def test_a_list_of_defects_changes_only_by_pixels_that_are_not_at_a_threshold(near):
    """Which side of a threshold a pixel lies on there may be another on another processor."""
    picture, levels = strip(0), np.zeros((1, *FRAME), np.uint8)
    truth = np.zeros(levels.shape, np.bool_)
    truth[0, 5:9, 5:9] = truth[0, 20, 20] = True
    masks = truth.copy()
    masks[0, 20, 20] = False
    outputs = {"segment": StepOutput(levels, None)}
    expected = record("strip", picture, truth, outputs, 0.0)
    result = compare(expected, masks, outputs, lambda: (truth ^ masks) & near, escapes=False)
    assert result.changed is not near
    assert not result.flipped
