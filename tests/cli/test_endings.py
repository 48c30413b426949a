"""How a command ends: on unusual terminals and outputs, when interrupted, and by errors."""

import errno
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from steelscan import cli
from steelscan.cli.failure import report
from steelscan.cli.terminal import safe_streams
from steelscan.strip import show_progress
from steelscan.strip.errors import InputError, printable

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
HOSTILE = "\x1b]0;owned\x07\x1b[31mred\r\u202egnp.\u2028\x9b1m\udce4"


def steelscan(*arguments, shell="", **environment):
    """Run the command in a separate process; ``shell`` is appended, as a redirection."""
    command = [sys.executable, "-m", "steelscan", *map(str, arguments)]
    env = {**ENVIRONMENT, **environment}
    if shell:
        command = ["sh", "-c", f'"$@" {shell}', "sh", *command]
    return subprocess.run(command, env=env, capture_output=True, check=False)


def given(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["steelscan", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return (int(end.value.code or 0), *capsys.readouterr())


def strips_of(folder: Path, rows: str) -> Path:
    """Make a data set of one picture and these rows of train.csv."""
    (folder / "train_images").mkdir(parents=True)
    picture = np.random.default_rng(0).integers(60, 90, (64, 96), dtype=np.uint8)
    Image.fromarray(picture).save(folder / "train_images" / "a.png")
    (folder / "train.csv").write_text(f"ImageId,ClassId,EncodedPixels\n{rows}")
    return folder


# Control characters


def test_control_characters_are_escaped_and_the_json_keeps_its_value():
    safe = printable(HOSTILE)
    assert safe.isprintable()
    assert safe.startswith("\\x1b]0;owned\\x07")
    assert "\\u202e" in safe
    assert printable("стрип é 鋼\tend\n") == "стрип é 鋼\tend\n"
    tricky = "\u202e\x9b\u2028"
    assert json.loads(printable(json.dumps([tricky], ensure_ascii=False))) == [tricky]


def test_an_error_never_holds_control_characters():
    error = InputError(HOSTILE, f"holds {HOSTILE}", "Rename it")
    assert str(error).isprintable()


@pytest.mark.parametrize("verb", ["check", "folds", "explore", "audit", "score", "train"])
def test_names_never_reach_the_terminal_raw(verb, monkeypatch, capsys, tmp_path):
    data = strips_of(tmp_path / "d", "a\x1b[31m\u202e.png,1,1 5\na\x07.png,\x1b[2J,1 5\n")
    arguments = {
        "check": (data,),
        "folds": (data,),
        "explore": (data, "--out", tmp_path / "o"),
        "audit": (data, "--out", tmp_path / "o"),
        "score": (data, data / "train.csv"),
        "train": ("quick", "--data", data, "--out", tmp_path / "o", "--plan"),
    }[verb]
    status, out, err = given(monkeypatch, capsys, verb, *arguments)
    assert status in (1, 2)
    assert all(line.isprintable() for line in (out + err).splitlines())
    assert "\\x1b" in out + err


def test_arguments_are_shown_without_markup(monkeypatch, capsys):
    status, _, err = given(monkeypatch, capsys, "show", "[red]\x1b[31m")
    assert (status, err.count("\n")) == (2, 1)
    assert "[red]\\x1b[31m: is not a recipe" in err
    for arguments in (("\x1b[31m",), ("mill", "--\x1b[31m"), ("mill", "x", "--seed", "\x1b[31m")):
        status, _, err = given(monkeypatch, capsys, *arguments)
        assert status == 2
        assert err.strip().isprintable()


def test_a_progress_bar_escapes_names():
    """In a terminal, control sequences of rich work, and those in a name do not."""
    main, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        with safe_streams(), show_progress("[red]folder\x1b]0;owned\x07", 1) as shown:
            shown.advance(note="[bold]a\x1b[31m.png")
    written = ""
    with suppress(OSError):  # the end, on Linux
        while some := os.read(main, 1 << 16):
            written += some.decode()
    os.close(main)
    assert "[red]folder" in written.replace("\r\n", "")
    assert "\x1b]0;" not in written
    assert "\x07" not in written


# Encodings


@pytest.mark.parametrize(
    "settings",
    [
        {"PYTHONIOENCODING": "cp1252"},
        {"PYTHONIOENCODING": "latin-1:strict"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_characters_that_the_encoding_lacks_are_escaped(settings, tmp_path):
    data = strips_of(tmp_path / "d", "стрип.png,1,1 5\n")
    done = steelscan("check", data, **settings)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"\\u0441\\u0442\\u0440\\u0438\\u043f.png: is listed in" in done.stdout


# Full, closed and broken outputs


@pytest.mark.parametrize(
    ("arguments", "shell", "status", "message"),
    [
        (("list",), ">/dev/full", 2, b"standard output: cannot be written (No space left"),
        (("--help",), ">/dev/full", 2, b""),
        (("list",), ">&-", 0, b""),
        (("list",), "2>&-", 0, b""),
        (("show", "nothing"), "2>&-", 2, b""),
        (("show", "nothing"), "2>/dev/full", 2, b""),
        (("show", "nothing"), ">&- 2>&- <&-", 2, b""),
    ],
)
def test_an_output_that_is_full_or_closed(arguments, shell, status, message):
    done = steelscan(*arguments, shell=shell)
    assert done.returncode == status
    assert message in done.stderr
    assert done.stderr.count(b"\n") <= 1
    assert b"Traceback" not in done.stderr


def test_a_reader_that_has_ended_is_no_error():
    command = [sys.executable, "-m", "steelscan", "show", "quick"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_progress_that_cannot_be_shown_stops_nothing(tmp_path):
    size = ("--strips", 2, "--height", 64, "--width", 64)
    for shell in ("2>&-", "2>/dev/full"):
        target = tmp_path / str(len(shell))
        done = steelscan("mill", target, *size, shell=shell)
        assert done.returncode == 0
        assert (target / "train.csv").exists()


# Interruptions


@pytest.fixture
def unignored():
    """Handle SIGINT as in a terminal: a process in the background may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("verb", "number", "status", "message"),
    [
        ("mill", signal.SIGINT, 130, "Interrupted. Repeat the same command: it continues"),
        ("mill", signal.SIGTERM, 143, "Terminated. Repeat the same command: it continues"),
        ("list", signal.SIGINT, 130, "Interrupted. No file is half-written; the same command"),
    ],
)
@pytest.mark.usefixtures("unignored")
def test_a_signal_ends_with_one_line_on_how_to_continue(
    verb, number, status, message, monkeypatch, capsys, tmp_path
):
    def interrupted(*_, **__):
        os.kill(os.getpid(), number)
        time.sleep(10)

    monkeypatch.setattr("steelscan.mill.write_mill", interrupted)
    monkeypatch.setattr("steelscan.recipes.names", interrupted)
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    ended, _, err = given(monkeypatch, capsys, verb, *([tmp_path] if verb == "mill" else []))
    assert ended == status
    assert err.startswith(message)
    assert err.count("\n") == 1
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("unignored")
def test_a_process_that_works_in_threads_ends_at_a_signal(number, tmp_path):
    target = tmp_path / "mill"
    arguments = ["mill", str(target), "--strips", "100000", "--height", "64", "--width", "64"]
    process = subprocess.Popen(
        [sys.executable, "-m", "steelscan", *arguments], env=ENVIRONMENT, stderr=subprocess.PIPE
    )
    for _ in range(600):
        if any(target.glob("train_images/*.jpg")):
            break
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert err.decode().strip().splitlines()[-1].endswith("it continues where it stopped.")
    assert b"Traceback" not in err


def test_a_signal_that_is_ignored_stays_ignored(monkeypatch, capsys):
    def ignored():
        os.kill(os.getpid(), signal.SIGINT)
        return ["quick"]

    monkeypatch.setattr("steelscan.recipes.names", ignored)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert given(monkeypatch, capsys, "list")[0] == 0
    finally:
        signal.signal(signal.SIGINT, before)


# Errors of other kinds


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "runs/x"), "runs/x: No space left"),
        (PermissionError(errno.EACCES, "Permission denied", "/srv/a"), "/srv/a: Permission"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 300), "Choose a shorter name."),
        (
            OSError(errno.ELOOP, "Too many levels of symbolic links", "a"),
            "Remove links that form a circle",
        ),
        (RuntimeError("Symlink loop from '/a'"), "Remove links that form a circle"),
        (OSError(errno.EMFILE, "Too many open files"), "Allow more open files"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", b"b\xe4"), "b\\xe4: No such"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried"), "memory: there is not"),
        (MemoryError(), "memory: there is not enough"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (ModuleNotFoundError("No module", name="torch"), "pip install 'steelscan[train]'"),
        (InputError("x" * 9000, "y", "Z"), " ... "),
    ],
)
def test_an_error_of_the_system_is_one_line_with_a_remedy(error, message, capsys):
    assert report(error, debug=False) == 2
    err = capsys.readouterr().err
    assert err.startswith("Error: ")
    assert message in err
    assert err.count("\n") == 1
    assert len(err) < 2500


def test_a_name_that_is_not_utf8_is_reported(capsys):
    with pytest.raises(UnicodeEncodeError) as raised:
        "Blech_\udce4.jpg".encode()
    with safe_streams():
        assert report(raised.value, debug=False) == 2
    assert "Blech_\\udce4.jpg: contains characters that are not UTF-8" in capsys.readouterr().err


def test_a_bug_of_the_program_keeps_its_trace_and_a_remedy(monkeypatch, capsys):
    def faulty():
        raise ZeroDivisionError("1 / 0 \x1b[31m")

    monkeypatch.setattr("steelscan.recipes.names", faulty)
    status, _, err = given(monkeypatch, capsys, "list")
    assert status == 1
    assert err.startswith("Traceback")
    last = err.strip().splitlines()[-1]
    assert last.startswith("Error: ZeroDivisionError: 1 / 0 \\x1b[31m. This is a bug in steelscan")


def test_streams_are_as_they_were_afterwards():
    out, err = sys.stdout, sys.stderr
    with safe_streams():
        assert isinstance(sys.stdout, io.TextIOBase)
        assert sys.stdout is not out
    assert (sys.stdout, sys.stderr) == (out, err)
