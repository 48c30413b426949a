"""A run and its bundle: the same decisions, and every planted fault is caught."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from steelscan.bundle import load, make_keys, read_package
from steelscan.bundle.export.card import card_of
from steelscan.bundle.export.export import export
from steelscan.bundle.proof.verify import verify
from steelscan.data import open_dataset, read_picture
from steelscan.decision import Detector
from steelscan.mill import Mill, write_mill
from steelscan.pipeline import Outcome, RunFolder, open_run
from steelscan.strip import Masks, Picture
from steelscan.strip.errors import BundleError, DatasetError, RunError

Finished = tuple[Path, Outcome]
Bounds = Callable[[Picture], tuple[Masks, Masks]]
KeepsPromise = Callable[[Picture, Masks], bool]


@pytest.fixture(scope="module")
def detector(finished: Finished) -> Detector:
    return open_run(RunFolder(finished[0]), torch.device("cpu"))


def test_masks_of_strips_it_never_saw_are_those_of_the_run(
    exported: Path, strips: Path, keeps_promise: KeepsPromise
) -> None:
    """But at pixels whose probability lies within 1/255 of a threshold."""
    bundle, dataset = load(exported), open_dataset(strips)
    for row in range(len(dataset)):
        picture, truth = dataset.picture(row), dataset.masks(row)
        scan = bundle.scan(picture)
        assert keeps_promise(picture, scan.masks)
        assert scan.defective == truth.any()
        assert np.array_equal(scan.masks.any((1, 2)), truth.any((1, 2)))
        assert sum(defect.area for defect in scan.defects) == scan.masks.sum()


def test_a_mask_that_differs_farther_from_a_threshold_breaks_the_promise(
    strips: Path, bounds: Bounds, keeps_promise: KeepsPromise
) -> None:
    picture = open_dataset(strips).picture(7)
    least, most = bounds(picture)
    assert keeps_promise(picture, least)
    assert keeps_promise(picture, most)
    more, fewer = most.copy(), least.copy()
    more[tuple(np.argwhere(~most)[0])] = True
    fewer[tuple(np.argwhere(least)[0])] = False
    for masks in (more, fewer, np.zeros_like(most), most[[1, 0, 2, 3]]):
        assert not keeps_promise(picture, masks)


def test_strips_of_any_size_are_scanned_as_the_run_does(exported: Path, detector: Detector) -> None:
    rng = np.random.default_rng(0)
    bundle = load(exported, threads=2)
    for shape in ((1, 1), (33, 70), (64, 400), (100, 64)):
        picture = cv2.GaussianBlur(rng.integers(0, 256, shape).astype(np.uint8), (5, 5), 0)
        found = detector.rule_input(picture)
        deployed = bundle.detector.rule_input(picture)
        assert deployed.pixels.shape == (4, *shape)
        assert np.abs(deployed.pixels.astype(int) - found.pixels).max() <= 1
        assert bundle.scan(picture).masks.shape == (4, *shape)


def test_all_at_once_is_one_by_one_in_order(exported: Path, strips: Path) -> None:
    bundle = load(exported)
    paths = sorted((strips / "train_images").iterdir())
    scans = list(bundle.scan_all(iter(paths), workers=2))
    assert len(scans) == len(paths)
    for path, scan in zip(paths, scans, strict=True):
        alone = bundle.scan_file(path)
        assert np.array_equal(scan.masks, alone.masks)
        assert scan.defects == alone.defects
        assert set(scan.seconds) == {"decoding", "network", "cleaning"}


def test_verify_repeats_the_proof_with_and_without_data(exported: Path, strips: Path) -> None:
    own = verify(exported)
    assert own.strips == 4
    every = verify(exported, str(strips / "train_images"))
    assert every.strips == read_package(exported).certificate.parity.strips
    assert not every.flipped
    assert every.difference < 0.5
    with pytest.raises(BundleError, match="holds none of the strips"):
        verify(exported, str(strips / "test_images"))
    with pytest.raises(DatasetError):
        verify(exported, str(strips / "nothing"))


def test_what_a_bundle_says_of_itself(exported: Path, finished: Finished) -> None:
    package = read_package(exported)
    certificate = package.certificate
    checkpoints = list((finished[0] / "networks").rglob("checkpoint.safetensors"))
    assert len(certificate.weights) == len(checkpoints) == 4
    assert certificate.data == RunFolder(finished[0]).load_record().fingerprint
    assert certificate.parity.flipped == ()
    card = package.contents["card.md"].decode()
    for heading in ("## Data", "## Scores", "## Networks", "## Weights", "## Proof"):
        assert heading in card
    assert f"{finished[1].scores['out of fold'].mean_dice.value:.4f}" in card
    assert not [name for name in package.contents if name.endswith((".pkl", ".pt", ".bin"))]


def faulty(write_bundle: "object", exported: Path, out: Path, change: "object") -> Path:
    """The bundle with its manifest changed."""
    package = read_package(exported)
    text = change(package.manifest.model_dump_json())  # type: ignore[operator]
    manifest = type(package.manifest).model_validate_json(text)
    write_bundle(out, manifest, package.contents)
    return out


def with_network(
    write_bundle: "object", exported: Path, out: Path, step: str, change: "object"
) -> Path:
    """The bundle with one of its networks changed."""
    import onnx

    package = read_package(exported)
    contents = dict(package.contents)
    for name, content in package.contents.items():
        if name.startswith(f"networks/{step}"):
            model = onnx.load_from_string(content)
            change(model)  # type: ignore[operator]
            contents[name] = model.SerializeToString()
    write_bundle(out, package.manifest, contents)
    return out


def shift(axis: int) -> "object":
    """Makes masks move by one pixel."""

    def change(model: "object") -> None:
        import onnx
        from onnx import TensorProto, helper

        graph = model.graph  # type: ignore[attr-defined]
        (given,) = (each for each in graph.output if len(each.type.tensor_type.shape.dim) == 5)
        own, before = given.name, f"{given.name}_before"
        for node in graph.node:
            node.output[:] = [before if name == own else name for name in node.output]
        pads = [0] * 10
        pads[axis] = 1
        graph.initializer.append(helper.make_tensor("pads", TensorProto.INT64, [10], pads))
        starts, ends = [0] * 5, [2**31 - 1] * 5
        ends[axis] = -1
        graph.initializer.append(helper.make_tensor("starts", TensorProto.INT64, [5], starts))
        graph.initializer.append(helper.make_tensor("ends", TensorProto.INT64, [5], ends))
        graph.node.append(helper.make_node("Pad", [before, "pads"], ["padded"], mode="edge"))
        graph.node.append(helper.make_node("Slice", ["padded", "starts", "ends"], [own]))
        onnx.checker.check_model(model)

    return change


def swap(model: "object") -> None:
    """Makes the first two classes change places."""
    from onnx import TensorProto, helper

    graph = model.graph  # type: ignore[attr-defined]
    for given in graph.output:
        own, before = given.name, f"{given.name}_before"
        for node in graph.node:
            node.output[:] = [before if name == own else name for name in node.output]
        order = f"order_{own}"
        graph.initializer.append(helper.make_tensor(order, TensorProto.INT64, [4], [1, 0, 2, 3]))
        graph.node.append(helper.make_node("Gather", [before, order], [own], axis=2))


def normalise(model: "object") -> None:
    """Makes the normalisation another: what is subtracted is a twentieth larger."""
    from onnx import numpy_helper

    graph = model.graph  # type: ignore[attr-defined]
    taken = {name for node in graph.node if node.op_type == "Sub" for name in node.input}
    tensors = [each for each in graph.initializer if each.name in taken]
    constants = (each for each in graph.node if each.op_type == "Constant")
    tensors += [each.attribute[0].t for each in constants if taken & set(each.output)]
    assert tensors
    for tensor in tensors:
        changed = numpy_helper.to_array(tensor) * np.float32(1.05)
        tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))


NETWORK_FAULTS = {
    "masks one row lower": ("segment", shift(3)),
    "masks one column further": ("segment", shift(4)),
    "classes of masks swapped": ("segment", swap),
    "classes of words swapped": ("classify", swap),
    "normalisation of the segmenter": ("segment", normalise),
    "normalisation of the classifier": ("classify", normalise),
}


@pytest.mark.parametrize("fault", NETWORK_FAULTS)
def test_a_faulty_network_is_caught(
    exported: Path, tmp_path: Path, fault: str, write_bundle: "object"
) -> None:
    step, change = NETWORK_FAULTS[fault]
    bad = with_network(write_bundle, exported, tmp_path / "bad", step, change)
    with pytest.raises(BundleError, match="does not decide as the trained networks"):
        verify(bad)


def test_another_filter_for_resizing_is_caught(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steelscan.prediction import predict

    def nearest(picture: "np.ndarray", frame: tuple[int, int]) -> "np.ndarray":
        return cv2.resize(picture, frame[::-1], interpolation=cv2.INTER_NEAREST)

    monkeypatch.setattr(predict, "resize_picture", nearest)
    with pytest.raises(BundleError, match="does not decide as the trained networks"):
        verify(exported)


MANIFEST_FAULTS = {
    "another threshold of the classifier": ('"threshold":0.2', '"threshold":1.0'),
    "another size": ('"pixels":5120', '"pixels":2560'),
}


@pytest.mark.parametrize("fault", MANIFEST_FAULTS)
def test_a_faulty_manifest_is_caught(
    exported: Path, tmp_path: Path, fault: str, write_bundle: "object"
) -> None:
    old, new = MANIFEST_FAULTS[fault]
    bad = faulty(write_bundle, exported, tmp_path / "bad", lambda text: _replaced(text, old, new))
    with pytest.raises(BundleError, match="does not decide as the trained networks"):
        verify(bad)


@pytest.mark.parametrize("records", [None, b"{", b'{"name": "a"}'])
def test_a_bundle_without_records_proves_nothing(
    exported: Path, tmp_path: Path, records: bytes | None, write_bundle: "object"
) -> None:
    package = read_package(exported)
    contents = {**package.contents, "expected.jsonl": records or b""}
    if records is None:
        del contents["expected.jsonl"]
    path = tmp_path / "bad"
    write_bundle(path, package.manifest, contents)
    with pytest.raises(BundleError, match="missing or broken"):
        verify(path)


def test_the_card_lists_the_notes_and_the_searched_thresholds(
    exported: Path, finished: Finished
) -> None:
    card = read_package(exported).contents["card.md"].decode()
    run, outcome = finished
    assert any("First weights" in note for note in outcome.notes)
    assert all(f"- {note}" in card.splitlines() for note in outcome.notes)
    search = RunFolder(run).load_tuned().search
    assert search is not None
    tuned = [name for name, changed in zip("1234", search.tuned, strict=True) if changed]
    said = (
        f"Thresholds of {', '.join(tuned)} were searched" if tuned else "no optimism from a search"
    )
    assert said in card


def test_the_card_shows_scores_without_interval_or_strips(
    exported: Path, finished: Finished, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    scores = json.loads((run / "scores.json").read_text())
    scores["held out"]["mean_dice"] = {"value": 0.5, "low": None, "high": None}
    scores["held out"]["escapes"] = {"value": None, "low": None, "high": None}
    (run / "scores.json").write_text(json.dumps(scores))
    RunFolder(run).seal(run / "scores.json")
    package = read_package(exported)
    parity = verify(exported)
    card = card_of(RunFolder(run), package.manifest, parity, None, None)
    assert "- mean Dice: 0.5000 (too few strips for an interval)\n" in card
    assert "- escapes (defective strips passed): there are no such strips\n" in card


def test_the_card_states_that_networks_started_with_those_of_another_run(
    exported: Path, finished: Finished, tmp_path: Path
) -> None:
    package, run = read_package(exported), tmp_path / "run"
    assert "fine-tuned" not in package.contents["card.md"].decode()
    shutil.copytree(finished[0], run)
    record = json.loads((run / "run.json").read_text())
    record["start_from"] = {"origin": "runs/synthetic", "digest": "12ab34cd" * 8, "networks": []}
    (run / "run.json").write_text(json.dumps(record))
    card = card_of(RunFolder(run), package.manifest, verify(exported), None, None)
    assert "started with weights of\nruns/synthetic (12ab34cd)." in card


@pytest.mark.parametrize("content", [None, b"", b"relative/path\n", b"\xff\x00" * 99, b"/9" * 9999])
def test_a_run_that_does_not_say_where_its_data_lay_asks_for_data(
    finished: Finished, tmp_path: Path, content: bytes | None
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    (run / "data.txt").unlink()
    if content is not None:
        (run / "data.txt").write_bytes(content)
    with pytest.raises(RunError, match=r"does not record where its data is .*data set: --data"):
        export(run, tmp_path / "out")


def _replaced(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


def test_nothing_is_packaged_where_the_proof_fails(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = import_module("steelscan.bundle.export.export")
    write = room.to_onnx

    def broken(module: torch.nn.Module) -> bytes:
        with torch.no_grad():
            module.network.mean += 20  # type: ignore[operator,union-attr]
        return write(module)

    monkeypatch.setattr(room, "to_onnx", broken)
    with pytest.raises(BundleError, match="was not packaged"):
        export(finished[0], tmp_path / "bad.steelscan", strips=4)
    assert not list(tmp_path.iterdir())


def test_a_run_that_has_not_ended_or_whose_data_changed_is_refused(
    finished: Finished, tmp_path: Path
) -> None:
    with pytest.raises(RunError):
        export(tmp_path / "none", tmp_path / "x")
    write_mill(Mill(strips=8, seed=9, height=64, width=160), tmp_path / "other")
    with pytest.raises(RunError, match="other data"):
        export(finished[0], tmp_path / "x", data=tmp_path / "other")


def masks_elsewhere(run: Path, path: Path, written_for: str, picture: Path) -> Masks:
    """Export a run for a runtime, prove it, and return the masks of a picture."""
    private, public = make_keys(path.with_name("keys"))
    done = export(run, path, strips=6, written_for=written_for, sign=private)
    assert not done.parity.flipped
    assert verify(path, signed_by=public).strips == 4
    return load(path).scan_file(picture).masks


@pytest.mark.slow
def test_openvino_holds_the_same_proof(
    finished: Finished, tmp_path: Path, keeps_promise: KeepsPromise, strips: Path
) -> None:
    """In a process of its own: its threads end badly beside those of others."""
    picture = max((strips / "test_images").iterdir())
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        asked = (finished[0], tmp_path / "other", "openvino", picture)
        masks = pool.submit(masks_elsewhere, *asked).result()
    assert masks.any()
    assert keeps_promise(read_picture(picture), masks)


LIGHT = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision", "timm", "segmentation_models_pytorch",
                                  "albumentations", "accelerate", "zarr", "safetensors"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
import json, time
start = time.perf_counter()
from steelscan.bundle import load
from steelscan.bundle.proof.verify import verify
from steelscan.data import read_picture
bundle = load(sys.argv[1])
scan = bundle.scan_file(sys.argv[2])
seconds = time.perf_counter() - start
parity = verify(sys.argv[1])
assert "torch" not in sys.modules
print(json.dumps({"pixels": int(scan.masks.sum()), "strips": parity.strips, "seconds": seconds}))
"""


