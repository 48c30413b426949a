"""Tables of coils: lengths, yield, Pareto and look-back, against counts of each millimetre."""

import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelscan import cli
from steelscan.inspection.coil import (
    DEFECTS,
    TABLES,
    coil_row,
    course,
    defects_around,
    open_strips,
    pareto,
    place_in_metres,
    place_strips,
    read_geometry,
    write_coils,
)
from steelscan.inspection.coil.lengths import common, joined, total, without
from steelscan.strip import Frame, encode
from steelscan.strip.errors import InputError, MaskError, OutputError

MM = 60
Intervals = st.lists(st.tuples(st.integers(0, MM - 1), st.integers(1, 20)), max_size=8)


def on_grid(intervals) -> np.ndarray:
    """Return which millimetres the intervals, start and length, cover."""
    covered = np.zeros(MM + 40, bool)
    for start, length in intervals:
        covered[start : start + length] = True
    return covered


def parts(intervals) -> np.ndarray:
    both = np.array([(start, start + length) for start, length in intervals], float).reshape(-1, 2)
    return joined(both[:, 0], both[:, 1])


@given(one=Intervals, other=Intervals)
def test_lengths_are_those_of_a_grid(one, other) -> None:
    assert total(parts(one)) == on_grid(one).sum()
    shared = common(parts(one), parts(other))
    assert total(shared) == (on_grid(one) & on_grid(other)).sum()
    assert total(without(parts(one), parts(other))) == (on_grid(one) & ~on_grid(other)).sum()
    assert (np.diff(shared.ravel()) > 0).all()


def strips_of(rows) -> pl.DataFrame:
    """Placed strips: side, camera, x, width, verdict; a pixel is 1 mm along and 2 mm across."""
    columns = {"side": str, "camera": str, "x": int, "width": int, "verdict": str}
    return pl.DataFrame(rows, columns, orient="row").with_columns(
        coil=pl.lit("C"), image=pl.lit("i"), y=0, height=8, mm_along=1.0, mm_across=2.0
    )


def defects_of(rows) -> pl.DataFrame:
    """Defects: side, class, start and end in mm along, left and right in mm, area."""
    names = "side", "class_name", "start_m", "end_m", "left_mm", "right_mm", "area_mm2"
    table = pl.DataFrame(
        [(side, name, a / 1000, b / 1000, *rest) for side, name, a, b, *rest in rows],
        {name: DEFECTS[name] for name in names},
        orient="row",
    )
    missing = [pl.lit(None).cast(kind).alias(n) for n, kind in DEFECTS.items() if n not in names]
    return table.with_columns(missing).with_columns(coil=pl.lit("C")).select(DEFECTS.names())


Strip = st.tuples(
    st.sampled_from(["top", "bottom"]),
    st.sampled_from(["1", "2"]),
    st.integers(0, MM - 1),
    st.integers(1, 20),
    st.sampled_from(["clean", "defective", "error"]),
)


@given(strips=st.lists(Strip, min_size=1, max_size=10), bad=Intervals)
def test_a_coil_is_inspected_where_every_camera_could_read(strips, bad) -> None:
    end = max(x + width for _, _, x, width, _ in strips)
    seen = np.ones(MM + 40, bool)
    seen[end:] = False
    for track in {each[:2] for each in strips}:
        read = [(x, w) for *t, x, w, verdict in strips if tuple(t) == track and verdict != "error"]
        seen &= on_grid(read)
    for *own, x, width, verdict in strips:
        if verdict == "error":
            others = [(a, w) for *t, a, w, state in strips if t == own and state != "error"]
            seen &= ~(on_grid([(x, width)]) & ~on_grid(others))
    defects = defects_of([("top", "a", x, x + length, 0, 1, 1.0) for x, length in bad])
    row = coil_row(strips_of(strips), defects, ("a", "b"))
    good = (seen & ~on_grid(bad)).sum()
    assert row["length_m"] == pytest.approx(end / 1000)
    assert row["inspected_m"] == pytest.approx(seen.sum() / 1000)
    assert row["unread_m"] == pytest.approx((end - seen.sum()) / 1000)
    assert row["good_m"] == pytest.approx(good / 1000)
    assert row["yield"] == (pytest.approx(good / seen.sum()) if seen.any() else None)
    assert row["unread"] == sum(verdict == "error" for *_, verdict in strips)
    assert (row["defects"], row["defects of a"], row["defects of b"]) == (len(bad), len(bad), 0)


def test_an_unread_strip_beside_a_readable_one_is_not_inspected() -> None:
    """Cameras may have no names."""
    strips = strips_of([("top", "", 0, 20, "clean"), ("top", "", 0, 20, "error")])
    beside = strips.with_columns(y=pl.Series([0, 8]))
    assert coil_row(beside, defects_of([]), ())["yield"] is None
    within = strips.with_columns(y=pl.Series([0, 2]), height=pl.Series([8, 4]))
    assert coil_row(within, defects_of([]), ())["yield"] == 1


