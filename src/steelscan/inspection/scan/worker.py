"""What one worker of a scan does: load the bundle once, then scan shard after shard."""

import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2

from steelscan.bundle import load
from steelscan.data import read_picture
from steelscan.inspection.scan.rows import error_row, scanned_row, write_shard
from steelscan.inspection.scan.shards import ScanFolder, Shard
from steelscan.strip.errors import BundleError, PictureError


@dataclass(frozen=True)
class Setup:
    """What all workers of a scan have in common; it can be sent to other machines."""

    bundle: Path
    sha256: str
    signed_by: Path | None
    out: Path
    read: Callable[[str], bytes]


@dataclass(frozen=True)
class Work:
    """A shard to scan.

    In ``careful`` work the name of each picture is noted in a file before it is scanned, so that it
    is known if the worker ends. Pictures to ``skip`` get rows with an error, by name.
    """

    shard: Shard
    careful: bool = False
    skip: Mapping[str, str] = field(default_factory=dict)


class ShardWorker:
    """A bundle with one thread that scans shards into the folder of a scan."""

    def __init__(self, setup: Setup) -> None:
        """Load the bundle. Raises BundleError, also if it is not the one of this scan."""
        cv2.setNumThreads(1)
        self._setup, self._folder = setup, ScanFolder(setup.out)
        self._bundle = load(setup.bundle, threads=1, signed_by=setup.signed_by)
        if self._bundle.package.sha256 != setup.sha256:
            problem = "has changed since the scan began"
            raise BundleError(setup.bundle, problem, "Repeat the command with another --out")

    def scan(self, work: Work) -> Counter[str]:
        """Scan a shard and write its file; return how many pictures have each verdict.

        Raises OutputError if the file cannot be written.
        """
        note = note_file(self._setup.out, work.shard)
        note.unlink(missing_ok=True)
        rows = []
        for name in work.shard.inputs:
            if name in work.skip:
                rows.append(error_row(name, work.skip[name]))
                continue
            if work.careful:
                note.write_text(name, encoding="utf-8")
            rows.append(self._row(name))
        write_shard(self._folder.file(work.shard.name), rows)
        note.unlink(missing_ok=True)
        return Counter(row["verdict"] for row in rows)

    def _row(self, name: str) -> dict[str, Any]:
        try:
            picture = read_picture(self._setup.read(name), name)
            scan = self._bundle.scan(picture)
        except PictureError as error:
            return error_row(name, f"{error.problem}. {error.remedy}.")
        except Exception as error:  # of the networks or the rules: this picture is not clean
            return error_row(name, "".join(traceback.format_exception_only(error)).strip())
        return scanned_row(name, picture, scan, self._bundle.classes)


def note_file(out: Path, shard: Shard) -> Path:
    """Return the file with the name of the picture that careful work is at."""
    return ScanFolder(out).shards / f".{shard.name}.at"
