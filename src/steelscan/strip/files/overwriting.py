"""Which existing files an output may replace.

It never replaces an input, a file of a run or of a data set. Another file is replaced only if its
content shows that the same command wrote it, so that running that command again restores it.
"""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from steelscan.strip.errors import OutputError
from steelscan.strip.files.output import hidden_path, remove_leftovers

OF_A_RUN = frozenset(
    (
        "checksums.json",
        "data.txt",
        "folds.csv",
        "jobs.txt",
        "likeness.json",
        "mlruns",
        "networks",
        "notes.json",
        "pairs.csv",
        "predicted.csv",
        "probabilities",
        "recipe.json",
        "recipe.py",
        "report.html",
        "rounds",
        "run.json",
        "scores.json",
        "submission.csv",
        "submission.jsonl",
        "tests.txt",
        "thresholds.json",
        "track",
        "verdict.json",
        "wandb",
    )
)
"""Files and folders of a run folder that only training writes."""

_OF_A_DATA_SET = frozenset(("train.csv", "classes.csv", "groups.csv"))
_PICTURES = ("train_images", "images")
"""Tables of these names next to a folder of these names belong to a data set."""

_HEAD = 1 << 16
"""Bytes at the beginning of a file that show its kind."""

_REMEDY = "Choose another file, or move this one away"


@dataclass(frozen=True)
class FileKind:
    """A kind of file that a command writes: its name in messages, and how to recognise one."""

    name: str
    holds: Callable[[Path], bool]

    @classmethod
    def table(cls, name: str, *headers: Iterable[str]) -> Self:
        """Return the kind of CSV files with one of these headers."""
        rows = [list(header) for header in headers]

        def holds(path: Path) -> bool:
            text = _head(path).decode("utf-8-sig", errors="replace")
            try:
                return next(csv.reader(io.StringIO(text, newline="")), []) in rows
            except csv.Error:
                return False

        return cls(name, holds)

    @classmethod
    def json(cls, name: str, *keys: str) -> Self:
        """Return the kind of JSON files with an object, or a list of them, with these keys."""

        def holds(path: Path) -> bool:
            try:
                content = json.loads(path.read_bytes())
            except (ValueError, RecursionError):
                return False
            if isinstance(content, list) and content:
                content = content[0]
            return isinstance(content, dict) and set(keys) <= content.keys()

        return cls(name, holds)

    @classmethod
    def page(cls, verb: str) -> Self:
        """Return the kind of HTML pages that a command writes."""
        brand = f'<div class="brand">steelscan {verb}</div>'.encode()
        return cls(f"page of steelscan {verb}", lambda path: brand in _head(path))

    @classmethod
    def zip(cls, name: str, member: str) -> Self:
        """Return the kind of zips that contain a file of this name."""

        def holds(path: Path) -> bool:
            try:
                with zipfile.ZipFile(path) as packed:
                    return member in packed.namelist()
            except (zipfile.BadZipFile, ValueError, RuntimeError):
                return False

        return cls(name, holds)


def check_output(
    path: Path, kind: FileKind | None = None, inputs: Iterable[Path] = (), own: Path | None = None
) -> None:
    """Raise OutputError if writing a file would destroy something else.

    That is a file of a run (except ``own``, which this command itself makes) or of a data set, one
    of the command's ``inputs``, and an existing file that is not of the ``kind``. Removes what a
    killed process left of the same file.
    """
    owner = _run_of(path)
    if owner is not None and (own is None or path.resolve() != own.resolve()):
        raise OutputError(path, f"belongs to the run {owner}", "Choose a file outside the run")
    real = path.resolve()
    if real.name in _OF_A_DATA_SET and any((real.parent / each).is_dir() for each in _PICTURES):
        problem = f"belongs to the data set {real.parent}"
        raise OutputError(path, problem, "Choose a file outside the data set")
    for other in inputs:
        if path.resolve() == other.resolve():
            raise OutputError(path, "is an input of the same command", "Choose another file")
    if path.exists() and not path.is_file():
        raise OutputError(path, "exists and is not an ordinary file", "Choose another file")
    if kind is not None and path.is_file():
        try:
            replaceable = not path.stat().st_size or kind.holds(path)
        except OSError as error:
            problem = f"exists and cannot be read ({error.strerror})"
            raise OutputError(path, problem, _REMEDY) from None
        if not replaceable:
            raise OutputError(path, f"exists and is not a {kind.name}", _REMEDY)
    remove_leftovers(path.parent, hidden_path(path, "").name)


def _run_of(path: Path) -> Path | None:
    """Return the run folder to which a file of this name belongs, even if it does not exist."""
    child = path.resolve()
    for folder in child.parents:
        is_run = (folder / "run.json").is_file() and (folder / "recipe.json").is_file()
        if is_run and child.name in OF_A_RUN:
            return folder
        child = folder
    return None


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)
