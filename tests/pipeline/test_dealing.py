"""The folds of a run: dealt once, read again, and like the test strips where that is asked for."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from steelscan.data import Folds, LikeTest, Mill, group_strips, open_dataset, write_mill
from steelscan.pipeline.dealing import dealt
from steelscan.pipeline.run import RunFolder


@pytest.fixture(scope="module")
def darker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty strips, of which some rolls are as dark as the thirty test strips."""
    root = tmp_path_factory.mktemp("darker") / "strips"
    write_mill(Mill(strips=60, seed=5, height=64, width=256, black_share=0.0), root, 30)
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
