"""Tables of run lengths in both layouts, from files and from bytes."""

import csv
import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelscan.strip.errors import TableError
from steelscan.strip.tables import StreamedMaskTable, csv_rows, read_mask_table, write_mask_table

JOINED = b"ImageId_ClassId,EncodedPixels\na.jpg_1,1 2\na.jpg_2,\nb_c.jpg_1,\nb_c.jpg_2,3 1\n"
COLUMNS = b"ImageId,ClassId,EncodedPixels\na.jpg,1,1 2\nb_c.jpg,2,3 1\n"


def test_both_layouts_hold_the_same() -> None:
    joined, columns = read_mask_table(JOINED), read_mask_table(COLUMNS)
    assert (joined.layout, columns.layout) == ("joined", "columns")
    assert joined.classes == columns.classes == 2
    for image in ("a.jpg", "b_c.jpg", "not there"):
        assert joined.texts(image, 2) == columns.texts(image, 2)
    assert joined.texts("b_c.jpg", 3) == ("", "3 1", "")


def test_joined_layout_counts_classes_of_empty_rows() -> None:
    assert read_mask_table(b"ImageId_ClassId,EncodedPixels\na_1,\na_7,\n").classes == 7


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_path_and_bytes_plain_and_gzipped(pack: object, tmp_path: Path) -> None:
    content = pack(COLUMNS)  # type: ignore[operator]
    path = tmp_path / "train.csv"
    path.write_bytes(content)
    assert (
        read_mask_table(path).rows == read_mask_table(content).rows == read_mask_table(COLUMNS).rows
    )


def test_folder_names_with_wildcards_are_just_names(tmp_path: Path) -> None:
    folder = tmp_path / "run[1]*"
    folder.mkdir()
    (folder / "train.csv").write_bytes(COLUMNS)
    assert read_mask_table(folder / "train.csv").classes == 2


@pytest.mark.parametrize(
    "content",
    [
        COLUMNS.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + COLUMNS,
        b"EncodedPixels,note,ClassId,ImageId\n1 2,x,1,a.jpg\n3 1,y,2,b_c.jpg\n",
        b'ImageId,ClassId,EncodedPixels\n"a.jpg","1","1 2"\n"b_c.jpg","2","3 1"\n',
        COLUMNS.replace(b"\n", b"\r"),
        COLUMNS.removesuffix(b"\n"),
        COLUMNS + b"\n \n,,\n" + b",,,,\n" * 5000,
        COLUMNS.replace(b"\n", b"\n\n"),
        COLUMNS.replace(b"\n", b",\n"),
        COLUMNS.replace(b"\n", b",,\n").replace(b"Pixels,,", b"Pixels"),
        COLUMNS.replace(b",", b";"),
        COLUMNS.replace(b",", b"\t"),
        b"sep=;\r\n" + COLUMNS.replace(b",", b";"),
        COLUMNS.decode().encode("utf-16"),
        COLUMNS.decode().replace(",", "\t").encode("utf-16"),
        gzip.compress(COLUMNS.decode().encode("utf-16"), mtime=0),
        COLUMNS.replace(b",", b", "),
        b'ImageId, ClassId, EncodedPixels\n"a.jpg", "1", "1 2"\n"b_c.jpg", "2", "3 1"\n',
        COLUMNS.replace(b"ImageId,ClassId", b" imageid ,CLASSID"),
        COLUMNS.replace(b",1,", b",1.0,").replace(b",2,", b",2.,"),
        b",ImageId,ClassId,EncodedPixels\n0,a.jpg,1,1 2\n1,b_c.jpg,2,3 1\n",
        b"Unnamed: 0,ImageId,ClassId,EncodedPixels\n0,a.jpg,1.0,1 2\n1,b_c.jpg,2.0,3 1\n",
    ],
)
def test_dialects(content: bytes) -> None:
    assert read_mask_table(content).rows == read_mask_table(COLUMNS).rows


def test_an_image_without_a_class_is_clean() -> None:
    """As pandas writes a missing class, and 1.0 for all others."""
    table = read_mask_table(COLUMNS.replace(b",2,", b",2.0,") + b"clean.jpg,,\n")
    assert table.rows["clean.jpg"] == {}
    assert table.texts("clean.jpg", 2) == ("", "")
    assert table.classes == 2


