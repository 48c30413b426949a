"""Differences with their intervals as bars about zero, for pages."""

from collections.abc import Iterable
from math import isnan
from typing import Any, NamedTuple


class Span(NamedTuple):
    """A number and its interval; nan where unknown."""

    value: float
    low: float
    high: float


def widest(spans: Iterable[Span]) -> float:
    """How far bars must reach to either side, so that all of these are whole."""
    ends = [abs(end) for span in spans for end in span if not isnan(end)]
    return max(ends, default=0.0) or 1.0


def bar(span: Span, reach: float) -> dict[str, Any] | None:
    """Where a bar begins, how wide it is and where its dot is, in % of the scale; None: unknown.

    The scale goes from ``-reach`` to ``reach``.
    """
    if isnan(span.value) or isnan(span.low):
        return None

    def place(value: float) -> float:
        return round(50 + 50 * max(-1.0, min(1.0, value / reach)), 2)

    left, right = place(span.low), place(span.high)
    return {"left": left, "width": round(right - left, 2), "dot": place(span.value)}
