"""Each recipe runs from images to submission, and the losses of its networks stay the same.

``curves.json`` holds the loss of every epoch of every network of a tiny seeded run. A commit that
changes numbers on purpose writes it again, and explains why. Numbers have 64 bits here: with 32
bits another order of sums, on another processor or with more threads, changed the last epochs by up
to a tenth. 64 bits take 3.6 times as long, so epochs are fewer and shorter than in the budget.
Dropout is replaced: torch draws it differently with and without Intel's library.

    STEELSCAN_CURVES=write python -m pytest tests/recipes/test_whole.py
"""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from steelscan import recipes
from steelscan.mill import Mill, write_mill
from steelscan.pipeline import Options
from steelscan.pipeline.train import train
from steelscan.recipes import limits, with_budget, with_random_weights
from steelscan.strip.tables import read_mask_table

CURVES = Path(__file__).with_name("curves.json")
NINE = [name for name in recipes.names() if name.endswith("_place")]

QUICKER = {"fourth_place", "seventh_place", "fourteenth_place", "seventieth_place"}
"""These always run; the others, with more networks, only with ``scripts/test --all``."""


@pytest.fixture(scope="module")
def strips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "strips"
    mill = Mill(strips=24, seed=4, height=64, width=96, roll=(1, 3), faint_share=0.0)
    write_mill(mill, folder, test_strips=3)
    return folder


@pytest.fixture
def double() -> Iterator[None]:
    """Build and fit networks with 64-bit numbers."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture
def same_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw dropout and dropped paths from uniform numbers: the same on any processor."""

    def dropped(planes: Tensor, p: float, training: bool, axes: int) -> Tensor:
        if not training or p == 0:
            return planes
        shape = [side if axis < axes else 1 for axis, side in enumerate(planes.shape)]
        return planes * (torch.rand(shape) >= p) / (1 - p)

    def dropout(planes: Tensor, p: float = 0.5, training: bool = True, _: bool = False) -> Tensor:
        return dropped(planes, p, training, planes.ndim)

    def dropout2d(planes: Tensor, p: float = 0.5, training: bool = True, _: bool = False) -> Tensor:
        return dropped(planes, p, training, 2)

    monkeypatch.setattr(functional, "dropout", dropout)
    monkeypatch.setattr(functional, "dropout2d", dropout2d)
    monkeypatch.setattr(
        Tensor, "bernoulli_", lambda planes, p: planes.copy_(torch.rand(planes.shape) < p)
    )


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit a fit to two epochs of about four crops, and its validation to four strips."""
    fewer = replace(limits.LIMITS["tiny"], epochs=2, fit_area=8 * 128 * 256, validate_on=4)
    monkeypatch.setitem(limits.LIMITS, "tiny", fewer)


def test_the_suite_holds_nine():
    assert len(NINE) == 9
    assert sorted(json.loads(CURVES.read_text())) == NINE


@pytest.mark.usefixtures("double", "same_dropout", "short")
@pytest.mark.parametrize(
    "name",
    [name if name in QUICKER else pytest.param(name, marks=pytest.mark.slow) for name in NINE],
)
def test_a_recipe_runs_and_its_losses_stay_the_same(name, strips, tmp_path):
    recipe = with_budget(recipes.load(name), "tiny")
    run = tmp_path / "run"
    train(with_random_weights(recipe), strips, run, Options(device="cpu"))
    table = read_mask_table(run / "submission.csv")
    assert set(table.rows) <= {path.name for path in (strips / "test_images").iterdir()}
    assert (run / "report.html").stat().st_size > 10_000
    found = {
        str(path.parent.relative_to(run / "networks")): pl.read_csv(path)["loss"].to_list()
        for path in sorted((run / "networks").rglob("metrics.csv"))
    }
    if os.environ.get("STEELSCAN_CURVES") == "write":
        kept = json.loads(CURVES.read_text()) if CURVES.exists() else {}
        kept[name] = {place: [round(loss, 8) for loss in losses] for place, losses in found.items()}
        CURVES.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")
    stored = json.loads(CURVES.read_text())[name]
    assert list(found) == list(stored)
    for place, losses in found.items():
        assert losses == pytest.approx(stored[place], rel=1e-4), place
