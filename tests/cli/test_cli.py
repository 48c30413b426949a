"""The verbs, as a user types them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from steelscan import __version__, cli
from steelscan.cli.app import RENAMED

VERBS = (
    *("mill", "convert", "check", "explore", "folds", "shift", "audit"),
    *("demo", "list", "show", "weights", "train", "runs"),
    *("predict", "score", "tune", "escapes", "compare", "ensemble", "submit", "agreement"),
    *("export", "verify", "scan", "coil", "bench", "line", "quantize", "keygen"),
)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run a command in this process and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["steelscan", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, verb, "--help") == 0
    assert f"Example: steelscan {verb}" in " ".join(capsys.readouterr().out.split())


def test_the_help_lists_the_verbs_by_panel_in_the_order_of_use(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--help") == 0
    lines = capsys.readouterr().out.splitlines()
    panels = [line.strip("╭─╮ ") for line in lines if line.startswith("╭─")]
    assert panels == ["Options", "Data", "Train", "Evaluate", "Deploy"]
    cells = [line[2:].split(" ")[0] for line in lines if line.startswith("│ ")]
    assert [cell for cell in cells if cell and not cell.startswith("-")] == list(VERBS)
    groups = cli.app.registered_groups
    assert len(cli.app.registered_commands) + len(groups) == len(VERBS)


@pytest.mark.parametrize(("old", "verb"), RENAMED.items())
def test_an_old_name_works_and_names_the_verb_of_today(
    old: str, verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, verb, "--help") == 0
    expected = capsys.readouterr().out
    assert run(monkeypatch, old, "--help") == 0
    printed = capsys.readouterr()
    assert printed.out == expected
    assert printed.err == f"steelscan {old} is now steelscan {verb}\n"
    assert run(monkeypatch, "--help") == 0
    assert f" {old} " not in capsys.readouterr().out


def test_list_and_show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "list") == 0
    assert "quick" in capsys.readouterr().out
    assert run(monkeypatch, "show", "quick") == 0
    assert '"""quick:' in capsys.readouterr().out
    assert run(monkeypatch, "show", "quick", "--json") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "quick"


def test_a_recipe_file_that_was_shown_can_be_shown_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run(monkeypatch, "show", "quick", "--json")
    first = capsys.readouterr().out
    (tmp_path / "mine.json").write_text(first)
    assert run(monkeypatch, "show", tmp_path / "mine.json") == 0
    assert capsys.readouterr().out == first


def test_mill_makes_what_score_reads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = ("--strips", 12, "--seed", 5, "--height", 64, "--width", 128)
    assert run(monkeypatch, "mill", tmp_path / "mill", *options) == 0
    assert run(monkeypatch, "score", tmp_path / "mill", tmp_path / "mill" / "train.csv") == 0
    printed = capsys.readouterr().out
    assert "mean Dice" in printed
    assert "1.0000" in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "nothing"),
        ("train", "quick", "--data", "nowhere", "--out", "run"),
        ("train", "nothing.json", "--data", "nowhere", "--out", "run"),
        ("score", "nowhere.csv", "nowhere.csv"),
        ("score", "nowhere.csv", "nowhere.csv", "--stream"),
        ("score", "nowhere", "nowhere", "--frame", "256"),
        ("escapes", "nowhere", "--out", "out"),
        ("escapes", "nowhere", "--overkill-rate", 0.1, "--out", "out"),
        ("agreement", "nowhere.csv", "nothing.csv", "--out", "out"),
        ("predict", "nowhere", "nowhere", "--out", "out"),
        ("mill", "/proc/mill"),
        ("bench", "nowhere"),
        ("bench", "nowhere", "--cores", "1,two"),
        ("line", "nowhere", "--speed", 2),
        ("line", "nowhere", "--speed", "nan"),
        ("tune", "nowhere", "--data", "nowhere"),
        ("convert", "nowhere", "out", "--to", "coco"),
        ("convert", ".", "out", "--to", "nothing"),
        ("explore", "nowhere", "--out", "out"),
        ("explore", "nowhere.csv", "--out", "out"),
        ("explore", ".", "--out", "out", "--frame", "wide"),
        ("explore", ".", "--out", "out", "--min-area", "much"),
        ("shift", "nowhere", "--out", "out"),
        ("audit", "nowhere", "--out", "out"),
        ("check", "nowhere"),
        ("check", "."),
        ("check", ".", "--from", "nothing"),
    ],
)
def test_an_error_of_the_user_is_one_line_with_a_remedy_and_status_2(
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")
    assert lines[0].count(". ") >= 1


def test_a_submission_without_some_strips_exits_with_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from steelscan import pipeline

    done = pipeline.Outcome({}, {}, ("Left out a.jpg: is damaged.",), ("a.jpg",))
    monkeypatch.setattr("steelscan.pipeline.train.train", lambda *_: done)
    assert run(monkeypatch, "train", "quick", "--data", "data", "--out", "run") == 3
    assert "Left out a.jpg" in capsys.readouterr().out
    for verb in ("train", "predict", "submit"):
        assert run(monkeypatch, verb, "--help") == 0
        assert "status 3" in " ".join(capsys.readouterr().out.split())


THEIRS = "theirs.csv"


@pytest.mark.parametrize(
    "arguments",
    [
        ("score", "a.csv", "b.csv", "--json", THEIRS),
        ("score", "a.csv", "b.csv", "--html", THEIRS),
        ("compare", "a", "b", "--list", THEIRS),
        ("compare", "a", "b", "--html", THEIRS),
        ("check", "data", "--list", THEIRS),
        ("folds", "data", "--out", THEIRS),
        ("shift", "data", "--out", "out", "--folds", THEIRS),
        ("export", "run", "--out", THEIRS),
        ("quantize", "a.steelscan", "--to", "fp16", "--data", "data", "--out", THEIRS),
        ("bench", "a.steelscan", "--data", "data", "--json", THEIRS),
        ("agreement", THEIRS, "b.csv", "--out", "."),
        ("tune", "run", "--data", "data", "--out", "run"),
        ("folds", "data", "--out", "run/folds.csv"),
        ("score", "a.csv", "b.csv", "--json", "run/scores.json"),
    ],
)
def test_no_verb_replaces_a_foreign_file(
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    (tmp_path / THEIRS).write_text("coil,slab\n1,2\n")
    (tmp_path / "majority.csv").write_text("coil,slab\n1,2\n")
    (tmp_path / "run").mkdir()
    for name in ("run.json", "recipe.json"):
        (tmp_path / "run" / name).write_text("{}")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) == 2
    printed = capsys.readouterr().err
    assert "exists and is not a" in printed or "belongs to the run" in printed
    left = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert {path: path.read_bytes() for path in left} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mil", "x"), "No such command 'mil'. Did you mean 'mill'? See "),
        (("submit", "run", "--layout", "x"), "'--layout': 'x' is not one of 'joined', 'columns'. "),
        (("train", "quick", "--data", "d", "--out", "./d"), "Error: d: is the data set. Choose "),
        (("predict", "run", "a.jpg", "b.jpg", "--out", "o"), "(b.jpg). Quote a pattern, as '*"),
    ],
)
def test_a_wrong_command_line_is_explained(
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *arguments) == 2
    assert message in capsys.readouterr().err


