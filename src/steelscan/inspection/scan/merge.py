"""One table of all strips and one of all defects, from the files of all shards."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from steelscan.inspection.scan.rows import SCHEMA
from steelscan.inspection.scan.shards import ScanFolder, Shard
from steelscan.strip import Spec
from steelscan.strip.errors import RunError
from steelscan.strip.tables import write_parquet, write_rows

_AGAIN = "Repeat steelscan scan: it continues"


class ScanSummary(Spec):
    """What a scan found."""

    pictures: int
    clean: int
    defective: int
    errors: int
    per_class: Mapping[str, int]
    """Class -> number of strips that it is on."""
    seconds: float
    """Time of decoding, networks and rules of all pictures together."""


def merge(out: Path) -> ScanSummary:
    """Write ``strips.parquet``, ``defects.parquet`` and ``errors.csv``, and count.

    Rows are in the order of the pictures; the tables are the same whatever engine, number of
    workers or restarts made the shards. Raises RunError unless every picture is in exactly one row.
    """
    folder = ScanFolder(out)
    record, shards = folder.record(), list(folder.all_shards())
    _check(folder, shards)
    table = pl.scan_parquet([folder.file(each.name) for each in shards], glob=False)
    write_parquet(out / "strips.parquet", table.drop("defects", "seconds"))
    defects = (
        table.select("name", "defects")
        .explode("defects", empty_as_null=False, keep_nulls=False)
        .unnest("defects")
    )
    write_parquet(out / "defects.parquet", defects)
    errors = table.filter(pl.col("verdict") == "error").select("name", "error").collect()
    write_rows(out / "errors.csv", errors.columns, errors.iter_rows())
    counts = dict(table.group_by("verdict").len().collect().iter_rows())
    present = table.select("classes").explode("classes").group_by("classes").len().collect()
    per_class = dict(present.iter_rows())
    return ScanSummary(
        pictures=sum(counts.values()),
        clean=counts.get("clean", 0),
        defective=counts.get("defective", 0),
        errors=counts.get("error", 0),
        per_class={name: per_class.get(name, 0) for name in record.classes},
        seconds=table.select(pl.col("seconds").sum()).collect().item(),
    )


def _check(folder: ScanFolder, shards: list[Shard]) -> None:
    """Raise RunError unless the shards hold every picture exactly once, and no others do."""
    done = folder.done()
    missing = [shard for shard in shards if shard.name not in done]
    if missing:
        count = sum(len(shard.inputs) for shard in missing)
        problem = f"{len(missing)} of {len(shards)} shards are not done ({count} pictures)"
        raise RunError(folder.root, problem, _AGAIN)
    if len(done) > len(shards):
        other = sorted(done - {shard.name for shard in shards})[0]
        problem = "is no shard of this scan"
        raise RunError(folder.file(other), problem, "Remove it, or choose another --out")
    for shard in shards:
        file = folder.file(shard.name)
        try:
            table = pl.read_parquet(file, columns=["name"])
            whole = pl.read_parquet_schema(file) == SCHEMA
        except (OSError, pl.exceptions.PolarsError) as error:
            raise RunError(file, "is damaged", f"Remove it. {_AGAIN}") from error
        if not whole or table["name"].to_list() != list(shard.inputs):
            problem = "does not hold each of its pictures exactly once"
            raise RunError(file, problem, f"Remove it. {_AGAIN}")
