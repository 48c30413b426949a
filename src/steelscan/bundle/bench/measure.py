"""Measure the time and memory of a bundle on real strips, in a process of its own."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from copy import copy
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import PositiveInt, computed_field

from steelscan.bundle import Bundle, Format, Package, Precision, Scan, load
from steelscan.bundle.bench.modes import passing_all, stopping_all
from steelscan.data import find_pictures, picture_frame, read_picture
from steelscan.decision import Decision
from steelscan.strip import Spec
from steelscan.strip.errors import BundleError, InputError

STEPS = ("decoding", "network", "cleaning")
"""Parts of the time of a strip."""


class Setting(Spec):
    """How a bundle is measured.

    Attributes:
        bundle: the bundle's file.
        data: pictures as `steelscan.data.find_pictures` takes them; None: those in the bundle.
        scans: scans at least; the pictures are repeated, all equally often.
        cores: cores used.
        way: with "threads", all cores work on one strip; with "workers", each on its own strip.
        mode: which networks run: as in use ("cascade"); all that the recipe's own gates let run
            ("gates"); on every strip as many as possible ("all"), or only as many as it takes to
            find a strip clean ("fewest").
        frame: measure only pictures of this height and width.
    """

    bundle: str
    data: str | None = None
    scans: PositiveInt = 100
    cores: PositiveInt = 1
    way: Literal["threads", "workers"] = "threads"
    mode: Literal["cascade", "gates", "all", "fewest"] = "cascade"
    frame: tuple[PositiveInt, PositiveInt] | None = None


class Measured(Spec):
    """The time and memory of a bundle. A strip takes from its file's content to its defects.

    Attributes:
        networks: number of networks in the bundle.
        frames: height and width of each picture.
        networks_run: number of networks that ran on each picture.
        defective: whether a defect was found on each picture.
        scans: number of scans.
        wall: seconds of all scans together.
        cpu: processor seconds of all scans together.
        p50: median milliseconds per strip, without waiting for a worker.
        p99: the same, 99th percentile.
        steps: mean milliseconds per strip of each of `STEPS`.
        memory: peak memory of the process in MiB; None if it is unknown.
        load: seconds to load the bundle.
        first: seconds of the first scan.
    """

    setting: Setting
    recipe: str
    written_for: Format
    precision: Precision
    bytes: PositiveInt
    networks: PositiveInt
    frames: tuple[tuple[int, int], ...]
    networks_run: tuple[int, ...]
    defective: tuple[bool, ...]
    scans: PositiveInt
    wall: float
    cpu: float
    p50: float
    p99: float
    steps: Mapping[str, float]
    memory: float | None
    load: float
    first: float

    @computed_field  # type: ignore[prop-decorator]
    @property
    def strips_per_second(self) -> float:
        """Strips per second of all cores together."""
        return self.scans / self.wall

    @computed_field  # type: ignore[prop-decorator]
    @property
    def milliseconds(self) -> float:
        """Milliseconds per strip of all cores together."""
        return 1000 * self.wall / self.scans

    @computed_field  # type: ignore[prop-decorator]
    @property
    def busy(self) -> float:
        """Number of busy cores; below ``cores`` if they waited or others used them."""
        return self.cpu / self.wall

    @computed_field  # type: ignore[prop-decorator]
    @property
    def cpu_milliseconds(self) -> float:
        """Processor milliseconds per strip; they hardly depend on what else is running."""
        return 1000 * self.cpu / self.scans

    @property
    def early(self) -> int:
        """Number of pictures that did not need all networks."""
        return sum(count < self.networks for count in self.networks_run)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def early_share(self) -> float:
        """Share of the pictures that did not need all networks."""
        return self.early / len(self.networks_run)


def measure(setting: Setting) -> Measured:
    """Measure a bundle in a fresh process, whose memory, threads and caches are its own.

    Raises what loading and scanning raise, and BundleError if the process ends.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(measure_here, setting).result()
        except BrokenProcessPool:
            problem = "could not be measured: the process ended"
            remedy = "Read the messages above, if any; often the memory was too small"
            raise BundleError(setting.bundle, problem, remedy) from None


def measure_here(setting: Setting) -> Measured:
    """Measure a bundle in this process."""
    start = time.perf_counter()
    bundle = load(setting.bundle, threads=setting.cores if setting.way == "threads" else 1)
    loaded = time.perf_counter()
    pictures = strips_of(bundle.package, setting)
    ready = time.perf_counter()
    name, content = pictures[0]
    bundle.scan_file(content, name)
    scanned = time.perf_counter()
    times = _timed(bundle, setting, pictures)
    return Measured(
        setting=setting,
        recipe=bundle.manifest.recipe,
        written_for=bundle.manifest.written_for,
        precision=bundle.manifest.precision,
        bytes=Path(setting.bundle).stat().st_size,
        networks=bundle.networks,
        memory=peak_memory(),
        load=loaded - start,
        first=scanned - ready,
        **times,
    )


