"""The files of a scan: what is scanned, in which shards, and which of them are done."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from steelscan.strip import Spec
from steelscan.strip.errors import RunError
from steelscan.strip.files import output_folder, write_text
from steelscan.strip.tables import write_parquet

_OTHER = "Choose another --out"


@dataclass(frozen=True)
class Shard:
    """Pictures that are scanned together, into one file."""

    name: str
    """A hash of the bundle and of the names of the pictures."""
    inputs: tuple[str, ...]


class ScanRecord(Spec):
    """What a folder of results is of: ``scan.json``."""

    bundle: str
    """SHA-256 of the bundle."""
    classes: tuple[str, ...]
    source: str
    pictures: int
    inputs: str
    """SHA-256 of the names of all pictures."""
    shard_size: int


class ScanFolder:
    """The folder of a scan: ``scan.json``, ``inputs.parquet``, ``shards/`` and the merged tables.

    A shard is done if its file is there. Any number of processes and machines may write into it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.shards = root / "shards"

    def begin(self, record: ScanRecord, inputs: Sequence[str]) -> ScanRecord:
        """Record what is scanned, unless it is recorded; return what is.

        The size of shards is that of the first call. Raises RunError if the folder belongs to
        another scan, OutputError if it cannot be written.
        """
        output_folder(self.shards)
        file = self.root / "scan.json"
        if not file.exists():
            table = pl.DataFrame({"name": inputs}, {"name": pl.String})
            write_parquet(self.root / "inputs.parquet", table)
            write_text(file, record.model_dump_json(indent=2) + "\n")
        there = self.record()
        if there.bundle != record.bundle:
            problem = "holds a scan by another bundle"
            raise RunError(self.root, problem, _OTHER)
        if there.inputs != record.inputs:
            problem = f"holds a scan of other pictures ({there.pictures} of {there.source})"
            raise RunError(self.root, problem, _OTHER)
        return there

    def record(self) -> ScanRecord:
        """Return what is scanned into this folder. Raises RunError if that is not known."""
        file = self.root / "scan.json"
        try:
            return ScanRecord.model_validate_json(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            problem = "is no folder of a scan: its scan.json is missing or damaged"
            raise RunError(self.root, problem, "Choose the --out of steelscan scan") from error

    def all_shards(self) -> Iterator[Shard]:
        """Yield the shards in the order of the pictures. Raises RunError."""
        record, file = self.record(), self.root / "inputs.parquet"
        try:
            names = pl.read_parquet(file)["name"].to_list()
        except (OSError, pl.exceptions.PolarsError) as error:
            raise RunError(file, "is missing or damaged", _OTHER) from error
        if hash_of(names) != record.inputs:
            raise RunError(file, "does not fit scan.json", _OTHER)
        for start in range(0, len(names), record.shard_size):
            inputs = tuple(names[start : start + record.shard_size])
            yield Shard(hash_of([record.bundle, *inputs])[:32], inputs)

    def file(self, shard: str) -> Path:
        """Return the file of a shard."""
        return self.shards / f"{shard}.parquet"

    def done(self) -> set[str]:
        """Return the names of the shards that are done."""
        return {file.stem for file in self.shards.glob("[!.]*.parquet")}


def hash_of(texts: Sequence[str]) -> str:
    """Return a SHA-256 of a list of texts."""
    content = hashlib.sha256()
    for text in texts:
        content.update(json.dumps(text).encode() + b"\n")
    return content.hexdigest()
