"""The mill: reproducible strips, statistics of the real data set, and a valid data set."""

import csv
import re
import subprocess
import sys
import zlib
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from steelscan.mill import Mill, MilledStrip, make_strip, write_mill
from steelscan.mill.make import Scene
from steelscan.mill.spec import STATISTICS
from steelscan.strip import Frame, decode
from steelscan.strip.errors import InputError, OutputError
from steelscan.strip.tables import read_mask_table

SMALL = Mill(strips=60, seed=5, height=64, width=256)
ONE_CLASS_EACH = (((1,), 1.0), ((2,), 1.0), ((3,), 1.0), ((4,), 1.0))


def same(one: MilledStrip, other: MilledStrip) -> bool:
    return (
        (one.name, one.roll) == (other.name, other.roll)
        and np.array_equal(one.picture, other.picture)
        and np.array_equal(one.masks, other.masks)
    )


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / max(one.sum() + other.sum(), 1))


# --- reproducible strips


def test_a_strip_does_not_depend_on_what_was_made_before() -> None:
    forwards = [make_strip(SMALL, index) for index in range(12)]
    backwards = [make_strip(SMALL, index) for index in reversed(range(12))][::-1]
    assert all(map(same, forwards, backwards))


def test_another_process_makes_the_same_strip() -> None:
    code = (
        "import sys, zlib; from steelscan.mill import Mill, make_strip;"
        "strip = make_strip(Mill.model_validate_json(sys.argv[1]), 7);"
        "print(strip.name, zlib.crc32(strip.picture.tobytes()), strip.masks.sum())"
    )
    command = [sys.executable, "-c", code, SMALL.model_dump_json()]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    strip = make_strip(SMALL, 7)
    assert printed == [strip.name, str(zlib.crc32(strip.picture.tobytes())), str(strip.masks.sum())]


def test_a_longer_mill_begins_with_the_same_strips() -> None:
    longer = SMALL.but(strips=500)
    assert all(same(make_strip(SMALL, i), make_strip(longer, i)) for i in (0, 30, 59))


def test_another_seed_gives_other_strips() -> None:
    other = SMALL.but(seed=6)
    for index in range(3):
        one, two = make_strip(SMALL, index), make_strip(other, index)
        assert one.name != two.name
        assert not np.array_equal(one.picture, two.picture)


def test_names_are_unique_and_like_those_of_the_competition() -> None:
    names = [make_strip(SMALL, index).name for index in range(SMALL.strips)]
    assert len(set(names)) == SMALL.strips
    assert all(re.fullmatch(r"[0-9a-f]{9}\.jpg", name) for name in names)


@pytest.mark.parametrize("index", [-1, 60])
def test_an_index_outside_the_mill_is_refused(index: int) -> None:
    with pytest.raises(InputError, match="60 strips"):
        make_strip(SMALL, index)


# --- one strip


@pytest.mark.parametrize("size", [(64, 64), (64, 1024), (100, 333), (256, 256), (512, 4096)])
def test_every_frame_works(size: tuple[int, int]) -> None:
    mill = Mill(strips=20, seed=2, height=size[0], width=size[1], clean_share=0.0)
    for index in range(3 if size[1] > 1024 else 10):
        strip = make_strip(mill, index)
        assert strip.picture.dtype == np.uint8
        assert strip.picture.shape == size
        assert strip.masks.dtype == np.bool_
        assert strip.masks.shape == (4, *size)
        assert strip.masks.any()
        assert strip.picture.std() > 3


@settings(max_examples=40, deadline=None)
@given(height=st.integers(64, 200), width=st.integers(64, 500), seed=st.integers(0, 2**40))
def test_no_pixel_has_two_classes_and_no_drawn_class_is_missing(
    height: int, width: int, seed: int
) -> None:
    both = (((1, 2, 3), 1.0), ((3, 4), 1.0))
    mill = Mill(strips=3, seed=seed, height=height, width=width, clean_share=0.0, combinations=both)
    for index in range(3):
        masks = Scene(mill, index).masks()
        assert masks.sum(0).max() == 1
        present = tuple(int(at) + 1 for at in np.flatnonzero(masks.any((1, 2))))
        assert present in {(1, 2, 3), (3, 4)}


