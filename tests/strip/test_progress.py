"""Progress without a terminal: plain lines on standard error."""

import re

import pytest

from steelscan.strip import show_progress, track
from steelscan.strip.progress import _Lines


def test_track_yields_the_items_and_prints_a_last_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert list(track("abc", "Reading", 3)) == ["a", "b", "c"]
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "Reading: 3/3, 0 s\n"


def test_a_line_every_ten_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 4.0, 11.0, 12.0, 30.0, 31.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with show_progress("Fitting", 10) as shown:
        for _ in range(5):
            shown.advance(2, note="loss 0.5")
    lines = capsys.readouterr().err.splitlines()
    assert [re.split(r"[:,]", line)[1].strip() for line in lines] == ["4/10", "8/10", "10/10"]
    assert lines[0] == "Fitting: 4/10, 11 s, loss 0.5"


def test_no_items_print_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track([], "Reading", 0)) == []
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with show_progress("Reading", 2) as shown:
        assert not isinstance(shown, _Lines)
        shown.advance(note="half")
        shown.advance()
