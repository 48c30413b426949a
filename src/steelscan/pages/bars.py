"""Differences and their intervals as bars around zero, for HTML pages."""

from collections.abc import Iterable
from math import isnan
from typing import Any, Protocol


class Span(Protocol):
    """A number and its interval; NaN if unknown."""

    @property
    def value(self) -> float:
        """The number."""

    @property
    def low(self) -> float:
        """The lower end of its interval."""

    @property
    def high(self) -> float:
        """The upper end of its interval."""


def widest(spans: Iterable[Span]) -> float:
    """Return the largest absolute value of all spans: the scale that shows them completely."""
    ends = [
        abs(end) for span in spans for end in (span.value, span.low, span.high) if not isnan(end)
    ]
    return max(ends, default=0.0) or 1.0


def bar(span: Span, reach: float) -> dict[str, Any] | None:
    """Return the left end, width and dot of a bar in % of the scale; None if unknown.

    The scale goes from ``-reach`` to ``reach``.
    """
    if isnan(span.value) or isnan(span.low):
        return None

    def position(value: float) -> float:
        return round(50 + 50 * max(-1.0, min(1.0, value / reach)), 2)

    left, right = position(span.low), position(span.high)
    return {"left": left, "width": round(right - left, 2), "dot": position(span.value)}
