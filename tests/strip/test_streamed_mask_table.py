"""Tables of run lengths read row by row: equal to the whole table; invalid rows are refused."""

import gzip
from pathlib import Path

import pytest

from steelscan.strip.errors import TableError
from steelscan.strip.tables import StreamedMaskTable, read_mask_table, write_mask_table

STRIPS = [
    ("a.jpg", ["1 3", ""]),
    ("b, c.jpg", ["", ""]),
    ("d_1.jpg", ["", "2 2 9 1"]),
    ("é.jpg", ["5 5", "1 1"]),
]


@pytest.mark.parametrize("layout", ["joined", "columns"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_stream_equals_the_whole_table(layout: str, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_mask_table(path, STRIPS, layout)
    if zipped:
        path.write_bytes(gzip.compress(path.read_bytes()))
    table = StreamedMaskTable(path)
    assert table.layout == layout
    whole = read_mask_table(path)
    assert dict(table) == whole.rows
    assert dict(table) == whole.rows  # a second time
    assert table.count_rows() == sum(map(len, whole.rows.values()))


def test_columns_may_be_in_any_order_with_others(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("\ufeffEncodedPixels,note,ClassId,ImageId\n1 2,x,3,a\n")
    assert list(StreamedMaskTable(path)) == [("a", {3: "1 2"})]


def test_rows_of_pandas_and_editors_are_read(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(";ImageId;ClassId;EncodedPixels\n0;a;1.0;1 2\n1;b;;\n\n2;c;2.0;3 1\n;;;\n\n")
    assert list(StreamedMaskTable(path)) == [("a", {1: "1 2"}), ("b", {}), ("c", {2: "3 1"})]
    assert dict(StreamedMaskTable(path)) == read_mask_table(path).rows


def test_a_mask_of_very_many_runs_is_read(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    text = " ".join(f"{2 * at + 1} 1" for at in range(50_000))
    write_mask_table(path, [("a", [text])])
    assert list(StreamedMaskTable(path)) == [("a", {1: text})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("a,b\n", "has the columns a, b"),
        ("ImageId_ClassId,EncodedPixels\nb_1,\na_1,\n", "in row 3 after 'b'"),
        ("ImageId_ClassId,EncodedPixels\na_1,\na_2,\na_1,\n", "row 4 repeats image a, class 1"),
        ("ImageId_ClassId,EncodedPixels\na_1,\nb_1,\na_1,\n", "Sort rows by image"),
        ("ImageId_ClassId,EncodedPixels\na,1 1\n", "row 2 names image ''"),
        ("ImageId,ClassId,EncodedPixels\na,0,1 1\n", "class '0'"),
        ("ImageId,ClassId,EncodedPixels\na,1\n", "row 2 has 2 cells, the header has 3"),
    ],
)
def test_invalid_rows_are_refused_by_their_line(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text(content)
    with pytest.raises(TableError, match=message):
        list(StreamedMaskTable(path))


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="cannot be read"):
        StreamedMaskTable(tmp_path / "nothing.csv")
    path = tmp_path / "table.csv"
    write_mask_table(path, [(f"{at:05}", ["1 1"]) for at in range(20_000)])
    path.write_bytes(gzip.compress(path.read_bytes())[:-3000])
    with pytest.raises(TableError, match="cannot be read"):
        list(StreamedMaskTable(path))
    path.write_bytes(b"ImageId_ClassId,EncodedPixels\n\xff\xfe_1,\n")
    with pytest.raises(TableError, match="is not a CSV file"):
        list(StreamedMaskTable(path))
