"""An output folder of predictions belongs to one run or bundle, and to one process at a time."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steelscan.data.files import PREDICT_MARKER
from steelscan.strip.errors import RunError
from steelscan.strip.files import check_output, lock_folder, output_folder, write_bytes, write_text

TABLE, SKIPPED, LOG = "submission.csv", "skipped.csv", "predictions.jsonl"
_WRITTEN = (TABLE, SKIPPED, LOG, "masks", "overlays")


def claim(out: Path, mark: str, made_of: bytes, *settings: str) -> None:
    """Make a folder, and record in its file ``mark`` which run or bundle it belongs to.

    Raises RunError if it belongs to another run or bundle, or was made with other settings;
    OutputError if it cannot be written.
    """
    output_folder(out)
    content = made_of + "".join(f"\n{setting}" for setting in settings).encode()
    own = f"{hashlib.sha256(content).hexdigest()}\n".encode()
    file = out / mark
    if file.exists() and not file.read_bytes().startswith(own):
        problem = "holds predictions of another run or bundle, or with other settings"
        raise RunError(out, problem, "Choose another --out")
    write_bytes(file, own)


@contextmanager
def claimed(out: Path, made_of: bytes, *settings: str) -> Iterator[None]:
    """Reserve a folder for the predictions of this process, by a run or bundle and settings.

    ``made_of`` identifies the run or bundle. Raises RunError if another process works there, if
    the folder holds predictions of another run or with other settings, or files that no prediction
    wrote, or if its table was changed since; OutputError if it cannot be written.
    """
    check_output(out / TABLE)
    with lock_folder(out):
        _check(out)
        claim(out, PREDICT_MARKER, made_of, *settings)
        yield


def record_table(out: Path) -> None:
    """Store the hash of a finished table, so that later changes of it are noticed."""
    mark = out / PREDICT_MARKER
    owner = mark.read_text(encoding="utf-8").split()[0]
    write_text(mark, f"{owner}\n{_hash(out / TABLE)}\n")


def _check(out: Path) -> None:
    mark, table = out / PREDICT_MARKER, out / TABLE
    if not mark.exists():
        for name in _WRITTEN:
            if (out / name).exists():
                problem = f"holds {name}, which no steelscan predict wrote"
                raise RunError(out, problem, "Choose another --out, or move it away")
        return
    _, *hashes = mark.read_bytes().split() or [b""]
    finished = table.exists() and not (out / LOG).exists()
    if hashes and finished and _hash(table).encode() not in hashes:
        remedy = "Move it away to keep it, or choose another --out"
        raise RunError(table, "was changed since it was written here", remedy)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
