"""Scans of pictures whose defects are known: bright pixels, found by scipy and not by steelscan."""

import resource
import subprocess
import sys
import time
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from scipy import ndimage
from tests.inspection.deadly import TABLES, scan_deadly, tables

from steelscan import cli
from steelscan.bundle import read_package
from steelscan.inspection.scan import ScanOptions, merge, scan_source
from steelscan.inspection.scan.engines import Done
from steelscan.inspection.scan.local import LocalWorkers
from steelscan.inspection.scan.schedule import scan_shards
from steelscan.inspection.scan.shards import ScanFolder
from steelscan.strip import Frame, decode, show_progress
from steelscan.strip.errors import RunError

SMALL = ScanOptions(workers=2, shard_size=5)


def bright_pixels(path):
    return np.array(Image.open(path)) > 127


def test_rows_are_the_regions_of_bright_pixels(whole: Path, spots: Path) -> None:
    strips, defects = (pl.read_parquet(whole / name) for name in TABLES[:2])
    assert strips["name"].to_list() == sorted(strips["name"])
    assert strips.height == 12
    for strip in strips.iter_rows(named=True):
        mask = bright_pixels(spots / strip["name"])
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        assert (strip["height"], strip["width"]) == mask.shape
        assert strip["verdict"] == ("defective" if count else "clean")
        assert strip["classes"] == (["spot"] if count else [])
        assert strip["error"] is None
        own = defects.filter(pl.col("name") == strip["name"])
        assert own.height == count
        seen = set()
        for defect in own.iter_rows(named=True):
            region = decode(defect["run_length"], Frame(*mask.shape))
            (number,) = set(labels[region])
            seen.add(number)
            assert (region == (labels == number)).all()
            rows, columns = ndimage.find_objects(labels)[number - 1]
            assert (defect["top"], defect["left"]) == (rows.start, columns.start)
            assert defect["height"] == rows.stop - rows.start
            assert defect["width"] == columns.stop - columns.start
            assert defect["area"] == region.sum()
            assert defect["score"] == pytest.approx(200 / 255, abs=1 / 255)
        assert seen == set(range(1, count + 1))


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_and_parts_change_no_byte(bright, spots, whole, tmp_path, workers) -> None:
    for part in ("2/3", "1/3", "3/3"):
        with pytest.raises(RunError, match=r"folder of a scan|shards are not done"):
            merge(tmp_path / "out")
        options = ScanOptions(workers=workers, shard_size=5, part=part)
        assert scan_source(bright, str(spots), tmp_path / "out", options) is None
    merge(tmp_path / "out")
    assert tables(tmp_path / "out") == tables(whole)


def test_a_zip_and_other_shards_give_the_same_tables(bright, spots, whole, tmp_path) -> None:
    packed = tmp_path / "spots.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in spots.rglob("*.png"):
            archive.write(file, file.relative_to(spots))
    scan_source(bright, str(packed), tmp_path / "out", ScanOptions(workers=2, shard_size=3))
    assert tables(tmp_path / "out") == tables(whole)


def test_what_is_done_is_not_scanned_again(bright, spots, whole, tmp_path) -> None:
    first = scan_source(bright, str(spots), tmp_path / "out", SMALL)
    files = sorted((tmp_path / "out" / "shards").iterdir())
    assert len(files) == 3
    times = [file.stat().st_mtime_ns for file in files]
    files[1].unlink()
    left = files[1].with_name(f".{files[1].name}.part")
    left.write_bytes(b"cut off")  # by a computer that lost its power
    again = scan_source(bright, str(spots), tmp_path / "out", ScanOptions(shard_size=999))
    after = [file.stat().st_mtime_ns for file in files]
    assert [one == other for one, other in zip(times, after, strict=True)] == [True, False, True]
    assert again.pictures == first.pictures
    assert tables(tmp_path / "out") == tables(whole)


def test_pictures_that_cannot_be_read_are_never_clean(
    bright, spots, whole, tmp_path, capsys, monkeypatch
) -> None:
    damaged = tmp_path / "damaged"
    for file in sorted(spots.rglob("*.png")):
        copy = damaged / file.relative_to(spots)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes()[: 60 if file.name in ("00.png", "07.png") else None])
    out = tmp_path / "out"
    command = ["scan", str(bright), str(damaged), "--out", str(out), "--workers", "2"]

    def status(*more):
        monkeypatch.setattr(sys, "argv", ["steelscan", *command, *more])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code

    assert status("--shard-size", "5") == 3
    assert "2 could not be scanned" in capsys.readouterr().out
    strips = pl.read_parquet(out / "strips.parquet")
    wrong = strips.filter(pl.col("verdict") == "error")
    assert wrong["name"].to_list() == ["a/00.png", "b/07.png"]
    assert all("cannot be read" in text or "truncated" in text for text in wrong["error"])
    assert pl.read_csv(out / "errors.csv")["name"].to_list() == ["a/00.png", "b/07.png"]
    for file in damaged.rglob("*.png"):
        file.write_bytes((spots / file.relative_to(damaged)).read_bytes())
    assert status() == 3  # what is done is not scanned again
    assert status("--retry-errors") in (0, None)
    assert tables(out) == tables(whole)


