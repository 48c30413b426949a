"""Tables as plain text."""

from steelscan.pages import plain_table

ROWS = [("name of the strip", "share of all"), ("a[b]c.png", "12.5 % [10.0, 15.0]"), ("x\ny", "-")]


def test_a_table_is_as_wide_as_its_cells() -> None:
    assert plain_table(ROWS).splitlines() == [
        "name of the strip  share of all",
        "a[b]c.png          12.5 % [10.0, 15.0]",
        "x\\ny               -",
    ]


def test_cells_are_wrapped_between_words_to_fit_a_width() -> None:
    lines = plain_table(ROWS, 24).splitlines()
    assert max(map(len, lines)) <= 24
    assert " ".join(" ".join(lines).split()).count("[10.0,") == 1
    for words in plain_table(ROWS, 5).splitlines():
        assert set(words.split()) <= set(" ".join(plain_table(ROWS).split()).split())
