"""A recipe carried from strips to a finished run folder."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from steelscan.analysis.audit import write_audit
from steelscan.analysis.score import score_files
from steelscan.analysis.tune import tune_run
from steelscan.data import open_dataset, read_picture
from steelscan.data.files import PREDICT_MARKER
from steelscan.data.folds import read_folds
from steelscan.evaluation.metrics import Pairs, count_pixels, score
from steelscan.losses import BothHeads, CrossEntropy, Focal, Lovasz
from steelscan.models import PSPNet, TwoHeaded, Unet
from steelscan.pipeline import Options, Outcome, RunFolder, StoredOutputs, open_run
from steelscan.pipeline.train import begin_run, train
from steelscan.postprocess import Threshold, Triplet
from steelscan.prediction import EncoderFittedFor, Ensemble, Member
from steelscan.recipes import Recipe, Segment, with_budget
from steelscan.strip import Frame, decode
from steelscan.strip.errors import DatasetError, OutputError, PictureError, RecipeError, RunError
from steelscan.strip.tables import read_mask_table

CPU = Options(device="cpu")


def test_a_run_folder_holds_all_results(finished: tuple[Path, Outcome]) -> None:
    run, _ = finished
    names = "recipe.json run.json folds.csv thresholds.json scores.json report.html submission.csv"
    assert set(names.split()) <= {path.name for path in run.iterdir()}
    fitted = sorted(path.name for path in (run / "networks").iterdir())
    assert fitted == ["classify-0-fold0", "classify-0-fold1", "segment-0-fold0", "segment-0-fold1"]
    for folder in (run / "networks").iterdir():
        files = {"checkpoint.safetensors", "first_weights.txt", "fit.log", "metrics.csv"}
        assert {path.name for path in folder.iterdir()} == files


def test_the_submission_has_every_test_strip(finished: tuple[Path, Outcome], strips: Path) -> None:
    table = read_mask_table(finished[0] / "submission.csv")
    tests = {path.name for path in (strips / "test_images").iterdir()}
    dataset = open_dataset(strips)
    assert table.layout == dataset.layout
    assert set(table.rows) <= tests
    for name in tests:
        for text in table.texts(name, len(dataset.classes)):
            decode(text, dataset.frames[0])


def test_no_group_is_split_between_folds(finished: tuple[Path, Outcome], strips: Path) -> None:
    dataset = open_dataset(strips)
    assert dataset.group_labels is not None
    folds = read_folds(finished[0] / "folds.csv", dataset.names)
    labels = np.array(dataset.group_labels)
    assert len(set(labels)) < len(labels)
    for label in set(labels):
        assert len(set(folds[labels == label].tolist())) == 1


def test_scores_are_those_of_the_predicted_masks(
    finished: tuple[Path, Outcome], strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    """Held-out strips that are predicted one by one have the scores of the training."""
    from steelscan.pipeline import predict

    run, outcome = finished
    dataset = open_dataset(strips)
    folds = read_folds(run / "folds.csv", dataset.names)
    rows = np.flatnonzero(np.isin(folds, tiny.folds.holdout)).tolist()
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for row in rows:
        shutil.copy(strips / "train_images" / dataset.names[row], pictures)
    predict(run, str(pictures), tmp_path / "out", device="cpu")
    table = read_mask_table(tmp_path / "out" / "submission.csv")
    counts = []
    for row in rows:
        texts = table.texts(dataset.names[row], len(dataset.classes))
        masks = np.stack([decode(text, dataset.frames[row]) for text in texts])
        counts.append(count_pixels(masks, dataset.masks(row)))
    again = score(Pairs.of(counts))
    before = outcome.scores["held out"]
    assert again.mean_dice.value == pytest.approx(before.mean_dice.value, abs=1e-12)
    assert (again.escaped, again.stopped) == (before.escaped, before.stopped)


def test_the_same_command_on_a_finished_run_changes_nothing(
    finished: tuple[Path, Outcome], strips: Path, tiny: Recipe
) -> None:
    run, outcome = finished
    before = {path: path.read_bytes() for path in run.rglob("*.safetensors")}
    again = train(tiny, strips, run, CPU)
    assert again.scores == outcome.scores
    assert before == {path: path.read_bytes() for path in run.rglob("*.safetensors")}


def test_a_folder_of_predictions_is_no_run_folder(
    strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    (tmp_path / PREDICT_MARKER).write_text("somebody\n")
    (tmp_path / "submission.csv").write_text("kept")
    with pytest.raises(RunError, match="holds predictions"):
        train(tiny, strips, tmp_path, CPU)
    assert (tmp_path / "submission.csv").read_text() == "kept"
    assert not (tmp_path / "recipe.json").exists()


def test_another_recipe_seed_or_data_set_is_refused_and_named(
    finished: tuple[Path, Outcome], strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    run, _ = finished
    with pytest.raises(RunError, match="other values of: name"):
        train(tiny.but(name="other"), strips, run, CPU)
    with pytest.raises(RunError, match="other values of: seed"):
        train(tiny, strips, run, Options(device="cpu", seed=1))
    other = tmp_path / "strips"
    shutil.copytree(strips, other)
    next((other / "train_images").iterdir()).unlink()
    table = (other / "train.csv").read_text().splitlines()
    names = {path.name for path in (other / "train_images").iterdir()}
    kept = [line for line in table if line.split(",")[0] in names | {"ImageId"}]
    (other / "train.csv").write_text("\n".join(kept) + "\n")
    with pytest.raises(RunError, match="other values of: fingerprint"):
        train(tiny, other, run, CPU)


def test_a_data_set_without_defects_is_refused_before_anything_is_written(
    strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    clean = tmp_path / "clean"
    shutil.copytree(strips, clean)
    (clean / "train.csv").write_text("ImageId,ClassId,EncodedPixels\n")
    (clean / "classes.csv").write_text("value,name\n1,pit\n")
    with pytest.raises(DatasetError, match="has no defect on any"):
        train(tiny, clean, tmp_path / "run", CPU)
    assert not (tmp_path / "run" / "recipe.json").exists()


def test_a_folder_that_cannot_be_written_is_one_error(strips: Path, tiny: Recipe) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        train(tiny, strips, Path("/proc/run"), CPU)


@pytest.mark.usefixtures("unreported")
def test_a_class_with_one_example_trains_and_is_not_tuned(
    strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(strips, data)
    lines = (data / "train.csv").read_text().splitlines()
    lines[1] = ",".join([lines[1].split(",")[0], "5", lines[1].split(",")[2]])
    (data / "train.csv").write_text("\n".join(lines) + "\n")
    outcome = train(tiny, data, tmp_path / "run", CPU)
    assert any("Class 5 is on 1 of" in note for note in outcome.notes)
    search = json.loads((tmp_path / "run" / "thresholds.json").read_text())["search"]
    assert search["tuned"][4] is False
    assert search["label"][4] == 0.5


@pytest.mark.usefixtures("unreported")
def test_a_test_strip_that_is_cut_off_stops_or_is_left_out_with_a_note(
    finished: tuple[Path, Outcome], strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    """The fits are those of the finished run: test strips are no part of what they are made of."""
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(strips, data)
    shutil.copytree(finished[0], run)
    bad = sorted((data / "test_images").iterdir())[1]
    bad.write_bytes(bad.read_bytes()[:-300])
    (run / "submission.jsonl").unlink()  # or the earlier prediction would be kept
    with pytest.raises(PictureError, match=bad.name):
        train(tiny, data, run, CPU)
    outcome = train(tiny, data, run, Options(device="cpu", on_error="skip"))
    assert [note for note in outcome.notes if bad.name in note]
    assert outcome.unread == (bad.name,)
    assert read_mask_table(run / "submission.csv").unread == {bad.name}


def test_the_notes_list_what_was_tuned(finished: tuple[Path, Outcome]) -> None:
    notes = [note for note in finished[1].notes if note.startswith("Thresholds of class")]
    assert len(notes) == 4


@pytest.mark.usefixtures("unreported")
def test_networks_of_all_kinds_train_and_predict(
    strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    """Two heads, three channels, exclusive classes, an encoder fitted first, folds of their own."""
    assert tiny.classify is not None
    (classifier,), (segmenter,) = tiny.classify.ensemble.members, tiny.segment.ensemble.members
    clear, outline = classifier.stages[0], segmenter.stages[0].but(epochs=1)
    encoder = classifier.network.encoder
    two = TwoHeaded(
        segmenter=Unet(encoder=encoder, weights="random", decoder_channels=(16, 16, 8, 8, 4)),
        dropout=0.1,
    )
    exclusive = PSPNet(encoder=encoder, weights="random", channels=3, output="softmax")
    members = (
        Member(
            network=two,
            stages=(outline.but(loss=BothHeads(masks=Lovasz(), classes=Focal())),),
            start=EncoderFittedFor(network=classifier.network, stages=(clear,)),
            folds=(0,),
        ),
        Member(network=exclusive, stages=(outline.but(loss=CrossEntropy()),), folds=(1,)),
    )
    recipe = tiny.but(
        name="shapes",
        steps=(Segment(ensemble=Ensemble(members=members)), *tiny.rules),
    )
    outcome = train(recipe, strips, tmp_path / "run", CPU)
    fitted = sorted(path.name for path in (tmp_path / "run" / "networks").iterdir())
    assert fitted == ["segment-0-fold0", "segment-1-fold1", "segment-encoder-0-fold0"]
    assert any("the encoder of a classifier fitted for it" in note for note in outcome.notes)
    again = train(recipe, strips, tmp_path / "run", CPU)
    assert again.scores == outcome.scores
    for part in ("held out", "out of fold"):
        assert 0 < outcome.scores[part].mean_dice.value <= 1


def test_rules_that_cannot_be_tuned_are_refused_before_anything_is_fitted(
    strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    recipe = tiny.but(steps=(*tiny.network_steps, Triplet(top=0.5, area=9, bottom=0.3)))
    with pytest.raises(RecipeError, match="tune: has the rules triplet"):
        train(recipe, strips, tmp_path / "run", CPU)
    assert not (tmp_path / "run" / "networks").exists()


def test_changes_of_a_recipe_are_recorded_in_its_run(
    strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    """A budget, and numbers of classes that this data set has not."""
    recipe = tiny.but(
        steps=(tiny.segment, Threshold(pixel=(0.5, 0.4)), *tiny.rules[1:]),
        written_for=("scratch", "hole"),
    )
    recipe = with_budget(recipe, "tiny")
    assert recipe.changes
    outcome = train(recipe, strips, tmp_path / "run", CPU)
    assert outcome.notes[: len(recipe.changes)] == recipe.changes
    assert any(note.startswith("Threshold.pixel is 0.4 for all") for note in outcome.notes)
    report = (tmp_path / "run" / "report.html").read_text()
    kept = Recipe.model_validate_json((tmp_path / "run" / "recipe.json").read_text())
    assert kept.budget == "tiny"
    assert kept.changes == recipe.changes
    assert kept.rules[0] == Threshold(pixel=0.4)
    assert kept.written_for == open_dataset(strips).classes.names
    assert "Budget tiny: " in report


def copied(finished: Path, strips: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A run and its data set, to be changed."""
    shutil.copytree(finished, tmp_path / "run")
    shutil.copytree(strips, tmp_path / "data")
    return tmp_path / "run", tmp_path / "data"


