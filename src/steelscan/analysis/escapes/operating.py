"""Escapes and overkill at every threshold on the score of a strip.

A strip has one score between 0 and 1, the higher the more likely a defect. It passes if the score
is below the threshold, and is stopped otherwise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.statistics import Estimate, bound_text, estimate_shares, sums_by
from steelscan.strip.errors import InputError

_MOST = 128
"""Most thresholds on a curve; more would not be visible."""


@dataclass(frozen=True, eq=False)
class ScoredStrips:
    """Strips with their scores: float64, bool and int64, each ``(strips,)``.

    ``defective`` is whether a strip has a defect (of the class, if scores are of one class);
    strips of one group show the same piece of steel. Raises InputError for other shapes or types,
    and for scores outside 0 to 1.
    """

    scores: NDArray[np.float64]
    defective: NDArray[np.bool_]
    groups: NDArray[np.int64]

    def __post_init__(self) -> None:
        fields = (self.scores, self.defective, self.groups)
        kinds = [field.dtype.kind for field in fields]
        if kinds != ["f", "b", "i"] or {field.shape for field in fields} != {(len(self.scores),)}:
            problem = ", ".join(f"{field.dtype} {field.shape}" for field in fields)
            raise InputError(
                "scored strips", f"are {problem}", "Give three arrays of shape (strips,)"
            )
        if not ((self.scores >= 0) & (self.scores <= 1)).all():
            raise InputError("scores", "are not all from 0 to 1", "Give probabilities")

    def __len__(self) -> int:
        return len(self.scores)

    def weakest(self, *, defective: bool) -> NDArray[np.float64]:
        """Return the score that decides about each piece, float64 ``(pieces,)``, sorted.

        That is the lowest score of a group's defective strips, or the highest of its clean ones.
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
    """Escapes and overkill at one threshold, with intervals."""

    threshold: float
    escapes: Estimate
    overkill: Estimate
    escaped: int
    stopped: int


@dataclass(frozen=True)
class OperatingCurve:
    """Escapes and overkill at rising thresholds; the last one passes every strip.

    ``pieces`` is the number of groups of strips that show one piece of steel, which intervals
    resample; ``strips`` and the numbers of ``defective`` and ``clean`` ones count strips.
    """

    points: tuple[Point, ...]
    strips: int
    defective: int
    clean: int
    pieces: int

    def where_escapes_are_at_most(self, rate: float) -> Point | None:
        """Return the point at the highest threshold with at most this share of escapes.

        None if there is no defective strip.
        """
        kept = [point for point in self.points if point.escapes.value <= rate]
        return kept[-1] if kept else None


def operating_curve(strips: ScoredStrips, *, resamples: int = 1000) -> OperatingCurve:
    """Compute escapes and overkill at every score that occurs, at most 128 of them.

    Each threshold has its own interval, by a bootstrap that resamples whole groups; if no strip,
    or every strip, is an error, by the exact bound of `score`. Raises InputError for no strips.
    """
    if not len(strips):
        raise InputError("scored strips", "are none", "Give strips of a run")
    thresholds = _thresholds(strips.scores)
    passed = strips.scores[:, None] < thresholds
    wrong = [passed & strips.defective[:, None], ~passed & ~strips.defective[:, None]]
    relevant = np.stack([strips.defective, ~strips.defective], axis=1)
    group, member = np.unique(strips.groups, return_inverse=True)
    over = sums_by(member, np.hstack(wrong).astype(np.float64), len(group))
    under = sums_by(member, relevant.astype(np.float64), len(group))
    under = np.repeat(under, len(thresholds), axis=1)
    counts = over.sum(axis=0)
    shares = estimate_shares(over, under, resamples)
    half = len(thresholds)
    points = tuple(
        Point(
            threshold=float(threshold),
            escapes=shares[at],
            overkill=shares[half + at],
            escaped=int(counts[at]),
            stopped=int(counts[half + at]),
        )
        for at, threshold in enumerate(thresholds)
    )
    defective = int(strips.defective.sum())
    return OperatingCurve(points, len(strips), defective, len(strips) - defective, len(group))


def promises(strips: ScoredStrips, threshold: float, confidence: float = 0.95) -> list[str]:
    """Return the bounds on escapes and on overkill at a threshold, as sentences.

    Pieces of steel are counted, not strips, so that the bounds are exact: a piece escapes if any
    of its defective strips passes, and is stopped if any of its clean strips is.
    """
    missed = strips.weakest(defective=True) < threshold
    stopped = strips.weakest(defective=False) >= threshold
    single = len(np.unique(strips.groups)) == len(strips)
    unit = "strips" if single else "pieces of steel"
    return [
        "Escapes, " + bound_text(int(missed.sum()), len(missed), f"defective {unit}", confidence),
        "Overkill, " + bound_text(int(stopped.sum()), len(stopped), f"clean {unit}", confidence),
    ]


def _thresholds(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the scores that occur, sorted, and one above all of them: float64 ``(n,)``."""
    values = np.unique(scores)
    if len(values) >= _MOST:
        values = values[np.linspace(0, len(values) - 1, _MOST - 1).round().astype(np.int64)]
    return np.append(values, np.nextafter(values[-1], 2))
