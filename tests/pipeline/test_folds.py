"""The folds of a run: made once, read again, like the test strips, or given by the user."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from steelscan.data import Dataset, Folds, LikeTest, open_dataset
from steelscan.data.duplicates import group_strips
from steelscan.mill import Mill, write_mill
from steelscan.pipeline import Options, RunFolder
from steelscan.pipeline.folds import assign_folds
from steelscan.pipeline.train import begin_run
from steelscan.recipes import Recipe
from steelscan.strip.errors import DatasetError, RunError


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


def test_validation_strips_are_like_the_test_and_folds_are_kept_when_the_run_continues(
    darker: Path, tmp_path: Path
) -> None:
    dataset, run = open_dataset(darker), RunFolder(tmp_path)
    groups = group_strips(dataset)
    folds, notes = assign_folds(run, LikeTest(share=0.2), dataset, groups, 0)
    validation = np.flatnonzero(folds == 0)
    assert 0.15 < len(validation) / len(folds) < 0.4
    light = np.array([dataset.picture(row).mean() for row in range(len(dataset))])
    assert light[validation].mean() < 0.6 * light[folds == 1].mean()
    assert "AUC of" in notes[0]
    assert notes[0].endswith("the strips most like the test strips.")
    for group in set(groups.tolist()):
        assert len(set(folds[groups == group].tolist())) == 1
    again, same = assign_folds(
        run, LikeTest(share=0.2), dataset, groups, 7
    )  # the seed no longer counts
    assert np.array_equal(again, folds)
    assert same == notes


def test_the_validation_fold_is_random_if_test_strips_are_not_separable(tmp_path: Path) -> None:
    root = tmp_path / "strips"
    write_mill(Mill(strips=60, seed=5, height=64, width=256), root, 30)
    dataset, run = open_dataset(root), RunFolder(tmp_path / "run")
    folds, notes = assign_folds(run, LikeTest(share=0.2), dataset, group_strips(dataset), 0)
    assert 0.15 < np.mean(folds == 0) < 0.25
    assert set(folds.tolist()) == {0, 1}
    assert notes[0].endswith("which may be chance; the validation fold is random.")


@pytest.mark.parametrize("tests", [9, 30])
def test_strips_are_held_out_before_the_others_are_compared_with_the_test(
    darker: Path, tests: int, tmp_path: Path
) -> None:
    """Held-out strips are random: as many of them as of the others are dark."""
    few = tmp_path / "few"
    shutil.copytree(darker, few)
    for path in sorted((few / "test_images").iterdir())[tests:]:
        path.unlink()
    dataset = open_dataset(few)
    groups = group_strips(dataset)
    spec = LikeTest(count=3, holdout=(2,), share=0.25, holdout_share=0.3)
    folds, _ = assign_folds(RunFolder(tmp_path / "run"), spec, dataset, groups, 0)
    assert set(folds.tolist()) == {0, 1, 2}
    assert np.mean(folds == 2) == pytest.approx(0.3, abs=0.1)
    assert np.mean(folds[folds < 2] == 0) == pytest.approx(0.25, abs=0.15)
    for group in set(groups.tolist()):
        assert len(set(folds[groups == group].tolist())) == 1
    light = np.array([dataset.picture(row).mean() for row in range(len(dataset))])
    means = [light[folds == fold].mean() for fold in (0, 1, 2)]
    if tests == 30:
        assert means[0] < 0.7 * means[1]
        assert means[2] > 1.2 * means[0]


def test_a_run_takes_the_test_strips_that_its_folds_depend_on(
    darker: Path, tiny: Recipe, tmp_path: Path
) -> None:
    """A new run has them; with other ones it is refused, since they decided its folds."""
    root, run = tmp_path / "strips", RunFolder(tmp_path / "run")
    shutil.copytree(darker, root)
    recipe = tiny.but(folds=LikeTest())
    context, _ = begin_run(run, recipe, root, Options(device="cpu"))
    assert run.likeness.exists()
    assert run.take_tests(context.dataset.test_fingerprint) == []
    next((root / "test_images").iterdir()).unlink()
    context, _ = begin_run(run, recipe, root, Options(device="cpu"))
    with pytest.raises(RunError, match="was made from other test pictures"):
        run.take_tests(context.dataset.test_fingerprint)


@pytest.mark.parametrize(
    "wrong", [{"count": 3}, {"holdout": (2,)}, {"count": 3, "holdout": (2,), "share": 0.8}]
)
def test_folds_like_the_test_are_two_or_three(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LikeTest(**wrong)


@pytest.mark.parametrize("tests", [0, 9])
def test_the_validation_fold_is_random_without_enough_test_strips(
    tests: int, tmp_path: Path
) -> None:
    root = tmp_path / "strips"
    write_mill(Mill(strips=40, seed=5, height=64, width=64), root, tests)
    dataset, run = open_dataset(root), RunFolder(tmp_path / "run")
    folds, notes = assign_folds(run, LikeTest(share=0.25), dataset, group_strips(dataset), 0)
    assert 0.15 < np.mean(folds == 0) < 0.35
    assert set(folds.tolist()) == {0, 1}
    assert notes == [
        f"Folds: 40 training and {tests} test strips are too few to compare; the validation fold "
        "is random."
    ]
    assert assign_folds(run, LikeTest(share=0.25), dataset, group_strips(dataset), 0)[1] == notes
    run = RunFolder(tmp_path / "other")
    folds, notes = assign_folds(
        run, Folds(count=3, validation=(0,)), dataset, group_strips(dataset), 0
    )
    assert set(folds.tolist()) == {0, 1, 2}
    assert notes == []


def write_given(path: Path, dataset: Dataset, count: int) -> np.ndarray:
    """Write folds as a user could have made them: without groups."""
    folds = np.arange(len(dataset)) % count
    rows = zip(dataset.names, folds.tolist(), strict=True)
    path.write_text("image,fold\n" + "".join(f"{name},{fold}\n" for name, fold in rows))
    return folds


def test_given_folds_are_used_with_a_note_on_their_leak_and_a_change_is_refused(
    strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    dataset, path, run = open_dataset(strips), tmp_path / "theirs.csv", RunFolder(tmp_path / "run")
    folds, options = write_given(path, dataset, 4), Options(device="cpu", folds=path)
    plan, notes = begin_run(run, tiny, strips, options)
    assert np.array_equal(plan.folds, folds)
    groups = group_strips(dataset)
    separated = [
        (one, other)
        for one in range(len(folds))
        for other in range(one)
        if groups[one] == groups[other] and folds[one] != folds[other]
    ]
    (note,) = [note for note in notes if note.startswith("Folds: ")]
    assert note.startswith(f"Folds: the given folds separate {len(separated)} of ")
    assert len(separated) > 0
    assert note in plan.split  # the forecast prints it before anything is trained
    again, _ = begin_run(run, tiny, strips, options)
    assert np.array_equal(again.folds, folds)
    with pytest.raises(RunError, match="other values of: folds"):
        begin_run(run, tiny, strips, Options(device="cpu"))
    path.write_text(path.read_text().replace(f"{dataset.names[0]},0", f"{dataset.names[0]},1"))
    with pytest.raises(RunError, match="other values of: folds"):
        begin_run(run, tiny, strips, options)


def test_a_run_with_its_own_folds_refuses_others_and_one_of_an_older_program_continues(
    strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    path, run = tmp_path / "theirs.csv", RunFolder(tmp_path / "run")
    write_given(path, open_dataset(strips), 4)
    first, _ = begin_run(run, tiny, strips, Options(device="cpu"))
    record = json.loads(run.record.read_text())
    assert record.pop("folds") is None
    run.record.write_text(json.dumps(record))  # as in versions without given folds
    again, _ = begin_run(run, tiny, strips, Options(device="cpu"))
    assert np.array_equal(first.folds, again.folds)
    with pytest.raises(RunError, match="other values of: folds"):
        begin_run(run, tiny, strips, Options(device="cpu", folds=path))


def test_the_number_of_given_folds_must_be_that_of_the_recipe(
    strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    path = tmp_path / "theirs.csv"
    write_given(path, open_dataset(strips), 5)
    message = r"has 5 folds, the recipe 4\. Make 4 with steelscan folds --count 4, or change count"
    with pytest.raises(DatasetError, match=message):
        begin_run(RunFolder(tmp_path / "run"), tiny, strips, Options(device="cpu", folds=path))


def test_changed_folds_in_the_run_are_refused(strips: Path, tiny: Recipe, tmp_path: Path) -> None:
    dataset, path, run = open_dataset(strips), tmp_path / "theirs.csv", RunFolder(tmp_path / "run")
    write_given(path, dataset, 4)
    begin_run(run, tiny, strips, Options(device="cpu", folds=path))
    lines = run.folds.read_text().splitlines()
    lines[1] = f"{lines[1][:-1]}{(int(lines[1][-1]) + 1) % 4}"
    run.folds.write_text("\n".join(lines) + "\n")
    with pytest.raises(RunError, match=r"folds\.csv: is damaged"):
        begin_run(run, tiny, strips, Options(device="cpu", folds=path))
    run.seal(run.folds)
    with pytest.raises(RunError, match=r"folds\.csv: has other folds than"):
        begin_run(run, tiny, strips, Options(device="cpu", folds=path))
