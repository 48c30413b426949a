"""Given folds: matched by name, checked against the data, and refused if they make no sense."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from steelscan.data import Dataset, open_dataset
from steelscan.data.folds import read_given_folds, report_path
from steelscan.strip.errors import DatasetError, TableError


@pytest.fixture
def dataset(indexed: Callable[..., Path]) -> Dataset:
    """Eight strips, s0.jpg to s7.jpg."""
    return open_dataset(indexed())


def table(path: Path, rows: dict[str, object], head: str = "image,fold") -> Path:
    path.write_text(f"{head}\n" + "".join(f"{name},{fold}\n" for name, fold in rows.items()))
    return path


@pytest.mark.parametrize("ending", ["", ".jpg"])
def test_names_with_and_without_endings(ending: str, dataset: Dataset, tmp_path: Path) -> None:
    rows = {f"s{at}{ending}": at % 3 for at in range(7, -1, -1)} | {f"other{ending}": 9}
    given = read_given_folds(table(tmp_path / "theirs.csv", rows), dataset)
    assert given.numbers.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert given.numbers.dtype == np.int64
    assert given.count == 3


def test_the_digest_changes_with_a_fold_and_with_nothing_else(
    dataset: Dataset, tmp_path: Path
) -> None:
    rows = {f"s{at}.jpg": at % 2 for at in range(8)}
    first = read_given_folds(table(tmp_path / "a.csv", rows), dataset).digest
    turned = dict(reversed(rows.items())) | {"other.jpg": 0}
    assert read_given_folds(table(tmp_path / "b.csv", turned), dataset).digest == first
    assert (
        read_given_folds(table(tmp_path / "c.csv", rows | {"s3.jpg": 0}), dataset).digest != first
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"s0.jpg": 0}, "has no fold for 7 of 8 pictures, as s1.jpg"),
        ({f"s{at}": 1 + at % 2 for at in range(8)}, "fold 2 and none in fold 0.*from 0"),
        ({f"s{at}": "a" for at in range(8)}, "has the fold 'a' for s0"),
        ({"s0": 0} | {f"s{at}.jpg": 1 for at in range(8)}, "names s0.jpg twice, as 's0'"),
        ({f"s{at}": "9" * 5000 for at in range(8)}, "has the fold '9999"),
        ({f"s{at}": 999_999_999 for at in range(8)}, "fold 999999999 and none in fold 0"),
    ],
)
def test_folds_that_make_no_sense(
    rows: dict[str, object], message: str, dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises((DatasetError, TableError), match=message):
        read_given_folds(table(tmp_path / "theirs.csv", rows), dataset)


def test_files_that_are_no_table_of_folds(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="cannot be read"):
        read_given_folds(tmp_path / "none.csv", dataset)
    with pytest.raises(TableError, match="Expected the columns image,fold"):
        read_given_folds(table(tmp_path / "x.csv", {"s0": 0}, "name,part"), dataset)


def test_a_table_with_groups_must_keep_them_whole(dataset: Dataset, tmp_path: Path) -> None:
    rows = {f"s{at}.jpg": f"{at // 2},{at // 4}" for at in range(8)}
    path = table(tmp_path / "ours.csv", rows, "image,group,fold")
    assert read_given_folds(path, dataset).numbers.tolist() == [0] * 4 + [1] * 4
    table(path, rows | {"s1.jpg": "0,1"}, "image,group,fold")
    with pytest.raises(DatasetError, match="splits group 0 over two folds"):
        read_given_folds(path, dataset)


def test_a_table_of_other_data_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    rows = {f"s{at}.jpg": f"{at},{at % 2}" for at in range(8)}
    path = table(tmp_path / "ours.csv", rows, "image,group,fold")
    report_path(path).write_text(json.dumps({"fingerprint": dataset.fingerprint}))
    assert read_given_folds(path, dataset).count == 2
    report_path(path).write_text(json.dumps({"fingerprint": "0" * 64}))
    with pytest.raises(DatasetError, match="was made for data 00000000, this is"):
        read_given_folds(path, dataset)
    report_path(path).write_text("[]")
    assert read_given_folds(path, dataset).count == 2
