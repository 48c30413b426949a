"""Masks as counts: so many pixels outside, so many inside, so many outside, and so on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from steelscan.strip import Fault, MaskError


def from_counts(counts: Sequence[int], pixels: int, where: object) -> NDArray[np.bool_]:
    """Lay counts out as bool ``(pixels,)``; the first counts pixels outside and may be 0.

    Raises MaskError when they are negative or do not add up to ``pixels``.
    """
    total = sum(counts)
    if total != pixels or min(counts, default=0) < 0:
        shown = total if abs(total) < 10**12 else "far too many"  # Python prints no endless number
        found = f"counts cover {shown} pixels, the mask has {pixels}"
        remedy = "Export the annotations again; the file may be cut off"
        raise MaskError(where, found, remedy, Fault.RUNS)
    return np.repeat(np.arange(len(counts)) % 2 == 1, np.asarray(counts, np.int64))


def to_counts(flat: NDArray[np.bool_]) -> list[int]:
    """Count the runs of bool ``(pixels,)``, beginning with pixels outside; see `from_counts`."""
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts: list[int] = np.diff(edges, prepend=0, append=flat.size).tolist()
    return [0, *counts] if flat.size and flat[0] else counts
