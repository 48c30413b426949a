"""All runs below some folders: finished, half done and broken ones."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from steelscan.losses import BCE
from steelscan.pipeline import Outcome, RunFolder
from steelscan.pipeline.runs import find_runs, runs_json, runs_table
from steelscan.prediction import EncoderFittedFor, Ensemble
from steelscan.recipes import Recipe
from steelscan.strip.errors import InputError, RunError

Finished = tuple[Path, Outcome]


def half_done(finished: Path, place: Path, networks: int) -> Path:
    """A copy of a run as it is when only so many networks are fitted."""
    place.mkdir(parents=True)
    for name in ("recipe.json", "run.json", "folds.csv"):
        shutil.copy(finished / name, place)
    for folder in sorted((finished / "networks").iterdir()):
        inside = place / "networks" / folder.name
        inside.mkdir(parents=True)
        name = "checkpoint.safetensors" if networks > 0 else "metrics.csv"
        shutil.copy(folder / name, inside)
        networks -= 1
    return place


def test_a_finished_run_is_listed_with_its_scores(finished: Finished) -> None:
    run, outcome = finished
    (found,) = find_runs([run])
    assert (found.path, found.state, found.recipe, found.seed) == (run, "finished", "tiny", 0)
    assert (found.fitted, found.networks, found.rounds) == (4, 4, 0)
    assert found.data == json.loads((run / "run.json").read_text())["fingerprint"][:8]
    for part, scores in outcome.scores.items():
        assert found.scores[part]["mean_dice"] == scores.mean_dice
        assert found.scores[part]["escapes"].value == scores.escapes.value
    used = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    assert found.bytes == used
    table = runs_table([found])
    assert outcome.scores["held out"].mean_dice.text() in table
    assert outcome.scores["out of fold"].mean_dice.text() in table
    assert "4 of 4" in table


def test_finished_unfinished_and_broken_runs_are_in_one_table(
    finished: Finished, tmp_path: Path
) -> None:
    half = half_done(finished[0], tmp_path / "half", 3)
    whole = tmp_path / "deep" / "er" / "whole"
    shutil.copytree(finished[0], whole)
    broken = half_done(finished[0], tmp_path / "broken", 0)
    (broken / "recipe.json").write_text("{")
    (tmp_path / "no run").mkdir()
    found = {run.path: run for run in find_runs([tmp_path])}
    assert list(found) == sorted([half, whole, broken])
    assert (found[half].state, found[half].fitted, found[half].networks) == ("unfinished", 3, 4)
    assert found[half].scores == {}
    assert found[whole].state == "finished"
    assert found[broken].state.startswith("broken: ")
    lines = runs_table(list(found.values())).splitlines()
    assert len(lines) == 1 + 3 + 1  # a head, the runs, what is wrong with one of them
    assert "recipe.json" in lines[-1]
    assert "budget" in lines[0]


def test_scores_that_cannot_be_read_make_a_run_broken(finished: Finished, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    for content in ("{", "[]", '{"held out": {"mean_dice": 1}}', '{"held out": {}}'):
        (run / "scores.json").write_text(content)
        (found,) = find_runs([run])
        assert (found.state.split(":")[0], found.scores) == ("broken", {}), content


def test_a_run_without_report_is_not_finished(finished: Finished, tmp_path: Path) -> None:
    for name in ("report.html", "scores.json"):
        run = tmp_path / name
        shutil.copytree(finished[0], run)
        (run / name).unlink()
        (found,) = find_runs([run])
        assert (found.state, found.fitted, found.scores) == ("unfinished", 4, {})


def test_json_holds_the_same(finished: Finished, tmp_path: Path) -> None:
    half_done(finished[0], tmp_path / "half", 0)
    found = find_runs([tmp_path, finished[0]])
    listed = json.loads(runs_json(found))
    assert [row["path"] for row in listed] == [str(run.path) for run in found]
    for row, run in zip(listed, found, strict=True):
        assert (row["fitted"], row["networks"], row["bytes"]) == (
            run.fitted,
            run.networks,
            run.bytes,
        )
        assert set(row["scores"]) == set(run.scores)
    scores = next(row["scores"] for row in listed if row["scores"])
    assert scores["held out"]["mean_dice"]["value"] == pytest.approx(
        finished[1].scores["held out"].mean_dice.value
    )


def test_undefined_numbers_are_null_in_json(finished: Finished, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    scores = json.loads((run / "scores.json").read_text())
    scores["held out"]["overkill"] = {"value": None, "low": None, "high": None}
    (run / "scores.json").write_text(json.dumps(scores))
    RunFolder(run).seal(run / "scores.json")
    found = find_runs([run])
    listed = json.loads(runs_json(found), parse_constant=pytest.fail)
    assert listed[0]["scores"]["held out"]["overkill"]["value"] is None
    assert "undefined" in runs_table(found)


def test_rounds_and_encoders_fitted_first_are_counted(
    finished: Finished, rounds: Recipe, tiny: Recipe, tmp_path: Path
) -> None:
    run = half_done(finished[0], tmp_path / "rounds", 2)
    (run / "recipe.json").write_text(rounds.model_dump_json())
    (found,) = find_runs([run])
    # Two classifiers once; two segmenters once and in each of two rounds.
    assert (found.fitted, found.networks, found.rounds) == (2, 2 + 2 * 3, 2)
    assert tiny.classify is not None
    (classifier,), (segmenter,) = tiny.classify.ensemble.members, tiny.segment.ensemble.members
    stage = classifier.stages[0].but(loss=BCE())
    first = segmenter.but(start=EncoderFittedFor(network=classifier.network, stages=(stage,)))
    steps = (tiny.segment.but(ensemble=Ensemble(members=(first,))), *tiny.rules)
    (run / "recipe.json").write_text(tiny.but(steps=steps).model_dump_json())
    (found,) = find_runs([run])
    assert (found.fitted, found.networks) == (0, 4)


def test_folders_are_searched_three_levels_deep_and_not_in_runs(
    finished: Finished, tmp_path: Path
) -> None:
    near = half_done(finished[0], tmp_path / "1" / "2" / "3", 0)
    half_done(finished[0], tmp_path / "1" / "2" / "x" / "4", 0)
    half_done(finished[0], near / "inner", 0)
    (tmp_path / "link").symlink_to(tmp_path / "1")
    assert [run.path for run in find_runs([tmp_path, tmp_path / "1"])] == [
        near,
        tmp_path / "1" / "2" / "x" / "4",
    ]
    assert [run.path for run in find_runs([tmp_path])] == [near]


def test_no_folder_and_no_run_are_errors_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        find_runs([tmp_path / "nowhere"])
    with pytest.raises(RunError, match="holds no run"):
        find_runs([tmp_path])


def test_runs_are_listed_compared_and_submitted_without_torch(
    finished: Finished, tmp_path: Path
) -> None:
    for name in ("torch", "torchvision", "timm", "accelerate", "zarr", "safetensors"):
        line = f"raise ModuleNotFoundError('blocked', name={name!r})\n"
        (tmp_path / f"{name}.py").write_text(line)
    light = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run, out = str(finished[0]), str(tmp_path / "joined.csv")
    verbs = [
        ["runs", run],
        ["runs", run, "--json"],
        ["compare", run, run, "--list", str(tmp_path / "changed.csv")],
        ["submit", run, "--layout", "joined", "--out", out],
    ]
    code = """
import json, sys
from steelscan import cli
for arguments in json.loads(sys.argv[1]):
    print("verb", arguments[0])
    sys.argv = ["steelscan", *arguments]
    try:
        cli.main()
    except SystemExit as end:
        assert not end.code, arguments
"""
    program = [sys.executable, "-c", code, json.dumps(verbs)]
    done = subprocess.run(program, env=light, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outputs = done.stdout.split("verb ")[1:]
    assert [text.split()[0] for text in outputs] == [arguments[0] for arguments in verbs]
    assert all(len(text.splitlines()) > 1 for text in outputs)
    assert Path(out).exists()