def test_a_defect_changes_the_picture_inside_its_outline_and_nowhere_else() -> None:
    mill = Mill(strips=40, seed=8, clean_share=0.0, faint_share=0.0, combinations=ONE_CLASS_EACH)
    sound = mill.but(clean_share=1.0)
    changes: dict[int, list[float]] = {1: [], 2: [], 3: [], 4: []}
    for index in range(24):
        damaged, clean = make_strip(mill, index), make_strip(sound, index)
        change = np.abs(damaged.picture.astype(int) - clean.picture)
        inside = damaged.masks.any(0)
        assert not clean.masks.any()
        assert change[~inside].max() == 0
        class_id = int(np.flatnonzero(damaged.masks.any((1, 2)))[0]) + 1
        changes[class_id].append(float(change[inside].mean()))
    assert all(np.mean(changed) > 4 for changed in changes.values()), changes


def test_faint_defects_change_less() -> None:
    def change(faint_share: float) -> float:
        mill = Mill(
            strips=9, seed=4, height=128, width=400, clean_share=0.0, faint_share=faint_share
        )
        pairs = [(make_strip(mill, i), make_strip(mill.but(clean_share=1.0), i)) for i in range(9)]
        return sum(float(np.abs(a.picture.astype(int) - b.picture).sum()) for a, b in pairs)

    assert change(1.0) < 0.6 * change(0.0)


def test_grey_levels_are_those_of_steel() -> None:
    mill = Mill(strips=400, seed=1, height=128, width=800, black_share=0.0)
    pictures = [make_strip(mill, index).picture for index in range(0, 400, 20)]
    means = [picture.mean() for picture in pictures]
    grain = [picture - cv2.GaussianBlur(picture.astype(float), (0, 0), 3) for picture in pictures]
    assert 70 < np.median(means) < 130
    assert np.ptp(means) > 30
    assert 4 < np.median([part.std() for part in grain]) < 16


def test_some_rolls_show_the_black_end_which_has_no_defects() -> None:
    mill = Mill(strips=200, seed=3, height=128, width=800, clean_share=0.0, black_share=1.0)
    for index in range(0, 200, 12):
        strip = make_strip(mill, index)
        black = np.median(strip.picture, 0) < 12
        assert black[0] or black[-1]
        assert not strip.masks[:, :, black].any()
    plain = mill.but(black_share=0.0)
    assert all(np.median(make_strip(plain, i).picture) > 12 for i in range(0, 200, 40))


# --- rolls


def test_a_roll_is_a_sequence_of_strips() -> None:
    rolls = [make_strip(SMALL, index).roll for index in range(SMALL.strips)]
    assert rolls == sorted(rolls)
    whole = list(Counter(rolls).values())[:-1]  # the last roll may be cut short
    assert len(whole) > 3
    assert all(SMALL.roll[0] <= length <= SMALL.roll[1] for length in whole)
    assert len(set(whole)) > 1


def test_near_duplicates_stay_in_their_roll_and_are_not_the_same_picture() -> None:
    mill = SMALL.but(clean_share=0.0, duplicate_share=1.0, width=800, black_share=0.0)
    strips = [make_strip(mill, index) for index in range(25)]
    moved = 0
    for before, strip in pairwise(strips):
        overlap = dice(before.masks, strip.masks)
        if strip.roll == before.roll:
            assert overlap > 0.3
            assert not np.array_equal(strip.picture, before.picture)
            inner = strip.picture[8:-8, 8:-8]
            correlations = cv2.matchTemplate(inner, before.picture, cv2.TM_CCOEFF_NORMED)
            assert correlations.max() > 0.6
            # The border of a shifted strip shows steel.
            assert strip.picture[[0, -1]].mean(1).min() > 12
            moved += not np.array_equal(strip.masks, before.masks)
        else:
            assert overlap < 0.3
    assert len({strip.roll for strip in strips}) > 1
    assert moved > 5


def test_without_near_duplicates_neighbours_differ() -> None:
    mill = SMALL.but(clean_share=0.0, duplicate_share=0.0)
    masks = [Scene(mill, index).masks() for index in range(40)]
    assert np.mean([dice(*pair) for pair in pairwise(masks)]) < 0.15


# --- statistics of the competition


def test_clean_strips_and_classes_are_as_common_as_in_the_competition() -> None:
    count = 3000
    mill = Mill(strips=count, seed=0, height=64, width=400, duplicate_share=0.0)
    present = np.array([Scene(mill, index).masks().any((1, 2)) for index in range(count)])
    expected = np.array([897, 247, 5150, 801]) / 12568
    deviation = np.sqrt(expected * (1 - expected) / count)
    assert np.all(np.abs(present.mean(0) - expected) < 3.5 * deviation), present.mean(0)
    assert abs(np.mean(~present.any(1)) - 5902 / 12568) < 0.035
    assert not np.any(present[:, 0] & present[:, 3])  # 1 and 4 never meet
    assert 0.01 < np.mean(present.sum(1) > 1) < 0.06  # 427 of 12,568


