"""Hashes of files' contents, cached between processes so that each file is read once.

A cached hash is valid while size, times and inode of the file are unchanged, as in git. A file that
changed in the last seconds is not cached: its times may stay the same after one more change. If the
cache cannot be written or is damaged, files are read again.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from steelscan.data.files import Files, Stamp
from steelscan.strip import track
from steelscan.strip.errors import DatasetError, OutputError
from steelscan.strip.files import cache_folder, write_bytes

_TIME_STEP = 2.0
"""Seconds in which a file may change without a change of its times, on FAT."""

_CHUNK = 1 << 20
_MANY = 1000
"""From this many files on, `track_many` shows the progress."""

_Cache: TypeAlias = dict[str, tuple[Stamp, str]]


def content_hashes(files: Files, names: Iterable[str]) -> dict[str, str]:
    """Return the hash of each file's content by name: BLAKE2b of 16 bytes, hexadecimal.

    It is "" for a file that cannot be read; reading the picture raises the error.
    """
    path = _cache_path(files)
    cached, hashes, kept = _load(path), dict.fromkeys(names, ""), {}
    stamps = {name: stamp for name in hashes if (stamp := _stamp(files, name))}
    for name, stamp in stamps.items():
        if name in cached and cached[name][0] == stamp:
            kept[name], hashes[name] = cached[name], cached[name][1]
    missing = [name for name in stamps if name not in kept]
    for name in track_many(missing, "Reading pictures"):
        hashes[name] = _hash(files, name)
        if hashes[name] and _is_settled(stamps[name]) and _stamp(files, name) == stamps[name]:
            kept[name] = stamps[name], hashes[name]
    if missing:
        _save(path, kept)
    return hashes


def _cache_path(files: Files) -> Path | None:
    """Return the cache file for one folder; None if there is no home folder."""
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


def _hash(files: Files, name: str) -> str:
    whole = hashlib.blake2b(digest_size=16)
    try:
        with files.open(name) as file:
            while chunk := file.read(_CHUNK):
                whole.update(chunk)
    except DatasetError:
        return ""
    return whole.hexdigest()


def _is_settled(stamp: Stamp) -> bool:
    """Return whether the last change is so long ago that one more would change the times."""
    *_, modified, changed = stamp
    return max(modified, changed) < time.time_ns() - _TIME_STEP * 1e9


def _load(path: Path | None) -> _Cache:
    with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
        if path is not None:
            checksum, _, content = path.read_bytes().partition(b"\n")
            if checksum == _checksum(content):
                return {name: (tuple(at), text) for name, (at, text) in json.loads(content).items()}
    return {}


def _save(path: Path | None, cache: _Cache) -> None:
    content = json.dumps(cache).encode()
    with suppress(OutputError):
        if path is not None:
            write_bytes(path, _checksum(content) + b"\n" + content)


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).hexdigest().encode()


def track_many(names: Sequence[str], title: str) -> Iterator[str]:
    """Yield names, and show the progress if they are so many that it takes a while."""
    return track(names, title, len(names)) if len(names) >= _MANY else iter(names)
