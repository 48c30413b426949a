"""Scans whose pictures end the workers that read them."""

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from steelscan.bundle import read_package
from steelscan.inspection.scan import ScanOptions, ScanSummary, merge, open_source, scan_source
from steelscan.inspection.scan.engines import Workers
from steelscan.inspection.scan.schedule import scan_shards
from steelscan.inspection.scan.shards import ScanFolder
from steelscan.inspection.scan.worker import Setup
from steelscan.strip import show_progress

TABLES = ("strips.parquet", "defects.parquet", "errors.csv")

End = Literal["kill", "exit 0", "exit 7"]


def tables(out: Path) -> list[bytes]:
    """The content of the merged tables of a scan."""
    return [(out / name).read_bytes() for name in TABLES]


@dataclass(frozen=True)
class Deadly:
    """Reads a picture; ends the process at each name with a file, as often as that says."""

    folder: Path
    times: Path
    end: End

    def __call__(self, name: str) -> bytes:
        file = self.times / name.replace("/", "-")
        left = int(file.read_text()) if file.exists() else 0
        if left:
            file.write_text(str(left - 1))
            if self.end == "exit 0":
                raise SystemExit(0)
            if self.end == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            os._exit(7)
        return (self.folder / name).read_bytes()


def scan_deadly(
    bright: Path,
    spots: Path,
    out: Path,
    deaths: Mapping[str, int],
    end: End,
    make: Callable[[Setup, int], Workers],
) -> ScanSummary:
    """Scan with two workers; reading a picture ends its worker as often as ``deaths`` says."""
    times = out.parent / "times"
    times.mkdir()
    for name, count in deaths.items():
        (times / name.replace("/", "-")).write_text(str(count))
    scan_source(bright, str(spots), out, ScanOptions(shard_size=5, part="999999/999999"))
    folder = ScanFolder(out)
    shards = list(folder.all_shards())
    assert [name for shard in shards for name in shard.inputs] == open_source(str(spots)).names
    setup = Setup(bright, read_package(bright).sha256, None, out, Deadly(spots, times, end))
    with show_progress("Scanning", 12) as progress, make(setup, 2) as workers:
        scan_shards(folder, shards, workers, progress)
    return merge(out)