def test_non_ascii_names() -> None:
    table = read_mask_table("ImageId,ClassId,EncodedPixels\n钢带 1.jpg,1,1 2\n".encode())
    assert table.texts("钢带 1.jpg", 1) == ("1 2",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"image,mask\na,b\n", "has the columns image, mask"),
        (COLUMNS + b"a.jpg,1,5 1\n", "row 4 repeats image a.jpg, class 1"),
        (COLUMNS + b"a.jpg,01,5 1\n", "row 4 repeats"),
        (COLUMNS + b"c.jpg,0,5 1\n", "class '0'"),
        (COLUMNS + b"c.jpg,x,5 1\n", "class 'x'"),
        (COLUMNS + b"c.jpg,-1,5 1\n", "class '-1'"),
        (COLUMNS + b"c.jpg,,5 1\n", "class ''"),
        (COLUMNS + b",1,5 1\n", "image ''"),
        (COLUMNS + b"c.jpg,1,5 1,more\n", "row 4 has 4 cells, the header has 3"),
        (JOINED + b"c.jpg,5 1\n", "row 6"),
        (b"ImageId,ClassId,EncodedPixels\n\xff\xfe\x00,1,1 2\n", "is not a CSV file"),
        (COLUMNS + b'c.jpg,1,"5 1', "line 4: unexpected end of data"),
        (COLUMNS + b'c.jpg,1,"5 1"x\n', "line 4"),
        (COLUMNS + b"c.jpg,10000000,5 1\n", "row 4 .*from 1 to 255"),
        (COLUMNS + b"c.jpg," + b"9" * 5000 + b",5 1\n", "row 4 .*from 1 to 255"),
        (COLUMNS + b"c.jpg,1.5,5 1\n", "row 4 .*class '1.5'"),
        (COLUMNS + b"c.jpg,,\nc.jpg,1,5 1\n", "row 5 repeats image c.jpg"),
        (COLUMNS + b"c.jpg,1,5 1\nc.jpg,,\n", "row 5 repeats image c.jpg"),
        (JOINED + b"c.jpg_,\n", "row 6 names image 'c.jpg'"),
        (COLUMNS.replace(b"ClassId,", b"ClassId,ClassId,", 1), "the column ClassId twice"),
        (gzip.compress(COLUMNS, mtime=0)[:-4], "cannot be read"),
        (gzip.compress(COLUMNS, mtime=0) + b"more", "cannot be read"),
    ],
)
def test_refusals(content: bytes, message: str) -> None:
    with pytest.raises(TableError, match=message) as caught:
        read_mask_table(content, "train.csv")
    assert caught.value.where == "train.csv"


@pytest.mark.parametrize("table", [JOINED, COLUMNS])
@pytest.mark.parametrize("read", [read_mask_table, "streamed"])
def test_a_last_row_cut_anywhere_but_in_its_run_lengths_is_refused(
    table: bytes, read: object, tmp_path: Path
) -> None:
    """After the comma too: there the run lengths are lost, and the strip would be clean."""
    whole = table + (b"c.jpg_1,7 1" if table == JOINED else b"c.jpg,1,7 1")
    for end in range(len(table) + 1, len(whole) - 2):
        path = tmp_path / "cut.csv"
        path.write_bytes(whole[:end])
        with pytest.raises(TableError, match=r"cut\.csv: row \d+ "):
            read_mask_table(path) if read is read_mask_table else list(StreamedMaskTable(path))
    assert read_mask_table(whole).texts("c.jpg", 1) == ("7 1",)  # without a line break


def test_a_short_row_within_the_table_is_refused_by_its_line() -> None:
    for cut in (b"b.jpg,1\n", b"b.jpg\n", b'"b.jpg",1\n'):
        with pytest.raises(TableError, match=r"row 3 has \d cells?, the header has 3"):
            read_mask_table(b"ImageId,ClassId,EncodedPixels\n\n" + cut + b"a.jpg,1,1 2\n")


def test_text_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "_SMALL", 1 << 16)
    packed = gzip.compress(COLUMNS + b"c.jpg,1," + b"1 1 " * 200_000)
    with pytest.raises(TableError, match="more text than a table of its size"):
        read_mask_table(packed)


@pytest.mark.parametrize("make", [str, Path.mkdir])
def test_missing_file_and_folder(make: object, tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    make(path)  # type: ignore[operator]
    with pytest.raises(TableError, match=r"train\.csv: cannot be read"):
        read_mask_table(path)


def test_header_alone_is_a_table_without_rows() -> None:
    table = read_mask_table(b"ImageId,ClassId,EncodedPixels\n")
    assert (table.rows, table.classes) == ({}, 0)


@pytest.mark.parametrize("layout", ["joined", "columns"])
@given(
    strips=st.dictionaries(
        st.from_regex(r"[a-z0-9_]{1,8}\.jpg", fullmatch=True),
        st.tuples(st.sampled_from(["", "1 2", "5 1 9 1"]), st.sampled_from(["", "3 1"])),
        max_size=6,
    )
)
def test_what_is_written_is_read(
    layout: str, strips: dict[str, tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("table") / "out.csv"
    write_mask_table(path, strips.items(), layout)  # type: ignore[arg-type]
    table = read_mask_table(path)
    assert {image: table.texts(image, 2) for image in strips} == strips
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    filled = sum(bool(text) for texts in strips.values() for text in texts)
    assert len(rows) == (2 * len(strips) if layout == "joined" else filled)


def test_real_tables(real_data: Path) -> None:
    for path in (real_data / "severstal" / "submissions").glob("*.csv.gz"):
        assert len(read_mask_table(path).rows) > 500, path