def test_a_steady_defect_lasts_at_the_end_of_what_was_inspected() -> None:
    line = defects_of([("top", "a", 0, 100, 0, 1, 100.0)])
    for place, inspected, expected in (
        (0.098, [[0, 0.1]], "lasts"),
        (0.051, [[0, 0.052]], "lasts"),
        (0.0, [[0, 0.1]], "unknown"),
    ):
        part = line.with_columns(end_m=inspected[0][1], area_mm2=inspected[0][1] * 1000)
        found = course(part, place, 0.005, 8.0, np.array(inspected))
        assert found["course"].to_list() == [expected]


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from(["C1", "C2"]),
            st.lists(st.sampled_from("123"), min_size=1, unique=True),
            st.integers(1, 9),
        ),
        min_size=1,
    )
)
def test_pareto_tables_count_every_defect(rows) -> None:
    table = defects_of([("top", name, 0, 1, 0, 1, float(area)) for name, _, _, area in rows])
    table = table.with_columns(
        coil=pl.Series([coil for _, coil, _, _ in rows]),
        cameras=pl.Series([cameras for *_, cameras, _ in rows]),
    )
    found = pareto(table.lazy())
    of = {
        "class": Counter(name for name, *_ in rows),
        "coil": Counter(coil for _, coil, *_ in rows),
        "camera": Counter(camera for *_, cameras, _ in rows for camera in cameras),
    }
    for by, counts in of.items():
        part = found.filter(by=by)
        assert dict(part.select("name", "defects").iter_rows()) == counts
        assert part["defects"].to_list() == sorted(counts.values(), reverse=True)
        assert part["share"].sum() == pytest.approx(1)
        assert part["cumulative"][-1] == pytest.approx(1)
        assert part["cumulative"].is_sorted()


Spot = st.tuples(
    st.sampled_from(["top", "bottom"]),
    st.sampled_from("ab"),
    st.integers(0, MM),
    st.integers(1, 20),
    st.integers(0, 15),
    st.integers(1, 50),
)


@given(spots=st.lists(Spot, max_size=12), place=st.integers(0, MM), within=st.integers(1, 30))
def test_the_course_of_a_defect_is_that_of_a_grid(spots, place, within) -> None:
    """Areas in lanes of 2 mm, a millimetre of the length after the other."""
    rows = [(s, c, x, x + n, y, y + 1, float(area)) for s, c, x, n, y, area in spots]
    before, after = defaultdict(float), defaultdict(float)
    for side, name, start, end, left, _, area in rows:
        for mm in range(start, end):
            lane = side, name, left // 2 * 2
            if max(0, place - within) <= mm < place:
                before[lane] += area / (end - start) / (min(place, within) / 1000)
            elif place <= mm < place + within:
                after[lane] += area / (end - start) / (within / 1000)
    whole = np.array([[0.0, 1.0]])
    table = course(defects_of(rows), place / 1000, within / 1000, 16.0, whole)
    found = {
        (row["side"], row["class_name"], row["left_mm"]): row for row in table.iter_rows(named=True)
    }
    assert found.keys() == before.keys() | after.keys()
    for lane, row in found.items():
        one, other = before[lane], after[lane]
        if place == 0:
            assert row["before"] is None
            assert row["course"] == "unknown"
            continue
        assert row["before"] == pytest.approx(one)
        assert row["after"] == pytest.approx(other)
        assert row["right_mm"] == row["left_mm"] + 2
        if not one or not other:
            assert row["course"] == ("begins" if other else "ends")
        elif abs(np.log2(other / one)) > 1.01:
            assert row["course"] == ("grows" if other > one else "fades")
        elif abs(np.log2(other / one)) < 0.99:
            assert row["course"] == "lasts"
    near = defects_around(defects_of(rows), place / 1000, within / 1000)
    touching = [r for r in rows if r[2] <= place + within and r[3] >= place - within]
    assert near.height == len(touching)
    assert near["distance_m"].is_sorted()


@pytest.mark.parametrize(("text", "metres"), [("812m", 812), (" 0.5 m", 0.5), ("7", 7)])
def test_places(text: str, metres: float) -> None:
    assert place_in_metres(text) == metres


@pytest.mark.parametrize("text", ["", "-1", "1e3", "nan", "812mm", "one"])
def test_places_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="as 812m"):
        place_in_metres(text)


