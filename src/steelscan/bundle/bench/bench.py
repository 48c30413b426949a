"""Compare how fast bundles are on this machine."""

import os
import platform
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from steelscan.bundle import MOST_THREADS, read_package, usable_cores
from steelscan.bundle.bench.measure import STEPS, Measured, Setting, measure
from steelscan.bundle.proof import runtime_versions
from steelscan.pages import plain_table, plural
from steelscan.strip import track
from steelscan.strip.errors import InputError


def bench(
    bundles: Sequence[Path],
    *,
    data: str | None = None,
    strips: int = 100,
    threads: Sequence[int] = (),
    cascade: bool = True,
) -> list[Measured]:
    """Measure bundles with several numbers of cores, used for one strip and for several at once.

    Args:
        bundles: the bundles.
        data: pictures; None: those in each bundle.
        strips: scans at least, per bundle and setting.
        threads: numbers of cores; if empty, one and all that may be used.
        cascade: whether networks that cannot change the decision are skipped; otherwise only
            those that the recipe's own gates close.

    Raises what `measure` raises.
    """
    for bundle in bundles:  # refuse a wrong file before the others are measured
        read_package(bundle)
    cores = dict.fromkeys(threads or (1, usable_cores()))
    ways = [("threads", count) for count in cores] + [("workers", count) for count in cores]
    settings = [
        Setting(
            bundle=str(bundle),
            data=data,
            scans=strips,
            cores=count,
            way="threads" if way == "threads" else "workers",
            mode="cascade" if cascade else "gates",
        )
        for bundle in bundles
        for way, count in sorted(ways, key=lambda each: each[1])
        if (way, count) != ("workers", 1)  # the same as one thread
    ]
    return measure_each(settings)


def read_threads(text: str) -> tuple[int, ...]:
    """Read numbers of cores such as "1,2"; an empty text has none. Raises InputError."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(
        re.fullmatch("[0-9]{1,3}", part) and 1 <= int(part) <= MOST_THREADS for part in parts
    ):
        remedy = f"Give whole numbers from 1 to {MOST_THREADS}, such as 1,2"
        raise InputError("--cores", f"is {text[:60]}", remedy)
    return tuple(map(int, parts))


def measure_each(settings: Sequence[Setting]) -> list[Measured]:
    """Measure each setting in a fresh process, one after another."""
    return [measure(setting) for setting in track(settings, "Measuring", len(settings))]


def bench_text(measured: Sequence[Measured]) -> str:
    """Return the measurements as tables for people."""
    return "\n\n".join(
        (
            "\n".join(_heads(measured)),
            plain_table([_SPEED, *([*_named(each), *_speed(each)] for each in measured)]),
            plain_table([_SHARES, *([*_named(each), *_shares(each)] for each in measured)]),
            "\n".join(_notes(measured)),
        )
    )


def bench_json(measured: Sequence[Measured]) -> dict[str, Any]:
    """Return the machine and the measurements as plain values."""
    return {"machine": machine(), "measured": [each.model_dump(mode="json") for each in measured]}


def machine() -> dict[str, Any]:
    """Return processor, number of cores, versions of the runtimes, and the load average."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    processor = platform.processor() or platform.machine()
    return {**runtime_versions(), "processor": processor, "cores": usable_cores(), "load": load}


_SPEED = (
    *("bundle", "cores", "used for", "strips/s", "p50 ms", "p99 ms", "cpu ms", "busy", "MiB"),
    *("load s", "first s"),
)
_SHARES = ("bundle", "cores", "used for", *STEPS, "networks run", "left early")


def _heads(measured: Sequence[Measured]) -> Iterable[str]:
    yield f"{usable_cores()} cores, {platform.machine()}; a fresh process for each line"
    for each in {each.setting.bundle: each for each in measured}.values():
        yield from bundle_heads(each)


def bundle_heads(measured: Measured) -> Iterable[str]:
    """Yield two lines on the bundle and the pictures of a measurement."""
    name, size = Path(measured.setting.bundle).stem, f"{measured.bytes / 1e6:.1f} MB"
    kind = f"{measured.written_for} {measured.precision}, {size}"
    yield f"{name}: {measured.recipe}, networks: {measured.networks}, {kind}"
    yield f"  on {_pictures(measured)}"


def _pictures(measured: Measured) -> str:
    count = len(measured.frames)
    sizes = Counter(measured.frames).most_common()
    size = " and ".join(f"{height}x{width}" for (height, width), _ in sizes[:3])
    others = " and other sizes" if len(sizes) > 3 else ""
    source = measured.setting.data or "the bundle, defective ones first"
    return (
        f"{count} {plural(count, 'picture')} of {size}{others} from {source}: "
        f"{sum(measured.defective)} defective; {measured.scans} scans"
    )


def _named(measured: Measured) -> list[str]:
    setting = measured.setting
    at_once = setting.way == "workers" and setting.cores > 1
    use = f"{setting.cores} at once" if at_once else "one strip"
    return [Path(setting.bundle).stem, str(setting.cores), use]


def _speed(measured: Measured) -> list[str]:
    times = (measured.p50, measured.p99, measured.cpu_milliseconds)
    return [
        f"{measured.strips_per_second:.1f}",
        *(f"{each:.1f}" for each in times),
        f"{measured.busy:.2f}",
        "-" if measured.memory is None else f"{measured.memory:.0f}",
        f"{measured.load:.2f}",
        f"{measured.first:.2f}",
    ]


def _shares(measured: Measured) -> list[str]:
    whole = sum(measured.steps.values())
    spent = [
        f"{measured.steps[step]:.1f} ms {100 * measured.steps[step] / whole:3.0f} %"
        for step in STEPS
    ]
    mean = sum(measured.networks_run) / len(measured.networks_run)
    return [*spent, f"{mean:.2f} of {measured.networks}", f"{100 * measured.early_share:.0f} %"]


def _notes(measured: Sequence[Measured]) -> Iterable[str]:
    yield "p50, p99: from a file's content to its defects. cpu: processor time per strip."
    yield "MiB: peak memory of the process. first s: the first scan after loading."
    if any(each.busy < 0.9 * min(each.setting.cores, usable_cores()) for each in measured):
        yield "busy: number of busy cores; fewer than given if they waited or others used them."
