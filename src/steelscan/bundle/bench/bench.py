"""How fast bundles are on this machine, as a table. No torch here."""

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
from steelscan.strip import InputError
from steelscan.strip.progress import progress


def bench(
    bundles: Sequence[Path],
    *,
    data: str | None = None,
    strips: int = 100,
    threads: Sequence[int] = (),
    cascade: bool = True,
) -> list[Measured]:
    """Measure bundles with each number of cores, used for one strip and for several at once.

    At least ``strips`` scans each, of the pictures of ``data`` (None: those that a bundle brings
    along). ``threads`` are numbers of cores; none: one, and all that may be used. With ``cascade``
    off networks are asked until the recipe's own gates close. Raises what `measure` raises.
    """
    for bundle in bundles:  # the last should not turn out to be none when all others are measured
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
            asked="cascade" if cascade else "gates",
        )
        for bundle in bundles
        for way, count in sorted(ways, key=lambda each: each[1])
        if (way, count) != ("workers", 1)  # one core can be used in one way only
    ]
    return measure_each(settings)


def read_threads(text: str) -> tuple[int, ...]:
    """Numbers of cores, such as "1,2"; of an empty text none. Raises InputError."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not all(
        re.fullmatch("[0-9]{1,3}", word) and 1 <= int(word) <= MOST_THREADS for word in words
    ):
        remedy = f"Give whole numbers from 1 to {MOST_THREADS}, such as 1,2"
        raise InputError("--cores", f"is {text[:60]}", remedy)
    return tuple(map(int, words))


def measure_each(settings: Sequence[Setting]) -> list[Measured]:
    """Measure each setting in a fresh process of its own, one after another."""
    measured = []
    with progress("Measuring", sum(setting.scans for setting in settings)) as shown:
        for setting in settings:
            told = 0

            def tell(done: int, most: int = setting.scans) -> None:
                nonlocal told
                if min(done, most) > told:
                    shown.advance(min(done, most) - told)
                    told = min(done, most)

            measured.append(measure(setting, tell))
            tell(setting.scans)
    return measured


def bench_text(measured: Sequence[Measured]) -> str:
    """What was measured, as tables for people."""
    return "\n\n".join(
        (
            "\n".join(_heads(measured)),
            _table(_SPEED, [[*_named(each), *_speed(each)] for each in measured]),
            _table(_SHARES, [[*_named(each), *_shares(each)] for each in measured]),
            "\n".join(_notes(measured)),
        )
    )


def bench_json(measured: Sequence[Measured]) -> dict[str, Any]:
    """What was measured and on what, as plain values."""
    rows = [
        {
            **each.model_dump(mode="json"),
            "strips_per_second": each.strips_per_second,
            "milliseconds": each.milliseconds,
            "busy": each.busy,
            "cpu_milliseconds": each.work,
            "early": each.early / len(each.asked),
        }
        for each in measured
    ]
    return {"machine": machine(), "measured": rows}


def machine() -> dict[str, Any]:
    """The machine, what runs on it, and how many others were waiting for its cores lately."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    versions = runtime_versions()
    processor = platform.processor() or platform.machine()
    return {**versions, "processor": processor, "cores": usable_cores(), "load": load}


_SPEED = (
    *("bundle", "cores", "used for", "strips/s", "p50 ms", "p99 ms", "cpu ms", "busy", "MiB"),
    *("load s", "first s"),
)
_SHARES = ("bundle", "cores", "used for", *STEPS, "networks asked", "left early")


def _heads(measured: Sequence[Measured]) -> Iterable[str]:
    yield f"{usable_cores()} cores, {platform.machine()}; a process of its own for each line"
    for each in {each.setting.bundle: each for each in measured}.values():
        yield from bundle_heads(each)


def bundle_heads(measured: Measured) -> Iterable[str]:
    """What was measured on which pictures, in words."""
    name, size = Path(measured.setting.bundle).stem, f"{measured.bytes / 1e6:.1f} MB"
    kind = f"{measured.written_for} {measured.precision}, {size}"
    yield f"{name}: {measured.recipe}, networks: {measured.networks}, {kind}"
    yield f"  on {_pictures(measured)}"


def _pictures(measured: Measured) -> str:
    count = len(measured.frames)
    sizes = Counter(measured.frames).most_common()
    size = " and ".join(f"{height}x{width}" for (height, width), _ in sizes[:3])
    others = " and other sizes" if len(sizes) > 3 else ""
    where = measured.setting.data or "the bundle, defective ones first"
    plural = "" if count == 1 else "s"
    found = f"{sum(measured.defective)} found defective"
    return (
        f"{count} picture{plural} of {size}{others} from {where}: {found}; {measured.scans} scans"
    )


def _named(measured: Measured) -> list[str]:
    setting = measured.setting
    at_once = setting.way == "workers" and setting.cores > 1
    used = f"{setting.cores} at once" if at_once else "one strip"
    return [Path(setting.bundle).stem, str(setting.cores), used]


def _speed(measured: Measured) -> list[str]:
    times = (measured.p50, measured.p99, measured.work)
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
    count = len(measured.asked)
    asked = f"{sum(measured.asked) / count:.2f} of {measured.networks}"
    return [*spent, asked, f"{100 * measured.early / count:.0f} %"]


def _notes(measured: Sequence[Measured]) -> Iterable[str]:
    yield "p50, p99: from a file's content to its defects. cpu: processor time a strip."
    yield "MiB: the most that the process held. first s: from loaded to the first answer."
    if any(each.busy < 0.9 * min(each.setting.cores, usable_cores()) for each in measured):
        yield "busy: cores that were; fewer than given: they waited, or others were at work."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells: words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    words = {"bundle", "used for"}
    return "\n".join(
        "  ".join(
            cell.ljust(width) if name in words else cell.rjust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        ).rstrip()
        for row in (head, *rows)
    )
