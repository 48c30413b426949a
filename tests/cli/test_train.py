"""The verb train with the user's own recipe files, settings and first weights."""

import hashlib
import json
import sys
from pathlib import Path

import pytest

from steelscan import cli
from steelscan.pipeline import Outcome
from steelscan.recipes import Recipe


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["steelscan", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


@pytest.fixture
def mine(tiny: Recipe, tmp_path: Path) -> Path:
    """Write the tiny recipe as a Python file."""
    path = tmp_path / "mine.py"
    lines = ("from steelscan.recipes import Recipe", f"TEXT = r'''{tiny.model_dump_json()}'''")
    path.write_text("\n".join([*lines, "recipe = Recipe.model_validate_json(TEXT)", ""]))
    return path


@pytest.mark.usefixtures("unreported")
def test_a_python_recipe_with_settings_starts_from_another_run(
    mine: Path,
    strips: Path,
    finished: tuple[Path, Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    command = ("train", mine, "--data", strips, "--out", out, "--device", "cpu")
    chosen = ("--set", "epochs=1", "--set", "segment.1.lr=1e-4", "--start-from", finished[0])
    assert run(monkeypatch, *command, *chosen) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Set epochs: 2 became 1." in printed
    assert "Set segment.1.lr: 0.001 became 0.0001." in printed
    assert "Start: segment 1 with the weights in " in printed
    recipe = Recipe.model_validate_json((out / "recipe.json").read_text())
    stages = [s for step in recipe.network_steps for m in step.ensemble.members for s in m.stages]
    assert [stage.epochs for stage in stages] == [1, 1]
    assert [stage.optimizer.lr for stage in stages] == [1e-3, 1e-4]
    assert len(recipe.changes) == 2
    assert (out / "recipe.py").read_bytes() == mine.read_bytes()
    notes = json.loads((out / "notes.json").read_text())
    digest = hashlib.sha256(mine.read_bytes()).hexdigest()
    assert any(digest in note and "recipe.py" in note for note in notes)
    before = mine.read_bytes()
    mine.write_bytes(before + b"# a comment changes no value\n")
    assert run(monkeypatch, *command, *chosen) == 0
    assert (out / "recipe.py").read_bytes() == before
    capsys.readouterr()
    assert run(monkeypatch, *command, *chosen[2:]) == 2
    assert "began with other values of: steps, changes" in capsys.readouterr().err


def test_a_python_recipe_is_shown_as_text_and_as_values(
    mine: Path, tiny: Recipe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "show", mine) == 0
    assert capsys.readouterr().out == mine.read_text() + "\n"
    assert run(monkeypatch, "show", mine, "--json") == 0
    assert Recipe.model_validate_json(capsys.readouterr().out) == tiny


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--set", "epochs=none"), "Error: --set epochs=none: 'none' is not a whole number"),
        (("--set", "mask.epochs=3"), "Error: --set mask.epochs=3: names the step 'mask'"),
        (("--start-from", "nowhere"), "Error: nowhere: does not exist"),
    ],
)
def test_a_wrong_setting_or_start_is_one_line(
    arguments: tuple[str, ...],
    line: str,
    mine: Path,
    strips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "train", mine, "--data", strips, "--out", "run", *arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(line)
    assert not (tmp_path / "run" / "recipe.json").exists()


def test_an_error_in_a_python_recipe_is_one_line_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import steelscan\nrecipe = steelscan.nothing\n")
    assert run(monkeypatch, "train", path, "--data", "nowhere", "--out", "run") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"Error: {path}:2: raised AttributeError: ")
