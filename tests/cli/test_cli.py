"""The verbs, as a user gives them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from steelscan import __version__, cli

VERBS = (
    "list",
    "show",
    "train",
    "predict",
    "score",
    "plant",
    "quantize",
    "agree",
    "submit",
    "runs",
    "compare",
    "ensemble",
    "tune",
    "convert",
    "explore",
    "shift",
    "audit",
    "folds",
    "check",
    "mill",
    "demo",
    "export",
    "verify",
    "keygen",
    "bench",
    "plan",
)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Give a command in this process; returns its exit status."""
    monkeypatch.setattr(sys, "argv", ["steelscan", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, verb, "--help") == 0
    assert f"steelscan {verb}" in capsys.readouterr().out.replace("\n", " ")


def test_the_help_lists_every_verb_that_is_tested(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--help") == 0
    printed = capsys.readouterr().out
    assert all(f" {verb} " in printed for verb in VERBS)
    assert len(cli.app.registered_commands) == len(VERBS)


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
        ("plant", "nowhere", "--out", "out"),
        ("plant", "nowhere", "--overkill-rate", 0.1, "--out", "out"),
        ("agree", "nowhere.csv", "nothing.csv", "--out", "out"),
        ("predict", "nowhere", "nowhere", "--out", "out"),
        ("mill", "/proc/mill"),
        ("bench", "nowhere"),
        ("bench", "nowhere", "--threads", "1,two"),
        ("plan", "nowhere", "--speed", 2),
        ("plan", "nowhere", "--speed", "nan"),
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
def test_a_users_error_is_one_line_with_a_way_out_and_status_2(
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith("Error: ")
    assert said[0].count(". ") >= 1


def test_a_submission_that_lacks_strips_ends_with_3(
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
        ("agree", THEIRS, "b.csv", "--out", "."),
        ("tune", "run", "--data", "data", "--out", "run"),
        ("folds", "data", "--out", "run/folds.csv"),
        ("score", "a.csv", "b.csv", "--json", "run/scores.json"),
    ],
)
def test_no_verb_replaces_what_is_not_its_own(
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
    assert "is there already and no" in printed or "belongs to the run" in printed
    left = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert {path: path.read_bytes() for path in left} == before


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
    """An environment in which nothing of the extra `train` can be imported."""
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
for words in json.loads(sys.argv[1]):
    sys.argv = ["steelscan", *words]
    try:
        cli.main()
    except SystemExit as end:
        assert not end.code, words
"""


def test_the_light_install_lists_shows_mills_converts_checks_and_scores(
    light: dict[str, str], tmp_path: Path
) -> None:
    """In one process: what the extra holds is missing from its beginning to its end."""
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


def test_the_light_install_says_what_training_needs(light: dict[str, str], tmp_path: Path) -> None:
    done = command(light, "train", "quick", "--data", tmp_path, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert "pip install 'steelscan[train]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_help_loads_nothing_that_is_slow() -> None:
    """The time itself depends on the machine; what costs it does not."""
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
