"""Operating curves as an SVG drawing."""

from collections.abc import Mapping
from math import isinf
from typing import TYPE_CHECKING

import numpy as np

from steelscan.analysis.escapes.operating import OperatingCurve
from steelscan.analysis.escapes.review import Review
from steelscan.analysis.score.figures import BLUE, draw_panels, unit_square

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RED = "#b04a5a"
_REVIEW = "#f3e3bd"

OPERATING_KEY = {
    "escapes: share of defective strips that pass": (_RED, "solid"),
    "overkill: share of clean strips that are stopped": (BLUE, "dashed"),
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

    return draw_panels(len(curves), draw)


def _shares(panel: "Axes", curve: OperatingCurve) -> None:
    thresholds = np.array([point.threshold for point in curve.points])
    for color, dashes, shares in (
        (_RED, "solid", [point.escapes for point in curve.points]),
        (BLUE, "dashed", [point.overkill for point in curve.points]),
    ):
        low, value, high = np.array([(each.low, each.value, each.high) for each in shares]).T
        if np.isnan(value).all():
            continue
        # A share is valid from the previous score (exclusive) up to its own threshold.
        panel.fill_between(thresholds, low, high, step="pre", color=color, alpha=0.15, lw=0)
        panel.step(thresholds, value, where="pre", color=color, linestyle=dashes, linewidth=1.4)
    unit_square(panel)
