"""Where strips lie: tables, patterns of names, and what is wrong with them."""

import gzip

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from steelscan.inspection.coil import (
    StripTables,
    match_names,
    merge_coils,
    open_strips,
    place_alone,
    place_by_names,
    place_strips,
    read_geometry,
)
from steelscan.strip import Frame
from steelscan.strip.errors import InputError, RunError, TableError

HEADER = "image,coil,side,camera,position_m,offset_mm"
MM = (0.5, 0.25)


@pytest.fixture
def table(tmp_path):
    def write(*rows, header=HEADER):
        path = tmp_path / "geometry.csv"
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return write


def tables(*images, width=8, unreadable=(), frame=None):
    rows = [
        (each, "error", None, None, "cut off")
        if each in unreadable
        else (each, "clean", 4, width, None)
        for each in images
    ]
    names = {"image": str, "verdict": str, "height": int, "width": int, "error": str}
    columns = {"image": pl.String, "class": pl.Int32, "score": pl.Float64, "run_length": pl.String}
    return StripTables(
        pl.DataFrame(rows, names, orient="row"), pl.DataFrame(schema=columns).lazy(), ("a",), frame
    )


def places(placed):
    return {image: (x, y) for image, x, y in placed.strips.select("image", "x", "y").iter_rows()}


def kinds(placed):
    return [tuple(row) for row in placed.notes.select("kind", "image").iter_rows()]


# --- tables


def test_positions_become_columns_and_offsets_rows(table) -> None:
    path = table("b.png,k,top,1,0.004,1", "a.png,k,top,1,0,-0.5", "c.png,k,low,,1.0002,0")
    placed = place_strips(tables("a.png", "b.png", "c.png"), read_geometry(path), MM)
    assert places(placed) == {"a.png": (0, -2), "b.png": (8, 4), "c.png": (2000, 0)}
    assert kinds(placed) == []
    assert placed.strips["image"].to_list() == ["c.png", "a.png", "b.png"]


def test_sizes_of_pixels_are_in_the_table_unless_given(table) -> None:
    path = table("a.png,k,top,1,1,2,2,4", header=f"{HEADER},mm_per_pixel_along,mm_per_pixel_across")
    geometry = read_geometry(path)
    assert places(place_strips(tables("a.png"), geometry)) == {"a.png": (500, 0)}
    assert places(place_strips(tables("a.png"), geometry, MM)) == {"a.png": (2000, 8)}
    with pytest.raises(InputError, match=r"no size of a pixel.*--mm-along"):
        place_strips(tables("a.png"), read_geometry(table("a.png,k,top,1,1,2")))
    with pytest.raises(InputError, match="are 0 and 1 mm"):
        place_strips(tables("a.png"), geometry, (0, 1))
    two = table(
        "a.png,k,top,1,1,2,2,4",
        "b.png,k,top,1,2,2,2,3",
        header=f"{HEADER},mm_per_pixel_along,mm_per_pixel_across",
    )
    with pytest.raises(TableError, match="side 'top' of coil k two sizes of a pixel"):
        place_strips(tables("a.png", "b.png"), read_geometry(two))


def test_dialects_of_a_table_are_equal(table, tmp_path) -> None:
    rows = ("a.png,k,top,1,1.5,2", "b.png,k,top,1,2,2")
    plain = read_geometry(table(*rows))
    packed = tmp_path / "geometry.csv.gz"
    packed.write_bytes(gzip.compress("\n".join([HEADER, *rows]).encode()))
    other = table(*(f" {row.replace(',', ' ; ')}" for row in rows), header=HEADER.replace(",", ";"))
    assert_frame_equal(read_geometry(packed), plain)
    assert_frame_equal(read_geometry(other), plain)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.png,k,top,1,-1,2", "row 3 has the position_m '-1'. Give a number from 0"),
        ("a.png,k,top,1,nan,2", "row 3 has the position_m 'nan'"),
        ("a.png,k,top,1,,2", "row 3 has the position_m ''"),
        ("a.png,k,top,1,inf,2", "row 3 has the position_m 'inf'"),
        ("a.png,k,top,1,1e9,2", "row 3 has the position_m '1e9'"),
        ("a.png,k,top,1,1,x", "row 3 has the offset_mm 'x'"),
        ('a.png,k,top,1,"1,5",2', "row 3 has the position_m '1,5'.*decimal point"),
        (",k,top,1,1,2", "row 3 has no image"),
        ("a.png, ,top,1,1,2", "row 3 has no coil"),
        ("a.png,k,top,1,1", "row 3 has 5 cells, the header has 6"),
        ("z.png,k,top,1,1,2", "gives z.png two places, in rows 2 and 3"),
    ],
)
def test_a_wrong_row_is_named(table, row, message) -> None:
    with pytest.raises(TableError, match=message):
        read_geometry(table("z.png,k,top,1,0,2", row))


