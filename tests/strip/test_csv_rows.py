"""CSV files as tables of text: reading is strict, and what is written can be read."""

import gzip
import os
from pathlib import Path

import pytest

from steelscan.strip.errors import TableError
from steelscan.strip.tables import (
    StreamedMaskTable,
    csv_rows,
    read_mask_table,
    read_rows,
    write_rows,
)

TABLE = b"image,group\na.jpg,1\nb.jpg,2\n"


def test_columns_rows_and_their_lines() -> None:
    table = read_rows(TABLE.replace(b"a.jpg", b'\n,\n"a\n.jpg"'), "t.csv", "Repair it")
    assert table.columns == ("image", "group")
    assert table.rows == [["a\n.jpg", "1"], ["b.jpg", "2"]]
    assert table.lines == [5, 6]
    assert table.select(["GROUP"]) == [["1"], ["2"]]
    assert table.whole
    assert not read_rows(TABLE[:-1], "t.csv", "Repair it").whole


def test_what_is_written_is_read(tmp_path: Path) -> None:
    cells = [["a,b", 'read "x"'], ["two\nlines", " ; "], ["é\t", "=1"], ["x", ""]]
    write_rows(tmp_path / "t.csv", ("one", "two"), cells)
    content = (tmp_path / "t.csv").read_bytes()
    for each in (content, gzip.compress(content)):
        assert read_rows(each, "t.csv", "Repair it").rows == cells


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n;;\n \n", "is empty"),
        (b"\xff" * 40, "is not a CSV file .*in UTF-8"),
        (TABLE.decode().encode("utf-16")[:-1], "is not a CSV file"),
        (TABLE + b"c.jpg", r"row 4 has 1 cells?, the header has 2"),
        (TABLE + b"c.jpg,1,2\n", "row 4 has 3 cells.* in quotes"),
        (TABLE + b'"c.jpg,1\n', "is not a CSV file .line 4"),
        (b"i" * (2 << 20), "its header does not end"),
        (gzip.compress(TABLE, mtime=0)[:20], "cannot be read"),
    ],
)
def test_refusals_name_the_line(content: bytes, message: str) -> None:
    with pytest.raises(TableError, match=message) as caught:
        read_rows(content, "t.csv", "Repair it")
    assert str(caught.value).startswith("t.csv: ")
    assert "\n" not in str(caught.value)


def test_missing_columns_are_reported_briefly() -> None:
    head = ",".join(f"column {at}" for at in range(5000)).encode()
    with pytest.raises(
        TableError, match=r"has the columns column 0, .*column 9, \.\.\.\."
    ) as caught:
        read_rows(head + b"\n", "t.csv", "Repair it").select(["image"])
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("read", [read_mask_table, StreamedMaskTable])
def test_a_pipe_is_refused_without_waiting(read: "object", tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "pipe.csv", tmp_path):
        with pytest.raises(TableError, match="cannot be read"):
            read(path)  # type: ignore[operator]


def test_an_endless_line_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "_LONGEST", 1000)
    with pytest.raises(TableError, match="more text than"):
        read_rows(TABLE.replace(b"a.jpg", b"a" * 2000), "t.csv", "Repair it")