def test_a_bundle_scans_and_proves_itself_where_torch_cannot_be_imported(
    exported: Path, strips: Path, bounds: Bounds
) -> None:
    picture = max((strips / "train_images").iterdir())
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, exported, picture],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["strips"] == 4
    least, most = bounds(read_picture(picture))
    assert 0 < least.sum() <= said["pixels"] <= most.sum()


def test_a_network_whose_weights_lie_elsewhere_is_refused(
    exported: Path, tmp_path: Path, write_bundle: "object"
) -> None:
    import onnx

    def outside(model: "onnx.ModelProto") -> None:
        tensor = model.graph.initializer[0]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "/etc/passwd"

    bad = with_network(write_bundle, exported, tmp_path / "bad", "segment", outside)
    with pytest.raises(BundleError, match="weights in another file"):
        load(bad)


def test_a_network_that_is_none_is_named(
    exported: Path, tmp_path: Path, write_bundle: "object"
) -> None:
    package = read_package(exported)
    contents = {
        name: b"no network" if name.startswith("networks/segment") else content
        for name, content in package.contents.items()
    }
    write_bundle(tmp_path / "bad", package.manifest, contents)
    with pytest.raises(BundleError, match=r"networks/segment-1\.onnx: cannot be loaded"):
        load(tmp_path / "bad")


def test_a_number_that_cannot_be_told_is_said_so() -> None:
    from steelscan.bundle.export.card import _number

    assert _number({"value": None, "low": None, "high": None}) == "there are no such strips"
    assert _number({"value": 0.5, "low": 0.25, "high": 1.0}) == "0.5000 [0.2500, 1.0000]"
