"""Find roll marks: defects that repeat along a coil at the circumference of a roll.

A damaged roll leaves a mark once per turn, always at the same place across the strip. The search
takes each class, side and lane (an eighth of the width, half-overlapping) by itself, and tries all
periods of the rolls. The test is that of Rayleigh (Mardia and Jupp 2000, Directional Statistics,
section 6.3), with one vector per turn of the roll: the mean of exp(2 pi i position / period) over
the defects of the turn. So a burst of many defects in one place counts as one turn, not as many.

Without a roll mark the directions of the vectors are uniform and independent. For vectors of
lengths a_k, sum S and A = sum(a_k ** 2), the mean of I0(t |S|) is the product of I0(t a_k), at most
exp(t ** 2 A / 4); with t = 2 |S| / A, Markov's inequality gives

    P(|S| ** 2 / A >= x) <= exp(x) / I0(2 x),

for any number of turns. It is multiplied by the number of all frequencies, lanes, sides and classes
tried (Bonferroni), which also holds for lanes that share defects.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field
from scipy.fft import next_fast_len, rfft
from scipy.optimize import brentq
from scipy.special import i0e

from steelscan.strip import Spec
from steelscan.strip.errors import InputError, TableError

_Floats = NDArray[np.float64]
_Rows = NDArray[np.intp]
_Key = tuple[str, int, int]  # side, class and number of a lane

_LANES = 15
_OVERSAMPLED = 4
_PEAKS = 16
_WINDOW = 0.03
"""A member lies at most this share of a turn away from its place."""
_MOST_MARKS, _MOST_CELLS = 50, 1 << 23


class RollSearch(Spec):
    """Which periods are tried, and how sure a roll mark must be.

    Attributes:
        rolls_mm: diameters of the rolls in mm; empty: all periods in ``periods_m`` are tried.
        tolerance: the strip may be longer or shorter than the circumferences by this share,
            because it is stretched after a roll, or the roll is worn.
        periods_m: shortest and longest period in metres if the rolls are unknown.
        false_alarm_rate: highest probability that a coil without roll marks has any reported.
        least_present: least share of the repeats, between the first and the last, that are there.
            Over one half, since a period that is half the true one has half of its repeats.
    """

    rolls_mm: tuple[Annotated[float, Field(gt=0, le=1e5)], ...] = ()
    tolerance: Annotated[float, Field(ge=0.001, le=0.3)] = 0.02
    periods_m: tuple[Annotated[float, Field(ge=0.01)], Annotated[float, Field(le=1e3)]] = (0.3, 4.0)
    false_alarm_rate: Annotated[float, Field(gt=0, lt=1)] = 0.01
    least_present: Annotated[float, Field(gt=0.5, le=1)] = 0.55

    def bands(self) -> _Floats:
        """Return the lowest and highest frequencies per metre, float64 (bands, 2).

        Raises InputError if the shortest period is not below the longest.
        """
        if not self.rolls_mm:
            if self.periods_m[0] >= self.periods_m[1]:
                problem = f"has {self.periods_m[0]} as its shortest, {self.periods_m[1]} as longest"
                raise InputError("periods_m", problem, "Give the shorter period first")
            return 1 / np.array([self.periods_m[::-1]])
        circumferences = np.pi * np.array(self.rolls_mm)[:, None] / 1000
        return 1 / (circumferences * [1 + self.tolerance, 1 - self.tolerance])


@dataclass(frozen=True)
class RollMark:
    """A repeated defect.

    Attributes:
        side, class_id: of its members.
        left_mm, right_mm: its lane.
        period_m, tolerance_m: distance of its repeats, and half of its 95 % interval.
        roll_mm: diameter of the roll of ``rolls_mm`` that fits best, None if none was given.
        members: row numbers of its defects in the table, in the order of positions.
        expected, missing: repeats between the first and the last member, and those without one.
        false_alarm_rate: upper bound of the probability that a coil without roll marks has a
            repetition as clear as this one, corrected for all periods and lanes tried.
    """

    side: str
    class_id: int
    left_mm: float
    right_mm: float
    period_m: float
    tolerance_m: float
    roll_mm: float | None
    members: tuple[int, ...]
    expected: int
    missing: int
    false_alarm_rate: float


@dataclass(frozen=True)
class _Grid:
    """The frequencies that are tried: multiples of ``step`` (1/m) that lie in a band."""

    cell: float
    size: int
    step: float
    tried: NDArray[np.bool_]
    bands: _Floats

    @classmethod
    def of(cls, search: RollSearch, length_m: float, width_mm: float) -> "_Grid":
        for name, value in (("length_m", length_m), ("width_mm", width_mm)):
            if not (math.isfinite(value) and value > 0):
                raise InputError(name, f"is {value}", "Give the size of the coil, over 0")
        bands = search.bands()
        cell = 1 / (16 * float(bands.max()))
        cells = math.ceil(length_m / cell) + 1
        if cells > _MOST_CELLS:
            problem = f"of {length_m:g} m is too long for periods of {16 * cell:g} m"
            raise InputError("coil", problem, "Search longer periods, or check the units")
        size = next_fast_len(_OVERSAMPLED * cells, real=True)
        frequencies = np.arange(size // 2 + 1) * (step := 1 / (size * cell))
        tried = _in_bands(frequencies, bands)
        # a mark needs at least two turns
        return cls(cell, size, step, tried & (frequencies * length_m >= 2), bands)


def find_roll_marks(
    defects: pl.DataFrame, length_m: float, width_mm: float, search: RollSearch | None = None
) -> list[RollMark]:
    """Return the roll marks of one coil, the clearest first.

    ``defects`` has a row per defect: side (String), class (Int), start_m, end_m (metres from the
    head), left_mm, right_mm (millimetres from the edge), as `merge_coils` returns; its place is the
    centre of its box. Defects off the coil count to the nearest lane.

    Raises InputError if a size of the coil is not a positive number, TableError if a place is not
    a number.
    """
    search = search or RollSearch()
    grid = _Grid.of(search, length_m, width_mm)
    centres = defects.select(
        (pl.col("start_m") + pl.col("end_m")) / 2, (pl.col("left_mm") + pl.col("right_mm")) / 2
    ).cast(pl.Float64)
    position, offset = centres.fill_null(math.nan).to_numpy().T
    bad = np.flatnonzero(~np.isfinite(position + offset))
    if bad.size:
        raise TableError("defects", f"have no place in row {bad[0]}", "Correct or remove the row")
    groups = dict(_groups(defects, offset, width_mm / 16))
    # all lanes count, so that the number of repeats that is needed does not depend on the map
    tries = defects.select("side", "class").n_unique() * _LANES * int(grid.tried.sum())
    best = {key: _best(position[rows], grid) for key, rows in groups.items()}
    marks: list[RollMark] = []
    while best and len(marks) < _MOST_MARKS:
        key = max(best, key=lambda each: best[each][0])
        statistic, frequency = best[key]
        rate = tries * math.exp(_log_bound(statistic))
        if statistic == 0 or rate > search.false_alarm_rate:
            break
        frequency = _fundamental(position[groups[key]], frequency, grid)
        mark = _mark(groups[key], position, frequency)
        del best[key]
        if mark is None or mark[3] - mark[4] < search.least_present * mark[3]:
            continue
        period, tolerance, members, expected, missing = mark
        rolls = sorted(search.rolls_mm, key=lambda roll: abs(roll * math.pi / 1000 - period))
        lane = (key[0], key[1], key[2] * width_mm / 16, (key[2] + 2) * width_mm / 16)
        roll, rows = rolls[0] if rolls else None, tuple(members.tolist())
        marks.append(RollMark(*lane, period, tolerance, roll, rows, expected, missing, rate))
        for other, own in list(groups.items()):
            rest = own[~np.isin(own, members)]
            if rest.size < own.size:
                groups[other] = rest
                best[other] = _best(position[rest], grid)
    return marks


def least_repeats(
    length_m: float, width_mm: float, search: RollSearch | None = None, groups: int = 1
) -> int:
    """Return the fewest repeats that can be found, in a lane without other defects.

    ``groups`` is the number of pairs of a side and a class that have defects. Raises InputError as
    `find_roll_marks`.
    """
    search = search or RollSearch()
    tries = groups * _LANES * max(int(_Grid.of(search, length_m, width_mm).tried.sum()), 1)
    most = math.log(search.false_alarm_rate / tries)
    return math.ceil(float(brentq(lambda x: _log_bound(x) - most, 0, 10 - 2 * most)))


def _in_bands(frequencies: _Floats, bands: _Floats) -> NDArray[np.bool_]:
    inside = (frequencies >= bands[:, :1]) & (frequencies <= bands[:, 1:])
    return np.asarray(inside.any(axis=0))


def _groups(
    defects: pl.DataFrame, offset: _Floats, half_lane: float
) -> Iterator[tuple[_Key, _Rows]]:
    """Yield the rows per side, class and lane, of lanes with two or more defects."""
    halves = np.clip(offset // half_lane, 0, _LANES)
    numbered = defects.select("side", "class").with_row_index("row")
    for (side, class_id), group in numbered.group_by("side", "class", maintain_order=True):
        rows = group["row"].to_numpy().astype(np.intp)
        for lane in range(_LANES):
            own = rows[(halves[rows] == lane) | (halves[rows] == lane + 1)]
            if own.size >= 2:
                yield (str(side), int(str(class_id)), lane), own


def _log_bound(statistic: float) -> float:
    """Return the logarithm of exp(x) / I0(2 x)."""
    return -statistic - math.log(i0e(2 * statistic))


def _best(position: _Floats, grid: _Grid) -> tuple[float, float]:
    """Return the highest statistic of the peaks of the spectrum, and its frequency."""
    if position.size < 2 or not grid.tried.any():
        return 0.0, 0.0
    from_first = position - position.min()
    # crowded places weigh as much as others, as in the test
    crowd = (from_first * math.sqrt(float(grid.bands.min() * grid.bands.max()))).astype(np.intp)
    cells = (from_first / grid.cell).astype(np.intp) % grid.size
    signal = np.bincount(cells, 1 / np.bincount(crowd)[crowd], minlength=grid.size)
    power = np.abs(rfft(signal))
    power[~grid.tried] = 0
    peak = (power > 0) & (power >= np.roll(power, 1)) & (power >= np.roll(power, -1))
    peaks = np.flatnonzero(peak)
    highest = peaks[np.argsort(-power[peaks], kind="stable")[:_PEAKS]]
    tested = ((_statistic(position, number * grid.step), number * grid.step) for number in highest)
    return max(tested, default=(0.0, 0.0))


def _statistic(position: _Floats, frequency: float) -> float:
    """Return the squared length of the sum of the vectors of all turns, by the sum of squares.

    A turn ends where defects are rarest, opposite to their mean direction: a cluster that is cut
    into two turns then counts against a mark, not for it.
    """
    turns = position * frequency
    vectors = np.exp(2j * np.pi * turns)
    direction = vectors.sum()
    direction /= max(abs(direction), 1e-12)
    centre = np.angle(direction) / (2 * np.pi)
    number = np.floor(turns - centre + 0.5).astype(np.intp)
    _, turn, count = np.unique(number, return_inverse=True, return_counts=True)
    own = vectors / count[turn]
    means = np.bincount(turn, own.real) + 1j * np.bincount(turn, own.imag)
    along = float((means.sum() * direction.conjugate()).real)
    return max(along, 0.0) ** 2 / max(float((np.abs(means) ** 2).sum()), 1e-12)


def _fundamental(position: _Floats, frequency: float, grid: _Grid) -> float:
    """Return the lowest fraction of the frequency that fits as well.

    Repeats at a period fit half, a third... of it, too; at twice the period they cancel out.
    """
    lowest = float(grid.bands.min())
    least = 0.8 * _statistic(position, frequency)
    for divisor in range(int(frequency / lowest + 1e-9), 1, -1):
        near = (frequency + grid.step * np.linspace(-0.5, 0.5, 5)) / divisor
        allowed = near[_in_bands(near, grid.bands)]
        fits = [(_statistic(position, each), each) for each in allowed.tolist()]
        if fits and max(fits)[0] >= least:
            return float(max(fits)[1])
    return frequency


def _mark(
    rows: _Rows, position: _Floats, frequency: float
) -> tuple[float, float, _Rows, int, int] | None:
    """Fit a line through the places of the repeats.

    Returns period, half of its 95 % interval, members, expected and missing repeats.
    """
    places = position[rows]
    direction = np.angle(np.exp(2j * np.pi * places * frequency).sum())
    period, first = 1 / frequency, direction / (2 * np.pi * frequency)
    for window in (3 * _WINDOW, 2 * _WINDOW, _WINDOW, _WINDOW):
        turn = np.round((places - first) / period)
        near = np.abs(places - first - turn * period) <= window * period
        numbers = np.unique(turn[near])
        if numbers.size < 3:
            return None
        period, first = np.polyfit(turn[near], places[near], 1)
    off = places[near] - first - turn[near] * period
    spread = math.sqrt(float((off**2).sum()) / max(off.size - 2, 1))
    error = spread / math.sqrt(float(((turn[near] - turn[near].mean()) ** 2).sum()))
    members = rows[near]
    members = members[np.argsort(position[members], kind="stable")]
    expected = int(numbers[-1] - numbers[0]) + 1
    return float(period), 1.96 * error, members, expected, expected - numbers.size
