"""Which strips belong together: rolls, and near-duplicates within them; names; random streams."""

from enum import IntEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from steelscan.mill.spec import Mill


class Stream(IntEnum):
    """What a random number is for: streams never meet, so strips can be made in any order."""

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
    """The random numbers of one purpose for one strip, scene or roll."""
    return np.random.default_rng([mill.seed, purpose, index])


def roll_of(mill: Mill, index: int) -> int:
    """The number of the roll that strip ``index`` belongs to."""
    starts = _roll_starts(mill.seed, mill.strips, mill.roll)
    return int(np.searchsorted(starts, index, side="right")) - 1


def scene_of(mill: Mill, index: int) -> int:
    """The first strip that shows the same piece of steel: ``index`` itself, or one just before."""
    first = int(_roll_starts(mill.seed, mill.strips, mill.roll)[roll_of(mill, index)])
    while index > first and stream(mill, Stream.REPEAT, index).random() < mill.duplicate_share:
        index -= 1
    return index


def first_of_next_roll(mill: Mill) -> int:
    """The first index at or after ``mill.strips`` at which a roll begins."""
    starts = _roll_starts(mill.seed, mill.strips, mill.roll)
    return int(starts[np.searchsorted(starts, mill.strips)])


def name_of(mill: Mill, index: int) -> str:
    """A name as in the competition: nine hexadecimal digits; no two strips share one."""
    odd = 0x9E3779B97 | 1  # an odd factor permutes the 2**36 numbers of nine digits
    offset = int(stream(mill, Stream.ROLLS, 1).integers(2**36))
    return f"{(index * odd + offset) % 2**36:09x}.jpg"


@lru_cache(maxsize=16)
def _roll_starts(seed: int, strips: int, roll: tuple[int, int]) -> NDArray[np.int64]:
    """First indices of the rolls, past ``strips``; more strips leave the first rolls as are."""
    rng = np.random.default_rng([seed, Stream.ROLLS, 0])
    lengths = rng.integers(roll[0], roll[1] + 1, strips // roll[0] + 2)
    return np.concatenate([[0], np.cumsum(lengths)])