@pytest.fixture
def coils(tmp_path: Path) -> Path:
    """A CSV of two coils with three strips of 8x20 pixels each, and its geometry."""
    mask = np.zeros((8, 20), bool)
    mask[2:4, 15:] = True  # goes on in the next strip
    lines, places = (
        ["ImageId,ClassId,EncodedPixels"],
        ["image,coil,side,camera,position_m,offset_mm"],
    )
    for coil in ("C1", "C2"):
        for number in range(3):
            image = f"{coil}-{number}.png"
            places.append(f"{image},{coil},top,1,{number * 0.02},0")
            if coil == "C1" and number < 2:
                lines.append(f"{image},1,{encode(mask if number == 0 else mask[:, ::-1])}")
    (tmp_path / "found.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "geometry.csv").write_text("\n".join(places) + "\n")
    return tmp_path


def steelscan(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["steelscan", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def test_the_verb_writes_all_tables(coils: Path, monkeypatch, capsys) -> None:
    given_ = ["--frame", "8x20", "--mm-along", "1", "--geometry", coils / "geometry.csv"]
    command = ["coil", coils / "found.csv", *given_, "--out", coils / "out"]
    near = ["--around", "0.02m", "--coil", "C1"]
    assert steelscan(monkeypatch, *command, *near, "--within", "0.01") == 0
    printed = capsys.readouterr().out
    assert "2 coils, 6 strips, 1 defect\n" in printed
    assert "Yield: 91.7%, 0.11 of 0.12 inspected metres" in printed
    assert "0.015 to 0.025 m, 2.0 to 4.0 mm from the edge, side top: class 1, 20.0 mm2" in printed
    assert "lasts (before: 1000.0 mm2 per m, after: 1000.0 mm2 per m)" in printed
    assert sorted(path.name for path in (coils / "out").iterdir()) == sorted(TABLES)
    defects = pl.read_parquet(coils / "out" / "defects.parquet")
    assert defects.schema == DEFECTS
    assert defects["images"].to_list() == [["C1-0.png", "C1-1.png"]]
    summary = pl.read_csv(coils / "out" / "summary.csv")
    assert summary["coil"].to_list() == ["C1", "C2"]
    assert summary["yield"].to_list() == [pytest.approx(50 / 60, abs=1e-4), 1]
    text = (coils / "out" / "defects.csv").read_text()
    assert "C1-0.png;C1-1.png" in text
    assert steelscan(monkeypatch, *command) == 0  # again
    assert (coils / "out" / "defects.csv").read_text() == text


def test_without_geometry_every_strip_counts_alone(coils: Path, monkeypatch, capsys) -> None:
    command = ["coil", coils / "found.csv", "--frame", "8x20", "--out", coils / "out"]
    assert steelscan(monkeypatch, *command) == 0
    printed = capsys.readouterr().out
    assert "2 coils, 2 strips, 2 defects" in printed
    assert "Without a geometry each strip counts as a coil" in printed


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (["--around", "20", "--coil", "C9"], "names no coil: C9. Give C1, C2"),
        (["--around", "20"], "is needed. Give C1, C2"),
        (["--around", "here", "--coil", "C1"], "Give metres from the head"),
        (["--around", "5", "--coil", "C1"], "Coil C1 ends at 0.06 m"),
        (["--within", "20"], "has no effect without --around"),
        (["--pattern", "{coil}-{order}"], "has no effect with --geometry"),
        (["--frame", "8"], "Give HEIGHTxWIDTH"),
    ],
)
def test_wrong_options_are_one_line(
    coils: Path, monkeypatch, capsys, more: list[str], problem: str
) -> None:
    given_ = ["--frame", "8x20", "--mm-along", "1", "--geometry", coils / "geometry.csv"]
    command = ["coil", coils / "found.csv", *given_, "--out", coils / "out", *more]
    assert steelscan(monkeypatch, *command) == 2
    assert problem in capsys.readouterr().err
    assert not (coils / "out").exists()


def test_a_damaged_run_length_leaves_the_old_tables(coils: Path) -> None:
    tables = open_strips(coils / "found.csv", Frame(8, 20))
    placed = place_strips(tables, read_geometry(coils / "geometry.csv"), (1.0, 1.0))
    write_coils(tables, placed, coils / "out")
    before = {path.name: path.read_bytes() for path in (coils / "out").iterdir()}
    small = open_strips(coils / "found.csv", Frame(2, 3))
    with pytest.raises(MaskError):
        write_coils(
            small,
            place_strips(small, read_geometry(coils / "geometry.csv"), (1.0, 1.0)),
            coils / "out",
        )
    assert {path.name: path.read_bytes() for path in (coils / "out").iterdir()} == before


@pytest.mark.parametrize("name", TABLES)
def test_files_of_others_are_not_replaced(coils: Path, name: str) -> None:
    """Such as a scan, which has a defects.parquet of its own."""
    out = coils / "out"
    out.mkdir()
    table = pl.DataFrame({"image": ["mine"]})
    table.write_parquet(out / name) if name.endswith("parquet") else table.write_csv(out / name)
    before = (out / name).read_bytes()
    tables = open_strips(coils / "found.csv", Frame(8, 20))
    placed = place_strips(tables, read_geometry(coils / "geometry.csv"), (1.0, 1.0))
    with pytest.raises(OutputError, match="is not a table of steelscan coil"):
        write_coils(tables, placed, out)
    assert (out / name).read_bytes() == before
