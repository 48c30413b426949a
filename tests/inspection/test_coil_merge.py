"""A coil's surface cut into strips at random places has the same defects as the uncut one.

The second computation is `scipy.ndimage.label` on the dense surface.
"""

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from steelscan.inspection.coil import DEFECTS, StripTables, merge_coils, place_alone, place_strips
from steelscan.inspection.coil.runs import find_regions, join_intervals
from steelscan.strip import Frame, decode, encode
from steelscan.strip.errors import MaskError

ALONG, ACROSS = 0.5, 0.25  # mm per pixel
CLASSES = ("one", "two")


def surface(rng, height, length, share):
    """Return bool ``(classes, height, length)``: blocks and single pixels."""
    coarse = rng.random((len(CLASSES), -(-height // 2), -(-length // 3))) < share
    fine = rng.random((len(CLASSES), height, length)) < share / 4
    return np.kron(coarse, np.ones((1, 2, 3), bool))[:, :height, :length] | fine


def cuts(rng, length, overlap):
    """Return the starts and stops of strips that cover the length, the last cut at its end."""
    starts, stops = [0], []
    while True:
        stop = min(length, starts[-1] + int(rng.integers(1, max(2, length // 2))))
        stops.append(stop)
        if stop == length:
            return list(zip(starts, stops, strict=True))
        starts.append(max(starts[-1] + 1, stop - int(rng.integers(0, overlap + 1))))


def strips_of(rng, coils, overlap, *, regions):
    """Cut the coils into strips with cameras; ``regions``: rows as of a scan, one per region."""
    strips, found, places = [], [], []
    for (coil, side), whole in coils.items():
        for camera, (top, bottom) in enumerate(cuts(rng, whole.shape[1], overlap)):
            for left, right in cuts(rng, whole.shape[2], overlap):
                image = f"{coil}/{side}/{camera}/{left}.png"
                masks = whole[:, top:bottom, left:right]
                places.append(
                    (image, coil, side, str(camera), left * ALONG / 1000, top * ACROSS, 1)
                )
                verdict = "defective" if masks.any() else "clean"
                strips.append((image, verdict, bottom - top, right - left, None))
                for class_id, mask in enumerate(masks, start=1):
                    labels, count = ndimage.label(mask, np.ones((3, 3)))
                    parts = [labels == number + 1 for number in range(count)]
                    for part in parts if regions else ([mask] if mask.any() else []):
                        # the score shows which pixels a row has
                        rows, columns = np.nonzero(part)
                        score = (1 + left + columns.min() + top + rows.min()) / 1000
                        found.append((image, class_id, score, encode(part)))
    order = rng.permutation(len(places))
    names = ["image", "coil", "side", "camera", "position_m", "offset_mm", "line"]
    geometry = pl.DataFrame([places[at] for at in order], names, orient="row")
    return tables_of(strips, found), geometry


def tables_of(strips, found, classes=CLASSES):
    names = {"image": str, "verdict": str, "height": int, "width": int, "error": str}
    columns = {"image": pl.String, "class": pl.Int32, "score": pl.Float64, "run_length": pl.String}
    return StripTables(
        pl.DataFrame(strips, names, orient="row"),
        pl.DataFrame(found, columns, orient="row").lazy(),
        classes,
    )


def merged(tables, geometry):
    placed = place_strips(tables, geometry, (ALONG, ACROSS))
    return placed, pl.concat(merge_coils(tables, placed))


def expected(coils):
    """Count coil, side, class, box and pixels of each region of the uncut surfaces."""
    regions = Counter()
    for (coil, side), whole in coils.items():
        for class_id, mask in enumerate(whole, start=1):
            labels, _ = ndimage.label(mask, np.ones((3, 3)))
            for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
                box = columns.start, columns.stop, rows.start, rows.stop
                regions[coil, side, class_id, *box, int((labels == number).sum())] += 1
    return regions


def in_pixels(table):
    """Count the rows of merged defects as `expected` does."""
    numbers = table.select(
        "coil",
        "side",
        "class",
        *(pl.col(name) * 1000 / ALONG for name in ("start_m", "end_m")),
        *(pl.col(name) / ACROSS for name in ("left_mm", "right_mm")),
        pl.col("area_mm2") / (ALONG * ACROSS),
    )
    return Counter(
        (*row[:3], *(round(number, 6) for number in row[3:])) for row in numbers.iter_rows()
    )


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 24),
    st.integers(1, 90),
    st.floats(0.02, 0.6),
    st.integers(0, 6),
    st.booleans(),
    st.sampled_from([1, 200, 16_000_000]),
)
def test_a_coil_cut_anywhere_has_the_defects_of_the_uncut_one(
    seed, height, length, share, overlap, regions, at_once
) -> None:
    rng = np.random.default_rng(seed)
    names = [("a", "top"), ("a", "bottom"), ("b", "top")]
    coils = {name: surface(rng, height, length, share) for name in names}
    tables, geometry = strips_of(rng, coils, overlap, regions=regions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("steelscan.inspection.coil.merge._TEXT_AT_ONCE", at_once)
        placed, table = merged(tables, geometry)
    assert table.schema == DEFECTS
    assert placed.notes.filter(pl.col("kind") != "doubled").is_empty()
    assert in_pixels(table) == expected(coils)
    check_outlines(table, coils, tables, placed)


def check_outlines(table, coils, tables, placed):
    """The run lengths of all images draw each region, and its score is that of its best row."""
    place = {row["image"]: row for row in placed.strips.iter_rows(named=True)}
    rows = tables.found.collect()
    drawn = {name: np.zeros_like(whole) for name, whole in coils.items()}
    for defect in table.iter_rows(named=True):
        key, class_id = (defect["coil"], defect["side"]), defect["class"]
        region = np.zeros_like(coils[key][0])
        assert len(set(defect["images"])) == len(defect["images"])
        assert [place[image]["x"] for image in defect["images"]] == sorted(
            place[image]["x"] for image in defect["images"]
        ) or len(defect["cameras"]) > 1
        assert defect["cameras"] == sorted({place[image]["camera"] for image in defect["images"]})
        scores = []
        for image, text in zip(defect["images"], defect["run_lengths"], strict=True):
            at = place[image]
            frame = Frame(at["height"], at["width"])
            mask = decode(text, frame)
            assert mask.any()
            assert encode(mask) == text
            region[at["y"] : at["y"] + frame.height, at["x"] : at["x"] + frame.width] |= mask
            own = rows.filter((pl.col("image") == image) & (pl.col("class") == class_id))
            scores += [
                score
                for score, each in own.select("score", "run_length").iter_rows()
                if (decode(each, frame) & mask).any()
            ]
        assert region.sum() * ALONG * ACROSS == pytest.approx(defect["area_mm2"])
        assert not (drawn[key][class_id - 1] & region).any()
        drawn[key][class_id - 1] |= region
        assert defect["score"] == max(scores)
        box = (
            (defect["end_m"] - defect["start_m"]) * 1000 * (defect["right_mm"] - defect["left_mm"])
        )
        assert defect["box_mm2"] == pytest.approx(box)
        assert defect["class_name"] == CLASSES[class_id - 1]
    assert all((drawn[name] == coils[name]).all() for name in coils)


def test_without_a_geometry_each_strip_keeps_its_defects() -> None:
    rng = np.random.default_rng(5)
    coils = {("a", "top"): surface(rng, 12, 60, 0.3)}
    tables, _ = strips_of(rng, coils, 0, regions=True)
    placed = place_alone(tables)
    table = pl.concat(merge_coils(tables, placed))
    found = tables.found.collect()
    assert table.height == found.height > 20
    pairs = zip(table["images"], table["run_lengths"], table["coil"], strict=True)
    assert Counter((*images, *texts) for images, texts, _ in pairs) == Counter(
        found.select("image", "run_length").iter_rows()
    )
    assert (table["images"].list.first() == table["coil"]).all()
    (note,) = placed.notes["text"]
    assert "each strip counts as a coil" in note
    assert "1 mm x 1 mm" in note


def test_coils_are_read_in_batches_and_stay_whole(monkeypatch) -> None:
    rng = np.random.default_rng(9)
    coils = {(f"c{number}", "top"): surface(rng, 8, 40, 0.3) for number in range(7)}
    coils["empty", "top"] = np.zeros_like(coils["c0", "top"])
    tables, geometry = strips_of(rng, coils, 2, regions=True)
    placed = place_strips(tables, geometry, (ALONG, ACROSS))
    whole = list(merge_coils(tables, placed))
    assert [table.height > 0 for table in whole] == [True] * 7 + [False]
    monkeypatch.setattr("steelscan.inspection.coil.merge._AT_ONCE", 3)
    monkeypatch.setattr("steelscan.inspection.coil.merge._TEXT_AT_ONCE", 10)
    again = list(merge_coils(tables, placed))
    assert len(again) == len(coils)
    assert all(one.equals(other) for one, other in zip(whole, again, strict=True))


def test_run_lengths_that_do_not_fit_name_their_image() -> None:
    tables = tables_of([("x.png", "defective", 4, 4, None)], [("x.png", 2, None, "15 3")])
    with pytest.raises(MaskError, match=r"x\.png, class 2: run lengths reach outside the frame"):
        list(merge_coils(tables, place_alone(tables)))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), min_size=1, max_size=30))
def test_joined_intervals_cover_the_same_numbers(pairs) -> None:
    start = np.array([first for first, _ in pairs])
    stop = start + [length for _, length in pairs]
    joined, low, high = join_intervals(start, stop)
    covered = set().union(*(range(a, b) for a, b in zip(start, stop, strict=True)))
    assert set().union(*(range(a, b) for a, b in zip(low, high, strict=True))) == covered
    assert (low[1:] > high[:-1]).all()
    assert (low[joined] <= start).all()
    assert (stop <= high[joined]).all()


def test_no_pieces_have_no_regions() -> None:
    none = np.empty(0, np.int64)
    assert find_regions(none, none, none, none).number == 0
