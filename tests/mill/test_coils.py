"""Synthetic coils: seamless surfaces, and a truth that cut and merged strips give back.

The second computation of the truth is `scipy.ndimage.label` on the dense masks of a side.
"""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError
from scipy import ndimage
from typer.testing import CliRunner

from steelscan.cli.app import app
from steelscan.inspection.coil import merge_coils, open_strips, place_strips, read_geometry
from steelscan.mill import CoilMill, CoilSide, write_coils
from steelscan.mill.coil_spec import SIDES
from steelscan.strip.errors import InputError, OutputError

SMALL = CoilMill(
    coils=2, seed=4, height=64, width=160, strips_per_coil=20, cameras=2, mm_per_pixel=0.5
)
BOX = ["coil", "side", "class", "start_m", "end_m", "left_mm", "right_mm", "area_mm2", "box_mm2"]


def sides(mill: CoilMill) -> list[tuple[str, str, CoilSide]]:
    return [
        (f"coil{coil:05d}", side, CoilSide(mill, coil, number))
        for coil in range(mill.coils)
        for number, side in enumerate(SIDES)
    ]


def labelled(mill: CoilMill) -> Counter[tuple[object, ...]]:
    """Return the defects of the dense, uncut masks: coil, side, class, box and area in pixels."""
    rows: Counter[tuple[object, ...]] = Counter()
    for coil, side, surface in sides(mill):
        for class_id, mask in enumerate(surface.masks(0, mill.length), start=1):
            labels, _ = ndimage.label(mask, np.ones((3, 3)))
            for number, box in enumerate(ndimage.find_objects(labels), start=1):
                pixels = int((labels[box] == number).sum())
                across, along = box
                ends = along.start, along.stop, across.start, across.stop
                rows[coil, side, class_id, *ends, pixels] += 1
    return rows


def in_pixels(defects: pl.DataFrame, mill: CoilMill) -> Counter[tuple[object, ...]]:
    mm = mill.mm_per_pixel
    return Counter(
        (
            *(coil, side, class_id, round(start * 1000 / mm), round(end * 1000 / mm)),
            *(round(left / mm) + mill.margin, round(right / mm) + mill.margin, round(area / mm**2)),
        )
        for coil, side, class_id, start, end, left, right, area, _ in defects.select(
            BOX
        ).iter_rows()
    )