@pytest.fixture(scope="module")
def masks_by_class() -> dict[int, list[NDArray[np.uint8]]]:
    mill = Mill(
        strips=520,
        seed=1,
        clean_share=0.0,
        black_share=0.0,
        duplicate_share=0.0,
        combinations=ONE_CLASS_EACH,
    )
    masks_of: dict[int, list[NDArray[np.uint8]]] = {1: [], 2: [], 3: [], 4: []}
    for index in range(mill.strips):
        masks = Scene(mill, index).masks()
        assert masks.sum(0).max() == 1
        class_id = int(np.flatnonzero(masks.any((1, 2)))[0]) + 1
        masks_of[class_id].append(masks[class_id - 1].view(np.uint8))
    assert min(len(masks) for masks in masks_of.values()) > 90
    return masks_of


@pytest.mark.parametrize("class_id", [1, 2, 3, 4])
def test_masks_are_as_large_as_in_the_competition(
    masks_by_class: dict[int, list[NDArray[np.uint8]]], class_id: int
) -> None:
    areas = [mask.sum() for mask in masks_by_class[class_id]]
    low, median, high = np.percentile(areas, [5, 50, 95])
    real = {1: (759, 10754), 2: (720, 7952), 3: (1719, 91149), 4: (5552, 105473)}[class_id]
    assert 1 / 1.35 < median / STATISTICS[class_id - 1].area < 1.35
    assert 1 / 2.2 < low / real[0] < 2.2
    assert 1 / 1.8 < high / real[1] < 1.8


@pytest.mark.parametrize("class_id", [1, 2, 3, 4])
def test_masks_have_as_many_pieces_and_touch_the_edge_as_often(
    masks_by_class: dict[int, list[NDArray[np.uint8]]], class_id: int
) -> None:
    masks = masks_by_class[class_id]
    pieces = np.mean([cv2.connectedComponents(mask)[0] - 1 for mask in masks])
    edges = [np.concatenate([m[0], m[-1], m[:, 0], m[:, -1]]).any() for m in masks]
    statistics = STATISTICS[class_id - 1]
    assert pieces == pytest.approx(statistics.components, rel=0.25)
    assert np.mean(edges) == pytest.approx(statistics.border, abs=0.13)


@pytest.mark.parametrize("class_id", [1, 2, 3, 4])
def test_outlines_are_polygons_but_not_boxes(
    masks_by_class: dict[int, list[NDArray[np.uint8]]], class_id: int
) -> None:
    vertices, filled, agree = [], [], []
    for mask in masks_by_class[class_id]:
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for contour in contours:
            polygon = cv2.approxPolyDP(contour, 1.5, True)
            redrawn = cv2.fillPoly(np.zeros_like(mask), [polygon], 1)
            piece = cv2.fillPoly(np.zeros_like(mask), [contour], 1)
            vertices.append(len(polygon))
            filled.append(piece.sum() / np.prod(cv2.boundingRect(contour)[2:]))
            agree.append(dice(redrawn > 0, piece > 0))
    assert 4 <= np.median(vertices) <= 13
    assert np.median(agree) > 0.96
    assert 0.55 < np.median(filled) < 0.9


def test_areas_scale_with_the_frame() -> None:
    def median_share(height: int, width: int) -> float:
        mill = Mill(strips=150, seed=7, height=height, width=width, clean_share=0.0)
        return float(np.median([Scene(mill, i).masks().mean() for i in range(150)]))

    assert median_share(128, 128) == pytest.approx(median_share(256, 1600), rel=0.5)


# --- settings


def test_settings_round_trip_through_json() -> None:
    mill = SMALL.but(combinations=ONE_CLASS_EACH, roll=(2, 3))
    assert Mill.model_validate_json(mill.model_dump_json()) == mill


@pytest.mark.parametrize(
    "wrong",
    [
        {"strips": 0},
        {"seed": -1},
        {"height": 16},
        {"clean_share": 1.5},
        {"combinations": ()},
        {"combinations": (((5,), 1.0),)},
        {"combinations": (((3, 1), 1.0),)},
        {"combinations": (((3,), 0.0),)},
        {"roll": (5, 4)},
        {"colour": True},
    ],
)
def test_invalid_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SMALL.but(**wrong)


