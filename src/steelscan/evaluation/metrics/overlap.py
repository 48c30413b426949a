"""Intersection over union (IoU) as papers define it in three ways, hit rate, and another prior.

Over pixels: all shared pixels of a class over all pixels that are true or predicted, in the whole
set, so that large defects dominate. Over strips: the mean over strips on which the class is true
or predicted. Where true: the mean over the strips with the class, which hides false alarms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan, nan

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.metrics.pairs import Pairs, check_classes, dice
from steelscan.strip import Classes
from steelscan.strip.errors import InputError


@dataclass(frozen=True)
class Overlap:
    """IoU of one class, or the mean of all classes; nan if undefined."""

    name: str
    over_pixels: float
    over_strips: float
    where_true: float
    hit_rate: float
    """Share of the strips with the class on which it is predicted at all."""


def overlaps(pairs: Pairs, classes: Classes) -> list[Overlap]:
    """Return IoU and hit rate per class, and last the mean of those that are defined.

    Raises InputError if the pairs have another number of classes.
    """
    check_classes(pairs, classes)
    union = pairs.predicted + pairs.truth - pairs.shared
    each = pairs.shared / np.maximum(union, 1)
    true, hit = pairs.truth > 0, (pairs.truth > 0) & (pairs.predicted > 0)
    rows = [
        Overlap(
            name=name,
            over_pixels=ratio(pairs.shared[:, at].sum(), union[:, at].sum()),
            over_strips=ratio(each[:, at].sum(), (union[:, at] > 0).sum()),
            where_true=ratio(each[true[:, at], at].sum(), true[:, at].sum()),
            hit_rate=ratio(hit[:, at].sum(), true[:, at].sum()),
        )
        for at, name in enumerate(classes.names)
    ]
    return [*rows, mean_overlap(rows)]


def mean_overlap(rows: Sequence[Overlap]) -> Overlap:
    """Return the mean of each number over the classes for which it is defined."""
    columns = zip(
        *((row.over_pixels, row.over_strips, row.where_true, row.hit_rate) for row in rows),
        strict=True,
    )
    return Overlap("mean of classes", *(_mean(column) for column in columns))


@dataclass(frozen=True)
class Expected:
    """Class frequencies to score for: how many of ``strips`` strips have each class."""

    positives: tuple[int, ...]
    strips: int

    def __post_init__(self) -> None:
        if not all(0 <= count <= self.strips for count in self.positives) or not self.positives:
            problem = f"{self.positives} of {self.strips} strips"
            raise InputError(
                "expected", problem, "Give one count per class, none above the number of strips"
            )


def expected_dice(pairs: Pairs, expected: Expected) -> float:
    """Return the expected mean Dice at other class frequencies.

    The share of clean pairs kept, and the Dice of each class where present, are as measured here;
    only the number of pairs of each kind changes. nan if an expected class, or a clean pair, is on
    no strip. Raises InputError for another number of classes. (The competition's leaderboard had
    128, 43, 741 and 120 of 1801, found by probing.)
    """
    if len(expected.positives) != pairs.classes:
        problem = f"has {len(expected.positives)} classes, the pairs have {pairs.classes}"
        raise InputError("expected", problem, "Give one count per class")
    values, true = dice(pairs), pairs.truth > 0
    clean = len(expected.positives) * expected.strips - sum(expected.positives)
    kept = ratio((~true & (pairs.predicted == 0)).sum(), (~true).sum())
    total = clean * kept if clean else 0.0
    for at, count in enumerate(expected.positives):
        if count:
            total += count * ratio(values[true[:, at], at].sum(), true[:, at].sum())
    return float(total / (len(expected.positives) * expected.strips))


def ratio(over: np.generic | float, under: np.generic | float) -> float:
    """Return the quotient; nan if the divisor is 0."""
    return float(over) / float(under) if under else nan


def _mean(values: Sequence[float]) -> float:
    known: NDArray[np.float64] = np.array([value for value in values if not isnan(value)])
    return float(known.mean()) if known.size else nan
