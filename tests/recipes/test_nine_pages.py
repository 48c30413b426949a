"""The report, the pictures and the pages of the benchmark of all solutions, from records."""

import csv
import json
import re
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from steelscan.data import open_dataset
from steelscan.pipeline import RunFolder, StoredOutputs
from steelscan.strip import encode
from steelscan.strip.tables import write_rows

ROOT = Path(__file__).parents[2]
HEIGHT, WIDTH = 64, 160


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


@pytest.fixture
def data(strips: Path, tmp_path: Path) -> Path:
    """The strips, named as the mill of the benchmark."""
    (tmp_path / "mill").symlink_to(strips)
    return tmp_path / "mill"


@pytest.fixture
def place(finished, data: Path, tmp_path: Path) -> Path:
    """The 1st place and `quick` with the same run, an unfinished 3rd, and a U-Net.

    Masks of the U-Net are the true ones, moved by five pixels.
    """
    place = tmp_path / "small" / "mill"
    for name in ("first_place", "quick"):
        shutil.copytree(finished[0], place / name)
    shutil.copytree(finished[0], place / "third_place")
    (place / "third_place" / "scores.json").unlink()
    held_out(place, data, "plain_unet", lambda truth: np.roll(truth, 5, axis=-1))
    return place


@pytest.fixture
def records(place: Path, data: Path, tmp_path: Path) -> Path:
    """The folder of records of all that is there."""
    keep(place, data, tmp_path / "records" / "small" / "mill")
    return tmp_path / "records"


def keep(place: Path, data: Path, folder: Path) -> None:
    """Record all runs of a place that are finished."""
    module, dataset = import_module("records"), open_dataset(data)
    cost = {"cpu_seconds": 90.0, "gib": 1.25, "done": True, "threads": 1}
    cost |= {"commit": "abc", "processor": "P"}
    for run in sorted(path for path in place.iterdir() if path.is_dir()):
        Path(f"{run}.json").write_text(json.dumps(cost))
        record = module.record_of(run, dataset)
        assert (record is None) == (run.name == "third_place")
        if record is not None:
            folder.mkdir(parents=True, exist_ok=True)
            module.write_record(folder / f"{run.name}.json", record)


def held_out(place: Path, data: Path, name: str, change, rows=None) -> None:
    """Write what the plain U-Net would: masks of held-out strips, here of changed true masks."""
    dataset, folder = open_dataset(data), place / name
    folder.mkdir(parents=True)
    if rows is None:
        folds = RunFolder(place / "quick").load_folds(dataset.names, parted=True)
        rows = np.flatnonzero(folds == 3).tolist()
    truths = [dataset.masks(row) for row in rows]
    masks = [change(truth) for truth in truths]
    table = [
        (dataset.names[row], at, encode(mask))
        for row, planes in zip(rows, masks, strict=True)
        for at, mask in enumerate(planes, 1)
        if mask.any()
    ]
    write_rows(folder / "masks.csv", ("ImageId", "ClassId", "EncodedPixels"), table)
    stored = {
        "images": [dataset.names[row] for row in rows],
        "predicted": [each.sum((1, 2)).tolist() for each in masks],
        "truth": [each.sum((1, 2)).tolist() for each in truths],
        "shared": [(a & b).sum((1, 2)).tolist() for a, b in zip(masks, truths, strict=True)],
        "crops": 64,
    }
    (folder / "pairs.json").write_text(json.dumps(stored))


def pixels(path: Path) -> dict[tuple[str, int], set[int]]:
    """Return the pixels of each image and class in a table of run lengths, by plain Python."""
    found = {}
    with path.open() as file:
        for row in csv.DictReader(file):
            numbers = list(map(int, (row.get("EncodedPixels") or "").split()))
            runs = zip(numbers[::2], numbers[1::2], strict=True)
            if numbers:
                key = row["ImageId"], int(row["ClassId"])
                found[key] = {at for start, length in runs for at in range(start, start + length)}
    return found


