"""What a bundle takes: on one whose networks say how bright a strip is, so that all is foreseen."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from steelscan import cli
from steelscan.bundle import Deployed, Graph, Judge, Manifest, Outline, load
from steelscan.bundle.bench import Setting, bench_json, bench_text, read_threads
from steelscan.bundle.bench import measure as measuring
from steelscan.bundle.bench.bench import bench
from steelscan.bundle.bench.measure import (
    STEPS,
    clearing,
    measure,
    measure_here,
    opening,
    strips_of,
)
from steelscan.postprocess import Threshold
from steelscan.prediction import LogitMean, Mean
from steelscan.strip import BundleError, Classes, DatasetError, InputError, PictureError

FRAME = (64, 128)
DARK, GREY, BRIGHT = 10, 120, 250


def network(head):
    """A graph of one class that says how bright the strip is, or each of its pixels."""
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
    said = helper.make_tensor_value_info(head, TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "bright", [strips], [said], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def asked(name, head, graphs, **fields):
    kind = Judge if head == "classes" else Outline
    files = tuple(Graph(file=f"networks/{name}-{at}.onnx", heads=(head,)) for at in range(graphs))
    return kind(name=name, graphs=files, views=("identity",), average=Mean(), **fields)


JUDGE = asked("classify", "classes", 2, threshold=0.6, gate="class")
OUTLINE = asked("segment", "masks", 2)


def png(value, frame=FRAME):
    return bytes(cv2.imencode(".png", np.full(frame, value, np.uint8))[1])


def manifest(*deployed):
    return Manifest(
        made_with="0",
        recipe="bright",
        classes=Classes(names=("bright",)),
        layout="columns",
        frame=FRAME,
        deployed=deployed,
    )


def written(write_bundle, path, shown):
    """A bundle of two judges and two outliners, or with one network alone."""
    strips = {f"strips/{at}.png": png(*each) for at, each in enumerate(shown)}
    graphs = {graph.file: network(graph.heads[0]) for graph in (*JUDGE.graphs, *OUTLINE.graphs)}
    deployed = Deployed(judges=(JUDGE,), outline=OUTLINE, rules=(Threshold(),))
    write_bundle(path, manifest(deployed), {**graphs, **strips})
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, write_bundle) -> Path:
    """Brings along two dark strips, a bright one, and a dark one of another size."""
    shown = [(DARK,), (DARK,), (BRIGHT,), (DARK, (32, 64))]
    return written(write_bundle, tmp_path_factory.mktemp("bundles") / "bright.steelscan", shown)


def here(bundle, **fields):
    return measure_here(Setting(bundle=str(bundle), **fields), 0.5, lambda _: None)


@pytest.mark.parametrize("way", ["threads", "workers"])
def test_networks_asked_are_told_of_each_picture(bundle: Path, way: str) -> None:
    """A dark strip is cleared by the first judge: both at most (0.04 + 1) / 2, below 0.6."""
    found = here(bundle, scans=9, cores=2, way=way)
    assert found.asked == (1, 1, 4, 1)
    assert found.defective == (False, False, True, False)
    assert found.frames == (FRAME, FRAME, FRAME, (32, 64))
    assert found.networks == 4
    assert found.early == 3
    assert found.scans == 12  # three whole rounds
    every = here(bundle, scans=4, cores=2, way=way, asked="all")
    assert every.asked == (4, 4, 4, 4)
    assert every.early == 0
    gates = here(bundle, scans=4, cores=2, way=way, asked="gates")
    assert gates.asked == (2, 2, 4, 2)  # both judges must speak, and close dark strips
    assert gates.defective == found.defective


def test_strips_that_the_first_network_clears_are_found(
    bundle: Path, tmp_path: Path, write_bundle
) -> None:
    """Whatever is on them, but where its answer is exactly 1; as in use if they are dark."""
    found = here(bundle, scans=4, asked="soonest")
    assert found.asked == (1, 1, 1, 1)
    white = written(write_bundle, tmp_path / "white.steelscan", [(255,), (BRIGHT,)])
    assert here(white, scans=2, asked="soonest").asked == (1,)


@pytest.mark.parametrize(
    ("judges", "outline", "fewest"),
    [
        ((), OUTLINE, 1),
        ((), OUTLINE.but(average=LogitMean()), 2),
        ((JUDGE.but(average=LogitMean()),), OUTLINE, 2),
    ],
)
def test_a_first_step_that_nothing_passes_is_all_that_is_asked(
    judges, outline, fewest, tmp_path, write_bundle
):
    """Of logits all networks of a step are asked; without a judge the outliners clear a strip."""
    first = Deployed(judges=judges, outline=outline, rules=(Threshold(label=0.3, pixel=0.3),))
    last = Deployed(outline=OUTLINE.but(name="again"), rules=(Threshold(),))
    graphs = {graph.file: network(graph.heads[0]) for graph in (*JUDGE.graphs, *OUTLINE.graphs)}
    path = tmp_path / "two.steelscan"
    write_bundle(path, clearing(manifest(first, last)), graphs)
    picture = np.full(FRAME, GREY, np.uint8)
    scan = load(path).scan(picture)
    assert len(scan.asked) == fewest
    assert not scan.defective
    write_bundle(path, opening(manifest(first, last)), graphs)
    picture = np.full(FRAME, DARK, np.uint8)
    assert len(load(path).scan(picture, cascade=False).asked) == 4 + len(judges) * 2


def test_times_hold_together(bundle: Path) -> None:
    """Means of steps are within what the clock on the wall saw; one core was never two."""
    found = here(bundle, scans=40)
    assert set(found.steps) == set(STEPS)
    assert all(spent > 0 for spent in found.steps.values())
    assert sum(found.steps.values()) * found.scans <= 1000 * found.wall
    assert 0 < found.p50 <= found.p99 <= 1000 * found.wall
    assert found.milliseconds * found.strips_per_second == pytest.approx(1000)
    assert 0 < found.busy < 1.5
    assert found.work == pytest.approx(found.busy * found.milliseconds)
    assert found.load > 0
    assert found.first > 0
    assert found.start == 0.5


def test_pictures_are_taken_evenly_and_of_the_frame_asked_for(bundle: Path, tmp_path: Path) -> None:
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


def test_a_fresh_process_measures_the_same_and_knows_its_own_memory(bundle: Path) -> None:
    """Memory that the parent once held is not the child's."""
    held = np.ones(400 << 20, np.uint8)
    told = []
    setting = Setting(bundle=str(bundle), scans=8, cores=2, way="workers")
    found = measure(setting, told.append)
    assert found.setting == setting
    assert found.asked == (1, 1, 4, 1)
    assert found.start > 0
    assert measuring.peak_memory() > 400 <= held.nbytes >> 20
    assert 20 < found.memory < 400
    assert all(0 < done <= 8 for done in told)


