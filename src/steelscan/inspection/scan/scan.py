"""Scan the pictures of a source with a bundle, by the workers of an engine."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from steelscan.bundle import read_package, usable_cores
from steelscan.inspection.scan.engines import Workers
from steelscan.inspection.scan.local import LocalWorkers
from steelscan.inspection.scan.merge import ScanSummary, merge
from steelscan.inspection.scan.on_ray import RayWorkers
from steelscan.inspection.scan.schedule import scan_shards
from steelscan.inspection.scan.shards import ScanFolder, ScanRecord, Shard, hash_of
from steelscan.inspection.scan.source import open_source
from steelscan.inspection.scan.worker import Setup
from steelscan.strip import show_progress
from steelscan.strip.errors import InputError

Engine = Literal["local", "ray"]


@dataclass(frozen=True)
class ScanOptions:
    """How a scan is done; none of it changes what is found."""

    engine: Engine = "local"
    workers: int | None = None
    """None: one per core that this process may use, or of the cluster."""
    address: str | None = None
    """Of a Ray cluster."""
    shard_size: int = 200
    """Pictures of a file; that of the first call for a folder counts."""
    part: str = "1/1"
    """Which part of the shards this call scans, as 2/8."""
    retry_errors: bool = False
    """Whether shards with pictures that could not be read are scanned again."""
    signed_by: Path | None = None


def scan_source(
    bundle: Path, source: str, out: Path, options: ScanOptions | None = None
) -> ScanSummary | None:
    """Scan all pictures of a source into a folder, and merge the results.

    The same call continues after an interruption; several calls, also on several machines, may
    write into one folder at the same time. Returns what the scan found; None if it is one part of
    several. Raises BundleError, DatasetError, InputError, MissingPartError, RunError, OutputError.
    """
    options = options or ScanOptions()
    part, parts = parse_part(options.part)
    package = read_package(bundle, options.signed_by)
    pictures = open_source(source)
    folder = ScanFolder(out)
    record = ScanRecord(
        bundle=package.sha256,
        classes=package.manifest.classes.names,
        source=source,
        pictures=len(pictures.names),
        inputs=hash_of(pictures.names),
        shard_size=options.shard_size,
    )
    folder.begin(record, pictures.names)
    own = [shard for number, shard in enumerate(folder.all_shards()) if number % parts == part]
    if options.retry_errors:
        for shard in _with_errors(folder, own):
            folder.file(shard.name).unlink(missing_ok=True)
    done = folder.done()
    waiting = [shard for shard in own if shard.name not in done]
    if waiting:
        count = sum(len(shard.inputs) for shard in waiting)
        setup = Setup(
            bundle.absolute(), package.sha256, options.signed_by, out.absolute(), pictures.read
        )
        with (
            show_progress("Scanning", count) as progress,
            _workers(setup, options, len(waiting)) as workers,
        ):
            scan_shards(folder, waiting, workers, progress)
    return merge(out) if parts == 1 else None


def parse_part(text: str) -> tuple[int, int]:
    """Return the number of a part, from 0, and the number of parts. Raises InputError."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    part, parts = map(int, match.groups()) if match else (0, 0)
    if not 1 <= part <= parts:
        raise InputError("--shard", f"is {text!r}", "Give part/parts, as 1/8 to 8/8")
    return part - 1, parts


def _workers(setup: Setup, options: ScanOptions, shards: int) -> Workers:
    """Return the workers of the engine, no more than shards."""
    if options.engine == "local":
        return LocalWorkers(setup, min(options.workers or usable_cores(), shards))
    count = None if options.workers is None else min(options.workers, shards)
    return RayWorkers(setup, count, options.address)


def _with_errors(folder: ScanFolder, shards: Iterable[Shard]) -> Iterator[Shard]:
    """Yield the shards that are done and hold pictures that could not be scanned."""
    done = folder.done()
    for shard in shards:
        if shard.name in done:
            verdicts = pl.read_parquet(folder.file(shard.name), columns=["verdict"])
            if "error" in verdicts["verdict"]:
                yield shard