def test_numbers_are_those_of_sets_of_pixels(
    place: Path, records: Path, data: Path, tmp_path: Path
) -> None:
    """Each of the five numbers, from the tables of run lengths as sets of pixels."""
    lines = list(import_module("nine_report").report(records, "small"))
    truth, names = pixels(data / "train.csv"), open_dataset(data).names
    folds = RunFolder(place / "quick").load_folds(names, parted=True)
    images = [name for name, fold in zip(names, folds.tolist(), strict=True) if fold == 3]
    outputs = StoredOutputs(RunFolder(place / "quick"), open_dataset(data))
    table = [
        (image, at, encode(mask))
        for image in images
        for at, mask in enumerate(outputs.masks(names.index(image)), 1)
        if mask.any()
    ]
    write_rows(tmp_path / "quick.csv", ("ImageId", "ClassId", "EncodedPixels"), table)
    for label, path in (
        ("`quick`", tmp_path / "quick.csv"),
        ("plain U-Net", place / "plain_unet" / "masks.csv"),
    ):
        found, keys = pixels(path), [(image, at) for image in images for at in range(1, 5)]
        values = {}
        for key in keys:
            one, other = found.get(key, set()), truth.get(key, set())
            both = len(one) + len(other)
            values[key] = 2 * len(one & other) / both if both else 1.0
        stopped = {image: any((image, at) in found for at in range(1, 5)) for image in images}
        defective = {image: any((image, at) in truth for at in range(1, 5)) for image in images}
        expected = [
            np.mean(list(values.values())),
            np.mean([values[key] for key in keys if key in truth]),
            np.mean([key not in found for key in keys if key not in truth]),
            np.mean([not stopped[image] for image in images if defective[image]]),
            np.mean([stopped[image] for image in images if not defective[image]] or [np.nan]),
        ]
        row = next(line for line in lines if line.startswith(f"| {label} |"))
        for cell, number in zip(row.split("|")[2:-1], expected, strict=True):
            value, *bounds = re.findall(r"\d\.\d+", cell)
            assert float(value) == pytest.approx(number, abs=5.1e-5)
            assert not bounds or float(bounds[0]) <= float(value) <= float(bounds[1])


def test_equal_runs_do_not_differ_and_unfinished_ones_are_left_out(records: Path) -> None:
    lines = list(import_module("nine_report").report(records, "small"))
    assert not any(line.startswith("| `third_place`") for line in lines)
    _, gains = (line.split("|") for line in lines if line.startswith("| `first_place`"))
    assert gains[4].strip() == "+0.0000 [+0.0000, +0.0000]"
    assert [cell.strip() for cell in gains[6:8]] == ["1.5 (1 core)", "1.25"]
    assert "- The plain U-Net (`benchmarks/plain_unet.py`) was fitted on 64 crops." in lines


def test_a_cross_validation_is_one_prediction_of_all_strips_per_repeat(
    place: Path, data: Path, tmp_path: Path
) -> None:
    """Two repeats of which one finds all pixels and the other none: the mean is in the middle."""
    page, dataset = import_module("nine_report"), open_dataset(data)
    made, folds = place.parent / "folds", tmp_path / "records" / "folds"
    for repeat, found in enumerate((1, 0)):
        for fold in range(4):
            rows = list(range(fold, len(dataset), 4))
            folder = made / f"repeat{repeat}-fold{fold}"
            held_out(
                folder, data, "plain_unet", lambda truth, found=found: truth & bool(found), rows
            )
            keep(folder, data, folds / folder.name)
    measured = page.measure(folds)
    assert (measured.strips, measured.repeats) == (len(dataset), 2)
    empty = 1 - dataset.present.mean()
    assert measured.scores["plain_unet"]["mean_dice"].value == pytest.approx((1 + empty) / 2)
    assert measured.scores["plain_unet"]["defect_dice"].value == pytest.approx(0.5)
    assert measured.gains["plain_unet"]["all empty"].value == pytest.approx((1 - empty) / 2)
    shutil.rmtree(folds / "repeat1-fold2")
    assert page.measure(folds).repeats == 1


