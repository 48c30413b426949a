"""Predictions against truth, both from files."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from steelscan.analysis.score import (
    ScoreOptions,
    ScoreResult,
    score_files,
    score_options,
    score_page,
    score_stream,
    score_text,
)
from steelscan.data import open_dataset
from steelscan.data.folds import read_folds
from steelscan.evaluation.metrics import Expected, measure_defects
from steelscan.evaluation.metrics.calibration import reliability
from steelscan.pages import page_text
from steelscan.pipeline import Outcome, RunFolder
from steelscan.prediction import ProbabilityStore
from steelscan.strip import UNREAD, Frame, encode
from steelscan.strip.errors import InputError, MaskError, RunError, TableError
from steelscan.strip.tables import Layout, write_mask_table


def test_the_truth_scored_against_itself_is_perfect(strips: Path, tmp_path: Path) -> None:
    dataset = open_dataset(strips)
    rows = [
        (name, [encode(mask) for mask in dataset.masks(index)])
        for index, name in enumerate(dataset.names)
    ]
    for layout in ("joined", "columns"):
        write_mask_table(tmp_path / "own.csv", rows, layout)
        found = score_files(strips, tmp_path / "own.csv")
        assert found.scores.mean_dice.value == 1
        assert found.scores.strips == len(dataset)
        assert (found.scores.escaped, found.scores.stopped) == (0, 0)
        assert found.empty.escaped == found.scores.defective


def test_the_same_masks_in_any_format_score_the_same(strips: Path, tmp_path: Path) -> None:
    """A table against the data set, a table against its table, and index pictures."""
    dataset = open_dataset(strips)
    (tmp_path / "pictures").mkdir()
    rows, truth = [], []
    for index, name in enumerate(dataset.names):
        masks = np.roll(dataset.masks(index), 3, axis=2)
        rows.append((name, [encode(mask) for mask in masks]))
        truth.append((name, [encode(mask) for mask in dataset.masks(index)]))
        values = np.max(masks * np.arange(1, len(masks) + 1)[:, None, None], axis=0)
        Image.fromarray(values.astype(np.uint8)).save(
            tmp_path / "pictures" / f"{Path(name).stem}.png"
        )
    write_mask_table(tmp_path / "own.csv", rows)
    write_mask_table(tmp_path / "truth.csv", truth)
    by_table = score_files(strips, tmp_path / "own.csv").scores
    assert 0 < by_table.mean_dice.value < 1
    both = score_files(tmp_path / "truth.csv", tmp_path / "own.csv").scores
    pictures = score_files(strips, tmp_path / "pictures").scores
    assert both.mean_dice.value == pytest.approx(by_table.mean_dice.value, abs=1e-12)
    assert pictures.mean_dice.value == pytest.approx(by_table.mean_dice.value, abs=1e-12)
    assert by_table.escaped == both.escaped == pictures.escaped


def test_only_predicted_strips_count(strips: Path, tmp_path: Path) -> None:
    dataset = open_dataset(strips)
    rows = [(name, [""] * len(dataset.classes)) for name in dataset.names[:5]]
    write_mask_table(tmp_path / "own.csv", rows)
    found = score_files(strips, tmp_path / "own.csv")
    assert found.scores.strips == 5
    assert any(f"not predicted: {len(dataset) - 5}." in note for note in found.notes)


def test_predictions_of_other_strips_classes_or_sizes_are_refused(
    strips: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(strips)
    own = tmp_path / "own.csv"
    write_mask_table(own, [("stranger.jpg", ["1 1"])])
    with pytest.raises(TableError, match=r"stranger\.jpg"):
        score_files(strips, own)
    write_mask_table(own, [(dataset.names[0], ["1 1"] * (len(dataset.classes) + 1))])
    with pytest.raises(TableError, match="has class"):
        score_files(strips, own)
    beyond = f"{dataset.frames[0].pixels} 2"
    write_mask_table(own, [(dataset.names[0], [beyond] * len(dataset.classes))])
    with pytest.raises(MaskError, match="outside the frame"):
        score_files(strips, own)
    with pytest.raises(InputError, match="has no mask"):
        score_files(strips, tmp_path)
    Image.fromarray(np.full(dataset.frames[0], 9, np.uint8)).save(
        tmp_path / f"{Path(dataset.names[0]).stem}.png"
    )
    with pytest.raises(MaskError, match="the value 9"):
        score_files(strips, tmp_path)


def test_two_submissions_of_the_competition(real_data: Path) -> None:
    folder = real_data / "severstal" / "submissions"
    one, other = "khornlund_pseudo.csv.gz", "zdaiot_submission_tta_head.csv.gz"
    found = score_files(folder / one, folder / other).scores
    assert found.strips == 1801
    assert 0.9 < found.mean_dice.value < 1


def test_a_run_and_the_output_of_predict_can_be_given(
    finished: tuple[Path, object], strips: Path, tmp_path: Path
) -> None:
    shutil.copy(finished[0] / "submission.csv", tmp_path / "submission.csv")
    shutil.copy(strips / "test.csv", tmp_path / "test.csv")
    assert score_files(tmp_path / "test.csv", tmp_path).scores.strips <= 3


def test_a_run_is_scored_out_of_fold(finished: tuple[Path, Outcome], strips: Path) -> None:
    run, outcome = finished
    found = score_files(strips, run)
    assert dict(found.parts) == dict(outcome.scores)
    assert found.scores.strips == sum(part.strips for part in outcome.scores.values())
    assert found.scores.escaped == sum(part.escaped for part in outcome.scores.values())
    folds = read_folds(run / "folds.csv", open_dataset(strips).names)
    for fold, scores in found.folds.items():
        assert scores.strips == (folds == fold).sum()
    assert set(found.folds) == {0, 1, 3}
    assert sum(part.escaped for part in found.folds.values()) == found.scores.escaped
    assert found.reliability["all classes"].count == found.scores.strips * 4
    assert any("only used for training" in note for note in found.notes)


def test_calibration_is_that_of_the_classifier(
    finished: tuple[Path, Outcome], strips: Path
) -> None:
    run = finished[0]
    dataset = open_dataset(strips)
    store = ProbabilityStore(run / "probabilities" / "classify", len(dataset), 4, ())
    rows = [row for row in range(len(dataset)) if row in store]
    predicted = np.stack([store[row] for row in rows]).astype(np.float64)
    expected = reliability(predicted, dataset.present[rows])
    assert score_files(strips, run).reliability["all classes"].error == pytest.approx(
        expected.error
    )


def test_a_run_whose_probabilities_were_changed_is_refused(
    finished: tuple[Path, Outcome], strips: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    text = (run / "thresholds.json").read_text()
    changed = json.loads(text)
    for rule in changed["rules"]:
        if rule["kind"] == "threshold":
            rule["label"] = rule["pixel"] = 0.0
    (run / "thresholds.json").write_text(json.dumps(changed))
    RunFolder(run).seal(run / "thresholds.json")
    (run / "recipe.json").write_text(
        (run / "recipe.json").read_text().replace('"threshold": 0.2', '"threshold": 0.0')
    )
    with pytest.raises(RunError, match="other probabilities"):
        score_files(strips, run)


def test_sizes_and_checks_need_the_frame_of_tables(strips: Path, tmp_path: Path) -> None:
    dataset = open_dataset(strips)
    truth, guess = tmp_path / "truth.csv", tmp_path / "guess.csv"
    masks = [dataset.masks(row) for row in range(len(dataset))]
    for path, shift in ((truth, 0), (guess, 9)):
        rows = [
            (name, [encode(np.roll(mask, shift, 1)) for mask in of])
            for name, of in zip(dataset.names, masks, strict=True)
        ]
        write_mask_table(path, rows)
    bare, known = (
        score_files(truth, guess),
        score_files(truth, guess, ScoreOptions(frame=Frame(64, 160))),
    )
    assert bare.sizes is None
    assert bare.scores == known.scores
    by_data = score_files(strips, guess)
    assert known.sizes is not None
    assert by_data.sizes is not None
    for one, other in zip(known.sizes, by_data.sizes, strict=True):
        assert (one.low, one.defects, one.missed.value) == (
            other.low,
            other.defects,
            other.missed.value,
        )
    found = score_files(strips, guess, ScoreOptions(mm_per_pixel=2.0))
    assert found.size_unit == "mm2"
    assert found.sizes is not None
    smallest = min(
        defect for mask in masks for defect in measure_defects(mask, mask)[:, 1].tolist()
    )
    assert found.sizes[0].high > 4 * smallest >= found.sizes[0].low
    with pytest.raises(InputError, match="Give --frame"):
        score_files(truth, guess, ScoreOptions(mm_per_pixel=2.0))
    with pytest.raises(InputError, match="frame"):
        score_files(strips, guess, ScoreOptions(frame=Frame(64, 160)))
    with pytest.raises(MaskError, match="outside the frame"):
        score_files(truth, guess, ScoreOptions(frame=Frame(8, 16)))


@pytest.mark.parametrize("layouts", [("joined", "joined"), ("joined", "columns"), ("columns",) * 2])
def test_a_stream_scores_as_the_whole_tables(
    layouts: tuple[Layout, Layout], tmp_path: Path
) -> None:
    paths = tmp_path / "truth.csv", tmp_path / "guess.csv"
    random = np.random.default_rng(0)
    masks = random.random((40, 3, 6, 9)) < 0.5
    masks &= random.random((40, 3, 1, 1)) < 0.4
    for path, layout, shift in zip(paths, layouts, (0, 1), strict=True):
        rows = [
            (f"{at:03}.jpg", [encode(np.roll(mask, shift, 0)) for mask in of])
            for at, of in enumerate(masks)
        ]
        rows[3] = (rows[3][0], ["", "", ""]) if shift else rows[3]
        write_mask_table(path, rows, layout)
    whole = score_files(*paths)
    stream = score_stream(*paths, ScoreOptions(frame=Frame(6, 9)), classes=3)
    for name in ("mean_dice", "defect_dice", "clean_kept", "escapes", "overkill"):
        one, other = getattr(whole.scores, name), getattr(stream.scores, name)
        assert one.value == pytest.approx(other.value, nan_ok=True)
        assert one.low == pytest.approx(other.low, abs=0.05, nan_ok=True)
        assert one.high == pytest.approx(other.high, abs=0.05, nan_ok=True)
    assert stream.scores.strips == whole.scores.strips
    assert stream.empty.mean_dice.value == pytest.approx(whole.empty.mean_dice.value)
    assert [vars(row) for row in stream.classes] == [
        pytest.approx(vars(row), nan_ok=True) for row in whole.classes
    ]
    assert score_text(stream).splitlines()[0] == score_text(whole).splitlines()[0]


def test_a_stream_refuses_wrong_tables_and_options(tmp_path: Path) -> None:
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    write_mask_table(one, [("a", ["1 1", ""]), ("b", ["", ""])])
    write_mask_table(other, [("a", ["1 1", ""])])
    with pytest.raises(TableError, match="prediction: has no rows for image b"):
        score_stream(one, other)
    with pytest.raises(TableError, match="truth: has no rows for image b"):
        score_stream(other, one)
    write_mask_table(other, [("a", ["1 1", ""])], "columns")
    assert score_stream(one, other).scores.strips == 2
    with pytest.raises(InputError, match="--classes"):
        score_stream(other, other)
    assert score_stream(other, other, classes=2).scores.strips == 1
    write_mask_table(other, [("a", ["", "", "1 1"])])
    with pytest.raises(TableError, match="has class 3"):
        score_stream(one, other)
    with pytest.raises(MaskError, match="outside the frame"):
        score_stream(one, one, ScoreOptions(frame=Frame(0, 0)))
    with pytest.raises(InputError, match="one pass"):
        score_stream(one, one, ScoreOptions(mm_per_pixel=1.0))
    with pytest.raises(InputError, match="is no file"):
        score_stream(tmp_path, one)


@pytest.mark.parametrize("score", [score_files, partial(score_stream, classes=1)])
@pytest.mark.parametrize("name", ["b", "B.JPG", "b.png", "train_images/b.jpg"])
def test_an_image_of_two_names_is_refused(
    score: Callable[[Path, Path], ScoreResult], name: str, tmp_path: Path
) -> None:
    """If clean strips have no rows it would count as missed, and as a false alarm."""
    paths = tmp_path / "truth.csv", tmp_path / "guess.csv"
    for path, images in zip(paths, (["b.jpg", "x/d.jpg"], [name, "x/b/d.jpg"]), strict=True):
        rows = sorted((image, ["1 1"]) for image in [*images, "c.jpg"])
        write_mask_table(path, rows, "columns")
    with pytest.raises(TableError, match=f"lists '{name}', which is 'b.jpg' in the truth"):
        score(*paths)


@pytest.mark.parametrize("score", [score_files, partial(score_stream, classes=1)])
def test_other_images_are_missed_or_false_alarms(
    score: Callable[[Path, Path], ScoreResult], tmp_path: Path
) -> None:
    paths = tmp_path / "truth.csv", tmp_path / "guess.csv"
    for path, images in zip(paths, (["x/a.jpg", "z.jpg"], ["b.jpg", "y/a.jpg"]), strict=True):
        write_mask_table(path, [(image, ["1 1"]) for image in images], "columns")
    found = score(*paths)
    assert (found.scores.strips, found.scores.escaped, found.scores.stopped) == (4, 2, 2)
    assert "No image is listed in both" in found.notes[-1]
    assert "No image is listed in both" not in score(paths[0], paths[0]).notes[-1]


def test_options_are_read() -> None:
    options = score_options("256x1600", 0.5, "128,43,741,120/1801")
    assert options == ScoreOptions(Frame(256, 1600), 0.5, Expected((128, 43, 741, 120), 1801))
    assert score_options(None, None, None) == ScoreOptions()
    for frame in ("256", "0x9", "axb", "9x9x9", ""):
        with pytest.raises(InputError, match="frame"):
            score_options(frame, None, None)
    for expected in ("", "5", "5/0", "a/5", "6/5", "1,/5"):
        with pytest.raises(InputError, match="expected"):
            score_options(None, None, expected)


def test_the_whole_result_is_written(finished: tuple[Path, Outcome], strips: Path) -> None:
    found = score_files(strips, finished[0], ScoreOptions(expected=Expected((1, 1, 1, 1), 10)))
    text, page = score_text(found), score_page(found, "a run")
    stored = json.loads(found.model_dump_json())
    assert "nan" not in text
    assert json.loads(json.dumps(stored, allow_nan=False)) == stored
    assert stored["scores"]["escaped"] == found.scores.escaped
    assert set(stored["parts"]) == {"held out", "out of fold"}
    titles = [section.title for section in page.sections]
    assert titles[:5] == ["Result", "By class", "Overlap", "By fold", "By size of defect"]
    assert titles[5:] == ["Calibration", "At other frequencies"]
    html = page_text(page)
    assert html.count("<svg") == 1
    for name in found.parts:
        assert name in html


@pytest.mark.parametrize("layout", ["joined", "columns"])
def test_strips_that_could_not_be_read_are_counted_separately(
    strips: Path, tmp_path: Path, layout: Layout
) -> None:
    """Two defective strips with broken pictures do not count as missed."""
    dataset = open_dataset(strips)
    truth = [
        (name, [encode(mask) for mask in dataset.masks(index)])
        for index, name in enumerate(dataset.names)
    ]
    gone = [name for name, texts in truth if any(texts)][:2]
    rows = [(name, (UNREAD,) * 4 if name in gone else texts) for name, texts in truth]
    write_mask_table(tmp_path / "truth.csv", truth, "joined")
    write_mask_table(tmp_path / "predicted.csv", rows, layout)
    write_mask_table(tmp_path / "all.csv", [(name, (UNREAD,) * 4) for name, _ in truth], layout)
    for score, of in (
        (score_files, strips),
        (score_files, tmp_path / "truth.csv"),
        (score_stream, tmp_path / "truth.csv"),
    ):
        found = score(of, tmp_path / "predicted.csv")
        assert list(found.unread) == gone
        assert found.scores.strips == len(dataset) - 2
        assert found.scores.mean_dice.value == 1
        assert found.scores.escaped == 0
        assert "Not read: 2 strips" in score_text(found)
        assert json.loads(found.model_dump_json())["unread"] == gone
        assert "Not read: 2 strips" in page_text(score_page(found, "a"))
        assert "are not predicted" not in " ".join(found.notes)
        with pytest.raises(TableError, match="marks all its 28 pictures as unread"):
            score(of, tmp_path / "all.csv")
    for score in (score_files, score_stream):
        with pytest.raises(MaskError, match="marks a picture that could not be read"):
            score(tmp_path / "predicted.csv", tmp_path / "truth.csv")


@pytest.mark.parametrize("stream", [[], ["--stream"]])
def test_two_tables_are_scored_without_zarr_and_the_pipeline(
    tmp_path: Path, stream: list[str]
) -> None:
    table = tmp_path / "truth.csv"
    write_mask_table(table, [("0.jpg", ["1 3", ""]), ("1.jpg", ["", "2 2"])], "joined")
    command = ["score", str(table), str(table), *stream, "--html", str(tmp_path / "score.html")]
    program = (
        "import sys\n"
        "from steelscan.cli import main\n"
        f"sys.argv[1:] = {command!r}\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "assert not {'torch', 'zarr', 'steelscan.pipeline'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "mean Dice" in done.stdout
