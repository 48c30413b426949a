"""Hashes of files' contents, remembered between processes so that no file is read twice for them.

What is remembered of a file counts while its size, times and inode are those that it was read at,
as git has it. A file that changed in the last seconds is not remembered: its times may be the same
after it changes once more. What is remembered is never needed: where it cannot be written, or is
damaged, files are read again.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from steelscan.data.files import Files, Stamp
from steelscan.strip import DatasetError, OutputError, track, write_bytes

_RESTLESS = 2.0
"""Seconds in which a file may change and keep its times: so coarse are those of FAT."""

_CHUNK = 1 << 20
_MANY = 1000
"""From so many files to read on, reading shows its progress."""

_Known: TypeAlias = dict[str, tuple[Stamp, str]]


def content_hashes(files: Files, names: Iterable[str]) -> dict[str, str]:
    """The hash of each file's content, BLAKE2b of 16 bytes as hexadecimal text, by its name.

    That of a file that cannot be read is "": who needs its content is told why.
    """
    place = _place(files)
    known, found, kept = _remembered(place), dict.fromkeys(names, ""), {}
    stamps = {name: stamp for name in found if (stamp := _stamp(files, name))}
    for name, stamp in stamps.items():
        if name in known and known[name][0] == stamp:
            kept[name], found[name] = known[name], known[name][1]
    missing = [name for name in stamps if name not in kept]
    for name in _shown(missing):
        found[name] = _hashed(files, name)
        if found[name] and _rests(stamps[name]) and _stamp(files, name) == stamps[name]:
            kept[name] = stamps[name], found[name]
    if missing:
        _remember(place, kept)
    return found


def cache_folder() -> Path:
    """Where this program remembers what it can do without: ``$XDG_CACHE_HOME/steelscan``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # a relative one is to be ignored (XDG Base Directory Specification)
    return (Path(base) if Path(base).is_absolute() else Path("~/.cache")) / "steelscan"


def _place(files: Files) -> Path | None:
    """The file that remembers the hashes below one folder; None where there is no such place."""
    try:
        where = os.fsencode(Path(files.where("")).resolve())
        folder = cache_folder().expanduser() / "contents"
    except (OSError, RuntimeError):
        return None
    return folder / f"{hashlib.blake2b(where, digest_size=16).hexdigest()}.json"


def _stamp(files: Files, name: str) -> Stamp | None:
    try:
        return files.stamp(name)
    except DatasetError:
        return None


def _hashed(files: Files, name: str) -> str:
    whole = hashlib.blake2b(digest_size=16)
    try:
        with files.open(name) as file:
            while chunk := file.read(_CHUNK):
                whole.update(chunk)
    except DatasetError:
        return ""
    return whole.hexdigest()


def _rests(stamp: Stamp) -> bool:
    """Whether a file was last changed so long ago that a further change shows."""
    *_, modified, changed = stamp
    return max(modified, changed) < time.time_ns() - _RESTLESS * 1e9


def _remembered(place: Path | None) -> _Known:
    with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
        if place is not None:
            checksum, _, content = place.read_bytes().partition(b"\n")
            if checksum == _checksum(content):
                return {name: (tuple(at), text) for name, (at, text) in json.loads(content).items()}
    return {}


def _remember(place: Path | None, known: _Known) -> None:
    content = json.dumps(known).encode()
    with suppress(OutputError):
        if place is not None:
            write_bytes(place, _checksum(content) + b"\n" + content)


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).hexdigest().encode()


def _shown(names: list[str]) -> Iterator[str]:
    return track(names, "Reading pictures", len(names)) if len(names) >= _MANY else iter(names)
