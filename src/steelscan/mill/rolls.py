"""Rolls, near-duplicates within them, names of strips, and random streams."""

from enum import IntEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from steelscan.mill.spec import Mill


class Stream(IntEnum):
    """The purposes of independent random streams, so that strips can be made in any order."""

    ROLLS = 0
    STYLE = 1
    REPEAT = 2
    CLASSES = 3
    OUTLINES = 4
    STEEL = 5
    DAMAGE = 6
    CLUTTER = 7
    CAMERA = 8


def stream(mill: Mill, purpose: Stream, index: int) -> np.random.Generator:
    """Return the random numbers for one purpose and one strip, scene or roll."""
    return np.random.default_rng([mill.seed, purpose, index])


def roll_of(mill: Mill, index: int) -> int:
    """Return the number of the roll that contains strip ``index``."""
    starts = _roll_starts(mill.seed, mill.strips, mill.roll)
    return int(np.searchsorted(starts, index, side="right")) - 1


def scene_of(mill: Mill, index: int) -> int:
    """Return the first strip that shows the same piece of steel as strip ``index``."""
    first = int(_roll_starts(mill.seed, mill.strips, mill.roll)[roll_of(mill, index)])
    while index > first and stream(mill, Stream.REPEAT, index).random() < mill.duplicate_share:
        index -= 1
    return index


def first_of_next_roll(mill: Mill) -> int:
    """Return the first index at or after ``mill.strips`` at which a roll begins."""
    starts = _roll_starts(mill.seed, mill.strips, mill.roll)
    return int(starts[np.searchsorted(starts, mill.strips)])


def name_of(mill: Mill, index: int) -> str:
    """Return a unique name as in the competition: nine hexadecimal digits."""
    odd = 0x9E3779B97 | 1  # an odd factor permutes the 2**36 numbers of nine digits
    offset = int(stream(mill, Stream.ROLLS, 1).integers(2**36))
    return f"{(index * odd + offset) % 2**36:09x}.jpg"


@lru_cache(maxsize=16)
def _roll_starts(seed: int, strips: int, roll: tuple[int, int]) -> NDArray[np.int64]:
    """Return the first index of each roll, beyond ``strips``; the first do not depend on it."""
    rng = np.random.default_rng([seed, Stream.ROLLS, 0])
    lengths = rng.integers(roll[0], roll[1] + 1, strips // roll[0] + 2)
    return np.concatenate([[0], np.cumsum(lengths)])