def test_a_table_needs_its_columns_and_rows(table, tmp_path) -> None:
    with pytest.raises(TableError, match=r"has the columns image,.*Give the columns image,coil"):
        read_geometry(table("a,b", header="image,coil"))
    with pytest.raises(TableError, match="has no rows"):
        read_geometry(table())
    with pytest.raises(TableError, match="cannot be read"):
        read_geometry(tmp_path / "missing.csv")


def test_faults_that_do_not_prevent_a_coil_are_noted(table) -> None:
    path = table(
        "a.png,k,top,1,0,0",
        "a.png,k,top,1,0,0",  # a repeated row is no fault
        "b.png,k,top,1,0,0",
        "c.png,k,top,1,0.008,0",
        "cut.png,k,top,1,0.012,0",
        "gone.png,k,top,1,1,0",
    )
    shown = tables("a.png", "b.png", "c.png", "cut.png", "new.png", unreadable=("cut.png",))
    placed = place_strips(shown, read_geometry(path), MM)
    assert kinds(placed) == [
        ("no place", "new.png"),
        ("not scanned", "gone.png"),
        ("unreadable", "cut.png"),
        ("doubled", "b.png"),
        ("gap", "c.png"),
    ]
    assert placed.notes["text"].to_list()[2:] == [
        "not inspected: cut off",
        "at the same place as a.png; the defects of both count",
        "no strip of its camera from 0.004 m to 0.008 m",
    ]
    assert placed.strips.filter(pl.col("image") == "cut.png")["verdict"].item() == "error"


def test_what_a_long_strip_covers_is_no_gap(table) -> None:
    found = tables("a", "b", "c")
    strips = found.strips.with_columns(width=pl.Series([20, 3, 4]))
    path = table("a,k,,,0,0", "b,k,,,0.002,0", "c,k,,,0.01,0")  # columns 0, 4 and 20
    placed = place_strips(StripTables(strips, found.found, ("a",)), read_geometry(path), MM)
    assert places(placed) == {"a": (0, 0), "b": (4, 0), "c": (20, 0)}
    assert kinds(placed) == []


def test_an_order_must_ascend_with_the_position(table) -> None:
    header = f"{HEADER},order"
    good = table("a,k,top,1,0.1,0,2", "b,k,top,1,0,0,1", "c,k,top,2,0,0,9", header=header)
    assert place_strips(tables("a", "b", "c"), read_geometry(good), MM).strips.height == 3
    bad = table("a,k,top,1,0.1,0,1", "b,k,top,1,0,0,2", header=header)
    with pytest.raises(TableError, match="b has a higher order than a, and lies before it"):
        place_strips(tables("a", "b"), read_geometry(bad), MM)


def test_windows_paths_and_last_parts_of_names_are_found(table) -> None:
    path = table(
        r"strips\a.png,k,top,1,0,0", r"C:\mill\strips\b.png,k,top,1,0.004,0", "c.png,k,top,1,1,0"
    )
    found = place_strips(tables("strips/a.png", r"x\b.png", "c.png"), read_geometry(path), MM)
    assert places(found) == {"strips/a.png": (0, 0), r"x\b.png": (8, 0), "c.png": (2000, 0)}
    twice = place_strips(tables("1/b.png", "2/b.png", "c.png"), read_geometry(path), MM)
    assert places(twice) == {"c.png": (2000, 0)}
    assert [note for note in kinds(twice) if note[0] == "no place"] == [
        ("no place", "1/b.png"),
        ("no place", "2/b.png"),
    ]
    with pytest.raises(InputError, match=r"names strips/a\.png, the scan q\.png"):
        place_strips(tables("q.png"), read_geometry(path), MM)