def test_strips_are_chosen_by_their_true_masks(data: Path) -> None:
    import scipy.ndimage

    dataset = open_dataset(data)

    def order(row: int) -> tuple[int, int, str]:
        masks = dataset.masks(row)
        pieces = sum(scipy.ndimage.label(mask, np.ones((3, 3)))[1] for mask in masks)
        return -masks.any((1, 2)).sum(), -pieces, dataset.names[row]

    chosen = import_module("records").shown(dataset, dataset.names, 3)
    assert chosen == sorted(range(len(dataset)), key=order)[:3]


def test_pages_get_a_section_with_a_picture_once(records: Path, data: Path, tmp_path: Path) -> None:
    pages, docs = import_module("nine_pages"), tmp_path / "docs"
    shutil.copytree(ROOT / "docs" / "solutions", docs)
    before = {path.name: path.read_text() for path in docs.glob("*.md")}
    sets = pages.measured_sets(records / "small")
    for _ in range(2):
        pages.write_solution_pages(sets, open_dataset(data), "small", docs)
    changed = [name for name, text in before.items() if (docs / name).read_text() != text]
    assert changed in ([], ["first_place.md"])
    text = (docs / "first_place.md").read_text()
    assert text.count("## What it found here") == 1
    pattern = rf"{pages.BEGIN}.*?{pages.END}\n\n"
    removed = [
        re.sub(pattern, "", each, flags=re.DOTALL) for each in (text, before["first_place.md"])
    ]
    assert removed[0] == removed[1]
    picture = docs / "found-first_place.png"
    assert "](found-first_place.png)" in text
    assert picture.stat().st_size < 150_000
    with Image.open(picture) as image:
        assert image.width == 1000


def test_lines_to_copy_fit(records: Path) -> None:
    pages = import_module("nine_pages")
    (measured,) = pages.measured_sets(records / "small").values()
    sets = {Path("mill"): measured, Path("neu"): measured, Path("severstal"): measured}
    (line,) = pages.reproduced_lines(sets, "small")
    mean, defect = (
        measured.scores["first_place"][key].value for key in ("mean_dice", "defect_dice")
    )
    mean, defect = (f"{number:.2f}".removeprefix("0") for number in (mean, defect))
    expected = f"Reproduced: mill {mean} mean Dice, {defect} on defects; neu {mean}, {defect}"
    assert line == f"first_place: {expected} (small, reports/nine.md)"
    assert len(line) - len("first_place: ") <= 100
    readme = "| recipe |\n| `first_place` | a | b | not yet |\n| `third_place` | a | b | not yet |"
    cell = f"mill {mean} / {defect}, neu {mean} / {defect}"
    assert list(pages.readme_rows(sets, readme)) == [
        f"| `first_place` | a | b | {cell} |",
        "| `third_place` | a | b | not yet |",
    ]


@pytest.mark.parametrize("seed", range(4))
def test_labels_cover_no_point_and_no_other_label(seed: int) -> None:
    from matplotlib.figure import Figure

    minutes, results = import_module("nine_minutes"), import_module("nine_results")
    rng = np.random.default_rng(seed)
    points = [
        minutes.Point(name, rng.uniform(20, 40), rng.uniform(0.6, 0.62)) for name in results.ALL
    ]
    figure = Figure(figsize=(4.6, 3.9))
    panel = figure.subplots()
    minutes._scatter(panel, "mill", points)
    figure.draw_without_rendering()
    labels = minutes.place_labels(panel, points)
    boxes = [minutes.text_box(label).extents for label in labels]
    assert len(boxes) == len(points)
    markers = panel.transData.transform([(point.minutes, point.score) for point in points])
    for at, (left, bottom, right, top) in enumerate(boxes):
        for x, y in markers:
            assert not (left < x < right and bottom < y < top)
        for other in boxes[:at]:
            assert left > other[2] or other[0] > right or bottom > other[3] or other[1] > top


def test_the_pictures_of_the_report_are_shown(records: Path, data: Path, tmp_path: Path) -> None:
    pages, out = import_module("nine_pages"), tmp_path / "reports"
    pages.write_pictures(pages.measured_sets(records / "small"), open_dataset(data), out)
    text = "\n".join(import_module("nine_report").report(records, "small", out))
    for name in ("nine-strip.png", "nine-minutes.png"):
        assert f"]({name})" in text
        with Image.open(out / name) as image:
            assert image.width >= 700