def strips_of(package: Package, setting: Setting) -> list[tuple[str, bytes]]:
    """Return names and contents of the pictures to measure on, at most as many as scans.

    Raises InputError if there are none, DatasetError and PictureError.
    """
    readers: list[tuple[str, Callable[[], bytes]]]
    if setting.data is None:
        names = sorted(name for name in package.contents if name.startswith("strips/"))
        readers = [(name, partial(package.contents.__getitem__, name)) for name in names]
    else:
        readers = [(each.name, each.read) for each in find_pictures(setting.data)]
    if setting.frame is not None:
        readers = [each for each in readers if picture_frame(each[1](), each[0]) == setting.frame]
    if not readers:
        size = "" if setting.frame is None else f" of {setting.frame[0]}x{setting.frame[1]} pixels"
        where = setting.data or setting.bundle
        raise InputError(where, f"holds no strips{size}", "Give --data: strips of your line")
    count = min(len(readers), setting.scans)
    evenly = [readers[at * len(readers) // count] for at in range(count)]
    return [(name, read()) for name, read in evenly]


def _decides_by(bundle: Bundle, decision: Decision) -> Bundle:
    """Return a bundle with another decision, and the same networks in memory."""
    other = copy(bundle)
    other.detector = replace(bundle.detector, decision=decision)
    return other


def _timed(
    bundle: Bundle, setting: Setting, pictures: Sequence[tuple[str, bytes]]
) -> dict[str, Any]:
    """Warm up, scan often enough, and return the times as fields of `Measured`."""
    decision = bundle.manifest.decision
    every = _decides_by(bundle, passing_all(decision))
    _warm_up(every, setting, pictures)
    if setting.mode == "all":
        bundle = every
    elif setting.mode == "fewest":
        bundle = _decides_by(bundle, stopping_all(decision))
    contents = _suitable(bundle, setting, [content for _, content in pictures])
    repeats = -(-setting.scans // len(contents))
    cpu, wall = time.process_time(), time.perf_counter()
    scans = [_summary(scan) for scan in _scans(bundle, setting, contents * repeats)]
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    spent = 1000 * np.array([seconds for seconds, _, _ in scans])
    p50, p99 = np.percentile(spent.sum(axis=1), (50, 99)).tolist()
    once = scans[: len(contents)]
    return {
        "frames": tuple(tuple(picture_frame(content)) for content in contents),
        "networks_run": tuple(count for _, count, _ in once),
        "defective": tuple(defective for _, _, defective in once),
        "scans": len(scans),
        "wall": wall,
        "cpu": cpu,
        "p50": p50,
        "p99": p99,
        "steps": dict(zip(STEPS, spent.mean(axis=0).tolist(), strict=True)),
    }


def _warm_up(bundle: Bundle, setting: Setting, pictures: Sequence[tuple[str, bytes]]) -> None:
    """Run all networks in all workers on pictures of each size. Raises PictureError."""
    sizes = {read_picture(content, name).shape: content for name, content in pictures}
    for content in sizes.values():
        for _ in _scans(bundle, setting.but(mode="all"), [content] * 2 * setting.cores):
            pass


def _suitable(bundle: Bundle, setting: Setting, contents: list[bytes]) -> list[bytes]:
    """Return the pictures on which as many ("all") or as few ("fewest") networks run as on any."""
    wanted = {"all": max, "fewest": min}.get(setting.mode)
    if wanted is None:
        return contents
    counts = [len(scan.networks) for scan in _scans(bundle, setting, contents)]
    chosen = wanted(counts)
    return [content for content, count in zip(contents, counts, strict=True) if count == chosen]


def _scans(bundle: Bundle, setting: Setting, contents: Sequence[bytes]) -> Iterator[Scan]:
    cascade = setting.mode in {"cascade", "fewest"}
    if setting.way == "threads":
        return (bundle.scan_file(content, cascade=cascade) for content in contents)
    return bundle.scan_all(contents, workers=setting.cores, cascade=cascade)


def _summary(scan: Scan) -> tuple[list[float], int, bool]:
    """Return the seconds of each step, the number of networks run, and the verdict of a scan."""
    return [scan.seconds[step] for step in STEPS], len(scan.networks), scan.defective


def peak_memory() -> float | None:
    """Return the peak resident memory of this process in MiB; None if it is unknown.

    On Linux not by `getrusage`, which starts a fresh process with the peak of its parent.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 2**10
    try:
        import resource
    except ModuleNotFoundError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on a Mac
