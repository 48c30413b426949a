"""The five numbers of a report, each with a bootstrap interval, and the table per class."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from math import isnan, nan

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.metrics.pairs import Pairs, dice
from steelscan.strip import Classes, InputError

_DRAWS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Score:
    """A number and its interval. All are nan where undefined; the interval also where unknown."""

    value: float
    low: float = nan
    high: float = nan

    def text(self, *, percent: bool = False, sign: bool = False) -> str:
        """The number with its interval in brackets, where it has one; maybe with its sign."""
        if isnan(self.value):
            return "undefined"
        form, scale = "+" if sign else "", 100 if percent else 1
        form += ".1f" if percent else ".4f"
        value = f"{scale * self.value:{form}}{' %' if percent else ''}"
        if isnan(self.low):
            return value
        return f"{value} [{scale * self.low:{form}}, {scale * self.high:{form}}]"


@dataclass(frozen=True)
class Scores:
    """What is reported of one answer to one truth.

    A pair is one (strip, class). A defective strip has a defect of any class; it escapes when
    nothing at all is predicted on it. A clean strip is stopped when anything is predicted.
    """

    mean_dice: Score
    """Mean Dice over all pairs; never flattened over classes or batches."""
    defect_dice: Score
    """Mean Dice over the pairs with a defect."""
    clean_kept: Score
    """Share of the pairs without a defect that were kept empty."""
    escapes: Score
    """Share of the defective strips that escape."""
    overkill: Score
    """Share of the clean strips that are stopped."""
    strips: int
    groups: int
    defect_pairs: int
    clean_pairs: int
    defective: int
    clean: int
    escaped: int
    stopped: int

    def to_dict(self) -> dict[str, object]:
        """The same as plain values for JSON; None where undefined."""
        return {
            name: {key: None if isnan(number) else number for key, number in value.items()}
            if isinstance(value, dict)
            else value
            for name, value in asdict(self).items()
        }

    @staticmethod
    def table(columns: Mapping[str, "Scores"]) -> str:
        """Lay named scores side by side as plain text: a row for each of the five numbers."""
        lines = [("", *columns), *Scores.rows(columns)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    @staticmethod
    def rows(columns: Mapping[str, "Scores"]) -> list[tuple[str, ...]]:
        """A row for each of the five numbers: its title, and its text for each of the columns."""
        return list(zip(_TITLES, *(_cells(each) for each in columns.values()), strict=True))


_NUMBERS = [field.name for field in fields(Scores)][:5]
_TITLES = ("mean Dice", "Dice where defect", "clean pairs kept", "escapes", "overkill")


def _cells(scores: Scores) -> list[str]:
    escapes, overkill = scores.escapes.text(percent=True), scores.overkill.text(percent=True)
    return [
        scores.mean_dice.text(),
        scores.defect_dice.text() if scores.defect_pairs else "undefined (no defect)",
        scores.clean_kept.text() if scores.clean_pairs else "undefined (no clean pair)",
        f"{scores.escaped} of {scores.defective}, {escapes}"
        if scores.defective
        else "undefined (no defective strip)",
        f"{scores.stopped} of {scores.clean}, {overkill}"
        if scores.clean
        else "undefined (no clean strip)",
    ]


def score(
    pairs: Pairs,
    groups: NDArray[np.int64] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Scores:
    """Score an answer, with percentile bootstrap intervals that resample whole groups.

    ``groups`` is int64 ``(strips,)``: strips of one group (near-duplicates, one coil) stand or
    fall together; without it every strip is its own group. ``resamples=0`` asks for no
    intervals. The same seed gives the same intervals. Raises InputError for groups of another
    length. (Efron 1979; cluster bootstrap: Davison and Hinkley 1997, section 3.8.)
    """
    members = np.arange(len(pairs)) if groups is None else np.asarray(groups)
    if members.shape != (len(pairs),):
        found = f"have shape {members.shape}, there are {len(pairs)} strips"
        raise InputError("groups", found, "Give one group number a strip")
    over, under = _strip_sums(pairs)
    group, member = np.unique(members, return_inverse=True)
    over, under = (_sums_by(member, sums, len(group)) for sums in (over, under))
    intervals = _intervals(over, under, resamples, seed, level)
    total, count = over.sum(axis=0), under.sum(axis=0)
    values = _ratios(total, count)
    numbers = {
        name: Score(float(value), *interval)
        for name, value, interval in zip(_NUMBERS, values, intervals, strict=True)
    }
    return Scores(
        **numbers,
        strips=len(pairs),
        groups=len(group),
        defect_pairs=int(count[1]),
        clean_pairs=int(count[2]),
        defective=int(count[3]),
        clean=int(count[4]),
        escaped=int(total[3]),
        stopped=int(total[4]),
    )


def _strip_sums(pairs: Pairs) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What each strip adds above and below the line of the five shares: ``(strips, 5)`` each."""
    values, true, found = dice(pairs), pairs.truth > 0, pairs.predicted > 0
    defective, stopped = true.any(axis=1), found.any(axis=1)
    over = [
        values.sum(axis=1),
        (values * true).sum(axis=1),
        (~true & ~found).sum(axis=1),
        defective & ~stopped,
        ~defective & stopped,
    ]
    every = np.full(len(pairs), pairs.classes)
    under = [every, true.sum(axis=1), (~true).sum(axis=1), defective, ~defective]
    return np.stack(over, axis=1).astype(np.float64), np.stack(under, axis=1).astype(np.float64)


