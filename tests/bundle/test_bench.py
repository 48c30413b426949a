"""Time and memory of a bundle whose networks predict the brightness, so that results are known."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from steelscan import cli
from steelscan.bundle import Graph, Manifest, load
from steelscan.bundle.bench import Setting, bench_json, bench_text, read_threads
from steelscan.bundle.bench import measure as measuring
from steelscan.bundle.bench.bench import bench
from steelscan.bundle.bench.measure import (
    STEPS,
    measure,
    measure_here,
    peak_memory,
    strips_of,
)
from steelscan.bundle.bench.modes import passing_all, stopping_all
from steelscan.decision import ClassifyStep, Decision, SegmentStep, Stage
from steelscan.postprocess import Threshold
from steelscan.prediction import LogitMean
from steelscan.strip import Classes
from steelscan.strip.errors import BundleError, DatasetError, InputError, PictureError

FRAME = (64, 128)
DARK, GREY, BRIGHT = 10, 120, 250


def network(head):
    """A graph of one class that predicts the brightness of the strip, or of each pixel."""
    nodes = [
        helper.make_node("Cast", ["strips"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "white"], ["shares"]),
    ]
    held = [helper.make_tensor("white", TensorProto.FLOAT, [], [255.0])]
    if head == "masks":
        nodes.append(helper.make_node("Unsqueeze", ["shares", "axis"], [head]))
        held.append(helper.make_tensor("axis", TensorProto.INT64, [1], [0]))
        shape = [1, 1, 1, None, None]
    else:
        nodes.append(helper.make_node("ReduceMean", ["shares", "axes"], [head], keepdims=0))
        held.append(helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3]))
        shape = [1, 1, 1]
        nodes[-1].output[0] = "means"
        nodes.append(helper.make_node("Reshape", ["means", "shape"], [head]))
        held.append(helper.make_tensor("shape", TensorProto.INT64, [3], [1, 1, 1]))
    strips = helper.make_tensor_value_info("strips", TensorProto.UINT8, [1, 1, None, None])
    output = helper.make_tensor_value_info(head, TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "bright", [strips], [output], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def graphs_of(name, head):
    return tuple(Graph(file=f"networks/{name}-{at}.onnx", heads=(head,)) for at in range(2))


CLASSIFY = ClassifyStep(name="classify", threshold=0.6, gate="class")
SEGMENT = SegmentStep(name="segment")
NETWORKS = {"classify": graphs_of("classify", "classes"), "segment": graphs_of("segment", "masks")}


def png(value, frame=FRAME):
    return bytes(cv2.imencode(".png", np.full(frame, value, np.uint8))[1])


def manifest(*stages):
    decision = Decision(stages=stages)
    own = {name: NETWORKS["segment" if name == "again" else name] for name in decision.steps}
    return Manifest(
        made_with="0",
        recipe="bright",
        classes=Classes(names=("bright",)),
        layout="columns",
        frame=FRAME,
        decision=decision,
        networks=own,
    )


def written_networks():
    every = [graph for own in NETWORKS.values() for graph in own]
    return {graph.file: network(graph.heads[0]) for graph in every}


def written(write_bundle, path, shown):
    """A bundle of two classifiers and two segmenters."""
    strips = {f"strips/{at}.png": png(*each) for at, each in enumerate(shown)}
    stage = Stage(classifiers=(CLASSIFY,), segmenter=SEGMENT, rules=(Threshold(),))
    write_bundle(path, manifest(stage), {**written_networks(), **strips})
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, write_bundle) -> Path:
    """Contains two dark strips, a bright one, and a dark one of another size."""
    shown = [(DARK,), (DARK,), (BRIGHT,), (DARK, (32, 64))]
    return written(write_bundle, tmp_path_factory.mktemp("bundles") / "bright.steelscan", shown)


def here(bundle, **fields):
    return measure_here(Setting(bundle=str(bundle), **fields))


@pytest.mark.parametrize("way", ["threads", "workers"])
def test_the_networks_run_are_counted_per_picture(bundle: Path, way: str) -> None:
    """One classifier finds a dark strip clean: the mean is at most (0.04 + 1) / 2, below 0.6."""
    found = here(bundle, scans=9, cores=2, way=way)
    assert found.networks_run == (1, 1, 4, 1)
    assert found.defective == (False, False, True, False)
    assert found.frames == (FRAME, FRAME, FRAME, (32, 64))
    assert found.networks == 4
    assert found.early == 3
    assert found.scans == 12  # three whole rounds
    every = here(bundle, scans=4, cores=2, way=way, mode="all")
    assert every.networks_run == (4, 4, 4, 4)
    assert every.early == 0
    gates = here(bundle, scans=4, cores=2, way=way, mode="gates")
    assert gates.networks_run == (2, 2, 4, 2)  # both classifiers run, and close dark strips
    assert gates.defective == found.defective


def test_with_the_fewest_networks_the_first_one_finds_strips_clean(
    bundle: Path, tmp_path: Path, write_bundle
) -> None:
    """Whatever is on them, unless its probability is exactly 1."""
    found = here(bundle, scans=4, mode="fewest")
    assert found.networks_run == (1, 1, 1, 1)
    white = written(write_bundle, tmp_path / "white.steelscan", [(255,), (BRIGHT,)])
    assert here(white, scans=2, mode="fewest").networks_run == (1,)


@pytest.mark.parametrize(
    ("classifiers", "segmenter", "fewest"),
    [
        ((), SEGMENT, 1),
        ((), SEGMENT.but(average=LogitMean()), 2),
        ((CLASSIFY.but(average=LogitMean()),), SEGMENT, 2),
    ],
)
def test_no_other_step_runs_after_a_first_step_that_nothing_passes(
    classifiers, segmenter, fewest, tmp_path, write_bundle
):
    """For logits, all networks of a step run; without classifiers, segmenters find strips clean."""
    rules = (Threshold(label=0.3, pixel=0.3),)
    first = Stage(classifiers=classifiers, segmenter=segmenter, rules=rules)
    last = Stage(segmenter=SEGMENT.but(name="again"), rules=(Threshold(),))
    graphs, decision = written_networks(), Decision(stages=(first, last))
    path = tmp_path / "two.steelscan"
    write_bundle(path, manifest(*stopping_all(decision).stages), graphs)
    picture = np.full(FRAME, GREY, np.uint8)
    scan = load(path).scan(picture)
    assert len(scan.networks) == fewest
    assert not scan.defective
    write_bundle(path, manifest(*passing_all(decision).stages), graphs)
    picture = np.full(FRAME, DARK, np.uint8)
    assert len(load(path).scan(picture, cascade=False).networks) == 4 + len(classifiers) * 2


def test_times_hold_together(bundle: Path) -> None:
    """The steps take no longer than the wall clock, and one core is not two."""
    found = here(bundle, scans=40)
    assert set(found.steps) == set(STEPS)
    assert all(spent > 0 for spent in found.steps.values())
    assert sum(found.steps.values()) * found.scans <= 1000 * found.wall
    assert 0 < found.p50 <= found.p99 <= 1000 * found.wall
    assert found.milliseconds * found.strips_per_second == pytest.approx(1000)
    assert 0 < found.busy < 1.5
    assert found.cpu_milliseconds == pytest.approx(found.busy * found.milliseconds)
    assert found.load > 0
    assert found.first > 0


def test_pictures_are_chosen_evenly_and_of_the_given_frame(bundle: Path, tmp_path: Path) -> None:
    package = load(bundle).package
    for at in range(10):
        (tmp_path / f"{at}.png").write_bytes(png(at))
    setting = Setting(bundle=str(bundle), data=str(tmp_path), scans=4)
    assert [name for name, _ in strips_of(package, setting)] == ["0.png", "2.png", "5.png", "7.png"]
    own = Setting(bundle=str(bundle), frame=(32, 64))
    assert [name for name, _ in strips_of(package, own)] == ["strips/3.png"]
    with pytest.raises(InputError, match="holds no strips of 9x9 pixels"):
        strips_of(package, own.but(frame=(9, 9)))
    with pytest.raises(DatasetError, match="does not exist"):
        strips_of(package, own.but(data="nowhere"))


def test_a_fresh_process_measures_the_same_and_its_own_memory(bundle: Path) -> None:
    """Memory that the parent once held is not the child's."""
    held = np.ones(400 << 20, np.uint8)
    setting = Setting(bundle=str(bundle), scans=8, cores=2, way="workers")
    found = measure(setting)
    assert found.setting == setting
    assert found.networks_run == (1, 1, 4, 1)
    assert peak_memory() > 400 <= held.nbytes >> 20
    assert 20 < found.memory < 400