def test_memory_is_what_a_process_held_at_most() -> None:
    """And neither measuring nor reckoning needs torch."""
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


def test_errors_of_the_fresh_process_are_told_as_here(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.png").write_bytes(png(DARK)[:40])
    setting = Setting(bundle=str(bundle), data=str(tmp_path))
    with pytest.raises(PictureError, match=r"broken\.png"):
        measure(setting, lambda _: None)
    monkeypatch.setattr(measuring, "_PROGRAM", "import os; os._exit(3)")
    with pytest.raises(BundleError, match="broke off while it was measured"):
        measure(setting, lambda _: None)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> list[Setting]:
    """The settings that are measured, in this process."""
    measured = []

    def in_this(setting, tell):
        measured.append(setting)
        return measure_here(setting, 0.5, tell)

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
    assert [row["early"] for row in rows] == [0.5] * 6  # of two pictures each, evenly taken
    assert bench([other], strips=2, threads=(1,), cascade=False)[0].asked == (2, 4)


def test_no_bundle_is_measured_before_all_are_known_to_be_bundles(bundle, settings) -> None:
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
    assert row["asked"] == [1, 1, 4, 1]
    line = ("--speed", 0.001, "--mm-per-pixel", 1, "--width-mm", 100, "--cores", 1)
    verb(monkeypatch, "line", bundle, *line, "--strips", 3, "--json", tmp_path / "p.json")
    assert "keeps up, even if all networks run" in capsys.readouterr().out
    found = json.loads((tmp_path / "p.json").read_text())
    assert found["line"]["across"] == 2
    assert found["line"]["budget_ms"] == 64_000
    assert found["verdict"]["keeps_up"] == "yes"
    assert found["decided_by_first"] == 2
    assert [each.asked for each in settings[1:]] == ["all", "cascade", "soonest"]
    assert {each.frame for each in settings[1:]} == {FRAME}  # no strip of another size
    assert [found[each]["asked"] for each in ("all_networks", "cascade", "first_network")] == [
        [4, 4, 4],
        [1, 1, 4],
        [1, 1, 1],
    ]
