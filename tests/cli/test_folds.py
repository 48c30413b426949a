"""The verb folds: folds made, written and checked."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from steelscan import cli
from steelscan.data import open_dataset
from steelscan.data.folds import read_folds
from steelscan.mill import Mill, write_mill


@pytest.fixture(scope="module")
def milled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("milled") / "strips"
    write_mill(Mill(strips=40, seed=2, height=64, width=128, roll=(1, 3)), root)
    return root


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["steelscan", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_folds_are_written_with_their_report(
    milled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "made" / "folds.csv"
    assert run(monkeypatch, "folds", milled, "--out", out, "--count", 4, "--seed", 3) == 0
    printed = capsys.readouterr().out
    dataset = open_dataset(milled)
    folds = read_folds(out, dataset.names)
    lines = printed.splitlines()
    assert lines[0].split() == ["fold", "0", "1", "2", "3", "off"]
    assert all(len(line) <= 80 for line in lines[:7])
    clean = ~dataset.present.any(axis=1)
    members = [np.ones(len(dataset), bool), clean, *dataset.present.T]
    for line, name, each in zip(
        lines[1:], ["strips", "clean", *dataset.classes.names], members, strict=False
    ):
        counts = [np.count_nonzero(each & (folds == fold)) for fold in range(4)]
        assert line.split()[:5] == [name, *map(str, counts)]
    assert "THESE folds separate none." in printed
    assert "RANDOM folds would separate" in printed
    report = json.loads(out.with_suffix(".json").read_text())
    assert (report["fingerprint"], report["seed"]) == (dataset.fingerprint, 3)
    first = out.read_bytes()
    assert run(monkeypatch, "folds", milled, "--out", out, "--count", 4, "--seed", 3) == 0
    assert out.read_bytes() == first
    assert run(monkeypatch, "folds", milled, "--out", out, "--count", 4, "--seed", 4) == 0
    assert out.read_bytes() != first


def test_check_counts_the_pairs_that_foreign_folds_separate(
    milled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dataset = open_dataset(milled)
    theirs = np.arange(len(dataset)) % 2
    path = tmp_path / "theirs.csv"
    rows = zip(dataset.names, theirs.tolist(), strict=True)
    path.write_text("image,fold\n" + "".join(f"{name},{fold}\n" for name, fold in rows))
    assert run(monkeypatch, "folds", milled, "--check", path, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    with (milled / "groups.csv").open() as file:
        group = {row["image"]: row["group"] for row in csv.DictReader(file)}
    pairs = [
        (one, other)
        for one in range(len(dataset))
        for other in range(one)
        if group[dataset.names[one]] == group[dataset.names[other]]
    ]
    separated = [pair for pair in pairs if theirs[pair[0]] != theirs[pair[1]]]
    assert 0 < len(separated) < len(pairs)
    assert [report["separated"][key] for key in ("pairs", "all_pairs")] == [
        len(separated),
        len(pairs),
    ]
    assert report["counts"]["strips"] == [20, 20]
    assert run(monkeypatch, "folds", milled, "--check", path) == 0
    assert f"THESE folds separate {len(separated)} of {len(pairs)} pairs" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ("--count", 400, "--out", "f.csv"),
        ("--check", "nowhere.csv"),
        ("--out", "/proc/none/f.csv"),
    ],
)
def test_an_error_is_one_line(
    arguments: tuple[object, ...],
    milled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "folds", milled, *arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")
    assert not (tmp_path / "f.csv").exists()
