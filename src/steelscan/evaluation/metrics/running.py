"""Scores of strips that are added block by block, in constant memory.

Only sums are kept: one per number, and one per number and resample. A bootstrap that draws strips
needs all of them at once; here each strip is added to every resample with a Poisson weight of mean
1, which is how often it would be drawn from many. The weight comes from a hash of the strip's
number and of the resample, so the same strips give the same intervals in blocks of any size.
(Poisson bootstrap: Chamandy, Muralidharan, Najmi and Naidu 2012; Oza and Russell 2001.)
"""

from collections.abc import Iterator
from math import e, factorial

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.metrics.overlap import Overlap, mean_overlap, ratio
from steelscan.evaluation.metrics.pairs import Pairs, check_classes, dice
from steelscan.evaluation.metrics.scores import NUMBERS, ClassRow, Scores, strip_sums
from steelscan.evaluation.statistics import Estimate, interval, ratios_of
from steelscan.strip import Classes
from steelscan.strip.errors import InputError

_AT_ONCE = 512
"""Strips whose weights are in memory together."""


class RunningScores:
    """Scores, in total and per class, of all strips that were added."""

    def __init__(self, classes: Classes, *, resamples: int = 1000, seed: int = 0) -> None:
        """Start with no strips. Raises InputError for fewer than two resamples."""
        if resamples < 2:
            raise InputError("resamples", f"are {resamples}", "Use two or more")
        self._classes = classes
        count = -(-resamples // 4) * 4  # one hash gives four draws
        self._draws = mixed(np.arange(count // 4, dtype=np.uint64) + np.uint64(seed << 32))
        self._drawn = np.zeros((count, 10))
        self._sums = np.zeros(10)
        self._contributing = np.zeros(5)
        self._of_classes = np.zeros((len(classes), len(_COLUMNS)))
        self._strips = 0

    def add(self, pairs: Pairs) -> None:
        """Add strips; each is its own group. Raises InputError for another number of classes."""
        check_classes(pairs, self._classes)
        numbers = np.arange(self._strips, self._strips + len(pairs), dtype=np.uint64)
        over, under = strip_sums(pairs)
        columns = np.hstack([over, under])
        for start in range(0, len(pairs), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            weights = self._weights(numbers[part]).astype(np.float32)
            self._drawn += weights.T @ columns[part].astype(np.float32)
        self._sums += columns.sum(axis=0)
        self._contributing += (under > 0).sum(axis=0)
        self._of_classes += _class_sums(pairs)
        self._strips += len(pairs)

    def __len__(self) -> int:
        return self._strips

    def scores(self) -> Scores:
        """Return the five numbers with their intervals."""
        return self._scored(self._sums[:5], self._drawn[:, :5])

    def empty(self) -> Scores:
        """Return the scores of empty predictions with the same truth."""
        return self._scored(_emptied(self._sums), _emptied(self._drawn))

    def class_rows(self) -> list[ClassRow]:
        """Return one row per class."""
        rows = []
        for name, of in self._sums_of_classes():
            clean = self._strips - of["true"]
            rows.append(
                ClassRow(
                    name=name,
                    strips=self._strips,
                    positives=int(of["true"]),
                    predicted=int(of["predicted"]),
                    missed=int(of["true"] - of["hit"]),
                    false_alarms=int(of["predicted"] - of["hit"]),
                    mean_dice=ratio(of["dice"], self._strips),
                    defect_dice=ratio(of["dice_true"], of["true"]),
                    defect_iou=ratio(of["iou_true"], of["true"]),
                    clean_kept=ratio(clean - of["predicted"] + of["hit"], clean),
                )
            )
        return rows

    def overlaps(self) -> list[Overlap]:
        """Return IoU and hit rate per class, and last their mean."""
        rows = []
        for name, of in self._sums_of_classes():
            either = of["true"] + of["predicted"] - of["hit"]
            rows.append(
                Overlap(
                    name=name,
                    over_pixels=ratio(of["shared"], of["union"]),
                    over_strips=ratio(of["iou_true"], either),  # 0 if only predicted
                    where_true=ratio(of["iou_true"], of["true"]),
                    hit_rate=ratio(of["hit"], of["true"]),
                )
            )
        return [*rows, mean_overlap(rows)]

    def _sums_of_classes(self) -> Iterator[tuple[str, dict[str, float]]]:
        """Yield the name of each class, and its sums by the names of `_COLUMNS`."""
        for name, sums in zip(self._classes.names, self._of_classes, strict=True):
            yield name, dict(zip(_COLUMNS, sums.tolist(), strict=True))

    def _weights(self, numbers: NDArray[np.uint64]) -> NDArray[np.uint8]:
        """Return the weight of each strip in each resample, uint8 ``(strips, resamples)``."""
        hashes = mixed(mixed(numbers)[:, None] ^ self._draws)
        return np.asarray(_POISSON[hashes.view(np.uint16)])

    def _scored(self, over: NDArray[np.float64], drawn: NDArray[np.float64]) -> Scores:
        under = self._sums[5:]
        values, shares = ratios_of(over, under), ratios_of(drawn, self._drawn[:, 5:])
        numbers = {}
        for at, name in enumerate(NUMBERS):
            some, every = bool(over[at] > 0), bool(over[at] == under[at])
            bounds = interval(shares[:, at], float(self._contributing[at]), some, every)
            numbers[name] = Estimate(float(values[at]), *bounds)
        return Scores(
            **numbers,
            strips=self._strips,
            groups=self._strips,
            defect_pairs=int(under[1]),
            clean_pairs=int(under[2]),
            defective=int(under[3]),
            clean=int(under[4]),
            escaped=int(over[3]),
            stopped=int(over[4]),
        )


_COLUMNS = ("true", "predicted", "hit", "dice", "dice_true", "iou_true", "shared", "union")


def _class_sums(pairs: Pairs) -> NDArray[np.float64]:
    """Sum the strips per class, float64 ``(classes, columns)``."""
    values, true, predicted = dice(pairs), pairs.truth > 0, pairs.predicted > 0
    union = pairs.predicted + pairs.truth - pairs.shared
    iou = pairs.shared / np.maximum(union, 1)
    columns = (
        true,
        predicted,
        true & predicted,
        values,
        values * true,
        iou * true,
        pairs.shared,
        union,
    )
    return np.stack([column.sum(axis=0) for column in columns], axis=1).astype(np.float64)


def _emptied(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the numerators of empty predictions from the denominators of any prediction."""
    _, _, clean, defective, _ = np.moveaxis(sums[..., 5:], -1, 0)
    nothing = np.zeros_like(clean)
    return np.stack([clean, nothing, clean, defective, nothing], axis=-1)


def mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash integers to uint64: the finalizer of SplitMix64 (Steele et al. 2014)."""
    hashes = numbers + np.uint64(0x9E3779B97F4A7C15)
    hashes ^= hashes >> np.uint64(30)
    hashes *= np.uint64(0xBF58476D1CE4E5B9)
    hashes ^= hashes >> np.uint64(27)
    hashes *= np.uint64(0x94D049BB133111EB)
    hashes ^= hashes >> np.uint64(31)
    return hashes


def _poisson_table() -> NDArray[np.uint8]:
    """Return the Poisson quantile of mean 1 for 65,536 equally likely numbers, uint8."""
    reached = np.cumsum([1 / (e * factorial(times)) for times in range(12)])
    places = (np.arange(1 << 16) + 0.5) / (1 << 16)
    return np.searchsorted(reached, places).astype(np.uint8)


_POISSON = _poisson_table()