# --- patterns

texts = st.text("abXY01", min_size=1, max_size=4)


@settings(deadline=None)
@given(st.lists(st.tuples(texts, texts, st.integers(0, 10**6)), min_size=1, max_size=5))
def test_a_pattern_reads_what_was_written(fields) -> None:
    names = [f"in/{coil}_7_{side}_{order:05d}.tar.jpg" for coil, side, order in fields]
    found = match_names("{coil}_{side}_{order:05d}.tar", pl.Series(names, dtype=pl.String))
    expected = [(f"{coil}_7", side, float(order)) for coil, side, order in fields]
    assert found["image"].to_list() == names
    assert list(found.select("coil", "side", "order").iter_rows()) == expected
    assert set(found["camera"]) == {""}
    assert set(found["offset_mm"]) == {0.0}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{coil}_{order:05d}", "matches none of 2 names; the first is k/top-1.png"),
        ("{coil}/{place}-{order}", "has the field {place}"),
        ("{coil:3d}/{order}", "has the field {coil:3d}"),
        ("{coil}/{order:x}", "has the field {order:x}"),
        ("{side}-{order}", "is '{side}-{order}'. Write names"),
        ("{coil}/{side}", "is '{coil}/{side}'. Write names"),
        ("{coil", "is '{coil'"),
        ("{coil}/{}-{order}", "has the field {}"),
    ],
)
def test_a_wrong_pattern_is_refused(pattern, message) -> None:
    with pytest.raises(InputError) as caught:
        match_names(pattern, pl.Series(["k/top-1.png", r"k\top-2.png"]))
    assert message in str(caught.value)


def test_folders_fields_that_repeat_and_windows_paths_match() -> None:
    names = pl.Series([r"k\k-top_1.png", "k/j-top_1.png", "deep/k/k-top_2.png"])
    found = match_names("{coil}/{coil}-{side}_{order}", names)
    assert found["image"].to_list() == [names[0], names[2]]


def test_cameras_without_offsets_are_refused() -> None:
    names = pl.Series(["k_1_01.png", "k_2_01.png"])
    with pytest.raises(InputError, match="the cameras 1, 2 on coil k, but not their offsets"):
        match_names("{coil}_{camera}_{order}", names)
    found = match_names("{coil}_{camera}_{offset_mm}_{order}", pl.Series(["k_1_0_1", "k_2_0.5_1"]))
    assert found["offset_mm"].to_list() == [0, 0.5]


def test_strips_follow_each_other_in_their_order() -> None:
    named = ["k_top_07", "k_top_05", "k_low_01", "k_top_10", "j_top_03", "x"]
    placed = place_by_names(tables(*named, unreadable=("k_top_07",)), "{coil}_{side}_{order}", MM)
    assert places(placed) == {
        "k_top_05": (0, 0),
        "k_top_07": (16, 0),
        "k_top_10": (40, 0),
        "k_low_01": (0, 0),
        "j_top_03": (0, 0),
    }
    assert kinds(placed) == [
        ("no place", "x"),
        ("unreadable", "k_top_07"),
        ("gap", "k_top_07"),
        ("gap", "k_top_10"),
    ]
    with pytest.raises(InputError, match="needs the size of a pixel"):
        place_by_names(tables("k_1"), "{coil}_{order}", None)


def test_strips_of_different_widths_follow_each_other() -> None:
    found = tables("k_1", "k_2", "k_3")
    widths = found.strips.with_columns(width=pl.Series([3, 5, 5]))
    placed = place_by_names(StripTables(widths, found.found, ("a",)), "{coil}_{order}", (1, 1))
    assert places(placed) == {"k_1": (0, 0), "k_2": (3, 0), "k_3": (8, 0)}


