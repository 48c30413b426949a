"""Training strips against test strips: what is written where they differ, and what where not."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from steelscan.analysis.shift import network as shift_network
from steelscan.analysis.shift.shift import likeness_rows, shift
from steelscan.data.folds import read_folds
from steelscan.evaluation.adversarial import open_train_test
from steelscan.strip import DatasetError, InputError, PictureError


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


def test_of_strips_alike_nothing_but_that_is_written(tmp_path: Path) -> None:
    train, test = pictures(tmp_path / "a", 30, 1), pictures(tmp_path / "b", 20, 2)
    out, folds = tmp_path / "out", tmp_path / "folds.csv"
    out.mkdir()
    (out / "likeness.csv").write_text("of an earlier run")
    found = shift(train, out, test, folds=folds)
    assert found.ranking is None
    assert "cannot be told" in found.sentence
    assert sorted(path.name for path in out.iterdir()) == ["shift.html", "shift.json"]
    assert not folds.exists()
    written = json.loads((out / "shift.json").read_text())
    assert written["told_apart"] is False
    assert written["differences"] == []
    assert written["auc"]["looks"]["low"] <= 0.5


def test_of_strips_that_differ_those_most_like_the_test_judge(tmp_path: Path) -> None:
    train = pictures(tmp_path / "a", 30, 1)
    for path in pictures(tmp_path / "dark", 10, 3, black=1.0).iterdir():
        path.rename(train / path.name)
    test, out, folds = pictures(tmp_path / "b", 25, 2, black=1.0), tmp_path / "out", tmp_path / "f"
    found = shift(train, out, test, folds=folds, share=0.2)
    assert found.ranking is not None
    assert "black" in found.sentence
    names = sorted(path.name for path in train.iterdir())
    chosen = read_folds(folds, names)
    assert np.count_nonzero(chosen == 0) == 8
    judging = [name for name, fold in zip(names, chosen, strict=True) if fold == 0]
    assert sum(name.startswith("3-") for name in judging) >= 7
    with (out / "likeness.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["image"] for row in rows[:8]} == set(judging)
    means = [row[3] for row in likeness_rows(found)]
    assert means == sorted(means, reverse=True)
    page = (out / "shift.html").read_text()
    assert "more black area" in page
    assert page.count("<img") == 8


def test_a_network_sees_what_it_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shift_network, "_STEPS", 30)
    train, test = pictures(tmp_path / "a", 24, 1), pictures(tmp_path / "b", 24, 2, light=150)
    sides = open_train_test(train, test)
    found = shift_network.by_network(sides, 0, 0.95, "cpu")
    assert found.auc > 0.9
    assert found.separable
    again = shift_network.by_network(sides, 0, 0.95, "cpu")
    assert np.array_equal(found.likeness, again.likeness)
    both = shift(train, tmp_path / "out", test, network=True, device="cpu")
    assert both.level == pytest.approx(0.975)
    assert set(both.judges) == {"looks", "network"}


def test_a_strip_on_both_sides_is_one_group(tmp_path: Path) -> None:
    train, test = pictures(tmp_path / "a", 12, 1), pictures(tmp_path / "b", 12, 2)
    (test / "copy.png").write_bytes((train / "1-03.png").read_bytes())
    sides = open_train_test(train, test)
    group = dict(zip(sides.names, sides.groups.tolist(), strict=True))
    assert group["copy.png"] == group["1-03.png"]
    assert len(set(group.values())) == 24
    found = shift(train, tmp_path / "out", test)
    assert any("1 test strips are near-duplicates" in note for note in found.notes)


def test_a_data_sets_own_groups_stay_together(strips: Path) -> None:
    sides = open_train_test(strips, strips / "train_images")
    with (strips / "groups.csv").open(newline="") as file:
        roll = {row["image"]: row["group"] for row in csv.DictReader(file)}
    own = np.flatnonzero(~sides.is_test).tolist()
    for one in own:
        for other in own:
            if roll[sides.names[one]] == roll[sides.names[other]]:
                assert sides.groups[one] == sides.groups[other]


def test_what_cannot_be_compared_is_refused(strips: Path, tmp_path: Path) -> None:
    train, test = pictures(tmp_path / "a", 12, 1), pictures(tmp_path / "b", 9, 2)
    with pytest.raises(DatasetError, match="--test"):
        shift(train, tmp_path / "out")
    with pytest.raises(InputError, match="10 of each"):
        shift(train, tmp_path / "out", test)
    with pytest.raises(InputError, match="10 of each"):
        shift(strips, tmp_path / "out")  # its own test_images/ are three
    (test / "broken.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match="broken"):
        shift(train, tmp_path / "out", test)
    more = pictures(tmp_path / "c", 4, 4)
    for path in more.iterdir():
        path.rename(test / path.name)
    found = shift(train, tmp_path / "out", test, on_error="skip")
    assert any("broken.png" in note for note in found.notes)