def test_a_folder_is_of_one_bundle_and_one_list(bright, spots, whole, tmp_path, write_bundle):
    with pytest.raises(RunError, match="other pictures"):
        scan_source(bright, str(spots / "a"), whole, SMALL)
    package = read_package(bright)
    other = tmp_path / "other.steelscan"
    contents = {graph.file: package.contents[graph.file] for _, graph in package.manifest.graphs}
    write_bundle(other, package.manifest.but(recipe="other"), contents)
    with pytest.raises(RunError, match="another bundle"):
        scan_source(other, str(spots), whole, SMALL)


def test_a_merge_refuses_anything_but_every_picture_once(bright, spots, tmp_path) -> None:
    out = tmp_path / "out"
    scan_source(bright, str(spots), out, SMALL)
    one, other, last = sorted((out / "shards").iterdir())
    content = one.read_bytes()
    for wrong, message in (
        (other.read_bytes(), "exactly once"),
        (content[:-40], "damaged"),
        (b"", "damaged"),
    ):
        one.write_bytes(wrong)
        with pytest.raises(RunError, match=message):
            merge(out)
    one.write_bytes(content)
    last.with_name("0" * 32 + ".parquet").write_bytes(content)
    with pytest.raises(RunError, match="no shard of this scan"):
        merge(out)


@pytest.mark.parametrize("end", ["kill", "exit 0", "exit 7"])
def test_a_worker_that_ends_costs_nothing(bright, spots, whole, tmp_path, end) -> None:
    deaths = {"a/00.png": 1, "b/07.png": 2, "b/11.png": 3}
    summary = scan_deadly(bright, spots, tmp_path / "out", deaths, end, LocalWorkers)
    assert summary.errors == 0
    assert tables(tmp_path / "out") == tables(whole)


def test_a_picture_that_ends_its_workers_again_and_again_is_skipped(
    bright, spots, whole, tmp_path
) -> None:
    deaths = {"a/01.png": 99, "b/10.png": 99}
    summary = scan_deadly(bright, spots, tmp_path / "out", deaths, "kill", LocalWorkers)
    assert summary.errors == 2
    found, expected = (pl.read_parquet(each / TABLES[0]) for each in (tmp_path / "out", whole))
    wrong = found.filter(pl.col("verdict") == "error")
    assert wrong["name"].to_list() == ["a/01.png", "b/10.png"]
    assert all("signal 9" in text and "3 times" in text for text in wrong["error"])
    others = ~pl.col("name").is_in(["a/01.png", "b/10.png"])
    assert found.filter(others).equals(expected.filter(others))


def test_a_driver_that_is_killed_continues(bright, spots, whole, tmp_path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "steelscan", "scan", bright, spots, "--out", out]
    command += ["--workers", "1", "--shard-size", "1"]
    for wanted in (2, 5):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while len(list((out / "shards").glob("[!.]*"))) < wanted and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.kill()
        process.wait()
    assert scan_source(bright, str(spots), out).pictures == 12
    assert tables(out) == tables(whole)


def test_a_full_disk_is_one_line_and_loses_nothing(bright, spots, whole, tmp_path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "steelscan", "scan", bright, spots, "--out", out]
    command += ["--workers", "1", "--shard-size", "5"]

    def no_space() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500))

    process = subprocess.run(
        command, check=False, preexec_fn=no_space, capture_output=True, text=True
    )
    assert process.returncode == 2, process.stderr
    assert "cannot be written" in process.stderr
    assert "Traceback" not in process.stderr
    assert not list((out / "shards").glob("*.parquet"))
    scan_source(bright, str(spots), out)
    assert tables(out) == tables(whole)


def test_two_scans_of_one_folder_at_once_end_with_the_same_tables(
    bright, spots, whole, tmp_path
) -> None:
    out, options = tmp_path / "out", ScanOptions(workers=1, shard_size=2)
    with ThreadPoolExecutor() as pool:
        scans = [pool.submit(scan_source, bright, str(spots), out, options) for _ in range(2)]
    assert [scan.result().pictures for scan in scans] == [12, 12]
    assert tables(out) == tables(whole)


class Slow:
    """Workers of which the only one never finishes, until it has been waited for four times."""

    count = 1

    def __init__(self) -> None:
        self.waits = 0

    def give(self, worker, work) -> None:
        assert worker == 0
        assert work.shard.inputs

    def wait(self, seconds):
        assert seconds > 0
        self.waits += 1
        time.sleep(0.01)
        return [Done(0, Counter())] if self.waits > 4 else []


def test_a_scan_that_stands_still_is_reported(whole, tmp_path, capsys) -> None:
    shards = list(ScanFolder(whole).all_shards())[:1]
    (tmp_path / "shards").mkdir()
    with show_progress("Scanning", 5) as progress:
        scan_shards(ScanFolder(tmp_path), shards, Slow(), progress, seconds_without_shard=0.025)
    lines = [line for line in capsys.readouterr().err.splitlines() if "No shard" in line]
    assert 1 <= len(lines) <= 2
    assert shards[0].inputs[0] in lines[0]
