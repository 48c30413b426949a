"""The store of probabilities: one chunk a strip on disk, so that memory stays bounded."""

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
        """Open or make the store for mask probabilities, or without frames for classes."""
        self._frames = frames
        self._log = folder / "strips.txt"
        largest = tuple(np.max(frames, axis=0).tolist()) if frames else ()
        shape = (classes, *largest)
        place = folder / "levels.zarr"
        try:
            if not (place / "zarr.json").exists():
                zarr.create_array(
                    place,
                    shape=(strips, *shape),
                    chunks=(1, *shape),
                    dtype="uint8" if frames else "float32",
                    fill_value=0,
                    compressors=ZstdCodec(level=0),
                )
            # to look for empty chunks, which need no file, takes about as long as to write
            with zarr.config.set({"array.write_empty_chunks": True}):
                self._array = zarr.open_array(place, mode="r+")
            self._log.touch()
            text = self._log.read_text(encoding="utf-8")
        except OSError as error:
            raise cannot_write(folder, error) from error
        whole, _, cut_short = text.rpartition("\n")
        if cut_short:  # by a crash; the next line must not make it whole
            write_text(self._log, f"{whole}\n")
        self._known = _strips_in(whole)

    @classmethod
    def to_read(cls, folder: Path, frames: Sequence[Frame]) -> Self:
        """Open a store that is there, to read it only. Raises RunError when it is not there."""
        store = cls.__new__(cls)
        store._frames = frames
        store._log = folder / "strips.txt"
        try:
            store._array = zarr.open_array(folder / "levels.zarr", mode="r")
            store._known = _strips_in(store._log.read_text(encoding="utf-8").rpartition("\n")[0])
        except OSError:
            remedy = "Give the same train command again: it fits no network twice"
            raise RunError(folder, "holds no probabilities that can be read", remedy) from None
        return store

    def __contains__(self, strip: int) -> bool:
        return strip in self._known

    def __getitem__(self, strip: int) -> NDArray[np.generic]:
        stored = np.asarray(self._array[strip])
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


def _strips_in(text: str) -> set[int]:
    return {int(line) for line in text.split("\n") if line}
