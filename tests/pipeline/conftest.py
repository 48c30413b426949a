"""A recipe of two rounds of pseudo-labels on the small mill of all tests, and cheaper runs."""

import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from steelscan.data import PseudoLabels, SureStrips, SuspectStrips
from steelscan.pipeline import Outcome, Recipe
from steelscan.prediction import Ensemble


@pytest.fixture(scope="session")
def rounds(tiny: Recipe) -> Recipe:
    """Two rounds of pseudo-labels for the segmenter, which learns from what the judge suspects."""
    assert tiny.classify is not None
    (judge,), (outliner,) = tiny.classify.ensemble.members, tiny.segment.ensemble.members
    judge = judge.but(stages=tuple(stage.but(pseudo=0.0) for stage in judge.stages))
    stages = (stage.but(pseudo=0.4, strips=SuspectStrips(above=0.3)) for stage in outliner.stages)
    outliner = outliner.but(stages=tuple(stages))
    return tiny.but(
        name="rounds",
        steps=(
            tiny.classify.but(ensemble=Ensemble(members=(judge,))),
            tiny.segment.but(ensemble=Ensemble(members=(outliner,))),
            *tiny.rules,
        ),
        pseudo_labels=PseudoLabels(rounds=2, rule=SureStrips(apart=0.0)),
    )


@pytest.fixture
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the page that a run ends with: a quarter of the time of these small runs."""
    module = import_module("steelscan.pipeline.train")
    monkeypatch.setattr(module, "report_run", lambda *_: None)


@pytest.fixture
def fitted(finished: tuple[Path, Outcome], strips: Path) -> Callable[[Recipe, Path], None]:
    """Begins a run with the networks of the finished one, so that none is fitted."""
    from steelscan.pipeline import Options, RunFolder
    from steelscan.pipeline.train import planned

    def begin(recipe: Recipe, run: Path) -> None:
        planned(RunFolder(run), recipe, strips, Options(device="cpu"))
        shutil.copytree(finished[0] / "networks", run / "networks")

    return begin
