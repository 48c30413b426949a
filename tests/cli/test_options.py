"""Every option of every verb with absurd numbers: one line, at once."""

import inspect
import os
import sys
import time
import typing
from pathlib import Path

import pytest
import typer

from steelscan import cli

ABSURD = ("nan", "inf", "-inf", "-1", "0", "1" + "0" * 18, "-" + "9" * 400, "9" * 5000, "1e999")


def parameters(command):
    """Yield the name, the type and the typer settings of each parameter of a verb."""
    hints = typing.get_type_hints(command.callback, include_extras=True)
    for name in inspect.signature(command.callback).parameters:
        if hints[name] is typer.Context:
            continue
        kind, info = typing.get_args(hints[name])
        yield name, kind, info


def option_of(name, info):
    declared = [text.split("/")[0] for text in info.param_decls or () if text.startswith("--")]
    return declared[0] if declared else f"--{name.strip('_').replace('_', '-')}"


def is_number(kind):
    return bool({int, float} & {kind, *typing.get_args(kind)})


def verbs():
    for command in cli.app.registered_commands:
        yield command.name or command.callback.__name__, command


NUMBERS = [
    (verb, option_of(name, info))
    for verb, command in verbs()
    for name, kind, info in parameters(command)
    if is_number(kind)
]

# Text options that contain numbers.
NUMBERS_IN_TEXT = [
    ("explore", "--frame", "{0}x{0}"),
    ("explore", "--min-area", "{0}"),
    ("score", "--frame", "{0}x{0}"),
    ("score", "--expected", "{0}/{0}"),
    ("agreement", "--frame", "{0}x{0}"),
    ("agreement", "--band", "{0}-{0}/{0}"),
    ("ensemble", "--members", "{0}"),
    ("bench", "--cores", "{0}"),
]


def needed(command):
    """Return the required arguments of a verb, with files that do not exist."""
    given = []
    for name, kind, info in parameters(command):
        default = inspect.signature(command.callback).parameters[name].default
        if default is not inspect.Parameter.empty:
            continue
        value = typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Literal else "nowhere"
        value = "2" if kind is float else value
        if isinstance(info, typer.models.OptionInfo):
            given += [option_of(name, info), value]
        else:
            given.append(value)
    return given


def given(monkeypatch, capsys, *arguments):
    """Run a command and return its status and the lines on standard error."""
    monkeypatch.setattr(sys, "argv", ["steelscan", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0), capsys.readouterr().err.strip().splitlines()


def test_all_numbers_were_found():
    assert len(NUMBERS) >= 30
    assert ("mill", "--height") in NUMBERS
    assert ("line", "--mm-per-pixel") in NUMBERS


@pytest.mark.parametrize(("verb", "option"), NUMBERS)
def test_an_absurd_number_is_one_line(verb, option, monkeypatch, capsys, tmp_path):
    """0 is valid for some options: then the missing file is the one line."""
    monkeypatch.chdir(tmp_path)
    command = dict(verbs())[verb]
    if verb in ("mill", "demo"):  # they need no input file
        monkeypatch.setattr("steelscan.mill.write_mill", lambda *_, **__: None)
        monkeypatch.setattr("steelscan.pipeline.train.train", nothing_there)
    start = time.monotonic()
    for value in ABSURD:
        status, lines = given(monkeypatch, capsys, verb, *needed(command), option, value)
        assert status == 2 or (verb == "mill" and value == "0"), (value, lines)
        assert len(lines) <= 1
        assert all(line.startswith("Error: ") and len(line) < 2500 for line in lines)
    assert time.monotonic() - start < 20


def nothing_there(*_, **__):
    from steelscan.strip import InputError

    raise InputError("nowhere", "does not exist", "Name another")


@pytest.mark.parametrize(("verb", "option", "text"), NUMBERS_IN_TEXT)
@pytest.mark.parametrize("number", ["nan", "-1", "9" * 9, "9" * 5000, "٣", "1e9"])
def test_an_absurd_number_in_a_text_is_one_line(
    verb, option, text, number, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    command = dict(verbs())[verb]
    arguments = [*needed(command), option + "=" + text.format(number)]
    status, lines = given(monkeypatch, capsys, verb, *arguments)
    assert status == 2
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("tune", "run", "--data", "data", "--weight", "1"), "--weight"),
        (("folds", "data", "--check", "folds.csv", "--count", "5"), "--count"),
        (("folds", "data", "--check", "folds.csv", "--seed", "0"), "--seed"),
        (("folds", "data", "--check", "folds.csv", "--out", "o.csv"), "--out"),
        (("shift", "data", "--out", "o", "--share", "0.2"), "--share"),
        (("submit", "run", "--device", "cpu"), "--device"),
        (("submit", "run", "--on-error", "skip"), "--on-error"),
        (("predict", "run", "pictures", "--out", "o", "--cores", "1"), "--cores"),
        (("predict", "run", "p", "--out", "o", "--require-signed-by", "k"), "--require-signed-by"),
        (("predict", "bundle", "pictures", "--out", "o", "--device", "cpu"), "--device"),
        (("ensemble", "run", "--out", "o", "--rules-only", "--members", "1"), "--members"),
        (("score", "a.csv", "b.csv", "--classes", "4"), "--classes"),
        (
            ("train", "r", "--data", "d", "--out", "o", "--start-from", "s", "--weights", "auto"),
            "--weights",
        ),
        (("compare", "a", "b", "--data", "data"), "--data"),
    ],
)
def test_an_option_without_effect_is_refused(arguments, option, monkeypatch, capsys, tmp_path):
    """Even if its value is the default."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "bundle").write_bytes(b"")
    status, lines = given(monkeypatch, capsys, *arguments)
    assert status == 2
    assert len(lines) == 1
    assert lines[0].startswith(f"Error: {option}: has no effect")


@pytest.mark.parametrize(
    "arguments",
    [
        ("folds", "nowhere", "--out", "folder"),
        ("folds", "nowhere", "--out", "pipe"),
        ("score", "nowhere", "nowhere", "--json", "folder"),
        ("score", "nowhere", "nowhere", "--html", "file/page.html"),
        ("compare", "nowhere", "nowhere", "--list", "file/list.csv"),
        ("shift", "nowhere", "--out", "o", "--folds", "folder"),
        ("escapes", "nowhere", "--out", "file"),
        ("agreement", "nowhere", "nothing", "--out", "file"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    arguments, monkeypatch, capsys, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    status, lines = given(monkeypatch, capsys, *arguments)
    assert status == 2
    assert "nowhere" not in lines[0]
    problems = ("folder: is a folder", "pipe: is not a regular file", "cannot be written")
    assert any(each in lines[0] for each in problems)