def _sums_by(
    member: NDArray[np.int64], values: NDArray[np.float64], groups: int
) -> NDArray[np.float64]:
    columns = [np.bincount(member, column, minlength=groups) for column in values.T]
    return np.stack(columns, axis=1)


def _ratios(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    ratios = np.full(over.shape, nan)
    np.divide(over, under, out=ratios, where=under != 0)
    return ratios


def _intervals(
    over: NDArray[np.float64],
    under: NDArray[np.float64],
    resamples: int,
    seed: int,
    level: float,
) -> list[tuple[float, float]]:
    """The interval of each share from the sums of groups, ``(groups, shares)``."""
    if resamples == 0:
        return [(nan, nan)] * over.shape[1]
    weights = _weights(len(over), resamples, seed)
    drawn = [_ratios(weight @ over, weight @ under) for weight in weights]
    shares = np.concatenate(drawn) if drawn else np.empty((0, over.shape[1]))
    return [_interval(*columns, level) for columns in zip(shares.T, over.T, under.T, strict=True)]


def _weights(groups: int, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each group is drawn: ``(some resamples, groups)`` at a time, memory bounded."""
    random = np.random.default_rng(seed)
    step = max(1, _DRAWS_AT_ONCE // max(groups, 1))
    for start in range(0, resamples if groups else 0, step):
        rows = min(step, resamples - start)
        drawn = random.integers(groups, size=(rows, groups)) + groups * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * groups)
        yield times.reshape(rows, groups).astype(np.float64)


def _interval(
    drawn: NDArray[np.float64],
    over: NDArray[np.float64],
    under: NDArray[np.float64],
    level: float,
) -> tuple[float, float]:
    speaking = float((under > 0).sum())
    return interval(drawn, speaking, bool(over.any()), np.array_equal(over, under), level)


def interval(
    drawn: NDArray[np.float64], speaking: float, some: bool, every: bool, level: float
) -> tuple[float, float]:
    """The interval of one share from its resamples, ``(resamples,)``, nan where undefined.

    ``speaking`` is how many groups have a say; ``some`` and ``every`` tell whether any and all of
    what was asked is so.
    """
    if speaking < 2:
        return nan, nan  # one group says nothing about how groups differ
    tail = (1 - level) / 2
    # Where all groups agree on 0 or on 1, resampling shows no spread at all, though "0 of 20
    # escaped" leaves room for 17 %. The exact bound holds there: n groups that all show 1 have
    # a chance of at most mean**n (Clopper and Pearson 1934).
    room = 1 - tail ** (1 / speaking)
    if not some:
        return 0.0, float(room)
    if every:
        return float(1 - room), 1.0
    low, high = np.quantile(drawn[~np.isnan(drawn)], [tail, 1 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class ClassRow:
    """How one class fared; nan where no pair speaks."""

    name: str
    strips: int
    positives: int
    """Strips that hold the class."""
    found: int
    """Strips on which the class is predicted, rightly or not."""
    missed: int
    """Strips that hold the class, and on which it is not predicted."""
    false_alarms: int
    """Strips without the class, on which it is predicted."""
    mean_dice: float
    defect_dice: float
    defect_iou: float
    """Mean intersection over union where the class is present."""
    clean_kept: float


def per_class(pairs: Pairs, classes: Classes) -> list[ClassRow]:
    """The row of each class. Raises InputError when the pairs have another number of classes."""
    if pairs.classes != len(classes):
        found = f"are {len(classes)}, the pairs have {pairs.classes}"
        raise InputError("classes", found, "Name the classes that the masks were made for")
    values = dice(pairs)
    overlap = values / np.maximum(2 - values, 1)
    rows = []
    for index, name in enumerate(classes.names):
        true, guessed = pairs.truth[:, index] > 0, pairs.predicted[:, index] > 0
        rows.append(
            ClassRow(
                name=name,
                strips=len(pairs),
                positives=int(true.sum()),
                found=int(guessed.sum()),
                missed=int((true & ~guessed).sum()),
                false_alarms=int((~true & guessed).sum()),
                mean_dice=_mean(values[:, index]),
                defect_dice=_mean(values[true, index]),
                defect_iou=_mean(overlap[true, index]),
                clean_kept=_mean(~guessed[~true]),
            )
        )
    return rows


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    return float(np.mean(values, dtype=np.float64)) if values.size else nan
