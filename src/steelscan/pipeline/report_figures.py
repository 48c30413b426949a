"""Operating curves and reliability as SVG drawings."""

from collections.abc import Callable, Mapping
from math import isinf
from typing import TYPE_CHECKING

import numpy as np

from steelscan.evaluation.metrics import OperatingCurve, Reliability, Review
from steelscan.pages import styled, svg_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ESCAPES, OVERKILL = "#b04a5a", "#3b6ea5"
_REVIEW = "#f3e3bd"

OPERATING_KEY = {
    "escapes: share of defective strips that pass": (ESCAPES, "solid"),
    "overkill: share of clean strips that are stopped": (OVERKILL, "dashed"),
}
"""The meaning of the lines of `draw_operating`."""


def draw_operating(curves: Mapping[str, OperatingCurve], review: Review | None = None) -> str:
    """Draw a panel per curve: escapes and overkill against the threshold, as ``<svg>``.

    Shades are the intervals. In the first panel, the band between a review's thresholds marks the
    strips that an inspector checks.
    """

    def draw(panel: "Axes", at: int) -> None:
        name, curve = list(curves.items())[at]
        if review is not None and at == 0:
            panel.axvspan(review.low, 1 if isinf(review.high) else review.high, color=_REVIEW, lw=0)
        _shares(panel, curve)
        panel.set_title(name)
        panel.set_xlabel("threshold")

    return _panels(len(curves), draw)


def draw_reliability(reliabilities: Mapping[str, Reliability]) -> str:
    """Draw a panel each: observed share against predicted probability, as ``<svg>``."""

    def draw(panel: "Axes", at: int) -> None:
        name, reliability = list(reliabilities.items())[at]
        bins = [each for each in reliability.bins if each.count]
        predicted = [each.said for each in bins]
        observed = [each.seen.value for each in bins]
        below = [each.seen.value - each.seen.low for each in bins]
        above = [each.seen.high - each.seen.value for each in bins]
        panel.plot([0, 1], [0, 1], color="#c4c9cf", linewidth=1)
        panel.errorbar(
            predicted, observed, [below, above], color=OVERKILL, marker="o", markersize=3, lw=1.2
        )
        panel.set_title(f"{name}: error {reliability.error:.3f}")
        panel.set_xlabel("predicted probability")
        panel.set_ylabel("observed share")
        _unit_square(panel)

    return _panels(len(reliabilities), draw)


def _shares(panel: "Axes", curve: OperatingCurve) -> None:
    thresholds = np.array([point.threshold for point in curve.points])
    for color, dashes, shares in (
        (ESCAPES, "solid", [point.escapes for point in curve.points]),
        (OVERKILL, "dashed", [point.overkill for point in curve.points]),
    ):
        low, value, high = np.array([(each.low, each.value, each.high) for each in shares]).T
        if np.isnan(value).all():
            continue
        # A share is valid from the previous score (exclusive) up to its own threshold.
        panel.fill_between(thresholds, low, high, step="pre", color=color, alpha=0.15, lw=0)
        panel.step(thresholds, value, where="pre", color=color, linestyle=dashes, linewidth=1.4)
    _unit_square(panel)


def _unit_square(panel: "Axes") -> None:
    from matplotlib.ticker import PercentFormatter

    panel.set_xlim(0, 1)
    panel.set_ylim(0, 1)
    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panel.grid()


def _panels(count: int, draw: "Callable[[Axes, int], None]") -> str:
    """Draw the panels, three per row; "" if there are none."""
    from matplotlib.figure import Figure

    if not count:
        return ""
    columns = min(3, count)
    rows = -(-count // columns)
    with styled():
        figure = Figure(figsize=(10.4, 2.9 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for at, panel in enumerate(panels):
            if at < count:
                draw(panel, at)
            else:
                panel.set_axis_off()
        return svg_of(figure)
