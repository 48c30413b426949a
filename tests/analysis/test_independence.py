"""Scores that depend on the strips they are measured on are reported so, and choose nothing."""

import shutil
from pathlib import Path

import pytest

from steelscan.analysis.ensemble import compare_ensemble
from steelscan.analysis.escapes import count_escapes, rates_of
from steelscan.analysis.score import ScoreOptions
from steelscan.analysis.score.run import score_run
from steelscan.bundle.export.export import export
from steelscan.data import open_dataset
from steelscan.pipeline import Outcome, RunFolder
from steelscan.recipes import ConfidentStrips, PseudoLabels
from steelscan.strip.errors import RunError

SENTENCE = "out-of-fold scores are too high by an unknown, small amount"


@pytest.fixture
def dependent(finished: tuple[Path, Outcome], tmp_path: Path) -> Path:
    """A run with a round of pseudo-labels by the networks of all folds; nothing was fitted again.

    Its networks and outputs are those of the finished run.
    """
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    folder = RunFolder(run)
    recipe = folder.load_recipe()
    members = {
        name: [
            member.but(stages=tuple(stage.but(pseudo=0.0) for stage in member.stages))
            for member in step.ensemble.members
        ]
        for name, step in recipe.named.items()
    }
    labels = PseudoLabels(rule=ConfidentStrips(), predicted_by="all")
    recipe = recipe.with_members(members, tune=None, pseudo_labels=labels)
    folder.recipe.write_text(recipe.model_dump_json())
    folder.write_tuned(folder.load_tuned().but(round=1))
    return run


def notes_of(run: Path, strips: Path, out: Path) -> list[bool]:
    """Whether the output of each analysis says that scores depend on their strips."""
    analyses = (
        count_escapes(run),
        score_run(run, open_dataset(strips), ScoreOptions()),
        compare_ensemble(run, out, device="cpu"),
    )
    return [any(SENTENCE in note for note in each.notes) for each in analyses]


def test_analyses_report_that_scores_depend_on_their_strips(
    finished: tuple[Path, Outcome], dependent: Path, strips: Path, tmp_path: Path
) -> None:
    assert notes_of(dependent, strips, tmp_path / "dependent") == [True] * 3
    assert notes_of(finished[0], strips, tmp_path / "finished") == [False] * 3


def test_no_threshold_is_chosen_on_strips_that_networks_depend_on(
    dependent: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="Leave out --escape-rate, or use a run"):
        count_escapes(dependent, rates_of(0.5, None, 0.5))
    with pytest.raises(RunError, match="Leave out --escape-budget, or use a run"):
        export(dependent, tmp_path / "bundle", escape_budget=0.1)
    assert not (tmp_path / "bundle").exists()
