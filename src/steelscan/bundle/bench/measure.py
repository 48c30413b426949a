"""A bundle's time and memory on real strips, in a process of its own. No torch here.

A process that has measured one setting holds its memory, its threads and its warm caches; so each
setting gets a fresh one.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

import steelscan.strip
from steelscan.bundle import Bundle, Format, Manifest, Package, Precision, Scan, load
from steelscan.data import find_pictures, picture_frame, read_picture
from steelscan.decision import Decision, HardGate
from steelscan.postprocess import Threshold
from steelscan.strip import BundleError, InputError, Spec, SteelscanError

Asking = Literal["cascade", "gates", "all", "soonest"]

STEPS = ("decoding", "network", "cleaning")
"""Where the time of a strip goes."""

_BETWEEN_NOTES = 0.5
"""Seconds between notes on what is done: to tell each strip would take time from them."""

_PROGRAM = "from steelscan.bundle.bench.measure import main; main()"


class Setting(Spec):
    """How a bundle is measured.

    ``data`` are pictures as `steelscan.data.find_pictures` takes them, None those that the bundle
    brings along; of ``frame`` only, where that is given. They are repeated, all as often, until
    there are ``scans``. ``cores`` are used as "threads" that work on one strip, or by "workers"
    that take a strip each. Networks are ``asked`` as in use ("cascade"), or until the recipe's own
    gates close ("gates"); or, whatever the strip shows, as many as can be ("all") or as few as it
    takes to clear one ("soonest").
    """

    bundle: str
    data: str | None = None
    scans: PositiveInt = 100
    cores: PositiveInt = 1
    way: Literal["threads", "workers"] = "threads"
    asked: Asking = "cascade"
    frame: tuple[PositiveInt, PositiveInt] | None = None


class Measured(Spec):
    """What a bundle took. Times of strips are from the content of their files to defects.

    ``wall`` and ``cpu`` are seconds of all scans together; ``p50``, ``p99`` and ``steps`` (means)
    milliseconds a strip, without waiting for a worker; ``asked`` and ``defective`` are told of each
    picture: networks asked, and whether anything was found. ``memory`` is the most that the process
    held, in MiB (None where the system does not say). Seconds: ``start`` of Python until it can
    load, ``load``, from there to the ``first`` answer.
    """

    setting: Setting
    recipe: str
    written_for: Format
    precision: Precision
    bytes: PositiveInt
    networks: PositiveInt
    frames: tuple[tuple[int, int], ...]
    asked: tuple[int, ...]
    defective: tuple[bool, ...]
    scans: PositiveInt
    wall: float
    cpu: float
    p50: float
    p99: float
    steps: Mapping[str, float]
    memory: float | None
    start: float
    load: float
    first: float

    @property
    def strips_per_second(self) -> float:
        """Strips done in a second, by all cores together."""
        return self.scans / self.wall

    @property
    def milliseconds(self) -> float:
        """Milliseconds a strip, of all cores together."""
        return 1000 * self.wall / self.scans

    @property
    def busy(self) -> float:
        """Cores that were kept busy; fewer than were given where others were at work on them."""
        return self.cpu / self.wall

    @property
    def work(self) -> float:
        """Milliseconds of processors a strip: hardly changed by others who are at work on them."""
        return 1000 * self.cpu / self.scans

    @property
    def early(self) -> int:
        """Pictures that left before all networks were asked."""
        return sum(asked < self.networks for asked in self.asked)


def measure(setting: Setting, tell: Callable[[int], object]) -> Measured:
    """Measure a bundle in a fresh process; ``tell`` hears now and then how many scans are done.

    Raises what loading and scanning raise, and BundleError where the process breaks off.
    """
    program = [sys.executable, "-P", "-c", _PROGRAM, setting.model_dump_json(), str(time.time())]
    path = os.pathsep.join(filter(None, sys.path))  # the same code as here, wherever that lies
    environment = {**os.environ, "PYTHONPATH": path}
    said: Any = None
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, encoding="utf-8", env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said = json.loads(line)
            if isinstance(said, int):
                tell(said)
    if process.returncode or not isinstance(said, dict):
        found = f"broke off while it was measured (status {process.returncode})"
        remedy = "Look for a message above; status -9 is that of too little memory"
        raise BundleError(setting.bundle, found, remedy)
    if "error" in said:
        raise getattr(steelscan.strip, said["error"])(*said["pieces"])
    return Measured.model_validate_json(json.dumps(said))


def main() -> None:
    """What the fresh process does: takes a setting, prints notes, then what it measured."""
    started = time.time() - float(sys.argv[2])
    try:
        measured = measure_here(Setting.model_validate_json(sys.argv[1]), started, _print)
    except SteelscanError as error:
        pieces = (error.where, error.found, error.remedy)
        _print({"error": type(error).__name__, "pieces": pieces})
    else:
        _print(measured.model_dump())


def _print(value: Any) -> None:
    print(json.dumps(value), flush=True)  # noqa: T201


def measure_here(setting: Setting, started: float, tell: Callable[[int], object]) -> Measured:
    """Measure a bundle in this process, which took ``started`` seconds to start."""
    before = time.perf_counter()
    bundle = load(setting.bundle, threads=setting.cores if setting.way == "threads" else 1)
    loaded = time.perf_counter()
    pictures = strips_of(bundle.package, setting)
    named = time.perf_counter()
    name, content = pictures[0]
    bundle.scan_file(content, name)
    answered = time.perf_counter()
    clock = _timed(bundle, setting, pictures, tell)
    return Measured(
        setting=setting,
        recipe=bundle.manifest.recipe,
        written_for=bundle.manifest.written_for,
        precision=bundle.manifest.precision,
        bytes=Path(setting.bundle).stat().st_size,
        networks=bundle.networks,
        memory=peak_memory(),
        start=started,
        load=loaded - before,
        first=answered - named,
        **clock,
    )


def strips_of(package: Package, setting: Setting) -> list[tuple[str, bytes]]:
    """Names and contents of the pictures to measure on: at most as many as scans, evenly taken.

    Raises InputError where there are none, DatasetError and PictureError.
    """
    found: list[tuple[str, Callable[[], bytes]]]
    if setting.data is None:
        names = sorted(name for name in package.contents if name.startswith("strips/"))
        found = [(name, partial(package.contents.__getitem__, name)) for name in names]
    else:
        found = [(each.name, each.read) for each in find_pictures(setting.data)]
    if setting.frame is not None:
        found = [each for each in found if picture_frame(each[1](), each[0]) == setting.frame]
    if not found:
        size = "" if setting.frame is None else f" of {setting.frame[0]}x{setting.frame[1]} pixels"
        where = setting.data or setting.bundle
        raise InputError(where, f"holds no strips{size}", "Give --data: strips of your line")
    count = min(len(found), setting.scans)
    spread = [found[at * len(found) // count] for at in range(count)]
    return [(name, read()) for name, read in spread]


def clearing(manifest: Manifest) -> Manifest:
    """A manifest whose first step lets nothing pass: all that is asked is asked to be sure of it.

    Of a strip whose first answer is a probability of exactly 1 more is asked.
    """
    first, *others = manifest.decision.stages
    if first.classifiers:
        classifier, *more = first.classifiers
        first = first.but(classifiers=(classifier.but(threshold=1.0), *more))
    else:
        first = first.but(rules=(Threshold(label=1.0, pixel=1.0),))
    return manifest.but(decision=Decision(stages=(first, *others)))


def opening(manifest: Manifest) -> Manifest:
    """A manifest whose steps let everything pass up to the last, so that all networks are asked.

    But of a strip of which a step says that a class has a probability of exactly 0.
    """
    stages = [
        each.but(classifiers=tuple(step.but(threshold=0.0) for step in each.classifiers))
        for each in manifest.decision.stages
    ]
    for at, each in enumerate(stages[:-1]):
        segmenter = each.segmenter
        if isinstance(segmenter.gate, HardGate):
            segmenter = segmenter.but(gate=HardGate(threshold=0.0))
        stages[at] = each.but(segmenter=segmenter, rules=(Threshold(label=0.0, pixel=0.0),))
    return manifest.but(decision=Decision(stages=tuple(stages)))


def _as_if(bundle: Bundle, manifest: Manifest) -> Bundle:
    """A bundle with the same networks in memory, which decides by another manifest."""
    other = copy(bundle)
    other.package = Package(manifest, bundle.package.contents)
    other.detector = replace(bundle.detector, decision=manifest.decision)
    return other


def _timed(
    bundle: Bundle,
    setting: Setting,
    pictures: Sequence[tuple[str, bytes]],
    tell: Callable[[int], object],
) -> dict[str, Any]:
    """Warm up, then scan until there are enough scans, and say how long that took."""
    opened = _as_if(bundle, opening(bundle.manifest))
    _warm_up(opened, setting, pictures)
    if setting.asked == "all":
        bundle = opened
    elif setting.asked == "soonest":
        bundle = _as_if(bundle, clearing(bundle.manifest))
    contents = _such(bundle, setting, [content for _, content in pictures])
    rounds = -(-setting.scans // len(contents))
    cpu, wall = time.process_time(), time.perf_counter()
    spent, asked, defective = _heard(_scans(bundle, setting, contents * rounds), tell)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    p50, p99 = np.percentile(spent.sum(axis=1), (50, 99)).tolist()
    return {
        "frames": tuple(tuple(picture_frame(content)) for content in contents),
        "asked": asked[: len(contents)],
        "defective": defective[: len(contents)],
        "scans": len(spent),
        "wall": wall,
        "cpu": cpu,
        "p50": p50,
        "p99": p99,
        "steps": dict(zip(STEPS, spent.mean(axis=0).tolist(), strict=True)),
    }


def _warm_up(bundle: Bundle, setting: Setting, pictures: Sequence[tuple[str, bytes]]) -> None:
    """Have all networks and workers meet pictures of each size. Raises PictureError."""
    sizes = {read_picture(content, name).shape: content for name, content in pictures}
    for content in sizes.values():
        for _ in _scans(bundle, setting.but(asked="all"), [content] * 2 * setting.cores):
            pass


def _such(bundle: Bundle, setting: Setting, contents: list[bytes]) -> list[bytes]:
    """The pictures that show what is measured: of "all" and "soonest" not each one may do so."""
    wanted = {"all": max, "soonest": min}.get(setting.asked)
    if wanted is None:
        return contents
    asked = [len(scan.networks) for scan in _scans(bundle, setting, contents)]
    such = wanted(asked)
    return [content for content, count in zip(contents, asked, strict=True) if count == such]


def _scans(bundle: Bundle, setting: Setting, contents: Sequence[bytes]) -> Iterator[Scan]:
    cascade = setting.asked in {"cascade", "soonest"}
    if setting.way == "threads":
        return (bundle.scan_file(content, cascade=cascade) for content in contents)
    return bundle.scan_all(contents, workers=setting.cores, cascade=cascade)


def _heard(
    scans: Iterator[Scan], tell: Callable[[int], object]
) -> tuple[NDArray[np.float64], tuple[int, ...], tuple[bool, ...]]:
    """Of each scan milliseconds ``(scans, steps)``, networks asked, and whether it found any."""
    spent, asked, defective, told = [], [], [], time.perf_counter()
    for scan in scans:
        spent.append([scan.seconds[step] for step in STEPS])
        asked.append(len(scan.networks))
        defective.append(scan.defective)
        if time.perf_counter() - told > _BETWEEN_NOTES:
            tell(len(spent))
            told = time.perf_counter()
    return 1000 * np.array(spent), tuple(asked), tuple(defective)


def peak_memory() -> float | None:
    """The most memory that this process has held so far, resident, in MiB; None where unknown.

    On Linux not by `getrusage`: that starts a fresh process with the peak of its parent.
    """
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(
            line
            for line in status.read_text(encoding="utf-8").splitlines()
            if line.startswith("VmHWM")
        )
        return int(peak.split()[1]) / 2**10
    try:
        import resource
    except ModuleNotFoundError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on a Mac
