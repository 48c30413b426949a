"""The audit of labels: contradictions with a finished run, suspicious labels, and the files."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from steelscan.analysis.audit import write_audit
from steelscan.data import open_dataset
from steelscan.evaluation.metrics import count_pixels
from steelscan.mill import Mill, write_mill
from steelscan.pipeline import Outcome, RunFolder, StoredOutputs, read_evaluated
from steelscan.prediction import ProbabilityStore
from steelscan.strip import encode
from steelscan.strip.errors import InputError, OutputError, RunError
from steelscan.strip.tables import write_mask_table

Finished = tuple[Path, Outcome]


def test_stored_outputs_have_the_scores_of_the_run(finished: Finished, strips: Path) -> None:
    run, dataset = RunFolder(finished[0]), open_dataset(strips)
    outputs = StoredOutputs(run, dataset)
    evaluated = read_evaluated(run, len(dataset.classes))
    images = [image for part in evaluated.values() for image in part.images]
    assert sorted(images) == [dataset.names[row] for row in outputs.rows.tolist()]
    for part in evaluated.values():
        for place, image in enumerate(part.images):
            row = dataset.names.index(image)
            pixels = count_pixels(outputs.masks(row), dataset.masks(row))
            pairs = part.pairs
            scored = [each[place] for each in (pairs.predicted, pairs.truth, pairs.shared)]
            assert np.asarray(pixels).tolist() == np.asarray(scored).tolist()
            assert outputs.pixel_probabilities(row).shape == dataset.masks(row).shape


@pytest.fixture
def wrong(strips: Path, tmp_path: Path) -> Path:
    """The mill's strips with a speck, a pinhole and a sliver in the label of the first."""
    data = tmp_path / "wrong"
    shutil.copytree(strips, data)
    dataset = open_dataset(data)
    rows = []
    for row, name in enumerate(dataset.names):
        masks = dataset.masks(row)
        if row == 0:
            masks[:] = False
            masks[0, 40:60, 100:140] = True
            masks[0, 50, 120] = False
            masks[1, 3, 3:5] = True
            masks[2, 20, 5:40] = True
        rows.append((name, [encode(mask) for mask in masks]))
    write_mask_table(data / "train.csv", rows, "columns")
    return data


def test_small_faults_are_found_without_a_run(wrong: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    audit = write_audit(wrong, out, most=1, to="labelme")
    first = next(strip for strip in audit.suspects if strip.row == 0)
    kinds = {(each.kind, each.class_name) for each in first.reasons}
    assert {("speck", "2"), ("sliver", "3"), ("pinhole", "1")} <= kinds
    with (out / "suspects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(strip.reasons) for strip in audit.suspects)
    worst = next(row for row in rows if row["rank"] == "1")
    assert worst["image"] == audit.suspects[0].name
    assert float(worst["score"]) == pytest.approx(audit.suspects[0].reasons[0].score, abs=1e-4)
    written = sorted(path.name for path in (out / "relabel_labelme").glob("*.json"))
    assert written == [Path(audit.suspects[0].name).stem + ".json"]
    page = (out / "audit.html").read_text()
    assert audit.suspects[0].name in page
    assert page.count("<figure>") == 1
    assert f"The first 1 of {len(audit.suspects)}" in page
    assert json.loads((out / "audit.json").read_text())["evaluated"] is None
    with pytest.raises(OutputError, match="exists already"):
        write_audit(wrong, out, to="labelme")


def test_labels_that_a_run_contradicts(finished: Finished, strips: Path, tmp_path: Path) -> None:
    """The networks' predictions for one strip are replaced by the inverse of its label."""
    run, dataset = tmp_path / "run", open_dataset(strips)
    shutil.copytree(finished[0], run)
    outputs = StoredOutputs(RunFolder(run), dataset)
    planted = next(row for row in outputs.rows.tolist() if dataset.masks(row).any())
    masks = ProbabilityStore(run / "probabilities" / "segment", len(dataset), 4, dataset.frames)
    masks[planted] = np.where(dataset.masks(planted), 0, 255).astype(np.uint8)
    classes = ProbabilityStore(run / "probabilities" / "classify", len(dataset), 4, ())
    classes[planted] = np.ones(4, np.float32)
    audit = write_audit(strips, tmp_path / "out", run=run)
    assert audit.evaluated is not None
    assert 0 < audit.evaluated < audit.strips
    assert any("out-of-fold predictions" in note for note in audit.notes)
    evaluated = set(outputs.rows.tolist())
    kinds = {"missed", "denied", "other class", "out of place"}
    contradicted = {
        strip.row for strip in audit.suspects for each in strip.reasons if each.kind in kinds
    }
    assert planted in contradicted
    assert contradicted <= evaluated
    scores = [strip.score for strip in audit.suspects]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= each.score <= 1 for strip in audit.suspects for each in strip.reasons)


def test_a_run_of_other_labels_or_without_its_probabilities_is_refused(
    finished: Finished, strips: Path, wrong: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="other data"):
        write_audit(wrong, tmp_path / "out", run=finished[0])
    bare = tmp_path / "bare"
    shutil.copytree(finished[0], bare, ignore=shutil.ignore_patterns("probabilities"))
    with pytest.raises(RunError, match="no probabilities"):
        write_audit(strips, tmp_path / "out", run=bare)
    with pytest.raises(RunError, match="is not a run"):
        write_audit(strips, tmp_path / "out", run=tmp_path)
    with pytest.raises(InputError, match="is not a format"):
        write_audit(wrong, tmp_path / "out", to="nothing")


def test_an_unknown_format_to_relabel_in_is_refused_before_any_work(tmp_path: Path) -> None:
    """Even if there are no suspects, so that nothing would be written."""
    with pytest.raises(InputError, match=r"--to: is 'nothing', which is not a format\. The"):
        write_audit(tmp_path / "no data set", tmp_path / "out", to="nothing")
    assert not (tmp_path / "out").exists()


def test_without_suspects_nothing_is_written_to_relabel_and_the_verb_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from steelscan.cli.audit import audit

    data, out = tmp_path / "data", tmp_path / "out"
    write_mill(Mill(strips=1, clean_share=1.0, height=64, width=64), data)
    (data / "classes.csv").write_text("value,name\n1,scratch\n")
    audit(data, out, to="labelme")
    printed = capsys.readouterr().out
    assert "Strips worth a second look: 0 of 1" in printed
    assert "To relabel: nothing written in that format: no strip is suspicious" in printed
    assert not (out / "relabel_labelme").exists()
