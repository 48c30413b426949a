"""What a finished run has kept of its networks' answers, read without writing anything."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from steelscan.strip import Frame, RunError


class KeptProbabilities:
    """The answers in the folder of a `ProbabilityStore`, by the place of the strip."""

    def __init__(self, folder: Path, frames: Sequence[Frame] = ()) -> None:
        """Open a store; with frames, mask probabilities are cut to those of each strip.

        Raises RunError when there is none or it is broken.
        """
        self._folder, self._frames = folder, frames
        try:
            self._array = zarr.open_array(folder / "levels.zarr", mode="r")
            lines = (folder / "strips.txt").read_text().splitlines()
            self._known = {int(line) for line in lines if line}
        except (OSError, ValueError, KeyError) as error:
            found = f"holds no probabilities that can be read ({type(error).__name__})"
            raise RunError(folder, found, "Give the same train command again") from None

    def __getitem__(self, strip: int) -> NDArray[np.generic]:
        """The answer for a strip. Raises RunError where there is none."""
        if strip not in self._known:
            found = f"holds no answer for strip {strip}"
            raise RunError(self._folder, found, "Give the same train command again")
        stored = np.asarray(self._array[strip])
        if not self._frames:
            return stored
        frame = self._frames[strip]
        return stored[:, : frame.height, : frame.width]