# --- on disk


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mill") / "data"
    write_mill(SMALL, folder, test_strips=14)
    return folder


def test_a_written_mill_can_be_read(written: Path) -> None:
    table = read_mask_table(written / "train.csv")
    assert table.layout == "columns"
    strips = [make_strip(SMALL, index) for index in range(SMALL.strips)]
    assert {path.name for path in (written / "train_images").iterdir()} == {s.name for s in strips}
    assert set(table.rows) == {strip.name for strip in strips if strip.masks.any()}
    assert 0 < len(table.rows) < SMALL.strips
    for strip in strips:
        path = written / "train_images" / strip.name
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert picture is not None
        assert picture.shape == SMALL.frame
        assert np.abs(picture.astype(int) - strip.picture).mean() < 4
        masks = [decode(text, SMALL.frame) for text in table.texts(strip.name, 4)]
        assert np.array_equal(masks, strip.masks)


def test_groups_are_rolls_and_test_strips_have_rolls_of_their_own(written: Path) -> None:
    with (written / "groups.csv").open(newline="") as file:
        groups = {row["image"]: row["group"] for row in csv.DictReader(file)}
    longer = SMALL.but(strips=SMALL.strips + 40)
    strips = {s.name: s for s in (make_strip(longer, index) for index in range(longer.strips))}
    train = {path.name for path in (written / "train_images").iterdir()}
    test = {path.name for path in (written / "test_images").iterdir()}
    assert set(groups) == train
    assert len(test) == 14
    assert not {strips[name].roll for name in train} & {strips[name].roll for name in test}
    pairs = {(strips[name].roll, group) for name, group in groups.items()}
    assert len(pairs) == len({roll for roll, _ in pairs}) == len({group for _, group in pairs})
    truth = read_mask_table(written / "test.csv")
    for name in test:
        masks = [decode(text, Frame(64, 256)) for text in truth.texts(name, 4)]
        assert np.array_equal(masks, strips[name].masks)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_an_incomplete_folder_is_completed(tmp_path: Path) -> None:
    mill = SMALL.but(strips=6)
    write_mill(mill, tmp_path / "whole", test_strips=2)
    write_mill(mill, tmp_path / "cut", test_strips=2)
    (tmp_path / "cut" / "train.csv").unlink()
    pictures = sorted((tmp_path / "cut" / "train_images").iterdir())
    pictures[0].unlink()
    pictures[1].write_bytes(pictures[1].read_bytes()[:100])
    write_mill(mill, tmp_path / "cut", test_strips=2)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_a_complete_data_set_is_not_changed(tmp_path: Path) -> None:
    mill = SMALL.but(strips=2)
    write_mill(mill, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(OutputError, match=r"train\.csv: a data set exists already"):
        write_mill(mill.but(seed=9), tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("part", ["train_images", "test_images"])
def test_other_pictures_are_not_changed(tmp_path: Path, part: str) -> None:
    stranger = tmp_path / part / "0002cc93b.jpg"
    stranger.parent.mkdir()
    stranger.write_bytes(b"picture")
    with pytest.raises(OutputError, match="0002cc93b"):
        write_mill(SMALL.but(strips=2), tmp_path, test_strips=2)
    assert contents(tmp_path) == {f"{part}/0002cc93b.jpg": b"picture"}


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        write_mill(SMALL.but(strips=2), tmp_path / "file")


def test_all_strips_can_be_clean(tmp_path: Path) -> None:
    write_mill(SMALL.but(strips=5, clean_share=1.0), tmp_path)
    assert (tmp_path / "train.csv").read_text() == "ImageId,ClassId,EncodedPixels\n"
    assert len(list((tmp_path / "train_images").iterdir())) == 5


def test_too_little_disk_space_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = 2 * 64 * 256 // 10
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=room))
    mill = SMALL.but(strips=2)
    for strips, tests in ((3, 0), (2, 1), (1_000_000, 0)):
        with pytest.raises(OutputError, match=f"{room} bytes are free"):
            write_mill(mill.but(strips=strips), tmp_path / "new" / "out", tests)
    assert not list(tmp_path.iterdir())
    write_mill(mill, tmp_path / "out")
    (tmp_path / "out" / "train.csv").unlink()
    room = 0
    write_mill(mill, tmp_path / "out")  # existing files are replaced
