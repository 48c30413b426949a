"""The benchmark of all solutions: shared held-out strips, costs, and the report."""

import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from steelscan import recipes
from steelscan.data import Folds, LikeTest
from steelscan.evaluation.metrics import Pairs
from steelscan.recipes import with_budget

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def split(strips: int, seed: int):
    """Return groups of one to four strips, of which two tenths are held out and one validates."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 5, strips)
    groups = rng.permutation(np.repeat(np.arange(strips), sizes)[:strips])
    part = rng.permutation(np.arange(groups.max() + 1) % 10)[groups]
    return import_module("nine_folds").Split(groups, part >= 8, part == 0)


@pytest.mark.parametrize("seed", range(5))
def test_all_recipes_hold_the_same_strips_out(seed: int) -> None:
    nine_folds, given = import_module("nine_folds"), split(300, seed)
    for name in import_module("nine_report").NINE:
        spec = with_budget(recipes.load(name), "small").folds
        folds = nine_folds.folds_of(spec, given)
        assert set(folds.tolist()) == set(range(spec.count))
        assert np.array_equal(np.isin(folds, spec.holdout), given.held_out)
        if name != "ninth_place":  # all of its other folds validate
            assert np.array_equal(np.isin(folds, spec.validation), given.validating)
        for group in set(given.groups.tolist()):
            assert len(set(folds[given.groups == group].tolist())) == 1


def test_a_recipe_that_holds_nothing_out_is_refused() -> None:
    for spec in (Folds(), LikeTest()):
        with pytest.raises(ValueError, match="holds no strips out"):
            import_module("nine_folds").folds_of(spec, split(50, 0))


def test_runs_side_by_side_go_on_after_a_failure(tmp_path: Path) -> None:
    runs = import_module("measured_runs")
    hold = "import time; data = bytearray(80_000_000); time.sleep(1.2)"
    codes = {"fails": "import sys; sys.exit(2)", "large": hold, "small": "print(1)"}
    jobs = [
        runs.Job([sys.executable, "-c", code], tmp_path / "place" / name)
        for name, code in codes.items()
    ]
    assert [job.run.name for job in runs.side_by_side(jobs, 2)] == ["fails"]
    costs = {name: runs.cost_of(tmp_path / "place" / name) for name in codes}
    assert [cost["done"] for cost in costs.values()] == [False, True, True]
    assert costs["large"]["seconds"] > 1.2
    assert 80e6 / 2**30 < costs["large"]["gib"] < 1
    assert costs["small"]["threads"] >= 1
    before = costs["large"]
    assert runs.side_by_side(jobs[1:], 2) == []
    assert runs.cost_of(tmp_path / "place" / "large") == before


def counted(truth: list[list[int]], found: float) -> Pairs:
    """Return pairs of which a share of the true pixels is found, and nothing else."""
    true = np.array(truth)
    shared = (found * true).astype(np.int64)
    return Pairs(shared, true, shared)


def test_the_tables_of_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dice of a found share s of a defect is 2 s / (1 + s); a clean pair has 1."""
    page = import_module("nine_report")
    truth = [[100, 0], [0, 0], [0, 60], [0, 0], [40, 0], [0, 0], [80, 0], [0, 20]]
    images, groups = tuple("abcdefgh"), np.arange(8)
    shares = {"first_place": 1.0, "third_place": 0.5, "quick": 0.5, "plain_unet": 0.25}
    results = {
        name: page.Result(images, groups, counted(truth, share)) for name, share in shares.items()
    }
    monkeypatch.setattr(page, "results_of", lambda *_: results)
    data, small = tmp_path / "mill", tmp_path / "small"
    small.mkdir()
    lines = list(page.report(tmp_path, [data], "small"))
    rows = {line.split("|")[1].strip(): line.split("|") for line in lines if line.startswith("|")}
    scores = [line for line in lines if line.startswith(("| `first", "| `third", "| plain"))][:3]
    for line, share in zip(scores, (1.0, 0.5, 0.25), strict=True):
        dice = 2 * share / (1 + share)
        assert line.split("|")[2].split()[0] == f"{(11 + 5 * dice) / 16:.4f}"
        assert line.split("|")[3].split()[0] == f"{dice:.4f}"
    assert rows["`third_place`"][4].split()[0] == "+0.0000"  # less quick
    gain = (2 * 0.5 / 1.5 - 2 * 0.25 / 1.25) * 5 / 16
    assert rows["`third_place`"][3].strip(" *").split()[0] == f"{gain:+.4f}"
    text = "\n".join(lines)
    assert "Dice where defect of at least 0.55: 2 of 2." in text
    assert "Above the plain U-Net in mean Dice: 2 of 2" in text
    assert "Above all empty, with an interval above 0: " in text


def test_the_report_on_the_tiny_budget_shows_no_scores(tmp_path: Path) -> None:
    page = import_module("nine_report")
    place = tmp_path / "tiny" / "mill"
    place.mkdir(parents=True)
    cost = {"seconds": 90.0, "gib": 1.25, "done": True, "commit": "abc", "processor": "P"}
    (place / "first_place.json").write_text(json.dumps(cost))
    lines = list(page.report(tmp_path, [tmp_path / "mill"], "tiny"))
    assert "scores are no results" in lines[0]
    assert "| `first_place` | yes | 1 | 1.5 | 1.25 |" in lines
    assert not any("Dice" in line for line in lines)
    assert any("commit abc, P" in line for line in lines)


def test_the_plain_unet_predicts_exactly_the_held_out_strips(
    strips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steelscan.data import open_dataset

    module, dataset = import_module("plain_unet"), open_dataset(strips)
    table = tmp_path / "folds.csv"
    import_module("nine_folds").write_folds(table, dataset, np.arange(len(dataset)) % 4)
    command = ["plain_unet.py", "--data", str(strips), "--folds", str(table), "--held-out", "1"]
    command += ["--minutes", "0.02", "--out", str(tmp_path / "unet")]
    monkeypatch.setattr(sys, "argv", command)
    module.main()
    found = json.loads((tmp_path / "unet" / "pairs.json").read_text())
    rows = [row for row in range(len(dataset)) if row % 4 == 1]
    assert found["images"] == [dataset.names[row] for row in rows]
    truth = [dataset.masks(row).sum((1, 2)).tolist() for row in rows]
    assert found["truth"] == truth
    assert found["crops"] >= 8
