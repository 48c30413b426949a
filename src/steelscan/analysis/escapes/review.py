"""Pass, review, stop: two thresholds on a strip's score with guaranteed error rates.

A strip passes below the lower threshold, is stopped from the upper one on, and is reviewed by a
person in between. Both are chosen on strips with known truth, so that on other strips of the same
kind the share of defective steel that passes, and of clean steel that is stopped, each stays at or
below a stated rate, with a stated confidence. Among all such thresholds these leave the fewest
strips to review.

The confidence is valid although the thresholds are chosen on the same strips: of n independent
pieces of steel, let k be the most errors for which the exact bound of k in n is at or below the
rate. With the (k+1)-th lowest score of defective pieces as the threshold, the share below it
exceeds the rate only if at most k of n are below the true quantile, which has a chance of at most
1 - confidence for any distribution of scores. (Wilks 1941, tolerance limits; for any monotone risk:
Bates et al. 2021, arXiv:2101.02703.)
"""

from dataclasses import dataclass
from math import inf, isinf

import numpy as np

from steelscan.analysis.escapes.operating import ScoredStrips
from steelscan.evaluation.statistics import events_allowed, trials_needed, upper_bound
from steelscan.strip.errors import InputError


@dataclass(frozen=True)
class Rates:
    """Highest allowed shares of defective pieces that pass, and of clean pieces that are stopped.

    Each rate by itself is kept with the ``confidence``.
    """

    escape: float = 0.01
    overkill: float = 0.01
    confidence: float = 0.95


@dataclass(frozen=True)
class Review:
    """Two thresholds: pass below ``low``, stop from ``high`` on, review between.

    ``high`` is infinite if no strip may be stopped without review. Both are equal if no strip needs
    review.
    """

    low: float
    high: float
    rates: Rates
    defective_pieces: int
    clean_pieces: int
    escapes_allowed: int
    stops_allowed: int | None
    """None if there are too few clean pieces for a bound: no strip is stopped without review."""

    def sort(self, strips: ScoredStrips) -> "Sorted":
        """Count the strips that pass, are reviewed and are stopped."""
        passed = strips.scores < self.low
        stopped = strips.scores >= self.high
        counts = {
            f"{name}_{kind}": int((result & is_kind).sum())
            for name, result in (
                ("passed", passed),
                ("reviewed", ~passed & ~stopped),
                ("stopped", stopped),
            )
            for kind, is_kind in (("defective", strips.defective), ("clean", ~strips.defective))
        }
        return Sorted(**counts)

    def sentences(self) -> list[str]:
        """Describe the thresholds and their guarantees in sentences."""
        rates, confidence = self.rates, f"{100 * self.rates.confidence:g} %"
        bound = upper_bound(self.escapes_allowed, self.defective_pieces, rates.confidence)
        sentences = [
            f"Strips whose score is below {self.low:.4f} pass. Of defective steel at most "
            f"{100 * rates.escape:g} % passes, with {confidence} confidence: "
            f"{self.escapes_allowed} of {self.defective_pieces} pieces here, which gives a bound "
            f"of {100 * bound:.3g} %.",
        ]
        if self.stops_allowed is None:
            needed = trials_needed(rates.overkill, rates.confidence)
            sentences.append(
                f"No strip is stopped without review: that needs {needed} clean pieces of steel, "
                f"and there are {self.clean_pieces}."
            )
            return sentences
        bound = upper_bound(self.stops_allowed, self.clean_pieces, rates.confidence)
        sentences.append(
            f"Strips whose score is {self.high:.4f} or more are stopped. Of clean steel at most "
            f"{100 * rates.overkill:g} % is stopped without review, with {confidence} confidence: "
            f"{self.stops_allowed} of {self.clean_pieces} pieces here, which gives a bound of "
            f"{100 * bound:.3g} %."
        )
        if self.low == self.high:
            sentences.append("One threshold keeps both rates: no strip needs review.")
        return sentences


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
        """Strips that a person must review."""
        return self.reviewed_defective + self.reviewed_clean

    @property
    def strips(self) -> int:
        """All strips."""
        passed = self.passed_defective + self.passed_clean
        return passed + self.reviewed + self.stopped_defective + self.stopped_clean


def choose_review(strips: ScoredStrips, rates: Rates) -> Review:
    """Choose the two thresholds that keep both rates with the fewest strips to review.

    A group counts as one piece of steel: a defective piece passes if any of its defective strips
    does. The bounds are for pieces (for strips, if each is its own piece), and assume that new
    strips are of the same kind as these.

    Raises InputError if there are too few defective pieces for the rate, with the number needed.
    """
    missed = strips.weakest(defective=True)
    alarmed = strips.weakest(defective=False)
    needed = trials_needed(rates.escape, rates.confidence)
    escapes = events_allowed(rates.escape, len(missed), rates.confidence)
    if escapes is None:
        lowest = 100 * upper_bound(0, len(missed), rates.confidence)
        problem = (
            f"of {100 * rates.escape:g} % cannot be guaranteed with {100 * rates.confidence:g} % "
            f"confidence from {len(missed)} defective pieces of steel, even if none escapes"
        )
        remedy = f"Use {needed} of them"
        if lowest < 100:
            remedy += f", or allow {np.ceil(lowest * 10) / 10:g} % or more"  # rounded up
        raise InputError("escape rate", problem, remedy)
    trials_needed(rates.overkill, rates.confidence)  # refuses an impossible rate
    stops = events_allowed(rates.overkill, len(alarmed), rates.confidence)
    low = float(missed[escapes])
    high = inf if stops is None else float(np.nextafter(alarmed[-1 - stops], 2))
    return Review(
        low=min(low, high),  # if they cross, one threshold keeps both rates
        high=high,
        rates=rates,
        defective_pieces=len(missed),
        clean_pieces=len(alarmed),
        escapes_allowed=int((missed < min(low, high)).sum()),
        stops_allowed=None if isinf(high) else stops,
    )
