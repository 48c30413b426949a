"""Tables of run lengths in both layouts, from files and from bytes."""

import csv
import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelscan.strip import TableError, read_mask_table, write_mask_table

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
    ],
)
def test_dialects(content: bytes) -> None:
    assert read_mask_table(content).rows == read_mask_table(COLUMNS).rows


def test_non_ascii_names() -> None:
    table = read_mask_table("ImageId,ClassId,EncodedPixels\n钢带 1.jpg,1,1 2\n".encode())
    assert table.texts("钢带 1.jpg", 1) == ("1 2",)


@pytest.mark.parametrize(
    ("content", "says"),
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
        (COLUMNS + b"c.jpg,1,5 1,more\n", "cannot be read as CSV"),
        (JOINED + b"c.jpg,5 1\n", "row 6"),
        (b"ImageId,ClassId,EncodedPixels\n\xff\xfe\x00,1,1 2\n", "cannot be read|row 2"),
    ],
)
def test_refusals(content: bytes, says: str) -> None:
    with pytest.raises(TableError, match=says) as caught:
        read_mask_table(content, "train.csv")
    assert caught.value.where == "train.csv"


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
