"""A folder of answers belongs to one run or to one bundle, and to one process at a time."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steelscan.data.files import PREDICT_MARKER
from steelscan.strip import RunError, check_output, held, output_folder, write_bytes, write_text

TABLE, SKIPPED, LOG = "submission.csv", "skipped.csv", "answers.jsonl"
_OURS = (TABLE, SKIPPED, LOG, "masks", "overlays")


def claim(out: Path, mark: str, made_of: bytes, *settings: str) -> None:
    """Make a folder and mark it as that of what answers, in a file of the name ``mark``.

    ``made_of`` tells it from all others. Raises RunError when the folder is marked by another, or
    for other settings, and OutputError when it cannot be written.
    """
    output_folder(out)
    content = made_of + "".join(f"\n{setting}" for setting in settings).encode()
    own = f"{hashlib.sha256(content).hexdigest()}\n".encode()
    file = out / mark
    if file.exists() and not file.read_bytes().startswith(own):
        found = "holds answers of another run or with other settings"
        raise RunError(out, found, "Name another --out")
    write_bytes(file, own)


@contextmanager
def claimed(out: Path, made_of: bytes, *settings: str) -> Iterator[None]:
    """Keep a folder for the predictions of this process, and `claim` it.

    Raises RunError, as `claim` does, when another process works there, when the folder holds what
    no prediction wrote, or when its table was changed by somebody else since.
    """
    check_output(out / TABLE)
    with held(out):
        _check(out)
        claim(out, PREDICT_MARKER, made_of, *settings)
        yield


def record_table(out: Path) -> None:
    """Note the hash of a finished table, by which a change of it shows."""
    mark = out / PREDICT_MARKER
    owner = mark.read_text(encoding="utf-8").split()[0]
    write_text(mark, f"{owner}\n{_hash(out / TABLE)}\n")


def _check(out: Path) -> None:
    mark, table = out / PREDICT_MARKER, out / TABLE
    if not mark.exists():
        for name in _OURS:
            if (out / name).exists():
                found = f"holds {name}, which no steelscan predict wrote"
                raise RunError(out, found, "Name another --out, or move it away")
        return
    _, *hashes = mark.read_bytes().split() or [b""]
    finished = table.exists() and not (out / LOG).exists()
    if hashes and finished and _hash(table).encode() not in hashes:
        remedy = "Move it away to keep it, or name another --out"
        raise RunError(table, "was changed since it was written here", remedy)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