def merged(folder: Path, mill: CoilMill) -> pl.DataFrame:
    tables = open_strips(folder / "train.csv", mill.frame)
    return pl.concat(
        merge_coils(tables, place_strips(tables, read_geometry(folder / "geometry.csv")))
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("coils")
    write_coils(SMALL, path)
    return path


def test_merged_strips_and_the_table_equal_the_uncut_coil(folder: Path) -> None:
    truth = labelled(SMALL)
    assert truth.total() > 40
    assert in_pixels(merged(folder, SMALL), SMALL) == truth
    assert in_pixels(pl.read_csv(folder / "defects.csv"), SMALL) == truth


def test_the_boxes_of_the_two_tables_have_the_same_area(folder: Path) -> None:
    table = pl.read_csv(folder / "defects.csv")
    assert sorted(table["box_mm2"]) == pytest.approx(sorted(merged(folder, SMALL)["box_mm2"]))


def test_strips_that_overlap_have_the_same_defects(tmp_path: Path) -> None:
    mill = SMALL.but(coils=1, overlap=37, strips_per_coil=12)
    write_coils(mill, tmp_path)
    found = in_pixels(merged(tmp_path, mill), mill)
    assert found == in_pixels(pl.read_csv(tmp_path / "defects.csv"), mill)
    assert found.total() > 5


def test_defects_cross_cuts_on_each_side_of_each_coil(folder: Path) -> None:
    long = merged(folder, SMALL).filter(pl.col("images").list.len() > 1)
    assert long.select("coil", "side").n_unique() == 4


def test_pixels_do_not_depend_on_the_cuts() -> None:
    """Equal to the last bit on any processor.

    Both sides draw the same blocks by the same calls; a cut only selects rows of them, which are
    then added, multiplied and compared one by one, each rounded as IEEE 754 prescribes.
    """
    surface = CoilSide(SMALL, 0, 0)
    whole, masks = surface.picture(0, 2000), surface.masks(0, 2000)
    rng = np.random.default_rng(0)
    cuts = [0, *sorted(rng.choice(np.arange(1, 2000), 12, replace=False).tolist()), 2000]
    other = CoilSide(SMALL, 0, 0)
    for start, stop in reversed(list(pairwise(cuts))):
        assert np.array_equal(other.picture(start, stop), whole[:, start:stop])
        assert np.array_equal(other.masks(start, stop), masks[:, :, start:stop])


def test_columns_change_no_more_where_blocks_meet_than_elsewhere() -> None:
    mill = SMALL.but(cameras=1)
    change = np.zeros(1999)
    for seed in range(4):
        picture = CoilSide(mill.but(seed=seed), 0, 0).picture(0, 2000).astype(float)
        change += np.abs(np.diff(picture, axis=1)).mean(0)
    length, fade = CoilSide(mill, 0, 0)._steel._length, CoilSide(mill, 0, 0)._steel._fade
    for seam in (*range(length, 2000, length), *range(length + fade, 2000, length)):
        assert change[seam - 1] < np.quantile(change, 0.5) * 1.5


def test_a_strip_is_the_camera_s_part_of_the_surface(folder: Path) -> None:
    place = pl.read_csv(folder / "geometry.csv").filter(
        pl.col("image") == "coil00001_top_00007_02.jpg"
    )
    column = round(place["position_m"][0] * 1000 / SMALL.mm_per_pixel)
    row = round(place["offset_mm"][0] / SMALL.mm_per_pixel) + SMALL.margin
    picture = CoilSide(SMALL, 1, 1).picture(column, column + 160)[row : row + 64]
    stored = cv2.imread(str(folder / "train_images" / place["image"][0]), cv2.IMREAD_GRAYSCALE)
    assert np.abs(stored.astype(float) - picture).mean() < 6  # JPEG


def test_roll_marks_repeat_at_their_period_and_some_are_missing(folder: Path) -> None:
    marks, defects = pl.read_csv(folder / "roll_marks.csv"), pl.read_csv(folder / "defects.csv")
    assert marks["coil"].to_list() == ["coil00000", "coil00001"]
    for mark in marks.iter_rows(named=True):
        own = defects.filter(
            *(pl.col(name) == mark[name] for name in ("coil", "side", "class")),
            (pl.col("left_mm") - mark["left_mm"]).abs() < 1e-6,
            (pl.col("right_mm") - mark["right_mm"]).abs() < 1e-6,
        )
        turns = own["start_m"].to_numpy() / mark["period_m"]
        off = (turns - turns[0] - np.round(turns - turns[0])) * mark["period_m"] * 1000
        assert np.abs(off).max() <= SMALL.mm_per_pixel  # places are rounded to pixels
        assert own.height == mark["repeats"] - mark["missing"] > 3
        assert own["area_mm2"].n_unique() == 1
    assert marks["missing"][0] == 0 < marks["missing"][1]


def test_defects_are_more_frequent_near_head_and_tail() -> None:
    mill = SMALL.but(coils=4, strips_per_coil=60)
    starts = (
        np.array([defect.start for *_, side in sides(mill) for defect in side.defects()])
        / mill.length
    )
    ends = np.mean((starts < 0.1) | (starts > 0.9))
    middle = np.mean((starts > 0.4) & (starts < 0.6))
    assert ends > 1.5 * middle


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    mill = SMALL.but(coils=1, strips_per_coil=4)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_coils(mill.but(seed=seed), tmp_path / name)
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*")]
    assert len(files) == 5 + 16
    one, same, other = (
        {str(file): (tmp_path / name / file).read_bytes() for file in files} for name in "abc"
    )
    assert one == same
    assert one["defects.csv"] != other["defects.csv"]


def test_an_interrupted_folder_is_completed_and_a_complete_one_refused(tmp_path: Path) -> None:
    mill = SMALL.but(coils=1, strips_per_coil=2)
    write_coils(mill, tmp_path)
    content = (tmp_path / "train.csv").read_bytes()
    with pytest.raises(OutputError, match="a data set exists already"):
        write_coils(mill, tmp_path)
    (tmp_path / "train.csv").unlink()
    write_coils(mill, tmp_path)
    assert (tmp_path / "train.csv").read_bytes() == content
    (tmp_path / "train.csv").unlink()
    with pytest.raises(OutputError, match="not one of this mill"):
        write_coils(mill.but(strips_per_coil=1), tmp_path)


def test_settings_without_sense_are_refused() -> None:
    with pytest.raises(ValidationError, match="overlap"):
        SMALL.but(overlap=160)
    with pytest.raises(InputError, match="2 coils of 2 sides"):
        CoilSide(SMALL, 2, 0)


def test_the_verb_writes_coils(tmp_path: Path) -> None:
    options = "--coils 1 --strips-per-coil 2 --cameras 1 --height 64 --width 128 --overlap -10"
    result = CliRunner().invoke(app, ["mill", str(tmp_path / "out"), *options.split()])
    assert result.exit_code == 0, result.output
    assert "Coils: 1, strips with masks: 4" in result.output
    assert sorted(pl.read_csv(tmp_path / "out" / "geometry.csv")["position_m"]) == [
        0,
        0,
        0.138,
        0.138,
    ]
