"""What a file output may replace: nothing that is read, that is a run's, or of another kind.

A file that is there already is replaced only where its beginning shows that the same verb could
have written it: then nothing is lost that giving the command again does not bring back.
"""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from steelscan.strip.errors import OutputError
from steelscan.strip.output import hidden_beside, remove_leftovers

OF_A_RUN = frozenset(
    (
        "checksums.json",
        "data.txt",
        "folds.csv",
        "likeness.json",
        "networks",
        "notes.json",
        "pairs.csv",
        "predicted.csv",
        "probabilities",
        "recipe.json",
        "report.html",
        "rounds",
        "run.json",
        "scores.json",
        "submission.csv",
        "submission.jsonl",
        "tests.txt",
        "thresholds.json",
    )
)
"""Files and folders in a run folder that training writes, and no other verb."""

_OF_A_DATA_SET = frozenset(("train.csv", "classes.csv", "groups.csv"))
_PICTURES = ("train_images", "images")
"""Such tables beside such a folder are those of a data set."""

_HEAD = 1 << 16
"""Bytes of a file in which its kind shows."""

_REMEDY = "Name another file, or move this one away"


@dataclass(frozen=True)
class FileKind:
    """A kind of file that a verb writes: what messages call it, and how one is known by a path."""

    name: str
    holds: Callable[[Path], bool]


def table_kind(name: str, *heads: Iterable[str]) -> FileKind:
    """CSV files with one of these rows of column names."""
    rows = [list(head) for head in heads]

    def holds(path: Path) -> bool:
        text = _head(path).decode("utf-8-sig", errors="replace")
        try:
            return next(csv.reader(io.StringIO(text, newline="")), []) in rows
        except csv.Error:
            return False

    return FileKind(name, holds)


def json_kind(name: str, *keys: str) -> FileKind:
    """JSON files that hold an object, or a list of objects, with all of these keys."""

    def holds(path: Path) -> bool:
        try:
            content = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            return False
        if isinstance(content, list) and content:
            content = content[0]
        return isinstance(content, dict) and set(keys) <= content.keys()

    return FileKind(name, holds)


def page_kind(verb: str) -> FileKind:
    """HTML pages that bear the name of a verb in their head."""
    brand = f'<div class="brand">steelscan {verb}</div>'.encode()
    return FileKind(f"page of steelscan {verb}", lambda path: brand in _head(path))


def zip_kind(name: str, member: str) -> FileKind:
    """Zips that hold a file of this name."""

    def holds(path: Path) -> bool:
        try:
            with zipfile.ZipFile(path) as packed:
                return member in packed.namelist()
        except (zipfile.BadZipFile, ValueError, RuntimeError):
            return False

    return FileKind(name, holds)


def check_output(
    path: Path, kind: FileKind | None = None, inputs: Iterable[Path] = (), own: Path | None = None
) -> None:
    """Refuse to write a file where that would destroy what is not the verb's own.

    That is what belongs to a run (save for ``own``, a file of it that this very verb makes) or to
    a data set, one of the ``inputs`` of the same command, and a file that is there and not of the
    ``kind``.
    Removes what a killed process left of the same file. Raises OutputError.
    """
    owner = _run_of(path)
    if owner is not None and (own is None or path.resolve() != own.resolve()):
        raise OutputError(path, f"belongs to the run {owner}", "Name a file outside of it")
    real = path.resolve()
    if real.name in _OF_A_DATA_SET and any((real.parent / each).is_dir() for each in _PICTURES):
        found = f"belongs to the data set {real.parent}"
        raise OutputError(path, found, "Name a file outside of it")
    for other in inputs:
        if path.resolve() == other.resolve():
            raise OutputError(path, "is read by the same command", "Name another file")
    if path.exists() and not path.is_file():
        raise OutputError(path, "is there already and no ordinary file", "Name another file")
    if kind is not None and path.is_file():
        try:
            known = not path.stat().st_size or kind.holds(path)
        except OSError as error:
            found = f"is there already and cannot be read ({error.strerror})"
            raise OutputError(path, found, _REMEDY) from None
        if not known:
            raise OutputError(path, f"is there already and no {kind.name}", _REMEDY)
    remove_leftovers(path.parent, hidden_beside(path, "").name)


def _run_of(path: Path) -> Path | None:
    """The run folder to which a file of this name belongs, there already or not."""
    real = path.resolve()
    inside = real
    for folder in real.parents:
        whole = (folder / "run.json").is_file() and (folder / "recipe.json").is_file()
        if whole and inside.name in OF_A_RUN:
            return folder
        inside = folder
    return None


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)