def exchange(picture: Path, other: Path) -> None:
    """Put other content under the name and the size of a picture, at its time."""
    before = picture.stat()
    content = other.read_bytes()
    size = max(before.st_size, len(content))
    for each, own in ((picture, content), (other, other.read_bytes())):
        each.write_bytes(own.ljust(size, b"\0"))
    os.utime(picture, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_picture_replaced_under_its_name_and_size_makes_other_data(
    finished: tuple[Path, Outcome], strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    run, data = copied(finished[0], strips, tmp_path)
    one, other, *_ = sorted((data / "train_images").iterdir())
    exchange(one, other)
    with pytest.raises(RunError, match="other values of: fingerprint of the data set"):
        train(tiny, data, run, CPU)
    for opened in (lambda: RunFolder(run).open_data(data), lambda: tune_run(run, data)):
        with pytest.raises(RunError, match="is other data than that of"):
            opened()
    with pytest.raises(RunError, match="is other data than that of"):
        StoredOutputs(RunFolder(run), open_dataset(data))


def test_a_replaced_test_picture_is_predicted_again_and_nothing_else(
    finished: tuple[Path, Outcome], strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    run, data = copied(finished[0], strips, tmp_path)
    old = (run / "submission.jsonl").read_bytes()
    networks = {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")}
    one, *_ = sorted((data / "test_images").iterdir())
    frame = read_picture(one).shape
    Image.fromarray(np.zeros(frame, np.uint8)).save(one)
    outcome = train(tiny, data, run, CPU)
    assert "Test pictures changed: they were predicted again." in outcome.notes
    assert (run / "submission.jsonl").read_bytes() != old or b'""' in old
    expected = open_run(RunFolder(run), torch.device("cpu")).masks(read_picture(one))
    texts = read_mask_table(run / "submission.csv").texts(one.name, 4)
    assert [decode(text, Frame(*frame)).sum() for text in texts] == expected.sum((1, 2)).tolist()
    assert networks == {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")}
    assert "Test pictures changed" not in str(train(tiny, data, run, CPU).notes)


def test_networks_trained_on_other_test_pictures_are_refused(
    finished: tuple[Path, Outcome], strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    run, data = copied(finished[0], strips, tmp_path)
    RunFolder(run).pseudo_labels(1, None).parent.mkdir(parents=True)
    RunFolder(run).pseudo_labels(1, None).write_text("ImageId_ClassId,EncodedPixels\n")
    one, other, *_ = sorted((data / "test_images").iterdir())
    shutil.copy(other, one)
    before = (run / "submission.jsonl").read_bytes()
    with pytest.raises(RunError, match=r"pseudo_labels\.csv was made from other test pictures"):
        train(tiny, data, run, CPU)
    assert (run / "submission.jsonl").read_bytes() == before


@pytest.mark.parametrize("change", ["regrouped", "removed", "added"])
def test_other_groups_make_another_run(
    strips: Path, tiny: Recipe, tmp_path: Path, change: str
) -> None:
    data = tmp_path / "data"
    shutil.copytree(strips, data)
    names = open_dataset(data).names
    groups = [f"{name},{row}" for row, name in enumerate(names)]
    table, run = data / "groups.csv", RunFolder(tmp_path / "run")
    if change != "added":
        table.write_text("\n".join(["image,group", *groups]) + "\n")
    begin_run(run, tiny, data, CPU)
    begin_run(run, tiny, data, CPU)
    if change == "removed":
        table.unlink()
    else:
        groups[0] = f"{names[0]},1"
        table.write_text("\n".join(["image,group", *groups]) + "\n")
    with pytest.raises(RunError, match=r"other values of: groups\.csv"):
        begin_run(run, tiny, data, CPU)
    with pytest.raises(RunError, match=r"another groups\.csv"):
        run.open_data(data)


def test_ignored_variables_of_the_environment_are_noted(
    strips: Path, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    plan, notes = begin_run(RunFolder(tmp_path / "run"), tiny, strips, CPU)
    begin = "Ignored environment variables, because only the recipe counts: ACCELERATE_GRADIENT_"
    assert [note for note in notes if note.startswith(begin)]
    assert plan.split[-1].startswith(begin)


def test_a_run_that_left_a_bad_strip_out_is_scored_tuned_and_audited(
    finished: tuple[Path, Outcome], strips: Path, tmp_path: Path
) -> None:
    """The bad strip is one more than the run saw: it was left out then, as it is now."""
    run, data = copied(finished[0], strips, tmp_path)
    (data / "train_images" / "bad.jpg").write_bytes(b"no picture")
    (run / "data.txt").write_text(f"{data}\n")
    assert RunFolder(run).open_data().skipped
    assert score_files(data, run).scores == score_files(strips, run).scores
    tune_run(run, data, tmp_path / "tuned", on_error="skip")
    write_audit(data, tmp_path / "audit", run=run, on_error="skip")


def test_a_folder_whose_name_is_not_utf_8_is_recorded(tmp_path: Path) -> None:
    RunFolder(tmp_path).write_data(Path(os.fsdecode(b"/data/gr\xe4u")))
    assert (tmp_path / "data.txt").read_bytes() == b"/data/gr\xe4u\n"
