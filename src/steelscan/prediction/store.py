"""The store of probabilities: one chunk per strip on disk, so that memory stays bounded.

A strip is read only from a chunk that exists and is whole: zarr returns zeros for a missing chunk,
which would turn a strip without a prediction into a clean one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from steelscan.strip import Frame
from steelscan.strip.errors import RunError
from steelscan.strip.files import write_text, writing


class ProbabilityStore:
    """Outputs of an ensemble for the strips of a data set, written one by one, in any order.

    Probabilities of pixels are uint8 255ths ``(classes, height, width)`` of each strip's own frame;
    smaller strips fill the corner of a chunk of the largest frame. Probabilities of classes are
    float32 ``(classes,)``. A log lists the strips that are stored, so that writing can go on after
    an interruption.
    """

    def __init__(self, folder: Path, strips: int, classes: int, frames: Sequence[Frame]) -> None:
        """Open or create a store of pixel probabilities, or without frames of class probabilities.

        Raises RunError for a store that is damaged or of other strips, OutputError.
        """
        self._describe(folder, strips, classes, frames)
        with writing(folder):
            if not (self._folder / "zarr.json").exists():
                zarr.create_array(
                    self._folder,
                    shape=(strips, *self._shape),
                    chunks=(1, *self._shape),
                    dtype=self._dtype,
                    fill_value=0,
                    compressors=ZstdCodec(level=0, checksum=True),
                )
            for left_by_a_crash in self._folder.rglob("*.partial"):
                left_by_a_crash.unlink()
            self._open("r+")
            if not self._log.is_dir():
                self._log.touch()
            cut_short = self._read_log()
            if cut_short:  # by a crash; appending must not complete that line
                write_text(self._log, "".join(f"\n{strip}\n" for strip in sorted(self._stored)))

    @classmethod
    def to_read(cls, folder: Path, strips: int, classes: int, frames: Sequence[Frame]) -> Self:
        """Open an existing store, to read it only.

        Raises RunError if it does not exist, lacks a listed strip, is damaged or of other strips.
        """
        store = cls.__new__(cls)
        store._describe(folder, strips, classes, frames)
        store._open("r")
        store._read_log()
        return store

    def _describe(self, folder: Path, strips: int, classes: int, frames: Sequence[Frame]) -> None:
        self._frames, self._strips = frames, strips
        self._log, self._folder = folder / "strips.txt", folder / "probabilities.zarr"
        largest = tuple(np.max(frames, axis=0).tolist()) if frames else ()
        self._shape = (classes, *largest)
        self._dtype = "uint8" if frames else "float32"

    def _open(self, mode: str) -> None:
        """Open the array. Raises RunError unless its shape and type are those of these strips."""
        try:
            # checking for empty chunks, which need no file, takes about as long as writing them
            with zarr.config.set({"array.write_empty_chunks": True}):
                self._array = zarr.open_array(self._folder, mode=mode)
            shape, chunks = self._array.shape, self._array.chunks
            problem = f"describes {self._array.dtype} {shape} in chunks of {chunks}"
        except Exception as error:  # readers of JSON and of codecs raise many kinds
            problem = f"cannot be read ({_reason(error)})"
            raise self._broken(self._folder / "zarr.json", problem) from None
        wanted = ((self._strips, *self._shape), (1, *self._shape), self._dtype)
        if (shape, chunks, str(self._array.dtype)) != wanted:
            raise self._broken(self._folder / "zarr.json", f"{problem}, not what this run stores")

    def _read_log(self) -> bool:
        """Read which strips are stored; return whether a crash cut the last line short."""
        try:
            whole, _, cut_short = self._log.read_bytes().rpartition(b"\n")
        except OSError as error:
            raise self._broken(self._log, f"cannot be read ({error.strerror})") from None
        self._stored: set[int] = set()
        for line in filter(None, whole.split(b"\n")):
            strip = int(line) if line.isdigit() and len(line) < 20 else -1
            if not 0 <= strip < self._strips:
                problem = f"lists the strip {line[:20]!r}; there are {self._strips} strips"
                raise self._broken(self._log, problem)
            self._chunk(strip)
            self._stored.add(strip)
        return bool(cut_short)

    def _chunk(self, strip: int) -> Path:
        """Return the file of a strip. Raises RunError if it is missing."""
        index = (strip, *(0 for _ in self._shape))
        chunk = self._folder / self._array.metadata.encode_chunk_key(index)
        if not chunk.is_file():
            raise self._broken(chunk, "is missing, and holds the probabilities of a strip")
        return chunk

    def __contains__(self, strip: object) -> bool:
        return strip in self._stored

    def __getitem__(self, strip: int) -> NDArray[np.generic]:
        """Return the output of a strip. Raises RunError unless its chunk exists and is whole."""
        chunk = self._chunk(strip)
        try:
            stored = np.asarray(self._array[strip])
        except Exception as error:  # codecs raise many kinds on bad bytes
            raise self._broken(chunk, f"is damaged or cut off ({_reason(error)})") from None
        if not self._frames:
            return stored
        frame = self._frames[strip]
        return stored[:, : frame.height, : frame.width]

    def __setitem__(self, strip: int, output: NDArray[np.generic]) -> None:
        with writing(self._log.parent):
            if self._frames:
                frame = self._frames[strip]
                self._array[strip, :, : frame.height, : frame.width] = output
            else:
                self._array[strip] = output
            with self._log.open("a", encoding="utf-8") as log:
                log.write(f"\n{strip}\n")
        self._stored.add(strip)

    def _broken(self, path: Path, problem: str) -> RunError:
        folder = self._log.parent
        remedy = f"Remove {folder} and give the same train command again: it fits no network twice"
        return RunError(path, problem, remedy)


def _reason(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
