"""The folds of a run: dealt once, read again, and like the test strips where that is asked for."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from steelscan.data import Dataset, Folds, LikeTest, open_dataset
from steelscan.data.duplicates import group_strips
from steelscan.mill import Mill, write_mill
from steelscan.pipeline import Options, RunFolder
from steelscan.pipeline.folds import dealt
from steelscan.pipeline.train import begin_run
from steelscan.recipes import Recipe
from steelscan.strip import DatasetError, RunError


@pytest.fixture(scope="module")
def darker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty strips of short rolls, of which some are as dark as the thirty test strips."""
    root = tmp_path_factory.mktemp("darker") / "strips"
    mill = Mill(strips=60, seed=5, height=64, width=256, black_share=0.0, roll=(1, 3))
    write_mill(mill, root, 30)
    dataset = open_dataset(root)
    groups = group_strips(dataset)
    last = groups > groups.max() * 0.6
    dark = [name for name, late in zip(dataset.names, last, strict=True) if late]
    paths = [root / "train_images" / name for name in dark]
    for path in [*paths, *(root / "test_images").iterdir()]:
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(path), (picture * 0.4).astype(np.uint8))
    return root


def test_strips_like_the_test_judge_and_the_folds_are_read_when_the_run_goes_on(
    darker: Path, tmp_path: Path
) -> None:
    dataset, run = open_dataset(darker), RunFolder(tmp_path)
    groups = group_strips(dataset)
    folds, told = dealt(run, LikeTest(share=0.2), dataset, groups, 0)
    judges = np.flatnonzero(folds == 0)
    assert 0.15 < len(judges) / len(folds) < 0.4
    light = np.array([dataset.picture(row).mean() for row in range(len(dataset))])
    assert light[judges].mean() < 0.6 * light[folds == 1].mean()
    assert "AUC of" in told[0]
    assert told[0].endswith("those most like the test judge.")
    for group in set(groups.tolist()):
        assert len(set(folds[groups == group].tolist())) == 1
    again, same = dealt(run, LikeTest(share=0.2), dataset, groups, 7)  # the seed no longer counts
    assert np.array_equal(again, folds)
    assert same == told


def test_where_nothing_tells_the_test_apart_folds_are_dealt_as_ever(tmp_path: Path) -> None:
    root = tmp_path / "strips"
    write_mill(Mill(strips=60, seed=5, height=64, width=256), root, 30)
    dataset, run = open_dataset(root), RunFolder(tmp_path / "run")
    folds, told = dealt(run, LikeTest(share=0.2), dataset, group_strips(dataset), 0)
    assert 0.15 < np.mean(folds == 0) < 0.25
    assert set(folds.tolist()) == {0, 1}
    assert told[0].endswith("which may be luck; dealt as ever.")


@pytest.mark.parametrize("tests", [0, 9])
def test_without_enough_test_strips_folds_are_dealt_as_ever(tests: int, tmp_path: Path) -> None:
    root = tmp_path / "strips"
    write_mill(Mill(strips=40, seed=5, height=64, width=64), root, tests)
    dataset, run = open_dataset(root), RunFolder(tmp_path / "run")
    folds, told = dealt(run, LikeTest(share=0.25), dataset, group_strips(dataset), 0)
    assert 0.15 < np.mean(folds == 0) < 0.35
    assert set(folds.tolist()) == {0, 1}
    assert told == [
        f"Folds: 40 training and {tests} test strips are too few to tell them apart; dealt as ever."
    ]
    assert dealt(run, LikeTest(share=0.25), dataset, group_strips(dataset), 0)[1] == told
    run = RunFolder(tmp_path / "other")
    folds, told = dealt(run, Folds(count=3, validation=(0,)), dataset, group_strips(dataset), 0)
    assert set(folds.tolist()) == {0, 1, 2}
    assert told == []


def bring(path: Path, dataset: Dataset, count: int) -> np.ndarray:
    """Write folds that others might have dealt: no thought of groups, no group column."""
    folds = np.arange(len(dataset)) % count
    rows = zip(dataset.names, folds.tolist(), strict=True)
    path.write_text("image,fold\n" + "".join(f"{name},{fold}\n" for name, fold in rows))
    return folds


def test_brought_folds_are_used_their_leak_told_and_a_change_refused(
    strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    dataset, path, run = open_dataset(strips), tmp_path / "theirs.csv", RunFolder(tmp_path / "run")
    folds, options = bring(path, dataset, 4), Options(device="cpu", folds=path)
    plan, notes = begin_run(run, tiny, strips, options)
    assert np.array_equal(plan.folds, folds)
    groups = group_strips(dataset)
    parted = [
        (one, other)
        for one in range(len(folds))
        for other in range(one)
        if groups[one] == groups[other] and folds[one] != folds[other]
    ]
    (told,) = [note for note in notes if note.startswith("Folds: ")]
    assert told.startswith(f"Folds: as brought, they part {len(parted)} of ")
    assert len(parted) > 0
    assert told in plan.split  # which the forecast tells before anything is fitted
    again, _ = begin_run(run, tiny, strips, options)
    assert np.array_equal(again.folds, folds)
    with pytest.raises(RunError, match="another folds"):
        begin_run(run, tiny, strips, Options(device="cpu"))
    path.write_text(path.read_text().replace(f"{dataset.names[0]},0", f"{dataset.names[0]},1"))
    with pytest.raises(RunError, match="another folds"):
        begin_run(run, tiny, strips, options)


def test_a_run_that_dealt_its_own_takes_no_others_and_one_of_an_older_program_goes_on(
    strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    path, run = tmp_path / "theirs.csv", RunFolder(tmp_path / "run")
    bring(path, open_dataset(strips), 4)
    first, _ = begin_run(run, tiny, strips, Options(device="cpu"))
    record = json.loads(run.record.read_text())
    assert record.pop("folds") is None
    run.record.write_text(json.dumps(record))  # as it was before folds could be brought
    again, _ = begin_run(run, tiny, strips, Options(device="cpu"))
    assert np.array_equal(first.folds, again.folds)
    with pytest.raises(RunError, match="another folds"):
        begin_run(run, tiny, strips, Options(device="cpu", folds=path))


def test_brought_folds_must_be_as_many_as_the_recipe_has(
    strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    path = tmp_path / "theirs.csv"
    bring(path, open_dataset(strips), 5)
    told = r"has 5 folds, the recipe 4\. Deal 4 with steelscan folds --count 4, or change count"
    with pytest.raises(DatasetError, match=told):
        begin_run(RunFolder(tmp_path / "run"), tiny, strips, Options(device="cpu", folds=path))


def test_folds_that_were_tampered_with_in_the_run_are_refused(
    strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    dataset, path, run = open_dataset(strips), tmp_path / "theirs.csv", RunFolder(tmp_path / "run")
    bring(path, dataset, 4)
    begin_run(run, tiny, strips, Options(device="cpu", folds=path))
    lines = run.folds.read_text().splitlines()
    lines[1] = f"{lines[1][:-1]}{(int(lines[1][-1]) + 1) % 4}"
    run.folds.write_text("\n".join(lines) + "\n")
    with pytest.raises(RunError, match=r"folds\.csv: is damaged"):
        begin_run(run, tiny, strips, Options(device="cpu", folds=path))
    run.seal(run.folds)
    with pytest.raises(RunError, match=r"folds\.csv: holds other folds than"):
        begin_run(run, tiny, strips, Options(device="cpu", folds=path))
