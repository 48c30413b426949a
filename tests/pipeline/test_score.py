"""Predictions against truth, both from files."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from steelscan.data import open_dataset
from steelscan.pipeline import score_files
from steelscan.strip import InputError, MaskError, TableError, encode, write_mask_table


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


def test_all_ways_to_hand_over_the_same_masks_score_the_same(strips: Path, tmp_path: Path) -> None:
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


def test_the_strips_that_are_answered_are_those_that_count(strips: Path, tmp_path: Path) -> None:
    dataset = open_dataset(strips)
    rows = [(name, [""] * len(dataset.classes)) for name in dataset.names[:5]]
    write_mask_table(tmp_path / "own.csv", rows)
    found = score_files(strips, tmp_path / "own.csv")
    assert found.scores.strips == 5
    assert any(f"{len(dataset) - 5} strips" in note for note in found.notes)


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
    with pytest.raises(InputError, match="holds no mask"):
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


def test_a_run_and_what_predict_wrote_can_be_named(
    finished: tuple[Path, object], strips: Path, tmp_path: Path
) -> None:
    shutil.copy(finished[0] / "submission.csv", tmp_path / "submission.csv")
    shutil.copy(strips / "test.csv", tmp_path / "test.csv")
    assert score_files(tmp_path / "test.csv", tmp_path).scores.strips <= 3
