"""The store of probabilities: one chunk a strip on disk, so that memory stays bounded.

A strip is read only from a chunk that is there and whole: zarr would give zeros for a missing one,
and sound steel would be what nobody predicted.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from steelscan.strip import Frame, RunError, cannot_write, write_text


class ProbabilityStore:
    """Answers of an ensemble for the strips of a data set, written one by one, in any order.

    Mask probabilities are uint8 levels ``(classes, height, width)`` of each strip's own frame;
    smaller strips fill the corner of a chunk of the largest frame. Class probabilities are
    float32 ``(classes,)``. A store that was interrupted knows what it holds.
    """

    def __init__(self, folder: Path, strips: int, classes: int, frames: Sequence[Frame]) -> None:
        """Open or make the store for mask probabilities, or without frames for classes.

        Raises RunError for a store that is damaged or of other strips, OutputError.
        """
        self._describe(folder, strips, classes, frames)
        try:
            if not (self._place / "zarr.json").exists():
                zarr.create_array(
                    self._place,
                    shape=(strips, *self._shape),
                    chunks=(1, *self._shape),
                    dtype=self._dtype,
                    fill_value=0,
                    compressors=ZstdCodec(level=0, checksum=True),
                )
            for left_by_a_crash in self._place.rglob("*.partial"):
                left_by_a_crash.unlink()
            self._open("r+")
            if not self._log.is_dir():
                self._log.touch()
            cut_short = self._read_log()
            if cut_short:  # by a crash; the next line must not make it whole
                write_text(self._log, "".join(f"\n{strip}\n" for strip in sorted(self._known)))
        except OSError as error:
            raise cannot_write(folder, error) from error

    @classmethod
    def to_read(cls, folder: Path, strips: int, classes: int, frames: Sequence[Frame]) -> Self:
        """Open a store that is there, to read it only.

        Raises RunError when it is not there, lacks what it lists, is damaged or of other strips.
        """
        store = cls.__new__(cls)
        store._describe(folder, strips, classes, frames)
        store._open("r")
        store._read_log()
        return store

    def _describe(self, folder: Path, strips: int, classes: int, frames: Sequence[Frame]) -> None:
        self._frames, self._strips = frames, strips
        self._log, self._place = folder / "strips.txt", folder / "levels.zarr"
        largest = tuple(np.max(frames, axis=0).tolist()) if frames else ()
        self._shape = (classes, *largest)
        self._dtype = "uint8" if frames else "float32"

    def _open(self, mode: str) -> None:
        """Open the array. Raises RunError unless it is one of just these strips."""
        try:
            # to look for empty chunks, which need no file, takes about as long as to write
            with zarr.config.set({"array.write_empty_chunks": True}):
                self._array = zarr.open_array(self._place, mode=mode)
            shape, chunks = self._array.shape, self._array.chunks
            found = f"describes {self._array.dtype} {shape} in chunks of {chunks}"
        except Exception as error:  # what a reader of JSON and of codecs raises on any bytes
            found = f"cannot be read ({_reason(error)})"
            raise self._broken(self._place / "zarr.json", found) from None
        wanted = ((self._strips, *self._shape), (1, *self._shape), self._dtype)
        if (shape, chunks, str(self._array.dtype)) != wanted:
            raise self._broken(self._place / "zarr.json", f"{found}, not what this run stores")

    def _read_log(self) -> bool:
        """Learn which strips there are; returns whether a crash cut the last line short."""
        try:
            whole, _, cut_short = self._log.read_bytes().rpartition(b"\n")
        except OSError as error:
            raise self._broken(self._log, f"cannot be read ({error.strerror})") from None
        self._known: set[int] = set()
        for line in filter(None, whole.split(b"\n")):
            strip = int(line) if line.isdigit() and len(line) < 20 else -1
            if not 0 <= strip < self._strips:
                found = f"names the strip {line[:20]!r}, and strips are numbered to {self._strips}"
                raise self._broken(self._log, found)
            self._chunk(strip)
            self._known.add(strip)
        return bool(cut_short)

    def _chunk(self, strip: int) -> Path:
        """The file that holds a strip. Raises RunError when it is missing."""
        place = (strip, *(0 for _ in self._shape))
        chunk = self._place / self._array.metadata.encode_chunk_key(place)
        if not chunk.is_file():
            raise self._broken(chunk, "is missing, and holds the probabilities of a strip")
        return chunk

    def __contains__(self, strip: object) -> bool:
        return strip in self._known

    def __getitem__(self, strip: int) -> NDArray[np.generic]:
        """What was stored of a strip. Raises RunError unless its chunk is there and whole."""
        chunk = self._chunk(strip)
        try:
            stored = np.asarray(self._array[strip])
        except Exception as error:  # codecs raise almost anything on bad bytes
            raise self._broken(chunk, f"is damaged or cut off ({_reason(error)})") from None
        if not self._frames:
            return stored
        frame = self._frames[strip]
        return stored[:, : frame.height, : frame.width]

    def __setitem__(self, strip: int, answer: NDArray[np.generic]) -> None:
        try:
            if self._frames:
                frame = self._frames[strip]
                self._array[strip, :, : frame.height, : frame.width] = answer
            else:
                self._array[strip] = answer
            with self._log.open("a", encoding="utf-8") as log:
                log.write(f"\n{strip}\n")
        except OSError as error:
            raise cannot_write(self._log.parent, error) from error
        self._known.add(strip)

    def _broken(self, path: Path, found: str) -> RunError:
        folder = self._log.parent
        remedy = f"Remove {folder} and give the same train command again: it fits no network twice"
        return RunError(path, found, remedy)


def _reason(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
