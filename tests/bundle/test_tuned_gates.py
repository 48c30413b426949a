"""Gates that a run tuned by F1 decide in each verb, for the run and for its bundle."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from steelscan.analysis.audit.audit import audit_labels
from steelscan.analysis.ensemble import compare_ensemble
from steelscan.analysis.escapes import count_escapes
from steelscan.analysis.score import ScoreOptions
from steelscan.analysis.score.run import score_run
from steelscan.bundle import scan_pictures
from steelscan.bundle.export.export import export
from steelscan.bundle.proof.verify import verify
from steelscan.data import open_dataset
from steelscan.decision import Decision
from steelscan.evaluation.tuning import Tune
from steelscan.pipeline import Options, RunFolder, StoredOutputs, predict, submit
from steelscan.pipeline.train import train
from steelscan.recipes import Recipe
from steelscan.strip.errors import RunError

CPU = Options(device="cpu")
PRESENT = np.array([True, True, True, False])
"""Classes with patches on the planted strips."""


@pytest.fixture(scope="module")
def tuned(
    strips: Path,
    tiny: Recipe,
    plant_networks: Callable[[Recipe, Path], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A finished run whose recipe has a gate that closes every class, and tunes it by F1."""
    assert tiny.classify is not None
    closed = tiny.classify.but(threshold=0.99, gate="class")
    only_gates = Tune(gates="f1", label=False, pixel=False, area=False, positives=3)
    recipe = tiny.but(steps=(closed, *tiny.steps[1:]), tune=only_gates)
    run = tmp_path_factory.mktemp("gates") / "run"
    plant_networks(recipe, run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("steelscan.pipeline.train.report_run", lambda *_: None)
        train(recipe, strips, run, CPU)
    return run


@pytest.fixture(scope="module")
def shut(tuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, as if it had tuned a gate that closes class 1 on each strip."""
    run = tmp_path_factory.mktemp("shut") / "run"
    shutil.copytree(tuned, run)
    folder = RunFolder(run)
    own = folder.load_tuned()
    (gate,) = own.gates
    assert isinstance(gate.threshold, tuple)
    other = gate.but(threshold=(1.0, *gate.threshold[1:]))
    folder.write_tuned(own.but(gates=(other,)))
    return run


def thresholds_of(decision: Decision) -> tuple[float, ...]:
    threshold = decision.stages[0].classifiers[0].threshold
    assert isinstance(threshold, tuple)
    return threshold


def found(table: Path) -> set[int]:
    """The classes with a mask in a table of run lengths."""
    with table.open() as file:
        return {int(row["ClassId"]) for row in csv.DictReader(file) if row["EncodedPixels"]}


def test_masks_of_run_bundle_and_submission_follow_the_tuned_gate(
    shut: Path, strips: Path, tmp_path: Path
) -> None:
    """The gate of the recipe closes every class, the tuned one class 1 alone."""
    pictures = str(strips / "test_images")
    done = export(shut, tmp_path / "bundle", strips=6)
    (gate,) = RunFolder(shut).load_tuned().gates
    assert thresholds_of(done.package.manifest.decision) == gate.threshold
    assert done.parity.defective
    assert not verify(tmp_path / "bundle").flipped
    predict(shut, pictures, tmp_path / "run", device="cpu", overlays=False)
    scan_pictures(tmp_path / "bundle", pictures, tmp_path / "scan", overlays=False)
    submit(shut, tmp_path / "table.csv", images=pictures, device="cpu")
    tables = ("run/submission.csv", "scan/submission.csv", "table.csv")
    assert [found(tmp_path / table) for table in tables] == [{2, 3}] * 3


def test_analyses_of_the_stored_outputs_follow_the_tuned_gate(
    tuned: Path, shut: Path, strips: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(strips)
    for run in (tuned, shut):
        stored = StoredOutputs(RunFolder(run), dataset)
        masks = np.array([stored.masks(row).any((1, 2)) for row in stored.rows.tolist()])
        opened = PRESENT & (np.arange(4) > 0 if run is shut else True)
        assert np.array_equal(masks, dataset.present[stored.rows] & opened)
    escapes = [count_escapes(run).sizes for run in (tuned, shut)]
    assert escapes[0] != escapes[1]
    outputs = (StoredOutputs(RunFolder(run), dataset) for run in (tuned, shut))
    audits = [audit_labels(dataset, each) for each in outputs]
    assert audits[0].counts != audits[1].counts
    assert score_run(tuned, dataset, ScoreOptions()).scores.escaped == 0
    with pytest.raises(RunError, match="other probabilities"):  # than those of the recorded counts
        score_run(shut, dataset, ScoreOptions())
    own, other = (compare_ensemble(run, tmp_path / run.parent.name) for run in (tuned, shut))
    assert own.same_pairs == own.pairs
    assert other.same_pairs < other.pairs
