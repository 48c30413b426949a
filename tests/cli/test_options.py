"""Every option of every verb with numbers out of reason: one line, at once."""

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
    """Each parameter of a verb: its name, its type and what was said of it."""
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

# What is a text to typer and holds numbers.
NUMBERS_IN_TEXT = [
    ("explore", "--frame", "{0}x{0}"),
    ("explore", "--min-area", "{0}"),
    ("score", "--frame", "{0}x{0}"),
    ("score", "--expected", "{0}/{0}"),
    ("agree", "--frame", "{0}x{0}"),
    ("agree", "--band", "{0}-{0}/{0}"),
    ("ensemble", "--members", "{0}"),
    ("bench", "--threads", "{0}"),
]


def needed(command):
    """Arguments that a verb cannot do without, of files that are not there."""
    given = []
    for name, kind, info in parameters(command):
        default = inspect.signature(command.callback).parameters[name].default
        if default is not inspect.Parameter.empty:
            continue
        word = typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Literal else "nowhere"
        word = "2" if kind is float else word
        if isinstance(info, typer.models.OptionInfo):
            given += [option_of(name, info), word]
        else:
            given.append(word)
    return given


def given(monkeypatch, capsys, *words):
    """Give a command; returns its status and the lines on standard error, less progress."""
    monkeypatch.setattr(sys, "argv", ["steelscan", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0), capsys.readouterr().err.strip().splitlines()


def test_all_numbers_were_found():
    assert len(NUMBERS) >= 30
    assert ("mill", "--height") in NUMBERS
    assert ("plan", "--mm-per-pixel") in NUMBERS


@pytest.mark.parametrize(("verb", "option"), NUMBERS)
def test_a_number_out_of_reason_is_one_line(verb, option, monkeypatch, capsys, tmp_path):
    """0 and the like may be right for some: then the file that is not there is the one line."""
    monkeypatch.chdir(tmp_path)
    command = dict(verbs())[verb]
    if verb in ("mill", "demo"):  # would make what the others miss
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

    raise InputError("nowhere", "is not there", "Name what is")


@pytest.mark.parametrize(("verb", "option", "text"), NUMBERS_IN_TEXT)
@pytest.mark.parametrize("number", ["nan", "-1", "9" * 9, "9" * 5000, "٣", "1e9"])
def test_a_number_out_of_reason_in_a_text_is_one_line(
    verb, option, text, number, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    command = dict(verbs())[verb]
    words = [*needed(command), option + "=" + text.format(number)]
    status, lines = given(monkeypatch, capsys, verb, *words)
    assert status == 2
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("tune", "run", "--data", "data", "--weight", "1"), "--weight"),
        (("folds", "data", "--check", "folds.csv", "--count", "5"), "--count"),
        (("folds", "data", "--check", "folds.csv", "--seed", "0"), "--seed"),
        (("folds", "data", "--check", "folds.csv", "--out", "o.csv"), "--out"),
        (("shift", "data", "--out", "o", "--share", "0.2"), "--share"),
        (("ensemble", "run", "--out", "o", "--rules-only", "--members", "1"), "--members"),
        (("score", "a.csv", "b.csv", "--classes", "4"), "--classes"),
        (("compare", "a", "b", "--data", "data"), "--data"),
    ],
)
def test_an_option_without_effect_is_refused(words, option, monkeypatch, capsys):
    """Also where it is given as it is by default."""
    status, lines = given(monkeypatch, capsys, *words)
    assert status == 2
    assert lines == [line for line in lines if line.startswith(f"Error: {option}: has no effect")]


@pytest.mark.parametrize(
    "words",
    [
        ("folds", "nowhere", "--out", "folder"),
        ("folds", "nowhere", "--out", "pipe"),
        ("score", "nowhere", "nowhere", "--json", "folder"),
        ("score", "nowhere", "nowhere", "--html", "file/page.html"),
        ("compare", "nowhere", "nowhere", "--list", "file/list.csv"),
        ("shift", "nowhere", "--out", "o", "--folds", "folder"),
        ("plant", "nowhere", "--out", "file"),
        ("agree", "nowhere", "nothing", "--out", "file"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    words, monkeypatch, capsys, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe")
    status, lines = given(monkeypatch, capsys, *words)
    assert status == 2
    assert "nowhere" not in lines[0]
    told = ("folder: is a folder", "pipe: is no ordinary file", "cannot be written")
    assert any(each in lines[0] for each in told)
