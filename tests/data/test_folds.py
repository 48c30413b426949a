"""Folds: groups whole, classes and sizes even, the same every time."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from steelscan.data import Folds, make_folds
from steelscan.data.folds import read_folds, write_folds
from steelscan.strip.errors import DatasetError, TableError


@st.composite
def strips(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Present classes, groups and a number of folds that the groups can fill."""
    count = draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    groups = rng.permutation(np.concatenate([np.arange(count), rng.integers(0, 60, 40)]))
    rates = rng.random(draw(st.integers(1, 5))) ** 3
    return rng.random((len(groups), len(rates))) < rates, groups.astype(np.int64), count


@given(strips(), st.integers(0, 5))
def test_groups_stay_whole_and_no_fold_is_empty(
    case: tuple[np.ndarray, np.ndarray, int], seed: int
) -> None:
    present, groups, count = case
    folds = make_folds(present, groups, count, seed)
    assert folds.dtype == np.int64
    assert folds.shape == groups.shape
    assert set(folds.tolist()) == set(range(count))
    for group in np.unique(groups):
        assert len(set(folds[groups == group].tolist())) == 1
    assert np.array_equal(folds, make_folds(present, groups, count, seed))


@given(strips(), st.integers(0, 5))
def test_sizes_differ_by_less_than_the_biggest_groups(
    case: tuple[np.ndarray, np.ndarray, int], seed: int
) -> None:
    present, groups, count = case
    sizes = np.bincount(make_folds(present, groups, count, seed))
    assert sizes.max() - sizes.min() <= 2 * np.bincount(groups).max()


@pytest.mark.parametrize("count", [2, 5, 7])
def test_single_strips_are_split_evenly(count: int) -> None:
    """If every strip is its own group, each class is split as evenly as possible."""
    rng = np.random.default_rng(count)
    present = np.zeros((503, 4), np.bool_)
    kinds = rng.choice(5, 503, p=[0.07, 0.02, 0.4, 0.06, 0.45])
    present[np.arange(503)[kinds < 4], kinds[kinds < 4]] = True
    folds = make_folds(present, np.arange(503), count, seed=3)
    sizes = np.bincount(folds, minlength=count)
    assert sizes.max() - sizes.min() <= 1
    for kind in range(5):
        spread = np.bincount(folds[kinds == kind], minlength=count)
        assert spread.max() - spread.min() <= (1 if kind < 4 else 4)


def test_is_more_even_than_a_random_split_of_real_classes(real_data: Path) -> None:
    """The full competition's classes: 12,568 strips, two of them with three classes."""
    with (real_data / "severstal" / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    present = np.array([[row[f"has{at}"] == "1" for at in (1, 2, 3, 4)] for row in rows])
    assert present.sum(axis=0).tolist() == [897, 247, 5150, 801]
    groups = np.arange(len(present))
    folds = make_folds(present, groups, 5, seed=0)
    counts = np.array([present[folds == fold].sum(axis=0) for fold in range(5)])
    assert (counts.max(axis=0) - counts.min(axis=0)).max() <= 3
    sizes = np.bincount(folds)
    assert sizes.max() - sizes.min() <= 1
    assert not np.array_equal(folds, make_folds(present, groups, 5, seed=1))


def test_one_example_of_a_class() -> None:
    present = np.zeros((20, 2), np.bool_)
    present[3, 0] = True
    present[10:, 1] = True
    folds = make_folds(present, np.arange(20), 5, seed=0)
    assert np.bincount(folds).tolist() == [4] * 5


def test_one_huge_group() -> None:
    groups = np.array([0] * 50 + [1, 2, 3, 4])
    folds = make_folds(np.ones((54, 1), np.bool_), groups, 5, seed=0)
    assert sorted(np.bincount(folds).tolist()) == [1, 1, 1, 1, 50]


def test_too_few_groups() -> None:
    with pytest.raises(DatasetError, match=r"2 groups of strips cannot fill 5 folds. Use at most"):
        make_folds(np.ones((10, 1), np.bool_), np.array([0, 1] * 5), 5, seed=0)


def test_groups_may_be_any_numbers() -> None:
    present = np.random.default_rng(0).random((30, 3)) < 0.3
    groups = np.arange(30) // 2
    folds = make_folds(present, groups, 3, seed=0)
    assert np.array_equal(folds, make_folds(present, groups * 1000 + 7, 3, seed=0))


def test_written_and_read(tmp_path: Path) -> None:
    names = ["b.jpg", "a, with comma.jpg", "钢.png"]
    groups, folds = np.array([5, 5, 6]), np.array([1, 1, 0])
    path = tmp_path / "run" / "folds.csv"
    write_folds(path, names, groups, folds)
    assert path.read_text(encoding="utf-8").splitlines()[0] == "image,group,fold"
    assert read_folds(path, names).tolist() == [1, 1, 0]
    assert read_folds(path, names[::-1]).tolist() == [0, 1, 1]
    assert read_folds(path, ["b.jpg"]).dtype == np.int64
    with pytest.raises(DatasetError, match=r"has no fold for 1 of 4 pictures, as new\.jpg"):
        read_folds(path, [*names, "new.jpg"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,group,fold\na,1,0\nb,1,1\n", "splits group 1 over two folds"),
        ("image,group,fold\na,1,0\na,2,1\n", "puts a into two folds"),
        ("image,group,fold\na,1,x\n", "has the fold 'x' for a"),
        ("image,fold\na,1\n", "Expected the columns image,group,fold"),
        ("", "is empty"),
    ],
)
def test_faulty_tables_of_folds(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "folds.csv"
    path.write_text(text)
    with pytest.raises((TableError, DatasetError), match=message):
        read_folds(path, ["a"])


def test_missing_folds(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"folds\.csv: cannot be read"):
        read_folds(tmp_path / "folds.csv", ["a"])


def test_spec() -> None:
    folds = Folds(count=4, validation=(0, 2), holdout=(3,))
    assert Folds.model_validate_json(folds.model_dump_json()) == folds
    assert Folds().validation == (0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 1, "validation": (0,)},
        {"count": 3},
        {"validation": (0, 0)},
        {"validation": (0, 1), "holdout": (1,)},
        {"validation": (5,)},
        {"validation": (-1,)},
        {"validation": ()},
        {"count": 2, "validation": (0,), "holdout": (1,)},
    ],
)
def test_spec_refuses(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Folds(**wrong)  # type: ignore[arg-type]
