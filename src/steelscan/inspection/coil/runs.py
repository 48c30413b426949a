"""Connected regions of run lengths, without ever drawing a mask.

Runs lie down the columns of a grid. Touching runs of a column become one interval; an interval is
connected with those of the next column that it touches, at a side or at a corner. Found by two
binary searches for each interval, because the intervals of a column are sorted and apart.
(He, Chao, Suzuki 2008, "A run-based two-scan labeling algorithm", here with a graph.)
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Ints = NDArray[np.int64]


class Pieces(NamedTuple):
    """Runs cut at the ends of columns: int64 arrays of equal length.

    ``run`` is the row of the run, ``column`` its column, ``top`` and ``bottom`` its first row and
    one past its last, in pixels of its picture.
    """

    run: Ints
    column: Ints
    top: Ints
    bottom: Ints


class Regions(NamedTuple):
    """Connected regions, numbered from 0.

    ``number`` is how many there are, ``of_piece`` the region of each given piece. The other arrays
    have a row per interval, sorted by group and column: its ``region``, ``column``, ``top`` and
    ``bottom``.
    """

    number: int
    of_piece: Ints
    region: Ints
    column: Ints
    top: Ints
    bottom: Ints


def cut_into_columns(first: Ints, length: Ints, height: Ints) -> Pieces:
    """Cut runs, ``first`` pixel from 0 and ``length``, of pictures of these heights into pieces.

    All are int64 ``(runs,)``.
    """
    left, right = first // height, (first + length - 1) // height + 1
    counts = right - left
    run = np.repeat(np.arange(len(first)), counts)
    inside = np.arange(len(run)) - np.repeat(np.cumsum(counts) - counts, counts)
    column = left[run] + inside
    start = column * height[run]
    top = np.maximum(first[run], start) - start
    bottom = np.minimum((first + length)[run], start + height[run]) - start
    return Pieces(run, column, top, bottom)


def join_intervals(start: Ints, stop: Ints) -> tuple[Ints, Ints, Ints]:
    """Join intervals ``[start, stop)`` that overlap or touch; int64 ``(intervals,)``.

    Returns the joined interval of each given one, and starts and stops of the joined ones, sorted.
    """
    order = np.argsort(start, kind="stable")
    start, stop = start[order], np.maximum.accumulate(stop[order])
    new = np.ones(len(start), np.bool_)
    new[1:] = start[1:] > stop[:-1]
    joined = np.empty(len(start), np.int64)
    joined[order] = np.cumsum(new) - 1
    last = np.ones(len(start), np.bool_)
    last[:-1] = new[1:]
    return joined, start[new], stop[last]


def find_regions(group: Ints, column: Ints, top: Ints, bottom: Ints) -> Regions:
    """Label the 8-connected regions of pieces ``[top, bottom)`` of columns, in each group apart.

    All are int64 ``(pieces,)``, in pixels of one grid; groups count from 0. Pieces may overlap.
    """
    if not len(group):
        return Regions(0, *(np.empty(0, np.int64) for _ in range(5)))
    left, upper = column.min(), top.min()
    across = bottom.max() - upper + 2  # keys of two columns never touch
    along = column.max() - left + 2  # columns of two groups are never next to each other
    key = (group * along + column - left) * across - upper
    interval, start, stop = join_intervals(key + top, key + bottom)
    low = np.searchsorted(stop, start + across, "left")
    high = np.searchsorted(start, stop + across, "right")
    counts = high - low
    one = np.repeat(np.arange(len(start)), counts)
    other = np.arange(len(one)) - np.repeat(np.cumsum(counts) - counts - low, counts)
    edges = coo_array((np.ones(len(one), np.bool_), (one, other)), shape=(len(start),) * 2)
    count, region = connected_components(edges, directed=False)
    columns = start // across
    top = start - columns * across + upper
    region = region.astype(np.int64)
    return Regions(
        int(count), region[interval], region, columns % along + left, top, top + stop - start
    )