def test_debug_shows_the_trace_before_the_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--debug", "show", "nothing") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[0].startswith("Traceback")
    assert "RecipeError" in lines[-2]
    assert lines[-1].startswith("Error: nothing: is not a recipe")


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.strip() == f"steelscan {__version__}"


BLOCKED = (
    "torch torchvision timm segmentation_models_pytorch albumentations accelerate safetensors "
    "zarr filelock"
)


@pytest.fixture
def light(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which nothing of the extra `train` can be imported."""
    for name in BLOCKED.split():
        line = f"raise ModuleNotFoundError('blocked', name={name!r})\n"
        (tmp_path / f"{name}.py").write_text(line)
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def command(light: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "steelscan", *map(str, arguments)]
    return subprocess.run(program, env=light, capture_output=True, text=True, check=False)


ONE_BY_ONE = """
import json, sys
from steelscan import cli
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["steelscan", *arguments]
    try:
        cli.main()
    except SystemExit as end:
        assert not end.code, arguments
"""


def test_the_light_install_lists_shows_mills_converts_checks_and_scores(
    light: dict[str, str], tmp_path: Path
) -> None:
    """In one process, in which nothing of the extra can be imported."""
    size = ("--height", "64", "--width", "128")
    mill = str(tmp_path / "mill")
    verbs = [
        ("--help",),
        ("list",),
        ("show", "quick", "--json"),
        ("mill", mill, "--strips", "12", *size),
        ("convert", mill, str(tmp_path / "coco"), "--to", "coco"),
        ("check", str(tmp_path / "coco")),
        ("folds", mill, "--look", "--out", str(tmp_path / "folds.csv"), "--count", "2"),
        ("score", mill, f"{mill}/train.csv"),
        ("explore", mill, "--out", str(tmp_path / "explored")),
        ("audit", mill, "--out", str(tmp_path / "audit")),
        ("shift", mill, "--test", f"{mill}/train_images", "--out", str(tmp_path / "shift")),
    ]
    program = [sys.executable, "-c", ONE_BY_ONE, json.dumps(verbs)]
    done = subprocess.run(program, env=light, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "coco").is_dir()
    assert "mean Dice" in done.stdout
    done = command(light, "list")
    assert done.returncode == 0, done.stderr


def test_the_light_install_explains_what_training_needs(
    light: dict[str, str], tmp_path: Path
) -> None:
    done = command(light, "train", "quick", "--data", tmp_path, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert "pip install 'steelscan[train]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_help_loads_nothing_that_is_slow() -> None:
    """The time depends on the machine; the modules that cost it do not."""
    code = (
        "import sys\n"
        "from steelscan import cli\n"
        "sys.argv = ['steelscan', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "slow = {'numpy', 'polars', 'pydantic', 'cv2', 'torch', 'matplotlib'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
