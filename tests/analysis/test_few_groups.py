"""Finished runs with validation strips of 1, 2 or 5 groups: every verb prints text."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from steelscan.analysis.compare import comparison_text
from steelscan.analysis.compare.compare import compare
from steelscan.analysis.escapes import count_escapes, escapes_text
from steelscan.analysis.score import ScoreOptions, score_files, score_text
from steelscan.analysis.tune import tune_run, tuning_text, write_tuning
from steelscan.evaluation.tuning import CrossFitOptions, Prior
from steelscan.pipeline import EVALUATED_PARTS, Outcome, RunFolder, read_evaluated
from steelscan.pipeline.pixel_counts import write_evaluated
from steelscan.strip.errors import InputError, RunError

Finished = tuple[Path, Outcome]


@pytest.fixture(scope="module")
def grouped(finished: Finished, tmp_path_factory: pytest.TempPathFactory):
    """A function that gives the finished run another number of groups."""
    run = tmp_path_factory.mktemp("few") / "run"
    shutil.copytree(finished[0], run)
    folder = RunFolder(run)
    parts = read_evaluated(folder, 4)

    def of(groups: int) -> Path:
        few = {
            name: replace(part, groups=np.arange(len(part.images)) % groups)
            for name, part in parts.items()
        }
        write_evaluated(folder, few)
        return run

    return of


@pytest.mark.parametrize("groups", [1, 2])
def test_reports_on_few_groups_have_no_nan(grouped, groups: int, strips: Path) -> None:
    run = grouped(groups)
    texts = [
        escapes_text(count_escapes(run, data=strips)),
        comparison_text(compare(run, run)),
        score_text(score_files(strips, run, ScoreOptions())),
    ]
    for text in texts:
        assert "nan" not in text.replace("domina", "")
    assert "B is better" not in texts[1]
    with pytest.raises(RunError, match=f"has {groups} groups of strips out of fold") as refused:
        tune_run(run, strips)
    assert "a search needs 5" in str(refused.value)


def test_five_groups_are_too_few_to_search(grouped, strips: Path) -> None:
    run = grouped(5)
    done = tune_run(run, strips, options=CrossFitOptions(resamples=20))
    write_tuning(done)
    text = tuning_text(done)
    assert "nan" not in text
    assert "Nothing could be searched: there are too few groups." in text
    assert "nan" not in done.page.read_text().lower().replace("nano", "")


def test_an_objective_that_a_class_has_no_strips_for_is_refused_before_any_work(
    grouped, strips: Path, tmp_path: Path
) -> None:
    run = grouped(9)
    folder = RunFolder(run)
    parts = read_evaluated(folder, 4)
    evaluated = parts[EVALUATED_PARTS[1]]
    evaluated.pairs.truth[:, 0] = 0
    evaluated.pairs.shared[:, 0] = 0
    write_evaluated(folder, {EVALUATED_PARTS[1]: evaluated})
    out = tmp_path / "tuned"
    with pytest.raises(InputError, match=r"class 1: is on 0 of the .* use mean_dice"):
        tune_run(run, strips, out, objective=(Prior(positives=0.1),) * 4)
    assert not out.exists()