def test_memory_is_what_a_process_held_at_most() -> None:
    """And neither bench nor line needs torch."""
    code = (
        "import sys, numpy as np\n"
        "import steelscan.inspection.line_budget\n"
        "from steelscan.bundle.bench.measure import peak_memory\n"
        "assert not {'torch', 'onnx'} & set(sys.modules)\n"
        "before = peak_memory()\n"
        "np.ones(300 << 20, np.uint8)\n"
        "print(before, peak_memory())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(float, done.stdout.split())
    assert 290 < after - before < 320


class EndsTheProcess:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (3,)


def test_errors_of_the_fresh_process_are_raised_here(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.png").write_bytes(png(DARK)[:40])
    setting = Setting(bundle=str(bundle), data=str(tmp_path))
    with pytest.raises(PictureError, match=r"broken\.png"):
        measure(setting)
    monkeypatch.setattr(measuring, "measure_here", EndsTheProcess())
    with pytest.raises(BundleError, match="could not be measured: the process ended"):
        measure(setting)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> list[Setting]:
    """The settings that are measured, in this process."""
    measured = []

    def in_this(setting):
        measured.append(setting)
        return measure_here(setting)

    monkeypatch.setattr("steelscan.bundle.bench.bench.measure", in_this)
    return measured


def test_bundles_are_compared_for_each_use_of_cores(
    bundle, settings, tmp_path, write_bundle
) -> None:
    other = written(write_bundle, tmp_path / "other.steelscan", [(DARK,), (BRIGHT,)])
    found = bench([bundle, other], strips=2, threads=(2, 1, 2))
    uses = [("threads", 1), ("threads", 2), ("workers", 2)]
    assert [(each.way, each.cores) for each in settings] == uses * 2
    assert [Path(each.bundle) for each in settings] == [bundle] * 3 + [other] * 3
    text = bench_text(found)
    assert text.count("bright  ") == text.count("other   ") == 6
    assert "2.50 of 4" in text  # the other's: 1 and 4
    rows = bench_json(found)["measured"]
    assert json.loads(json.dumps(rows)) == rows
    assert [row["early_share"] for row in rows] == [0.5] * 6  # of two pictures each, evenly taken
    assert bench([other], strips=2, threads=(1,), cascade=False)[0].networks_run == (2, 4)


def test_a_wrong_bundle_is_refused_before_any_is_measured(bundle, settings) -> None:
    with pytest.raises(BundleError, match="nowhere"):
        bench([bundle, Path("nowhere")])
    assert not settings


def test_threads_are_read() -> None:
    assert read_threads("1, 4") == (1, 4)
    assert read_threads("") == ()
    for wrong in ("0", "two", "1,-2", "1.5"):
        with pytest.raises(InputError, match="--cores"):
            read_threads(wrong)


def verb(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["steelscan", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code


def test_the_verbs_print_what_they_write(bundle, settings, tmp_path, monkeypatch, capsys) -> None:
    verb(monkeypatch, "bench", bundle, "--strips", 4, "--cores", 1, "--json", tmp_path / "b.json")
    assert "strips/s" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "b.json").read_text())["measured"]
    assert row["networks_run"] == [1, 1, 4, 1]
    line = ("--speed", 0.001, "--mm-per-pixel", 1, "--width-mm", 100, "--cores", 1)
    verb(monkeypatch, "line", bundle, *line, "--strips", 3, "--json", tmp_path / "p.json")
    assert "keeps up, even if all networks run" in capsys.readouterr().out
    found = json.loads((tmp_path / "p.json").read_text())
    assert found["line"]["across"] == 2
    assert found["line"]["budget_ms"] == 64_000
    assert found["verdict"]["keeps_up"] == "yes"
    assert found["decided_by_first"] == 2
    assert [each.mode for each in settings[1:]] == ["all", "cascade", "fewest"]
    assert {each.frame for each in settings[1:]} == {FRAME}  # no strip of another size
    assert [
        found[each]["networks_run"] for each in ("all_networks", "cascade", "first_network")
    ] == [
        [4, 4, 4],
        [1, 1, 4],
        [1, 1, 1],
    ]
