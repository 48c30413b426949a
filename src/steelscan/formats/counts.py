"""Masks as counts of pixels, alternately outside and inside: as a list, and as COCO's string."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from steelscan.strip.errors import Fault, MaskError

_AGAIN = "Export the annotations again; the file may be cut off"
_LONGEST_COUNT = 60
"""Upper limit of the bits of one count."""


def from_counts(counts: Sequence[int], pixels: int, where: object) -> NDArray[np.bool_]:
    """Return counts as bool ``(pixels,)``; the first one counts pixels outside and may be 0.

    Raises MaskError if a count is negative or if they do not add up to ``pixels``.
    """
    total = sum(counts)
    if total != pixels or min(counts, default=0) < 0:
        shown = total if abs(total) < 10**12 else "far too many"  # Python limits the digits
        problem = f"counts cover {shown} pixels, the mask has {pixels}"
        raise MaskError(where, problem, _AGAIN, Fault.RUNS)
    return np.repeat(np.arange(len(counts)) % 2 == 1, np.asarray(counts, np.int64))


def to_counts(flat: NDArray[np.bool_]) -> list[int]:
    """Return the counts of bool ``(pixels,)``, beginning with pixels outside."""
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts: list[int] = np.diff(edges, prepend=0, append=flat.size).tolist()
    return [0, *counts] if flat.size and flat[0] else counts


def unpack_counts(text: str, where: object) -> list[int]:
    """Return the counts of COCO's string: five bits per character, differences from the third on.

    Not left to pycocotools, which fills what a short string lacks with random memory. Raises
    MaskError for other characters and for a string that ends too early.
    """
    counts: list[int] = []
    value = shift = 0
    for char in text:
        bits = ord(char) - 48
        if not 0 <= bits < 64:
            raise MaskError(where, f"packed counts contain {char!r}", _AGAIN, Fault.RUNS)
        value |= (bits & 31) << shift
        shift += 5
        if shift > _LONGEST_COUNT:
            problem = "packed counts contain an endless number"
            raise MaskError(where, problem, _AGAIN, Fault.RUNS)
        if not bits & 32:
            value -= (bits >> 4 & 1) << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise MaskError(where, "packed counts end too early", _AGAIN, Fault.RUNS)
    return counts


def pack_counts(counts: Sequence[int]) -> str:
    """Return counts as COCO's string; see `unpack_counts`."""
    chars: list[str] = []
    for at, count in enumerate(counts):
        value, more = count - (counts[at - 2] if at > 2 else 0), True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            chars.append(chr(48 + bits + 32 * more))
    return "".join(chars)
