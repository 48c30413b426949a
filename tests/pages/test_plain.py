"""Tables as text fit a terminal, and are the same in every file."""

import pytest

from steelscan.pages import plain_table, plural, unwrapped_tables

ROWS = [
    ("strip", "what the network found", "score"),
    ("a.png", "a long crack along the left edge of the strip", "0.25"),
    ("b.png", "none", "0.5"),
]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A narrow terminal."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")


@pytest.mark.usefixtures("terminal")
def test_a_table_fits_its_terminal():
    lines = plain_table(ROWS).splitlines()
    assert len(lines) > len(ROWS)
    assert max(map(len, lines)) <= 40


def test_a_table_in_a_file_does_not_depend_on_the_terminal(request):
    piped = plain_table(ROWS)
    request.getfixturevalue("terminal")
    with unwrapped_tables():
        assert plain_table(ROWS) == piped
    assert len(piped.splitlines()) == len(ROWS)
    assert plain_table(ROWS) != piped


def test_nouns_and_verbs_fit_their_counts():
    assert [f"{count} {plural(count, 'strip')}" for count in (0, 1, 2)] == [
        "0 strips",
        "1 strip",
        "2 strips",
    ]
    assert [plural(count, "mask", "has") for count in (1, 2)] == ["mask has", "masks have"]
    assert [plural(count, "mask", "was") for count in (1, 2)] == ["mask was", "masks were"]