def test_a_coil_without_a_readable_strip_is_noted() -> None:
    found = tables("k_1", "k_2", unreadable=("k_1", "k_2"))
    for placed in (place_by_names(found, "{coil}_{order}", (1, 1)), place_alone(found)):
        assert [kind for kind in kinds(placed) if kind[0] == "unreadable"] == [
            ("unreadable", "k_1"),
            ("unreadable", "k_2"),
        ]
        assert set(placed.strips["verdict"]) == {"error"}
        assert pl.concat(merge_coils(found, placed)).is_empty()


# --- what was found


def test_a_csv_file_of_run_lengths_is_a_scan(tmp_path, table) -> None:
    path = tmp_path / "train.csv"
    path.write_text("ImageId,ClassId,EncodedPixels\na,2,1 2\nb,1,unread\nb,2,unread\nc,,\n")
    with pytest.raises(InputError, match="Give --frame"):
        open_strips(path)
    opened = open_strips(path, Frame(4, 8))
    verdicts = dict(opened.strips.select("image", "verdict").iter_rows())
    assert verdicts == {"a": "defective", "b": "error", "c": "clean"}
    assert opened.classes == ("1", "2")
    assert opened.found_on(pl.Series(["a", "b", "c"])).rows() == [("a", 2, None, "1 2")]
    rows = [f"{name},k,,,{at / 1000},0" for at, name in enumerate("abcd")]
    placed = place_strips(opened, read_geometry(table(*rows)), MM)
    assert placed.strips["image"].to_list() == list("abcd")
    assert placed.notes["text"][0].startswith("1 strips count as clean: the CSV file has rows for")
    joined = tmp_path / "joined.csv"
    joined.write_text("ImageId_ClassId,EncodedPixels\na_1,\na_2,1 2\n")
    placed = place_strips(open_strips(joined, Frame(4, 8)), read_geometry(table(*rows)), MM)
    assert placed.strips["image"].to_list() == ["a"]
    (merged,) = merge_coils(open_strips(joined, Frame(4, 8)), placed)
    assert merged.select("class", "area_mm2", "images").rows() == [(2, 0.25, ["a"])]
    path.write_text("ImageId,ClassId,EncodedPixels\na,2,1 2\nb,1,3 1\na,2,1 2\n")
    with pytest.raises(TableError, match="row 4 repeats image a, class 2"):
        open_strips(path, Frame(4, 8))


def test_a_csv_file_without_rows_has_only_clean_strips(tmp_path, table) -> None:
    path = tmp_path / "train.csv"
    path.write_text("ImageId,ClassId,EncodedPixels\n")
    opened = open_strips(path, Frame(4, 8))
    placed = place_strips(opened, read_geometry(table("a,k,,,0,0", "b,k,,,0.004,0")), (1, 2))
    assert dict(placed.strips.select("image", "verdict").iter_rows()) == dict.fromkeys(
        "ab", "clean"
    )
    assert pl.concat(merge_coils(opened, placed)).is_empty()
    path.write_text("ImageId_ClassId,EncodedPixels\n")
    with pytest.raises(InputError, match="has no strips"):
        open_strips(path, Frame(4, 8))


def test_the_folder_of_a_scan_is_opened(whole, tmp_path) -> None:
    opened = open_strips(whole)
    assert opened.classes == ("spot",)
    strips, defects = (pl.read_parquet(whole / f"{name}.parquet") for name in ("strips", "defects"))
    assert opened.strips["image"].to_list() == strips["name"].to_list()
    images = strips["name"][3:7]
    own = opened.found_on(images).select("image", "score", "run_length").sort(pl.all())
    there = defects.filter(pl.col("name").is_in(images.implode()))
    assert own.rows() == there.select("name", "score", "run_length").sort(pl.all()).rows()
    assert own.height > 10
    with pytest.raises(RunError, match="no folder of a scan"):
        open_strips(tmp_path)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "scan.json").write_bytes((whole / "scan.json").read_bytes())
    with pytest.raises(RunError, match="Finish the scan"):
        open_strips(copy)
    strips.write_parquet(copy / "strips.parquet")
    defects.with_columns(pl.lit("hole").alias("class")).write_parquet(copy / "defects.parquet")
    with pytest.raises(RunError, match=r"has classes that scan\.json lacks"):
        open_strips(copy).found_on(images)
