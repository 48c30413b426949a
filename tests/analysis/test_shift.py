"""Training strips against test strips: what is written where they differ, and what where not."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from steelscan.analysis.shift import find_shift, write_shift
from steelscan.data.folds import read_folds
from steelscan.evaluation.adversarial import open_train_test
from steelscan.strip.errors import DatasetError, InputError, PictureError


def pictures(folder: Path, count: int, seed: int, light: float = 100, black: float = 0.0) -> Path:
    """Pictures of noise under some light, a share of their columns black."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        grain = cv2.GaussianBlur(rng.normal(0, 60, (32, 96)), (0, 0), 1)
        picture = np.clip(rng.normal(light, 8) + grain, 0, 255).astype(np.uint8)
        picture[:, : int(96 * black * rng.random())] = 0
        cv2.imwrite(str(folder / f"{seed}-{number:02}.png"), picture)
    return folder


def test_no_ranking_and_no_folds_are_written_if_the_strips_do_not_differ(tmp_path: Path) -> None:
    train, test = pictures(tmp_path / "a", 30, 1), pictures(tmp_path / "b", 20, 2)
    out, folds = tmp_path / "out", tmp_path / "folds.csv"
    out.mkdir()
    (out / "likeness.csv").write_text("of an earlier run")
    found = find_shift(train, test)
    text = write_shift(found, out, folds)
    assert not found.differ
    assert "cannot be distinguished" in found.sentence
    assert sorted(path.name for path in out.iterdir()) == ["shift.html", "shift.json"]
    assert not folds.exists()
    written = json.loads((out / "shift.json").read_text())
    assert written["differ"] is False
    assert written["differences"] == []
    assert written["auc"]["low"] <= 0.5
    assert (written["train"], written["test"]) == (30, 20)
    assert text.startswith("Training strips: 30, test strips: 20\nAUC: 0.")


def test_the_strips_most_like_the_test_become_the_validation_fold(tmp_path: Path) -> None:
    train = pictures(tmp_path / "a", 30, 1)
    for path in pictures(tmp_path / "dark", 10, 3, black=1.0).iterdir():
        path.rename(train / path.name)
    test, out, folds = pictures(tmp_path / "b", 25, 2, black=1.0), tmp_path / "out", tmp_path / "f"
    out.mkdir()
    found = find_shift(train, test)
    write_shift(found, out, folds, share=0.2)
    assert found.differ
    assert "black" in found.sentence
    names = sorted(path.name for path in train.iterdir())
    chosen = read_folds(folds, names)
    assert np.count_nonzero(chosen == 0) == 8
    validation = [name for name, fold in zip(names, chosen, strict=True) if fold == 0]
    assert sum(name.startswith("3-") for name in validation) >= 7
    with (out / "likeness.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["image"] for row in rows[:8]} == set(validation)
    means = [row[3] for row in found.likeness_rows()]
    assert means == sorted(means, reverse=True)
    page = (out / "shift.html").read_text()
    assert "more black area" in page
    assert page.count("<img") == 8


def test_a_strip_on_both_sides_is_one_group(tmp_path: Path) -> None:
    train, test = pictures(tmp_path / "a", 12, 1), pictures(tmp_path / "b", 12, 2)
    (test / "copy.png").write_bytes((train / "1-03.png").read_bytes())
    sides = open_train_test(train, test)
    group = dict(zip(sides.names, sides.groups.tolist(), strict=True))
    assert group["copy.png"] == group["1-03.png"]
    assert len(set(group.values())) == 24
    found = find_shift(train, test)
    assert any("near-duplicates of training strips: 1." in note for note in found.notes)


def test_a_data_sets_own_groups_stay_together(strips: Path) -> None:
    sides = open_train_test(strips, strips / "train_images")
    with (strips / "groups.csv").open(newline="") as file:
        roll = {row["image"]: row["group"] for row in csv.DictReader(file)}
    own = np.flatnonzero(~sides.is_test).tolist()
    for one in own:
        for other in own:
            if roll[sides.names[one]] == roll[sides.names[other]]:
                assert sides.groups[one] == sides.groups[other]


def test_too_few_or_unreadable_strips_are_refused(strips: Path, tmp_path: Path) -> None:
    train, test = pictures(tmp_path / "a", 12, 1), pictures(tmp_path / "b", 9, 2)
    with pytest.raises(DatasetError, match="--test"):
        find_shift(train)
    with pytest.raises(InputError, match="10 of each"):
        find_shift(train, test)
    with pytest.raises(InputError, match="10 of each"):
        find_shift(strips)  # its own test_images/ are three
    (test / "broken.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match="broken"):
        find_shift(train, test)
    more = pictures(tmp_path / "c", 4, 4)
    for path in more.iterdir():
        path.rename(test / path.name)
    found = find_shift(train, test, on_error="skip")
    assert any("broken.png" in note for note in found.notes)
