"""Each recipe runs whole, from images to submission, and its networks learn as they did before.

``curves.json`` keeps the loss of every epoch of every network of a tiny seeded run. A commit that
changes numbers on purpose writes it anew, and says why:

    STEELSCAN_CURVES=write python -m pytest tests/recipes/test_whole.py
"""

import json
import os
from pathlib import Path

import polars as pl
import pytest

from steelscan import recipes
from steelscan.data import Mill, write_mill
from steelscan.pipeline import Options, train, with_budget
from steelscan.strip import read_mask_table

CURVES = Path(__file__).with_name("curves.json")
NINE = [name for name in recipes.names() if name.endswith("_place")]


@pytest.fixture(scope="module")
def strips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "strips"
    mill = Mill(strips=24, seed=4, height=64, width=160, roll=(1, 3), faint_share=0.0)
    write_mill(mill, folder, test_strips=10)
    return folder


def test_the_suite_holds_nine():
    assert len(NINE) == 9
    assert sorted(json.loads(CURVES.read_text())) == NINE


@pytest.mark.parametrize("name", NINE)
def test_a_recipe_runs_whole_and_learns_as_before(name, strips, tmp_path):
    recipe = with_budget(recipes.load(name), "tiny")
    run = tmp_path / "run"
    train(recipe.with_random_weights(), strips, run, Options(device="cpu"))
    table = read_mask_table(run / "submission.csv")
    assert set(table.rows) <= {path.name for path in (strips / "test_images").iterdir()}
    assert (run / "report.html").stat().st_size > 10_000
    found = {
        str(path.parent.relative_to(run / "networks")): pl.read_csv(path)["loss"].to_list()
        for path in sorted((run / "networks").rglob("metrics.csv"))
    }
    if os.environ.get("STEELSCAN_CURVES") == "write":
        kept = json.loads(CURVES.read_text()) if CURVES.exists() else {}
        kept[name] = {place: [round(loss, 5) for loss in losses] for place, losses in found.items()}
        CURVES.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")
    stored = json.loads(CURVES.read_text())[name]
    assert list(found) == list(stored)
    for place, losses in found.items():
        # Other processors add up in another order, which grows from step to step: with the same
        # code two of them were 3.3 % apart after six epochs, and less than 2 % after four.
        for epoch, (loss, before) in enumerate(zip(losses, stored[place], strict=True), start=1):
            assert loss == pytest.approx(before, rel=max(0.02, 0.01 * epoch)), (place, epoch)
