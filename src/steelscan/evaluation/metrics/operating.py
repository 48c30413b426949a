"""Escapes and overkill as the threshold on a strip's score moves.

A strip has one score between 0 and 1 for everything that may be wrong with it. It passes where the
score is below the threshold, and is stopped from there on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.statistics import Estimate, intervals, promise, ratios_of, sums_by
from steelscan.strip import InputError

_MOST = 128
"""Thresholds on a curve, at the most; more cannot be seen."""


@dataclass(frozen=True, eq=False)
class ScoredStrips:
    """Strips with their scores: float64, bool and int64, each ``(strips,)``.

    ``defective`` says whether a strip has a defect (of the class, where scores are of one class);
    strips of one group show the same piece of steel. Raises InputError for other shapes or types,
    and for scores that are not between 0 and 1.
    """

    scores: NDArray[np.float64]
    defective: NDArray[np.bool_]
    groups: NDArray[np.int64]

    def __post_init__(self) -> None:
        fields = (self.scores, self.defective, self.groups)
        kinds = [field.dtype.kind for field in fields]
        if kinds != ["f", "b", "i"] or {field.shape for field in fields} != {(len(self.scores),)}:
            found = ", ".join(f"{field.dtype} {field.shape}" for field in fields)
            raise InputError("scored strips", f"are {found}", "Give (strips,) thrice")
        if not ((self.scores >= 0) & (self.scores <= 1)).all():
            raise InputError("scores", "are not all from 0 to 1", "Give probabilities")

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "ScoredStrips":
        """Some of the strips."""
        return ScoredStrips(self.scores[rows], self.defective[rows], self.groups[rows])

    def weakest(self, *, defective: bool) -> NDArray[np.float64]:
        """The score of each piece of steel that errs first, float64 ``(pieces,)``, rising.

        Of a group's defective strips that is the lowest score, of its clean ones the highest.
        """
        rows = self.defective == defective
        pieces, piece = np.unique(self.groups[rows], return_inverse=True)
        if defective:
            worst = np.full(len(pieces), np.inf)
            np.minimum.at(worst, piece, self.scores[rows])
        else:
            worst = np.full(len(pieces), -np.inf)
            np.maximum.at(worst, piece, self.scores[rows])
        return np.sort(worst)


@dataclass(frozen=True)
class Point:
    """What a threshold does: how many strips escape and how many are stopped, with intervals."""

    threshold: float
    escapes: Estimate
    overkill: Estimate
    escaped: int
    stopped: int


@dataclass(frozen=True)
class OperatingCurve:
    """Escapes and overkill at rising thresholds; the last one passes every strip."""

    points: tuple[Point, ...]
    strips: int
    defective: int
    clean: int
    pieces: int
    """Groups of strips that show one piece of steel; what an interval resamples."""

    def at(self, threshold: float) -> Point:
        """The point of the curve at the last of its thresholds that is not above this one."""
        below = [point for point in self.points if point.threshold <= threshold]
        return below[-1] if below else self.points[0]

    def where_escapes_are_at_most(self, rate: float) -> Point | None:
        """The highest threshold whose share of escapes, as counted, is at most this.

        None where there is no defective strip.
        """
        kept = [point for point in self.points if point.escapes.value <= rate]
        return kept[-1] if kept else None


def operating_curve(
    strips: ScoredStrips,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> OperatingCurve:
    """Escapes and overkill at every score that occurs, at most 128 of them, spread evenly.

    Each threshold has its own interval, by a bootstrap that resamples whole groups; where no strip
    errs, or all do, by the exact bound of `score`. Raises InputError where there is no strip.
    """
    if not len(strips):
        raise InputError("scored strips", "are none", "Give strips of a run")
    thresholds = _thresholds(strips.scores)
    passed = strips.scores[:, None] < thresholds
    wrong = [passed & strips.defective[:, None], ~passed & ~strips.defective[:, None]]
    asked = np.stack([strips.defective, ~strips.defective], axis=1)
    group, member = np.unique(strips.groups, return_inverse=True)
    over = sums_by(member, np.hstack(wrong).astype(np.float64), len(group))
    under = sums_by(member, asked.astype(np.float64), len(group))
    under = np.repeat(under, len(thresholds), axis=1)
    counts = over.sum(axis=0)
    values = ratios_of(counts, under.sum(axis=0))
    bounds = intervals(over, under, resamples, seed, level)
    scores = [Estimate(float(value), *each) for value, each in zip(values, bounds, strict=True)]
    half = len(thresholds)
    points = tuple(
        Point(
            threshold=float(threshold),
            escapes=scores[at],
            overkill=scores[half + at],
            escaped=int(counts[at]),
            stopped=int(counts[half + at]),
        )
        for at, threshold in enumerate(thresholds)
    )
    defective = int(strips.defective.sum())
    return OperatingCurve(points, len(strips), defective, len(strips) - defective, len(group))


def promises(strips: ScoredStrips, threshold: float, confidence: float = 0.95) -> list[str]:
    """What the counts at a threshold promise of escapes and of overkill, as sentences.

    Pieces of steel are counted, not strips, so that the bounds are exact: a piece escapes when any
    of its defective strips passes, and is stopped when any of its clean strips is.
    """
    missed = strips.weakest(defective=True) < threshold
    stopped = strips.weakest(defective=False) >= threshold
    single = len(np.unique(strips.groups)) == len(strips)
    unit = "strips" if single else "pieces of steel"
    return [
        "Escapes, " + promise(int(missed.sum()), len(missed), f"defective {unit}", confidence),
        "Overkill, " + promise(int(stopped.sum()), len(stopped), f"clean {unit}", confidence),
    ]


def _thresholds(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores that occur, rising, and behind them one that passes all: float64 ``(n,)``."""
    found = np.unique(scores)
    if len(found) >= _MOST:
        found = found[np.linspace(0, len(found) - 1, _MOST - 1).round().astype(np.int64)]
    return np.append(found, np.nextafter(found[-1], 2))
