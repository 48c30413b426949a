"""`steelscan scan` against `Bundle.scan_all`, both with two workers, in strips per second.

The same pictures are scanned in turns by threads of one process (`scan_all`), by the local engine
and by Ray on this machine. Each is started first and scans a few pictures; that time is printed
apart. The memory is that of the driver, which should not grow with the number of pictures.

Run: python benchmarks/scan.py --bundle FILE --data DIR [--strips 500] [--turns 3]
"""

import argparse
import shutil
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import psutil

from quick import FOLDER, exported_bundle, mill_strips, print_result
from steelscan.bundle import load, read_package
from steelscan.inspection.scan import ScanOptions, open_source, scan_source
from steelscan.inspection.scan.engines import Workers
from steelscan.inspection.scan.local import LocalWorkers
from steelscan.inspection.scan.on_ray import RayWorkers
from steelscan.inspection.scan.schedule import scan_shards
from steelscan.inspection.scan.shards import ScanFolder
from steelscan.inspection.scan.worker import Setup
from steelscan.strip import show_progress

WORKERS = 2
WARM_UP = 8
"""Pictures that are scanned before the time is taken."""


def main() -> None:
    """Scan the same pictures in each way, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--data", type=Path, help="Folder of pictures.")
    parser.add_argument("--strips", type=int, default=500)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    strips, turns = (60, 1) if options.quick else (options.strips, options.turns)
    bundle = options.bundle or exported_bundle()
    data = options.data or mill_strips() / "train_images"
    ways: dict[str, Callable[[], tuple[float, float]]] = {
        "scan_all": lambda: by_scan_all(bundle, listed(data, strips)),
        "local": lambda: by_engine(LocalWorkers, bundle, listed(data, strips)),
        "ray": lambda: by_engine(
            lambda setup, count: RayWorkers(setup, count, None), bundle, listed(data, strips)
        ),
    }
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            results[name].append(way())
    rates = {name: median(rate for _, rate in each) for name, each in results.items()}
    starts = {name: median(start for start, _ in each) for name, each in results.items()}
    for name, goal in (("local", ">= 0.98"), ("ray", ">= 0.9")):
        print_result(
            f"strips per second of scan --engine {name}, {WORKERS} workers",
            "Bundle.scan_all",
            rates[name] / rates["scan_all"],
            None if options.quick else goal,
            per_second={key: round(rates[key], 2) for key in ("scan_all", name)},
            seconds_to_start={key: round(starts[key], 1) for key in ("scan_all", name)},
        )
    print(f"peak memory of this process: {psutil.Process().memory_info().rss / 2**20:.0f} MiB")


def listed(data: Path, strips: int) -> Path:
    """Return a folder with so many pictures: links to those of the data, again and again."""
    folder = FOLDER / f"scan-{strips}"
    if len(list(folder.glob("*"))) != strips:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        pictures = sorted(path for path in data.iterdir() if path.is_file())
        for number, picture in enumerate(islice(cycle(pictures), strips)):
            (folder / f"{number:06}{picture.suffix}").symlink_to(picture.resolve())
    return folder


def by_scan_all(bundle: Path, folder: Path) -> tuple[float, float]:
    """Return the seconds to start, and the strips per second of `Bundle.scan_all`."""
    start = time.monotonic()
    opened, files = load(bundle), [str(path) for path in sorted(folder.iterdir())]
    for _ in opened.scan_all(files[:WARM_UP], workers=WORKERS):
        pass
    ready = time.monotonic()
    for _ in opened.scan_all(files, workers=WORKERS):
        pass
    return ready - start, len(files) / (time.monotonic() - ready)


def by_engine(
    make: Callable[[Setup, int], Workers], bundle: Path, folder: Path
) -> tuple[float, float]:
    """Return the seconds to start, and the strips per second of the workers of an engine."""
    out = FOLDER / "scanned"
    shutil.rmtree(out, ignore_errors=True)
    size = max(1, len(list(folder.iterdir())) // (10 * WORKERS))
    scan_source(bundle, str(folder), out, ScanOptions(shard_size=size, part="999999/999999"))
    scans, sha256 = ScanFolder(out), read_package(bundle).sha256
    setup = Setup(bundle.absolute(), sha256, None, out.absolute(), open_source(str(folder)).read)
    shards, start = list(scans.all_shards()), time.monotonic()
    with show_progress("Scanning", 2 * len(shards)) as progress, make(setup, WORKERS) as workers:
        scan_shards(scans, shards[:WORKERS], workers, progress)
        for shard in shards[:WORKERS]:
            scans.file(shard.name).unlink()
        ready = time.monotonic()
        scan_shards(scans, shards, workers, progress)
        seconds = time.monotonic() - ready
    return ready - start, sum(len(shard.inputs) for shard in shards) / seconds


if __name__ == "__main__":
    main()
