"""Pass, review, stop: two thresholds on a strip's score that keep what they promise.

Below the lower threshold a strip passes unseen, from the upper one on it is stopped unseen, and
somebody looks at those between. Both are chosen on strips with known truth, so that on other
strips of the same kind the share of defective steel that passes, and of clean steel that is
stopped, each stays at or below a stated rate, with a stated confidence; among all such thresholds
these leave the fewest strips to look at.

Why the confidence holds though the thresholds are chosen on the same strips: of n independent
pieces of steel, let k be the most that may err so that the exact bound of k in n is still at or
below the rate. With the (k+1)-th lowest score of defective pieces as the threshold, the share
below it exceeds the rate only if at most k of n fell below the true quantile, which has a chance
of at most 1 - confidence, whatever scores are distributed like. (Wilks 1941, tolerance limits; for
any monotone risk: Bates et al. 2021, arXiv:2101.02703.)
"""

from dataclasses import dataclass
from math import inf, isinf

import numpy as np
from numpy.typing import NDArray

from steelscan.evaluation.metrics.operating import ScoredStrips
from steelscan.evaluation.statistics import events_allowed, trials_needed, upper_bound
from steelscan.strip import InputError


@dataclass(frozen=True)
class Rates:
    """What is promised: shares of defective pieces that pass, and of clean ones that are stopped.

    Each promise holds by itself with the ``confidence``.
    """

    escape: float = 0.01
    overkill: float = 0.01
    confidence: float = 0.95


@dataclass(frozen=True)
class Review:
    """Two thresholds: pass below ``low``, stop from ``high`` on, review between.

    ``high`` is infinite where no strip may be stopped unseen. The two are equal where nothing need
    be reviewed.
    """

    low: float
    high: float
    rates: Rates
    defective_pieces: int
    clean_pieces: int
    escapes_allowed: int
    stops_allowed: int | None
    """None: the clean pieces are too few to promise anything, and none is stopped unseen."""

    def sort(self, strips: ScoredStrips) -> "Sorted":
        """Count where strips go."""
        passed = strips.scores < self.low
        stopped = strips.scores >= self.high
        counts = {
            f"{name}_{kind}": int((goes & is_kind).sum())
            for name, goes in (
                ("passed", passed),
                ("reviewed", ~passed & ~stopped),
                ("stopped", stopped),
            )
            for kind, is_kind in (("defective", strips.defective), ("clean", ~strips.defective))
        }
        return Sorted(**counts)

    def sentences(self) -> list[str]:
        """What the thresholds do and what is promised of them, for people."""
        rates, sure = self.rates, f"{100 * self.rates.confidence:g} %"
        bound = upper_bound(self.escapes_allowed, self.defective_pieces, rates.confidence)
        told = [
            f"Strips whose score is below {self.low:.4f} pass. Of defective steel at most "
            f"{100 * rates.escape:g} % passes, with {sure} confidence: "
            f"{self.escapes_allowed} of {self.defective_pieces} pieces would, which promises "
            f"{100 * bound:.3g} %.",
        ]
        if self.stops_allowed is None:
            needed = trials_needed(rates.overkill, rates.confidence)
            told.append(
                f"No strip is stopped unseen: that would take {needed} clean pieces of steel, and "
                f"there are {self.clean_pieces}."
            )
            return told
        bound = upper_bound(self.stops_allowed, self.clean_pieces, rates.confidence)
        told.append(
            f"Strips whose score is {self.high:.4f} or more are stopped. Of clean steel at most "
            f"{100 * rates.overkill:g} % is stopped unseen, with {sure} confidence "
            f"({self.stops_allowed} of {self.clean_pieces} pieces may be: {100 * bound:.3g} %)."
        )
        if self.low == self.high:
            told.append("Both promises hold with one threshold: nothing need be reviewed.")
        return told


@dataclass(frozen=True)
class Sorted:
    """How many strips pass, are reviewed and are stopped, defective and clean."""

    passed_defective: int
    passed_clean: int
    reviewed_defective: int
    reviewed_clean: int
    stopped_defective: int
    stopped_clean: int

    @property
    def reviewed(self) -> int:
        """Strips that somebody must look at."""
        return self.reviewed_defective + self.reviewed_clean

    @property
    def strips(self) -> int:
        """All of them."""
        passed = self.passed_defective + self.passed_clean
        return passed + self.reviewed + self.stopped_defective + self.stopped_clean


def choose_review(strips: ScoredStrips, rates: Rates) -> Review:
    """The two thresholds that keep both rates with the fewest strips to review.

    Groups count as one piece of steel: a defective piece passes when any of its defective strips
    does. The promise is about pieces, and about strips where each is a piece of its own; it needs
    fresh strips to be of the same kind as these, which no bound can know.

    Raises InputError when the defective pieces are too few for the rate, saying how many it takes.
    """
    missed = strips.weakest(defective=True)
    alarmed = strips.weakest(defective=False)
    needed = trials_needed(rates.escape, rates.confidence)
    escapes = events_allowed(rates.escape, len(missed), rates.confidence)
    if escapes is None:
        lowest = 100 * upper_bound(0, len(missed), rates.confidence)
        found = (
            f"of {100 * rates.escape:g} % cannot be promised with {100 * rates.confidence:g} % "
            f"confidence from {len(missed)} defective pieces of steel, even if none escapes"
        )
        remedy = f"It takes {needed} of them"
        if lowest < 100:
            remedy += f"; from these, promise {_rounded_up(lowest)} % or more"
        raise InputError("escape rate", found, remedy)
    trials_needed(rates.overkill, rates.confidence)  # refuses a rate that is none
    stops = events_allowed(rates.overkill, len(alarmed), rates.confidence)
    low = float(missed[escapes])
    high = inf if stops is None else float(np.nextafter(alarmed[-1 - stops], 2))
    return Review(
        low=min(low, high),  # where they cross, one threshold keeps both
        high=high,
        rates=rates,
        defective_pieces=len(missed),
        clean_pieces=len(alarmed),
        escapes_allowed=_below(missed, min(low, high)),
        stops_allowed=None if isinf(high) else stops,
    )


def _below(scores: NDArray[np.float64], threshold: float) -> int:
    return int((scores < threshold).sum())


def _rounded_up(percent: float) -> str:
    """A percentage with one decimal, never below itself."""
    return f"{np.ceil(percent * 10) / 10:g}"
