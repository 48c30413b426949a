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
from steelscan.strip.errors import RunError

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


COST = {"cpu_seconds": 90.0, "gib": 1.25, "threads": 1, "commit": "abc", "processor": "P"}


def record(place: Path, name: str, pairs: Pairs | None, **values) -> None:
    """Write the record of a run with these pairs; without them of one that holds nothing out."""
    module = import_module("records")
    if pairs is not None:
        values |= {"images": tuple("abcdefgh"), "groups": list(range(8)), "strips": 8}
        for key in ("predicted", "truth", "shared"):
            values[key] = getattr(pairs, key).tolist()
    place.mkdir(parents=True, exist_ok=True)
    module.write_record(place / f"{name}.json", module.Record(COST, 1, **values))


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    module, pairs = import_module("records"), counted([[100, 0]] * 8, 0.5)
    record(tmp_path, "quick", pairs, changes=["a"], masks={"a": ["1 2", ""]})
    found = module.read_record(tmp_path / "quick.json")
    assert found.minutes == 1.5
    assert (found.changes, found.masks) == (["a"], {"a": ["1 2", ""]})
    for key in ("predicted", "truth", "shared"):
        assert np.array_equal(getattr(found.result.pairs, key), getattr(pairs, key))
    assert module.read_record(tmp_path / "none.json") is None


TRUTH = [[100, 0], [0, 0], [0, 60], [0, 0], [40, 0], [0, 0], [80, 0], [0, 20]]


def test_the_tables_of_the_report(tmp_path: Path) -> None:
    """Dice of a found share s of a defect is 2 s / (1 + s); a clean pair has 1."""
    page, place = import_module("nine_report"), tmp_path / "small" / "mill"
    shares = {"first_place": 1.0, "third_place": 0.5, "quick": 0.5, "plain_unet": 0.25}
    for name, share in shares.items():
        record(place, name, counted(TRUTH, share))
    lines = list(page.report(tmp_path, "small"))
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


@pytest.mark.parametrize("other", [[[100, 1]] * 8, None])
def test_records_of_other_strips_are_refused(tmp_path: Path, other: list | None) -> None:
    results, truth = import_module("nine_results"), [[100, 0]] * 8
    record(tmp_path, "first_place", counted(truth, 0.5))
    record(tmp_path, "quick", counted(other or truth, 0.5))
    if other is None:
        path = tmp_path / "quick.json"
        path.write_text(path.read_text().replace('"a"', '"z"'))
    with pytest.raises(RunError, match="other held-out strips than first_place"):
        results.results_of(tmp_path)


def test_the_median_is_that_of_all_runs_of_the_nine(tmp_path: Path) -> None:
    results = import_module("nine_results")
    assert results.median_minutes(tmp_path) is None
    record(tmp_path, "first_place", None)
    record(tmp_path, "quick", None)
    assert results.median_minutes(tmp_path) == 1.5


def test_the_report_on_the_tiny_budget_shows_no_scores(tmp_path: Path) -> None:
    page = import_module("nine_report")
    record(tmp_path / "tiny" / "mill", "first_place", counted(TRUTH, 0.5))
    lines = list(page.report(tmp_path, "tiny"))
    assert "scores are no results" in lines[0]
    assert "| `first_place` | yes | 1 | 1.5 (1 core) | 1.25 |" in lines
    assert "| `third_place` | no |  |  |  |" in lines
    assert not any("Dice" in line for line in lines)
    assert "| mill | `first_place` | abc | P |" in lines


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
